"""Gives memory that was freed back to the system, where the C library can do that (glibc).

A large fleet that is applied, a list of thousands of definitions, a burst of large results: each
leaves tens of megabytes of holes behind, which the C library keeps until it is asked.
"""

import asyncio
import ctypes


def trim() -> None:
    """Give it back now: a few milliseconds after a large fleet was read, else less than one."""
    give = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give is not None:
        give(0)


async def give_back_memory() -> None:
    """Give it back beside the event loop: calls go on meanwhile."""
    await asyncio.get_running_loop().run_in_executor(None, trim)
