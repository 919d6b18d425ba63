"""`make bench`: everything, or `make bench ARGS="gateway store"`.

What takes long has a target of its own: `make bench-gateway`, `make bench-soak`.
"""

import sys

from benchmarks import command, gateway, postgresql, reading, seeds, store

PARTS = {
    "command": command.run,
    "gateway": gateway.run,
    "store": store.run,
    "postgresql": postgresql.run,
    "seeds": seeds.run,
    "history": reading.run,
}

chosen = sys.argv[1:] or list(PARTS)
for name in chosen:
    if name not in PARTS:
        sys.exit(f"no benchmark `{name}`; there are: {', '.join(PARTS)}")
    PARTS[name]()
