"""Which headers pass, in each direction. Everything else stops here: keys, cookies, hosts."""

from collections.abc import Iterable
from typing import Final

_REQUEST: Final = frozenset(
    (
        b"content-type",
        b"accept",
        b"user-agent",
        b"anthropic-version",
        b"anthropic-beta",
        b"openai-beta",
        b"traceparent",
        b"tracestate",
    )
)
_REQUEST_PREFIXES: Final = (b"x-stainless-",)
_READABLE: Final = frozenset(("gzip", "deflate", "identity"))  # what we can read usage out of
_ANSWER: Final = frozenset(
    (
        "content-type",
        "content-encoding",
        "content-language",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "request-id",
        "openai-processing-ms",
        "openai-version",
        "openai-model",
    )
)
_ANSWER_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-")


def to_vendor(
    headers: Iterable[tuple[bytes, bytes]], *, compressible: bool
) -> list[tuple[str, str]]:
    """The client's headers a vendor may see; no compression where events must be told apart."""
    passed: list[tuple[str, str]] = []
    encodings = "identity"
    for name, value in headers:
        if name in _REQUEST or name.startswith(_REQUEST_PREFIXES):
            passed.append((name.decode("latin-1"), value.decode("latin-1")))
        elif name == b"accept-encoding" and compressible:
            encodings = _encodings(value.decode("latin-1"))
    passed.append(("accept-encoding", encodings))
    return passed


def _encodings(asked: str) -> str:
    kept = [
        e for part in asked.split(",") if (e := part.split(";")[0].strip().lower()) in _READABLE
    ]
    return ", ".join(kept) or "identity"


def to_client(headers: Iterable[tuple[str, str]], *, whole: bool) -> list[tuple[bytes, bytes]]:
    """The vendor's headers that a client may see; its length only if every byte passes."""
    passed = []
    for name, value in headers:
        lower = name.lower()
        passes = lower in _ANSWER or lower.startswith(_ANSWER_PREFIXES)
        if passes or (whole and lower == "content-length"):
            passed.append((lower.encode("latin-1"), value.encode("latin-1")))
    return passed


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The run credential, from where either SDK puts its API key; empty if there is none."""
    found = ""
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1")
        if name == b"x-api-key":
            found = value.strip().decode("latin-1")
    return found


def find(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    """One header's value."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return None
