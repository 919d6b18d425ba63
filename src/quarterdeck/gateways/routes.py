"""The data plane's routes. Only what is listed exists: the rest is a 404 in the wire's words.

INVARIANT (I-15): every route here that can cause an effect goes through the checkpoint.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from quarterdeck.domain.dialects import WIRES, Wire
from quarterdeck.gateways.llm.body import Receive, Scope, Send
from quarterdeck.gateways.llm.errors import Failure
from quarterdeck.gateways.llm.exchange import fail

Endpoint: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
PREFIXES: Mapping[str, str] = {"/openai/": "openai", "/anthropic/": "anthropic"}


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Model and action endpoints by method and exact path; everything else goes to `other`."""

    endpoints: Mapping[tuple[str, str], Endpoint]
    receipt: Endpoint
    other: Endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request by the path of its scope, never by a rebuilt URL."""
        if scope["type"] == "http":
            endpoint = self.endpoints.get((scope["method"], scope["path"]))
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
            if _is_receipt(scope["path"]):
                await self.receipt(scope, receive, send)
                return
            for prefix, name in PREFIXES.items():
                if scope["path"].startswith(prefix):
                    await self._elsewhere(scope, receive, send, WIRES[name])
                    return
        await self.other(scope, receive, send)

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send, wire: Wire) -> None:
        method, path = scope["method"], scope["path"]
        root, _, name = path.rpartition("/v1/models/")
        listing = self.endpoints.get((method, f"{root}/v1/models"))
        if name and listing is not None:
            await listing(scope, receive, send)
            return
        allowed = sorted(m for m, p in self.endpoints if p == path)
        status = 405 if allowed else 404
        message = (
            f"no route {method} {path}; only listed routes exist, see docs/reference/routes.md"
        )
        await fail(
            send, wire, Failure(status=status, code="not_found", message=message, retry=False)
        )


def _is_receipt(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 5 and path.startswith("/v1/actions/") and parts[4] == "receipt"
