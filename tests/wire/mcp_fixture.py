"""An MCP server of both eras on a real socket, with everything the official suite asks for.

    python -m tests.wire.mcp_fixture [--port N] [--stdio] [--log FILE] [--issuer URL]

On HTTP it prints `{"url": ...}` when it listens. The protocol is the `mcp` SDK's; the tools are in
`mcp_fixture_tools.py`. `--log` appends a line of JSON for every message that got here, so that a
test can say what did *not*. With `--issuer` it serves whoever shows a token of that issuer for it.
"""

import argparse
import asyncio
import base64
import json
import logging
import socket
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import jwt
import mcp_types as types
import uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged
from mcp.server.subscriptions import ResourceUpdated as Updated
from mcp.shared.exceptions import MCPError
from pydantic import AnyHttpUrl

from tests.wire.mcp_fixture_rounds import answered_form, form, required
from tests.wire.mcp_fixture_tools import PNG, TOOLS, Asked, Bus, Result

LEGACY_NOT_FOUND: Final = -32002  # what 2025-11-25 says of a resource that is not there
JSON_TYPE, TEXT_TYPE, PNG_TYPE = "application/json", "text/plain", "image/png"
TEMPLATE: Final = ("test://template/", "/data")
RESOURCES: Final = {
    "test://static-text": (TEXT_TYPE, "This is the content of the static text resource."),
    "test://static-binary": (PNG_TYPE, base64.b64decode(PNG)),
    "test://watched-resource": (TEXT_TYPE, "This one changes now and then."),
}


def resources() -> list[types.Resource]:
    """What can be read by name."""
    return [
        types.Resource(
            uri=uri, name=uri.partition("://")[2], description="A fixture.", mime_type=kind
        )
        for uri, (kind, _) in RESOURCES.items()
    ]


