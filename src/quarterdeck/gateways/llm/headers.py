"""Which headers pass, in each direction. Everything else stops here: keys, cookies, hosts."""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from quarterdeck.domain.errors import Invalid, Unidentified
from quarterdeck.domain.fleets import Dialect
from quarterdeck.gateways.llm.body import Scope
from quarterdeck.gateways.llm.encodings import READABLE

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
        b"x-goog-api-client",
        b"x-ms-client-request-id",
    )
)
_REQUEST_PREFIXES: Final = (b"x-stainless-",)
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
        "apim-request-id",
        "x-ms-client-request-id",
        "x-ms-region",
        "x-amzn-requestid",
        "x-amzn-errortype",
    )
)
_ANSWER_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-", "x-amzn-bedrock-")
#: Where the vendors' SDKs put an API key, beside `authorization: Bearer`; the last one is the
#: session token of a signed request, whose signature proves nothing here.
_KEYS: Final = frozenset((b"x-api-key", b"x-goog-api-key", b"api-key", b"x-amz-security-token"))
_SIGNED: Final = b"aws4-"
_GUARDRAIL: Final = b"x-amzn-bedrock-guardrail"
_VERSION: Final = re.compile(r"[0-9A-Za-z.-]{1,40}")
#: What of a query passes, by the dialect of the route.
_QUERIES: Final[Mapping[Dialect, Mapping[str, re.Pattern[str]]]] = {
    "anthropic": {"beta": re.compile("true")},
    "openai": {"api-version": _VERSION},
    "azure": {"api-version": _VERSION},
    "gemini": {"alt": re.compile("sse|json"), "$alt": re.compile(r"json(;enum-encoding=int)?|sse")},
}


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
    kept = [e for part in asked.split(",") if (e := part.split(";")[0].strip().lower()) in READABLE]
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


def credential_of(scope: Scope) -> str:
    """The run credential, from where any SDK puts its API key; empty if there is none."""
    found, signed = b"", False
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                shown: str = value[7:].strip().decode("latin-1")
                return shown
            signed = value[:5].lower() == _SIGNED
        elif name in _KEYS:
            found = value.strip()
    if not found and signed:
        raise Unidentified(
            "a signature made with AWS keys does not say whose run this is",
            hint="set AWS_BEARER_TOKEN_BEDROCK to the run's credential and no AWS keys; or"
            " AWS_SESSION_TOKEN to it, beside any AWS keys",
        )
    query = scope.get("query_string")
    if not found and query and scope["path"].startswith("/gemini/"):
        # As Gemini's documents show it; it is seen here only, and never forwarded.
        asked: dict[bytes, bytes] = dict(parse_qsl(query))
        found = asked.get(b"key", b"")
    return found.decode("latin-1")


def check_asked(scope: Scope) -> None:
    """Raise Invalid where a header asks for what would be lost: dropped, nobody would notice."""
    for name, _ in scope["headers"]:
        if name.startswith(_GUARDRAIL):
            raise Invalid(
                "a guardrail is asked for in a header, and headers of that kind do not pass",
                hint="use Converse and its `guardrailConfig`, or leave it out",
            )


def query_of(scope: Scope, dialect: Dialect) -> str:
    """What of the query a vendor may see: what its wire knows, and only as its wire knows it."""
    query = scope.get("query_string")
    known = _QUERIES.get(dialect)
    if not query or known is None:
        return ""
    asked = parse_qsl(query.decode("latin-1"))
    return urlencode([(n, v) for n, v in asked if n in known and known[n].fullmatch(v)])


def find(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    """One header's value."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return None
