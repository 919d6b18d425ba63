"""What MCP's official suite runs as a client: our upstream client, asked to do things.

The suite says by `MCP_CONFORMANCE_SCENARIO` what it wants to see. What is under test is how servers
are met, asked, listened to and shown credentials; the user at whose machine a browser would open,
and who would fill in a form, is played here.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import orjson
from yarl import URL

from quarterdeck.domain.consents import Challenge, Client, Granted
from quarterdeck.domain.definitions import UNPINNABLE, Definition, Listed
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.limits import CONSENT_ROUNDS_MAX
from quarterdeck.domain.mcp.asks import Reply, Said
from quarterdeck.domain.mcp.exchanges import Answered, Wanted
from quarterdeck.domain.mcp.headers import annotated, param_headers
from quarterdeck.domain.mcp.versions import HANDSHAKE
from quarterdeck.domain.servers import Server
from quarterdeck.sources import SystemClock
from quarterdeck.upstream.consents import Consents
from quarterdeck.upstream.credentials import Shown
from quarterdeck.upstream.pool import Pool
from quarterdeck.upstream.tools.mcp_http import HttpPeer
from quarterdeck.upstream.tools.mcp_listing import listed

SECONDS: Final = 15.0
DONE: Final = "done"
CAPABILITIES: Final = b'{"elicitation":{}}'
REDIRECT: Final = "http://127.0.0.1:53682/callback"
#: Where a client's own metadata would be published; the suite knows it by this name.
OURSELVES: Final = "https://conformance-test.local/client-metadata.json"


class Unplayed(Exception):
    """A scenario did not go as a client would have it."""


@dataclass(slots=True)
class Visit:
    """One server, as our upstream client knows it."""

    server: Server
    shown: Shown
    context: Mapping[str, Any]
    peer: HttpPeer = field(init=False)
    offer: Listed = field(default_factory=lambda: Listed(server=ServerName("suite")))

    async def dress(self, other: Awaitable[Shown | None]) -> Shown | None:
        """Show from now on what is shown instead."""
        found = await other
        self.shown = found or self.shown
        return found

    async def look(self) -> None:
        """List what the server has, as the catalog does."""
        said = await self.peer.open(self.shown)
        self.offer = await listed(self.server, said, self.ask, before=self.offer, now=1)

    async def ask(self, wanted: Wanted) -> Answered:
        """One exchange; what the server asks meanwhile is answered as its schema's defaults say."""
        wanted = msgspec.structs.replace(wanted, seconds=SECONDS, capabilities=CAPABILITIES)
        return await self.peer.ask(wanted, self.shown, answered)

    async def call(self, name: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Call a tool, with its arguments in headers where its definition wants them there."""
        definition = self.offer.find(name)
        assert definition is not None, name
        schema = orjson.loads(definition.raw).get("inputSchema")
        params = {"name": name, "arguments": arguments, **more}
        answer = await self.ask(
            Wanted(
                method="tools/call",
                params={key: orjson.dumps(value) for key, value in params.items()},
                headers=tuple(param_headers(annotated(schema), arguments)),
            )
        )
        if answer.result is None:
            raise Unplayed(f"{name} was answered {answer.status} {answer.error!r}")
        return dict(orjson.loads(answer.result))

    @property
    def usable(self) -> list[Definition]:
        """The tools whose definitions can be granted at all."""
        return [tool for tool in self.offer.tools if tool.hash != UNPINNABLE]


async def answered(said: Said) -> Reply | None:
    """A user who is asked to fill in a form leaves everything as it is."""
    if said.method != "elicitation/create":
        return None
    content = defaults(orjson.loads(said.params)["requestedSchema"])
    return Reply(result=orjson.dumps({"action": "accept", "content": content}))


def defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """What a form holds before anybody wrote into it."""
    fields = schema.get("properties", {})
    return {name: part["default"] for name, part in fields.items() if "default" in part}


async def call_first(visit: Visit) -> None:
    """List, and call what is there."""
    for tool in visit.usable[:1]:
        await visit.call(tool.name, {"a": 2, "b": 3} if tool.name == "add_numbers" else {})


async def call_as_told(visit: Visit) -> None:
    """List, and call every usable tool, with the arguments that the suite has for it."""
    arguments = {call["name"]: call["arguments"] for call in visit.context.get("toolCalls", [])}
    for tool in visit.usable:
        await visit.call(tool.name, arguments.get(tool.name, {}))


async def use_all(visit: Visit) -> None:
    """One of everything."""
    await call_as_told(visit)
    for resource in visit.offer.resources:
        params = {"uri": orjson.dumps(resource.key)}
        await visit.ask(Wanted(method="resources/read", params=params))
    for prompt in visit.offer.prompts:
        params = {"name": orjson.dumps(prompt.key)}
        await visit.ask(Wanted(method="prompts/get", params=params))


async def confirm(visit: Visit) -> None:
    """Call each tool; where it asks first, another one is called before it is answered."""
    for name in ("test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_no_result_type"):
        result = await visit.call(name, {})
        if result.get("resultType") != "input_required":
            continue
        await visit.call("test_mrtr_unrelated", {})
        accepted = {"action": "accept", "content": {"confirmed": True}}
        again = {"inputResponses": dict.fromkeys(result["inputRequests"], accepted)}
        if "requestState" in result:
            again["requestState"] = result["requestState"]
        await visit.call(name, {}, **again)


async def nothing_more(visit: Visit) -> None:
    """To list is all."""


SCENARIOS: Final[dict[str, Callable[[Visit], Awaitable[None]]]] = {
    "initialize": nothing_more,
    "request-metadata": nothing_more,
    "json-schema-ref-no-deref": nothing_more,
    "http-standard-headers": use_all,
    "http-custom-headers": call_as_told,
    "http-invalid-tool-headers": call_as_told,
    "sep-2322-client-request-state": confirm,
}


@dataclass(slots=True)
class User:
    """Who consents, in a browser, to whatever a server asks: the issuers here ask nothing."""

    session: aiohttp.ClientSession
    consents: Consents
    context: Mapping[str, Any]
    granted: Granted | None = None
    rounds: int = 0

    async def instead(self, shown: Shown, challenge: Challenge) -> Shown | None:
        """A token for what was refused."""
        self.rounds += 1
        if self.rounds > CONSENT_ROUNDS_MAX:
            return None
        assert shown.server.url is not None
        before = self.granted.scopes if self.granted and challenge.is_insufficient else ()
        asked = await self.consents.ask(shown.server.url, challenge, before)
        self.granted = await self.consents.receive(asked, await self._browse(asked.url))
        headers = {"authorization": f"Bearer {self.granted.access_token}"}
        return Shown(server=shown.server, account="user", headers=headers)

    async def _browse(self, url: str) -> str:
        """Follow the issuer to our own address, where the answer is."""
        async with self.session.get(URL(url, encoded=True), allow_redirects=False) as response:
            to = response.headers.get("location", "")
        assert to.startswith(REDIRECT), f"the issuer answered {response.status} {to}"
        return to

    def preset(self, issuer: str) -> Client | None:
        """A client that was registered by hand, where the suite gives one."""
        told = self.context
        if "client_id" not in told:
            return None
        return Client(issuer=issuer, id=told["client_id"], secret=told.get("client_secret"))


async def play(url: str, told: Mapping[str, str]) -> None:
    """Play the scenario that the suite's variables name, against its server."""
    context = json.loads(told.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    version = told.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "")
    server = Server(name=ServerName("suite"), protocol="mcp", url=url, command=())
    # A server that spoke the older era last time is not asked for the newer one again.
    known = {f"{server.name} {server.url}": version} if version in HANDSHAKE else {}
    async with (
        Pool() as pool,
        aiohttp.ClientSession(auto_decompress=False, trust_env=False) as session,
    ):
        consents = Consents(
            session=session, clock=SystemClock(), redirect_uri=REDIRECT, client_url=OURSELVES
        )
        user = User(session, consents, context)
        consents.preset = user.preset
        visit = Visit(server, Shown(server=server), context)
        visit.peer = HttpPeer(
            pool,
            server,
            capabilities=CAPABILITIES,
            instead=lambda shown, challenge: visit.dress(user.instead(shown, challenge)),
            known=known,
        )
        try:
            await visit.look()
            await SCENARIOS.get(told["MCP_CONFORMANCE_SCENARIO"], call_first)(visit)
        finally:
            await visit.peer.close()


@contextlib.asynccontextmanager
async def playing() -> AsyncIterator[str]:
    """The command to give the suite; scenarios are played here as it is run."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(await reader.readline())
        said = "it broke"
        try:
            await play(asked["url"], asked["told"])
            said = DONE
        except (QuarterdeckError, TimeoutError, Unplayed, aiohttp.ClientError) as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            writer.write(said.encode())
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{sys.executable} -IS {Path(__file__).with_name('say.py')} {port}"
    finally:
        server.close()
