"""Quarterdeck in a process that watches its own event loop: how long does one turn of it take?

    python -m benchmarks.mcp.watched FLEET_FOLDER

It prints `{"port": ..., "credential": ...}`, and for each line it reads, the longest turn since the
one before, by the clock and by the loop's own processor time: the machine has other work, too. The
loop never sleeps here, so that a turn is measured and not the waiting for one.
"""

import asyncio
import json
import socket
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from quarterdeck.assembly import application, house
from quarterdeck.cli.listening import serving
from quarterdeck.cli.local import looping
from quarterdeck.domain.people import Caller
from quarterdeck.settings import Settings


class Watch:
    """Looks at the clock in every turn of the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wall, self._cpu = time.perf_counter(), time.thread_time()
        self._longest = (0.0, 0.0)
        self._turn()

    def _turn(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        before = self._longest
        self._longest = (max(before[0], wall - self._wall), max(before[1], cpu - self._cpu))
        self._wall, self._cpu = wall, cpu
        self._loop.call_soon(self._turn)

    def taken(self) -> tuple[float, float]:
        """The longest turn so far in ms, by the clock and by the processor; then from nothing."""
        wall, cpu = self._longest
        self._longest = (0.0, 0.0)
        return wall * 1000, cpu * 1000


async def main(fleet: Path) -> None:
    """Serve until nobody asks any more."""
    files = {
        str(path.relative_to(fleet)): path.read_bytes()
        for path in fleet.rglob("*")
        if path.is_file()
    }
    owner = Caller(id="local:bench", role="owner")
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(folder=Path(name) / "data")
        async with house(settings, role="all") as built, looping(built):
            await built.services.changes.apply(owner, files)
            run = await built.services.runs.start(owner, "clerk", {}, kind="external")
            app = application(built)
            async with serving(app, listener, on_stop=lambda: None):
                port = listener.getsockname()[1]
                print(json.dumps({"port": port, "credential": run.credential}), flush=True)
                await _answer()


async def _answer() -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    watch = Watch()
    while await asked.readline():
        print(json.dumps(watch.taken()), flush=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
