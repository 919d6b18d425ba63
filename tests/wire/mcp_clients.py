"""Clients of the MCP gateway that say exactly what a test wants said, in either era."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"
NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ACCEPT: Final = "application/json, text/event-stream"
WAIT_SECONDS: Final = 30


def messages_of(body: str) -> list[dict[str, Any]]:
    """The messages in a body, whole or as events."""
    lines = [line[5:] for line in body.splitlines() if line.startswith("data:")]
    return [json.loads(text) for text in (lines or [body]) if text.strip()]


@dataclass
class Client:
    """One client of one endpoint; `http` is shared."""

    http: httpx2.AsyncClient
    url: str
    credential: str
    era: str = MODERN
    capabilities: dict[str, Any] = field(default_factory=dict)
    session: str = ""
    #: What came before the last answer.
    before: list[dict[str, Any]] = field(default_factory=list)
    _count: int = 0

    def headers(self, method: str, params: dict[str, Any]) -> dict[str, str]:
        """What goes with a message."""
        found = {
            "authorization": f"Bearer {self.credential}",
            "accept": ACCEPT,
            "content-type": "application/json",
        }
        if self.era == MODERN:
            found |= {"mcp-protocol-version": MODERN, "mcp-method": method}
            if method in NAMED and NAMED[method] in params:
                found["mcp-name"] = str(params[NAMED[method]])
        elif self.session:
            found |= {"mcp-protocol-version": LEGACY, "mcp-session-id": self.session}
        return found

    def message(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A request."""
        self._count += 1
        if self.era == MODERN:
            told = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            }
            params = {**params, "_meta": told | params.get("_meta", {})}
        return {"jsonrpc": "2.0", "id": self._count, "method": method, "params": params}

    async def post(self, method: str, **params: Any) -> httpx2.Response:
        """One request, answered whole."""
        message = self.message(method, params)
        headers = self.headers(method, params)
        return await self.http.post(self.url, json=message, headers=headers)

    async def asked(self, method: str, **params: Any) -> dict[str, Any]:
        """The message that answers a request."""
        *self.before, last = messages_of((await self.post(method, **params)).text)
        return last

    async def result(self, method: str, **params: Any) -> dict[str, Any]:
        """Its result."""
        answer = await self.asked(method, **params)
        assert "result" in answer, answer
        return dict(answer["result"])

    async def error(self, method: str, **params: Any) -> dict[str, Any]:
        """Its error."""
        answer = await self.asked(method, **params)
        assert "error" in answer, answer
        return dict(answer["error"])

    async def call(self, name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
        """A tool's result."""
        return await self.result("tools/call", name=name, arguments=arguments or {}, **more)

    async def names(self, what: str = "tools", key: str = "name") -> list[str]:
        """What a list has."""
        member = {"resources/templates": "resourceTemplates"}.get(what, what)
        return [one[key] for one in (await self.result(f"{what}/list"))[member]]

    async def greet(self) -> "Client":
        """The handshake, where the era has one."""
        if self.era == MODERN:
            return self
        told = {"name": "tests", "version": "1"}
        params = {"protocolVersion": LEGACY, "capabilities": self.capabilities, "clientInfo": told}
        answer = await self.post("initialize", **params)
        assert answer.status_code == 200, answer.text
        self.session = answer.headers["mcp-session-id"]
        await self.tell("notifications/initialized")
        return self

    async def tell(self, method: str, **params: Any) -> httpx2.Response:
        """A notification."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        return await self.http.post(self.url, json=message, headers=self.headers(method, params))

    async def reply(self, number: Any, **said: Any) -> httpx2.Response:
        """An answer to what was asked."""
        message = {"jsonrpc": "2.0", "id": number, **said}
        return await self.http.post(self.url, json=message, headers=self.headers("", {}))

    @contextlib.asynccontextmanager
    async def stream(self, method: str, **params: Any) -> AsyncIterator[AsyncIterator[Any]]:
        """A request whose answer is read message by message."""
        message, headers = self.message(method, params), self.headers(method, params)
        async with self.http.stream("POST", self.url, json=message, headers=headers) as response:
            assert response.headers["content-type"] == "text/event-stream", response.status_code
            assert response.headers["x-accel-buffering"] == "no"
            yield events(response)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[Any]]:
        """The stream of a session."""
        headers = self.headers("", {})
        async with self.http.stream("GET", self.url, headers=headers) as response:
            assert response.status_code == 200
            yield events(response)


async def events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The messages of a stream, as they come."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line[5:])


@contextlib.asynccontextmanager
async def connections() -> AsyncIterator[httpx2.AsyncClient]:
    """What clients send with."""
    async with httpx2.AsyncClient(trust_env=False, timeout=WAIT_SECONDS) as http:
        yield http
