"""Notices when the disk is nearly full, so that admission stops while settlements still fit."""

import asyncio
import os
from pathlib import Path

from quarterdeck.checkpoint.checkpoint import Watch
from quarterdeck.domain.limits import DISK_FREE_BYTES_MIN


async def watch_disk(watch: Watch, folder: Path, *, bytes_min: int = DISK_FREE_BYTES_MIN) -> None:
    """Look at the room left where the data folder is. In a thread: a sick disk answers late."""
    found = await asyncio.to_thread(os.statvfs, folder)
    watch.disk_low = found.f_bavail * found.f_frsize < bytes_min
