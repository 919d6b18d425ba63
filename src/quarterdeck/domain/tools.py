"""Tools: what can be called, under which contract, and what carries it out.

A contract says what one call may do at the most. The checkpoint holds every call to it; blast
radius, cards and forms are readings of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from quarterdeck.domain.ids import ServerName, ToolName

EffectClass: TypeAlias = Literal["read", "egress", "draft", "write", "privileged"]
Trust: TypeAlias = Literal["trusted", "untrusted"]
#: What kinds of data a result may carry; labels of the same names are joined to the run.
DataClass: TypeAlias = Literal["internal", "pii", "pci", "phi", "secret"]
#: Headers that say how the message is sent, by whom and to whom: never a caller's to set.
RESERVED_HEADERS: Final = frozenset(
    (
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    )
)
RatePeriod: TypeAlias = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonBackend:
    """A function in a file of the fleet folder, run in a supervised child process."""

    file: str
    function: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class McpBackend:
    """A tool of an MCP server; `pin` is the hash of the definition that was granted."""

    server: ServerName
    tool: str
    pin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBackend:
    """One operation of an HTTP API. `path` names arguments in braces; the rest go where said.

    `query` and `headers` map the name on the wire to the argument's; `body` is the one argument
    that is the body, or `*` for an object of all that are left, or none.
    """

    server: ServerName
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str | None


Backend: TypeAlias = PythonBackend | McpBackend | HttpBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where the idempotency key of a call is put: into an argument, or a header of HTTP."""

    place: Literal["argument", "header"]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Money that one call moves: an amount at most, in a currency (ISO 4217).

    `argument` names the argument that says the amount, where one does; it may not pass `most`.
    """

    currency: str
    most: str
    argument: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """How many records one call writes and deletes, at the most."""

    written: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """An argument that says where something goes, and the patterns (`*.example.com`) it may be."""

    argument: str
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most so many calls of the tool by one agent in each minute, hour or day of the clock."""

    calls: int
    per: RatePeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What can be called, under its contract."""

    name: ToolName
    description: str
    arguments: Mapping[str, Any]
    results: Mapping[str, Any] | None
    effect: EffectClass
    trust: Trust
    idempotent: bool
    reversible: str | None
    repeatable: bool
    timeout_seconds: int
    cost_nanousd: int
    backend: Backend | None
    digest: str
    #: Arguments that decide who, what and how much; and those that are free text.
    control: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    #: Places in the result (JSON pointers) whose values are ids that a system of record assigned.
    ids: tuple[str, ...] = ()
    data: frozenset[DataClass] = frozenset()
    key: Key | None = None
    moves: tuple[Moves, ...] = ()
    records: Records = Records()
    messages: int = 0
    destinations: tuple[Destination, ...] = ()
    rates: tuple[Rate, ...] = ()
    confirm: bool = False
    secret: str | None = None

    @property
    def happens_once(self) -> bool:
        """Whether the same call made again is answered with what came of the first one."""
        return not self.repeatable and self.effect not in ("read", "egress")
