"""Reads usage out of the bytes that pass, and keeps what the record needs. Changes none of them."""

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from quarterdeck.checkpoint.estimate import estimated_usage
from quarterdeck.domain.actions import Content, Receipt, Tokens
from quarterdeck.domain.dialects import StreamReader, Wire
from quarterdeck.domain.limits import ANSWER_BYTES_MAX
from quarterdeck.domain.money import Usage
from quarterdeck.gateways.llm.encodings import Plain, plain_of


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an exchange ended."""

    whole: bool
    because: str = ""


class Meter:
    """Sees every chunk of one answer; says at its end what is to be settled."""

    def __init__(
        self,
        wire: Wire,
        *,
        status: int,
        encoding: str = "",
        content_type: str = "",
        streamed: bool = False,
    ) -> None:
        self._wire = wire
        self._status = status
        self._type = content_type.strip().lower()
        self._streamed = streamed and status < 400
        self._reader: StreamReader | None = None
        self._begun = False
        self._plain: Plain | None = plain_of(encoding)
        self._body = bytearray()
        self._bytes = 0
        #: Whether what passes is a good answer, not compressed: events can be told apart in it.
        self.is_plain = status < 400 and self._plain is None

    def see(self, chunk: bytes) -> None:
        """Take note of a passing chunk."""
        self._bytes += len(chunk)
        plain = chunk if self._plain is None else self._plain.more(chunk)
        if not self._begun:
            plain = self._begin(plain)
        if self._reader is not None:
            self._reader.feed(plain)
        elif len(self._body) < ANSWER_BYTES_MAX:
            self._body += plain[: ANSWER_BYTES_MAX - len(self._body)]

    def _begin(self, plain: bytes) -> bytes:
        """Find out from the first byte that is no white space whether the answer is a stream."""
        start = bytes(self._body) + plain
        if start and not start.isspace():
            self._begun = True
            self._body.clear()
            self._reader = self._wire.reader_of(start, self._type, streamed=self._streamed)
            return start
        return plain

    def receipt(self, end: End, tokens: Tokens) -> Receipt:
        """What to settle: usage as reported, or an estimate that is marked as one."""
        usage, model, answer = self._read()
        failed = self._status >= 400 or not end.whole or self._error() is not None
        source: Any = "reported"
        if self._wire.free:
            usage, source = None, "none"
        elif usage is None:
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
        found = self._wire.usage_of_answer(body) if body else None
        usage, model = found if found is not None else (None, None)
        return usage, model, body

    def _error(self) -> str | None:
        return None if self._reader is None else self._reader.error
