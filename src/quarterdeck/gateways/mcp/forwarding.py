"""An exchange with a server on behalf of a client: what passes in each direction.

To the server: what was cleared, and what of the client's `_meta` is its own. To the client: the
progress it asked for, log lines at its level, and questions (`asks.py`). Nothing else a server says
on a call's stream is anybody's business: its lists have an audience of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.actions import Cleared, Effect, Receipt
from quarterdeck.domain.mcp.asks import Ask, OnSaid, Reply, Said
from quarterdeck.domain.mcp.errors import INVALID_PARAMS, Fault
from quarterdeck.domain.mcp.messages import META_LOG_LEVEL, text_of
from quarterdeck.domain.servers import Server
from quarterdeck.gateways.mcp.asks import Asks
from quarterdeck.gateways.mcp.callers import as_capabilities
from quarterdeck.gateways.mcp.exchange import Exchange
from quarterdeck.upstream.tools.mcp import McpTools

#: From the least to the most severe (RFC 5424).
LEVELS: Final = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
LEVEL_DEFAULT: Final = "info"  # of sessions that never set one
_OURS: Final = ("io.modelcontextprotocol/", "dev.quarterdeck/")
_HEAD: Final = b'{"jsonrpc":"2.0","method":'


class _Line(msgspec.Struct, frozen=True):
    level: str = ""


_LINE: Final = msgspec.json.Decoder(_Line)


@dataclass(slots=True, kw_only=True)
class Forwarding:
    """Makes effects of clients' requests."""

    mcp: McpTools
    asks: Asks

    def effect(self, x: Exchange, server: Server, method: str, more: Mapping[str, Raw]) -> Effect:
        """One exchange with a server, as an effect."""
        level = level_of(x)
        ask = Ask(
            method=method,
            more=more,
            meta=_meta(x, level),
            capabilities=as_capabilities(self.asks.allowed(x.caller, server)),
            era=x.caller.era,
        )
        said = self._on_said(x, server, level)

        async def exchange(cleared: Cleared) -> Receipt:
            return await self.mcp.open(cleared, ask, said)

        return exchange

    def _on_said(self, x: Exchange, server: Server, level: str | None) -> OnSaid:
        asked = 0

        async def on_said(said: Said) -> Reply | None:
            nonlocal asked
            if not said.is_request:
                if _is_wanted(x, said, level):
                    await x.out.say(
                        _HEAD + orjson.dumps(said.method) + b',"params":' + said.params + b"}"
                    )
                return None
            if said.method == "ping":
                return Reply(result=b"{}")
            asked += 1
            return await self.asks.on_stream(x, server, said.method, said.params, before=asked - 1)

        return on_said


def level_of(x: Exchange) -> str | None:
    """The least severe log line the client wants of this request; None if it wants none."""
    if not x.caller.modern:
        return x.caller.level or LEVEL_DEFAULT
    level = text_of(x.meta, META_LOG_LEVEL)
    if level is not None and level not in LEVELS:
        raise Fault(INVALID_PARAMS, f"`{level[:32]}` is not a log level: use {', '.join(LEVELS)}")
    return level


def _meta(x: Exchange, level: str | None) -> dict[str, Raw]:
    """What of a request's `_meta` is the client's own: its progress token, its trace, its own."""
    meta = {name: raw for name, raw in x.meta.items() if not name.startswith(_OURS)}
    token = meta.get("progressToken")
    if token is not None and not isinstance(orjson.loads(bytes(token)), str | int):
        raise Fault(INVALID_PARAMS, "`progressToken` is a text or a number")
    if level is not None:
        meta[META_LOG_LEVEL] = Raw(orjson.dumps(level))
    return meta


def _is_wanted(x: Exchange, said: Said, level: str | None) -> bool:
    if said.method == "notifications/progress":
        return "progressToken" in x.meta
    if said.method != "notifications/message" or level is None:
        return False
    try:
        of_line = _LINE.decode(said.params).level
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return of_line in LEVELS and LEVELS.index(of_line) >= LEVELS.index(level)
