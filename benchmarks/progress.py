"""What a long benchmark shows while it runs, and how it ends early without leaving anything."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator


class Progress:
    """A line that says how far it is: all the time in a terminal, else every half minute."""

    def __init__(self, name: str, total: float) -> None:
        self._name, self._total = name, total
        self._done = 0.0
        self._began = self._shown = time.monotonic()
        self._live = sys.stderr.isatty()

    def more(self, amount: float, note: str = "") -> None:
        """So much more is done."""
        self._done += amount
        now = time.monotonic()
        if now - self._shown < (0.2 if self._live else 30):
            return
        self._shown = now
        share = min(1.0, self._done / self._total)
        left = (now - self._began) * (1 - share) / share
        bar = "#" * int(share * 30)
        line = f"{self._name} [{bar:<30}] {share:4.0%}, {left / 60:.1f} min left {note}"
        print(f"\r\x1b[K{line}" if self._live else line, end="" if self._live else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def end(self) -> None:
        """Clear the line."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends like ctrl-C: every `finally` runs, so every process that was started ends."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
