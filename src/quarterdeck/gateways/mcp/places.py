"""Which hosts and origins are answered: a web page may point a browser here by a name of its own.

DNS rebinding needs a name, so an address by number is always ours to answer; names are those we
listen by or were told that agents reach us by.
"""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from quarterdeck.domain.mcp.errors import FORBIDDEN, Fault
from quarterdeck.gateways.llm import headers
from quarterdeck.gateways.llm.body import Scope

_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True, slots=True)
class Places:
    """Names this process answers to."""

    names: frozenset[str]

    @classmethod
    def of(cls, host: str, gateway_url: str | None) -> "Places":
        """What it listens by, and what agents were told."""
        told = urlsplit(gateway_url).hostname if gateway_url else None
        return cls(_LOCAL | {host.lower().strip("[]")} | ({told} if told else frozenset()))

    def check(self, scope: Scope) -> None:
        """Raise Fault where Host or Origin is not one of ours."""
        sent = scope["headers"]
        host = headers.find(sent, b"host")
        if host is not None and not _is_ours(f"//{host}", self.names):
            raise Fault(FORBIDDEN, "This host is not served here", status=403)
        origin = headers.find(sent, b"origin")
        if origin is not None and not _is_ours(origin, self.names):
            raise Fault(FORBIDDEN, "This origin is not served here", status=403)


@lru_cache(maxsize=64)
def _is_ours(url: str, names: frozenset[str]) -> bool:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return False
    return name is not None and (name in names or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
