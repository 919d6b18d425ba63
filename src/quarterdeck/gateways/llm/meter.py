"""Reads usage out of the bytes that pass, and keeps what the record needs. Changes none of them."""

import zlib
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from quarterdeck.checkpoint.estimate import estimated_usage
from quarterdeck.domain.actions import Content, Receipt, Tokens
from quarterdeck.domain.dialects import Wire
from quarterdeck.domain.limits import ANSWER_BYTES_MAX
from quarterdeck.domain.money import Usage


@dataclass(slots=True, kw_only=True)
class End:
    """How an exchange ended."""

    whole: bool
    because: str = ""


class Meter:
    """Sees every chunk of one answer; says at its end what is to be settled."""

    def __init__(self, wire: Wire, *, status: int, encoding: str, streamed: bool) -> None:
        self._wire = wire
        self._status = status
        self._reader = wire.open_stream_reader() if streamed else None
        self._decoder = _decoder(encoding)
        self._body = bytearray()
        self._bytes = 0
        self._readable = encoding in ("", "identity", "gzip", "deflate")

    def see(self, chunk: bytes) -> bytes:
        """A passing chunk; returns it as it reads when decompressed."""
        self._bytes += len(chunk)
        plain = self._plain(chunk)
        if self._reader is not None:
            self._reader.feed(plain)
        elif len(self._body) < ANSWER_BYTES_MAX:
            self._body += plain[: ANSWER_BYTES_MAX - len(self._body)]
        return plain

    def _plain(self, chunk: bytes) -> bytes:
        if self._decoder is None or not self._readable:
            return chunk
        try:
            # Bounded: a few compressed bytes may become many. Only read here, never forwarded.
            plain: bytes = self._decoder.decompress(chunk, ANSWER_BYTES_MAX)
        except zlib.error:
            self._readable = False
            return b""
        return plain

    def receipt(self, end: End, tokens: Tokens) -> Receipt:
        """What to settle: usage as reported, or an estimate that is marked as one."""
        usage, model, answer = self._read()
        failed = self._status >= 400 or not end.whole or self._error() is not None
        source: Any = "reported"
        if usage is None:
            source = "estimated"
            # A vendor that answers an error has generated nothing and charges nothing.
            refused = self._status >= 400
            usage = Usage() if refused else self._estimate(tokens)
        detail: dict[str, Any] = {"status": self._status}
        if model:
            detail["model"] = model
        if error := end.because or self._error():
            detail["error"] = error[:500]
        return Receipt(
            status="failed" if failed else "done",
            result=b"" if self._reader is not None or failed else answer,
            content=Content(rest=answer),
            usage=usage,
            usage_source=source,
            detail=detail,
        )

    def _estimate(self, tokens: Tokens) -> Usage:
        """What a broken stream had reported before it broke; else bytes taken for tokens."""
        so_far = None if self._reader is None else self._reader.usage_so_far
        if so_far is not None:
            # It may take bytes for tokens: no more of them than the caller's cap let through.
            return replace(so_far, output=min(so_far.output, tokens.output_max))
        generated = self._bytes if self._reader is None else self._reader.output_bytes
        return estimated_usage(tokens, answer_bytes=generated)

    def _read(self) -> tuple[Usage | None, str | None, bytes]:
        if self._reader is not None:
            self._reader.close()
            return self._reader.usage, self._reader.model, self._reader.answer()
        body = bytes(self._body)
        found = self._wire.usage_of_answer(body) if self._readable else None
        usage, model = found if found is not None else (None, None)
        return usage, model, body

    def _error(self) -> str | None:
        return None if self._reader is None else self._reader.error


def _decoder(encoding: str) -> Any:
    if encoding == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    if encoding == "deflate":
        return zlib.decompressobj()
    return None
