"""Compressed answers as they read when decompressed. Only read here: what passes stays as it is.

Bounded: a few compressed bytes may become many, and no more of them are read than are kept.
"""

import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

import brotli
import zstandard

from quarterdeck.domain.limits import ANSWER_BYTES_MAX

_More: TypeAlias = Callable[[bytes], bytes]


class Plain(Protocol):
    """Compressed bytes in, plain bytes out."""

    def more(self, chunk: bytes) -> bytes:
        """What this chunk adds; nothing once the bytes are no longer what they were said to be."""


class _Decoded:
    """One encoding undone, chunk by chunk."""

    def __init__(self, open_decoder: Callable[[], _More]) -> None:
        self._more: _More | None = open_decoder()

    def more(self, chunk: bytes) -> bytes:
        if self._more is None:
            return b""
        try:
            return self._more(chunk)
        except (zlib.error, brotli.error, zstandard.ZstdError, ValueError, EOFError):
            self._more = None
            return b""


class _Unreadable:
    """An encoding nobody here reads."""

    def more(self, chunk: bytes) -> bytes:
        return b""


def _open_gzip() -> _More:
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def more(chunk: bytes) -> bytes:
        nonlocal decoder
        plain = decoder.decompress(chunk, ANSWER_BYTES_MAX)
        # A body may be several members one after another.
        while decoder.eof and (rest := decoder.unused_data):
            decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
            plain += decoder.decompress(rest, ANSWER_BYTES_MAX)
        return plain

    return more


def _open_deflate() -> _More:
    """Zlib's format by the standard; without its header as some servers send it."""
    start = b""
    decoder: Any = None

    def more(chunk: bytes) -> bytes:
        nonlocal start, decoder
        if decoder is None:
            start += chunk
            if len(start) < 2:
                return b""
            headed = start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2], "big") % 31 == 0
            decoder = zlib.decompressobj(zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)
            chunk = start
        plain: bytes = decoder.decompress(chunk, ANSWER_BYTES_MAX)
        return plain

    return more


def _open_brotli() -> _More:
    decoder = brotli.Decompressor()
    return lambda chunk: decoder.process(chunk, output_buffer_limit=ANSWER_BYTES_MAX)


def _open_zstd() -> _More:
    return zstandard.ZstdDecompressor(max_window_size=ANSWER_BYTES_MAX).decompressobj().decompress


_OPENERS: Final = {
    "gzip": _open_gzip,
    "x-gzip": _open_gzip,
    "deflate": _open_deflate,
    "br": _open_brotli,
    "zstd": _open_zstd,
}
#: What a client may ask the vendor for: usage can be read out of it.
READABLE: Final = frozenset((*_OPENERS, "identity"))


def plain_of(encoding: str) -> Plain | None:
    """What undoes a `content-encoding`; None where nothing is encoded."""
    names = [
        n for part in encoding.lower().split(",") if (n := part.strip()) not in ("", "identity")
    ]
    if not names:
        return None
    opener = _OPENERS.get(names[0]) if len(names) == 1 else None
    return _Unreadable() if opener is None else _Decoded(opener)
