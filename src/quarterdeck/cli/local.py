"""The application in this process: the house, its loops, its ASGI face."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TextIO, TypeAlias, cast

import structlog

from quarterdeck import assembly
from quarterdeck.assembly import House
from quarterdeck.loops.ticking import repeat
from quarterdeck.settings import Settings

Message: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[tuple[Application, str]]:
    """The application, for as long as one command takes, and the token that opens it.

    The caller holds the data folder's lock.
    """
    log_to_stderr(logging.WARNING)
    async with assembly.house(settings, role="command") as built, looping(built):
        yield assembly.application(built), built.local_token


@asynccontextmanager
async def looping(built: House) -> AsyncIterator[None]:
    """Run the background work; at the end, seal what was written meanwhile."""
    ticks = assembly.ticks(built)
    tasks = [asyncio.create_task(repeat(tick), name=tick.name) for tick in ticks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for tick in ticks:
            if tick.name == "seal_ledger":
                await tick.run()


class _Stderr:
    """Standard error may be a file on a full disk: what cannot be logged must not stop the work."""

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def log_to_stderr(level: int) -> None:
    """Standard output belongs to the command: what is logged goes beside it."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _Stderr())),
        cache_logger_on_first_use=False,
    )
