"""Definitions: what MCP servers say of their tools, and whether it is what was granted.

A definition is pinned by a hash over all that a model could read in it, so that a server cannot
change what a tool says of itself without anybody noticing. Whatever is not the granted definition
is in quarantine: neither listed nor called, until an owner releases exactly that one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec
import rfc8785

from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.lookalikes import resembled
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import McpBackend, Tool
from quarterdeck.domain.verdicts import Verdict, allow, deny

#: What is said of one tool; only `pinned` may be listed and called.
Judgement: TypeAlias = Literal["pinned", "drift", "new", "lookalike", "gone", "unknown"]

#: The members that make a definition, in the words of the protocol.
DEFINED_BY: Final = (
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "icons",
    "execution",
    "_meta",
)
PIN_PREFIX: Final = "sha256:"
#: A definition that has no canonical form (a number no reader agrees on) can never be granted.
UNPINNABLE: Final = "none:"

_WORDS: Final[Mapping[Judgement, str]] = {
    "pinned": "its definition is the one that was granted",
    "drift": "its server describes it in other words than those that were granted",
    "new": "its definition was granted by nobody yet",
    "lookalike": "its definition was granted by nobody yet, and its name resembles another's",
    "gone": "its server does not offer it any more",
    "unknown": "its server has not said yet what it offers",
}


class Definition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a server says of one tool, as it said it, and the hash of that."""

    name: str
    raw: bytes
    hash: str


class Offer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A resource, a resource template or a prompt that a server offers: its key, and it whole.

    The key is the URI, the URI template or the name.
    """

    key: str
    raw: bytes


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a server offers, as it was last listed. `problem` says why it could not be now."""

    server: ServerName
    version: str = ""
    capabilities: bytes = b"{}"
    instructions: str = ""
    info: bytes = b"{}"
    tools: tuple[Definition, ...] = ()
    resources: tuple[Offer, ...] = ()
    templates: tuple[Offer, ...] = ()
    prompts: tuple[Offer, ...] = ()
    #: Microseconds since the epoch; 0 if it was never listed.
    listed_at: int = 0
    problem: str = ""

    def find(self, tool: str) -> Definition | None:
        """The definition of a tool, if there is one of that name."""
        return next((d for d in self.tools if d.name == tool), None)


#: Hashes of definitions that owners released, by server identity and the tool's name there.
Releases: TypeAlias = Mapping[tuple[str, str], frozenset[str]]


def hash_of(definition: Mapping[str, Any]) -> str:
    """The hash of a definition: SHA-256 over the canonical form (RFC 8785) of its members."""
    members = {name: definition[name] for name in DEFINED_BY if name in definition}
    try:
        written = rfc8785.dumps(members)
    except (rfc8785.CanonicalizationError, RecursionError):
        return UNPINNABLE
    return PIN_PREFIX + hashlib.sha256(written).hexdigest()


def identity_of(server: Server) -> str:
    """What makes two servers the same: where it is, or the command and the files it runs.

    A release is good for the server it was given at, and not for another under its name.
    """
    hashed = hashlib.sha256()
    parts = [server.name, server.url or "", *server.command]
    for path in sorted(server.files):
        parts += [path, hashlib.sha256(server.files[path]).hexdigest()]
    for part in parts:
        hashed.update(str(len(part)).encode() + b":" + part.encode())
    return hashed.hexdigest()[:32]


def judge(
    offered: Definition | None,
    *,
    is_listed: bool,
    granted: frozenset[str],
    name: str = "",
    others: Iterable[str] = (),
) -> Judgement:
    """What an offered tool is, by the hashes that were granted for it.

    `others` are names of tools that somebody did grant: whatever resembles one is a look-alike.
    """
    if not is_listed:
        return "unknown"
    if offered is None:
        return "gone"
    if offered.hash in granted and offered.hash.startswith(PIN_PREFIX):
        return "pinned"
    if granted:
        return "drift"
    return "lookalike" if resembled(name or offered.name, others) else "new"


def granted_hashes(tool: Tool, identity: str, releases: Releases) -> frozenset[str]:
    """The hashes granted to a contract: its pin, and what owners released since."""
    backend = tool.backend
    assert isinstance(backend, McpBackend), "only tools of MCP servers have definitions"
    released = releases.get((identity, backend.tool), frozenset())
    return released if backend.pin is None else released | {backend.pin}


@lru_cache(maxsize=1024)
def verdict_of(tool: str, judgement: Judgement) -> Verdict:
    """What the checkpoint is told of a tool by its contract's name."""
    if judgement == "pinned":
        return allow("quarantine:pinned", f"`{tool}`: {_WORDS['pinned']}")
    because = f"`{tool}` is in quarantine: {_WORDS[judgement]}; an owner can release it"
    if judgement in ("gone", "unknown"):
        because = f"`{tool}` cannot be used: {_WORDS[judgement]}"
    return deny(f"quarantine:{judgement}", because)


def words_of(judgement: Judgement) -> str:
    """A judgement as half a sentence for people."""
    return _WORDS[judgement]


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """What one process can say of one MCP server. `problem` is empty while it can be asked."""

    server: ServerName
    identity: str
    version: str
    listed_at: int
    problem: str
    tools: int
    is_running: bool | None
