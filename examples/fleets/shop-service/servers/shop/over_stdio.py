"""Messages by standard input and output: one JSON object a line, answered in their order."""

import json
import sqlite3
import sys
from typing import BinaryIO

from shop.protocol import INVALID_REQUEST, Failed, Message, answer, error, parsed

LINE_BYTES_MAX = 1024 * 1024


def serve(shop: sqlite3.Connection) -> None:
    """Answer until the other side closes."""
    reading, writing = sys.stdin.buffer, sys.stdout.buffer
    while line := reading.readline(LINE_BYTES_MAX + 1):
        said = _said(shop, line, reading)
        if said is not None:
            writing.write(json.dumps(said).encode() + b"\n")
            writing.flush()


def _said(shop: sqlite3.Connection, line: bytes, reading: BinaryIO) -> Message | None:
    if len(line) > LINE_BYTES_MAX:
        while line and not line.endswith(b"\n"):  # the rest of it is not the next message
            line = reading.readline(LINE_BYTES_MAX)
        return error(None, Failed(INVALID_REQUEST, "a message takes 1 MiB at most"))
    if not line.strip():
        return None
    try:
        return answer(shop, parsed(line))
    except Failed as failed:
        return error(None, failed)