def contents(uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
    """What is under an address, if anything is."""
    begin, end = TEMPLATE
    if uri.startswith(begin) and uri.endswith(end):
        found = uri[len(begin) : -len(end)]
        text = {"id": found, "templateTest": True, "data": f"Data for ID: {found}"}
        return types.TextResourceContents(uri=uri, mime_type=JSON_TYPE, text=json.dumps(text))
    kind, content = RESOURCES.get(uri, ("", ""))
    if isinstance(content, bytes):
        blob = base64.b64encode(content).decode()
        return types.BlobResourceContents(uri=uri, mime_type=kind, blob=blob)
    return types.TextResourceContents(uri=uri, mime_type=kind, text=content) if kind else None


def _prompt(name: str, description: str, *arguments: str) -> types.Prompt:
    needed = [types.PromptArgument(name=a, description="Text.", required=True) for a in arguments]
    return types.Prompt(name=name, description=description, arguments=needed or None)


PROMPTS: Final = {
    prompt.name: prompt
    for prompt in (
        _prompt("test_simple_prompt", "Says one thing."),
        _prompt("test_prompt_with_arguments", "Says what it is given.", "arg1", "arg2"),
        _prompt("test_prompt_with_embedded_resource", "Quotes a resource.", "resourceUri"),
        _prompt("test_prompt_with_image", "Shows a picture."),
        _prompt("test_input_required_result_prompt", "Asks for its context first."),
    )
}


def messages(name: str, given: dict[str, str]) -> list[types.PromptMessage]:
    """What a prompt says."""
    said: list[Any] = []
    match name:
        case "test_simple_prompt":
            said = [types.TextContent(text="This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            text = f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"
            said = [types.TextContent(text=text)]
        case "test_prompt_with_embedded_resource":
            quoted = types.TextResourceContents(
                uri=given["resourceUri"], mime_type=TEXT_TYPE, text="Embedded resource content."
            )
            said = [
                types.EmbeddedResource(resource=quoted),
                types.TextContent(text="Please process the embedded resource above."),
            ]
        case "test_prompt_with_image":
            said = [
                types.ImageContent(data=PNG, mime_type=PNG_TYPE),
                types.TextContent(text="Please analyze the image above."),
            ]
    return [types.PromptMessage(role="user", content=content) for content in said]


class Fixture:
    """The handlers, and what they remember: nothing but who listens and which list was changed."""

    def __init__(self, log: Path | None) -> None:
        """`log` is where calls are noted."""
        self.bus: Bus = InMemorySubscriptionBus()
        self.log = log
        self.extra: list[types.Tool] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # logging is deprecated, and still to be conformed to
            self.server: Server[Any] = Server(
                "quarterdeck-fixture",
                version="1.0.0",
                get_tool_input_schema=lambda name: (
                    TOOLS[name].definition.input_schema if name in TOOLS else None
                ),
                on_list_tools=self.list_tools,
                on_call_tool=self.call_tool,
                on_list_resources=self.list_resources,
                on_list_resource_templates=self.list_templates,
                on_read_resource=self.read_resource,
                on_subscribe_resource=self.done,
                on_unsubscribe_resource=self.done,
                on_subscriptions_listen=ListenHandler(self.bus),
                on_list_prompts=self.list_prompts,
                on_get_prompt=self.get_prompt,
                on_completion=self.complete,
                on_set_logging_level=self.done,
            )
        security = RequestStateSecurity.ephemeral()
        self.server.middleware.append(RequestStateBoundary(security, default_audience="fixture"))
        self.server.middleware.append(self.noted)

    async def noted(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """Write down what came, before it is carried out."""
        if self.log is not None:
            params = dict(ctx.params or {})
            line = {"method": ctx.method, "name": params.get("name") or params.get("uri")}
            line |= {"arguments": params.get("arguments"), "version": ctx.protocol_version}
            with self.log.open("a", encoding="utf-8") as writing:
                writing.write(json.dumps(line) + "\n")
        return await call_next(ctx)

    async def done(self, ctx: Any, params: Any) -> types.EmptyResult:
        """Accept, and remember nothing."""
        return types.EmptyResult()

    async def list_tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        """In the order of the source."""
        defined = [tool.definition for tool in TOOLS.values()]
        return types.ListToolsResult(tools=[*defined, *self.extra])

    async def call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> Result:
        """Find the tool and let it answer."""
        if params.name == "test_trigger_prompt_change":
            await self.bus.publish(PromptsListChanged())
        if params.name == "test_trigger_resource_update":
            await self.bus.publish(Updated(uri="test://watched-resource"))
        tool = TOOLS.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await tool.call(Asked(ctx, params, self.bus, self.extra))

    async def list_resources(self, ctx: Any, params: Any) -> types.ListResourcesResult:
        """All of them."""
        return types.ListResourcesResult(resources=resources())

    async def list_templates(self, ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        """The one there is."""
        begin, end = TEMPLATE
        template = types.ResourceTemplate(
            uri_template=f"{begin}{{id}}{end}",
            name="template",
            description="Data by its id.",
            mime_type=JSON_TYPE,
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(self, ctx: Any, params: types.ReadResourceRequestParams) -> Any:
        """What is there, or the era's own word for nothing."""
        found = contents(str(params.uri))
        if found is None:
            code = types.INVALID_PARAMS if _is_modern(ctx) else LEGACY_NOT_FOUND
            raise MCPError(code, "Resource not found", {"uri": str(params.uri)})
        return types.ReadResourceResult(contents=[found])

    async def list_prompts(self, ctx: Any, params: Any) -> types.ListPromptsResult:
        """All of them."""
        return types.ListPromptsResult(prompts=list(PROMPTS.values()))

    async def get_prompt(self, ctx: Any, params: types.GetPromptRequestParams) -> Any:
        """A prompt, or first what it asks for."""
        prompt = PROMPTS.get(params.name)
        given = params.arguments or {}
        lacking = [
            a.name for a in (prompt.arguments if prompt else None) or () if a.name not in given
        ]
        if prompt is None or lacking:
            why = f"lacks {', '.join(lacking)}" if lacking else "unknown"
            raise MCPError(types.INVALID_PARAMS, f"Prompt {params.name}: {why}")
        if params.name == "test_input_required_result_prompt":
            context = answered_form(params, "user_context", "context")
            if context is None:
                return required(
                    {"user_context": form("What context should the prompt use?", "context")}
                )
            text = types.TextContent(text=f"Use this context: {context}")
            return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])
        return types.GetPromptResult(messages=messages(params.name, given))

    async def complete(self, ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Towns that begin as the argument does."""
        towns = ["paris", "park", "party", "london"]
        found = [town for town in towns if town.startswith(params.argument.value)]
        return types.CompleteResult(
            completion=types.Completion(values=found, total=len(found), has_more=False)
        )


def _is_modern(ctx: Any) -> bool:
    return str(ctx.protocol_version) >= "2026-07-28"


class Verifier:
    """Believes tokens that the issuer signed for this server."""

    def __init__(self, issuer: str, audience: str) -> None:
        """Its keys are fetched when the first token comes."""
        self.issuer, self.audience = issuer, audience
        self.keys = jwt.PyJWKClient(f"{issuer}/jwks")

    async def verify_token(self, token: str) -> AccessToken | None:
        """What a token says; nothing if it is not to be believed."""
        try:
            key = await asyncio.to_thread(self.keys.get_signing_key_from_jwt, token)
            told = jwt.decode(
                token, key.key, algorithms=["RS256"], audience=self.audience, issuer=self.issuer
            )
        except jwt.PyJWTError:
            return None
        return AccessToken(
            token=token,
            client_id=told["client_id"],
            scopes=told.get("scope", "").split(),
            expires_at=told["exp"],
            subject=told["sub"],
        )


def app_of(fixture: Fixture, url: str, issuer: str | None) -> Any:
    """The server as an application, open to all, or to holders of the issuer's tokens."""
    if issuer is None:
        return fixture.server.streamable_http_app()
    auth = AuthSettings(
        issuer_url=AnyHttpUrl(issuer),
        resource_server_url=AnyHttpUrl(url),
        required_scopes=["tools"],
    )
    return fixture.server.streamable_http_app(auth=auth, token_verifier=Verifier(issuer, url))


async def serve(fixture: Fixture, port: int, issuer: str | None) -> None:
    """Serve on loopback until the process is asked to stop."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    config = uvicorn.Config(
        app_of(fixture, url, issuer),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    print(json.dumps({"url": url}), flush=True)
    await task


async def speak(fixture: Fixture) -> None:
    """Serve one client on standard input and output."""
    options = fixture.server.create_initialization_options(
        NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    )
    async with stdio_server() as (reading, writing):
        await fixture.server.run(reading, writing, options)


def main(arguments: list[str]) -> None:
    """Serve as the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--issuer")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    fixture = Fixture(chosen.log)
    asyncio.run(speak(fixture) if chosen.stdio else serve(fixture, chosen.port, chosen.issuer))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # what the newer era deprecates is still spoken here
    main(sys.argv[1:])
