"""Revisions of MCP, and the two eras they belong to: with a handshake, and stateless."""

from typing import Final, Literal, TypeAlias

Era: TypeAlias = Literal["stateless", "handshake"]

STATELESS: Final = "2026-07-28"
#: Spoken with a handshake, newest first; the first is what is offered.
HANDSHAKE: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
#: All that are spoken here, newest first.
SPOKEN: Final = (STATELESS, *HANDSHAKE)

#: Where a stateless request says what a handshake would have said, in its `_meta`.
META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"


def era_of(version: str) -> Era | None:
    """The era of a revision that is spoken here; nothing for any other."""
    if version == STATELESS:
        return "stateless"
    return "handshake" if version in HANDSHAKE else None
