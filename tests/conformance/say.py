"""The command that the suite starts as a client, once for each scenario: it passes the word on.

    python -IS say.py PORT URL

Whoever listens there plays the scenario (`client.py`), so that fifty interpreters need not
load everything. It ends as the scenario did; the standard library is all it knows.
"""

import json
import os
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as there:
    told = {name: value for name, value in os.environ.items() if name.startswith("MCP_")}
    there.sendall(json.dumps({"url": sys.argv[2], "told": told}).encode() + b"\n")
    said = there.makefile("rb").read().decode()
sys.exit(0 if said == "done" else said or "nothing was said")
