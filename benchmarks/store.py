"""Admissions and settlements in process: 1 KB bodies, redaction, ledger, three budget rows each."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from benchmarks.processes import write_fleet
from benchmarks.table import flush_time_ms, print_table
from quarterdeck.assembly import House, house
from quarterdeck.domain.actions import Cleared, Content, Proposal, Receipt, Tokens
from quarterdeck.domain.money import Usage
from quarterdeck.domain.people import Caller
from quarterdeck.fleet.load import read_folder
from quarterdeck.loops.renew_lease import watch_standing
from quarterdeck.settings import Settings
from quarterdeck.store import sqlite

OWNER = Caller(id="local:bench", role="owner")
AT_ONCE = 64
ROUNDS = 5
PAIRS = 4000
WORDS = b"How do I get a refund for order 10293? It has not arrived. " * 16


def run() -> None:
    """Print pairs a second, as the disk is and with flushes made slower."""
    rows = []
    for injected_ms in (0, 1, 4):
        rates = [uvloop.run(_round(injected_ms)) for _ in range(ROUNDS if not injected_ms else 3)]
        rates.sort()
        rows.append(
            [
                f"{injected_ms} ms",
                f"{statistics.median(r for r, _ in rates):,.0f}",
                f"{rates[0][0]:,.0f} to {rates[-1][0]:,.0f}",
                f"{statistics.median(c for _, c in rates):.0f}",
            ]
        )
    with tempfile.TemporaryDirectory() as name:
        flush = flush_time_ms(Path(name))
    print_table(
        f"admission + settlement pairs on SQLite, {AT_ONCE} at once"
        f" (fdatasync of 8 KB here: {flush:.3f} ms)",
        ["injected flush time", "pairs/s, median", "range", "CPU us/pair"],
        rows,
    )


@asynccontextmanager
async def _opened(injected_ms: float) -> AsyncIterator[House]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = read_folder(write_fleet(folder / "fleet", 9))
        plain = sqlite.SqliteWrites.commit

        def slower(self: sqlite.SqliteWrites) -> None:
            time.sleep(injected_ms / 1000)
            plain(self)

        if injected_ms:
            sqlite.SqliteWrites.commit = slower  # type: ignore[method-assign]
        try:
            async with house(Settings(folder=folder / "data"), role="all") as built:
                await built.services.changes.apply(OWNER, files)
                await watch_standing(built.db, built.checkpoint.watch)
                yield built
        finally:
            sqlite.SqliteWrites.commit = plain  # type: ignore[method-assign]


async def _round(injected_ms: float) -> tuple[float, float]:
    async with _opened(injected_ms) as built:
        run = await built.services.runs.start(OWNER, "clerk", {}, kind="external")
        pairs = PAIRS if not injected_ms else PAIRS // 2
        numbers = iter(range(pairs))

        async def worker() -> None:
            for number in numbers:
                await pair(built, run.credential, number)

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        return pairs / seconds, used / pairs * 1e6


async def pair(built: House, credential: str, number: int) -> None:
    """Admit and settle one model call of a kilobyte each way."""
    body = b'{"role":"user","content":"%06d ' % number + WORDS + b'"}'
    admission = await built.checkpoint.admit(
        Proposal(
            credential=credential,
            kind="model",
            dialect="openai",
            target="bench-1",
            arguments=body,
            content=Content(parts=(body,), rest=b'{"model":"bench-1"}'),
            tokens=Tokens(input_max=1000, output_max=100),
        )
    )
    assert isinstance(admission, Cleared)
    await built.checkpoint.settle(
        admission,
        Receipt(
            status="done",
            result=b"",
            content=Content(rest=b'{"role":"assistant","content":"%06d ' % number + WORDS + b'"}'),
            usage=Usage(input=250, output=90),
            usage_source="reported",
        ),
    )
