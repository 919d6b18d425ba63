"""What no client should send to the MCP gateway: it is answered, nothing breaks or happens."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.domain.limits import MCP_MESSAGE_BYTES_MAX
from tests.fleets import files
from tests.serving import Running, running
from tests.wire.mcp_clients import LEGACY, MODERN, Client, connections
from tests.wire.test_mcp_gateway import client_of

ERAS = (MODERN, LEGACY)
#: What a client may be told; 500 is none of it.
STATUSES = {200, 202, 400, 401, 403, 404, 405, 406, 413, 415}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
METHODS = st.sampled_from(
    [
        "initialize",
        "server/discover",
        "ping",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "notifications/cancelled",
        "notifications/initialized",
        "sampling/createMessage",
        "tasks/get",
        "TOOLS/CALL",
        "tools/call\u0000",
    ]
)
MESSAGES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={
        "id": st.integers() | st.text(max_size=8) | VALUES,
        "method": METHODS | VALUES,
        "params": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["look_up", "pay", "wipe"]) | VALUES,
                "arguments": VALUES,
                "uri": VALUES,
                "cursor": VALUES,
                "level": VALUES,
                "ref": VALUES,
                "requestId": VALUES,
                "inputResponses": VALUES,
                "requestState": VALUES,
                "notifications": VALUES,
                "_meta": st.just(META) | st.just(META | {"progressToken": 1}) | VALUES,
            },
        )
        | VALUES,
        "result": VALUES,
        "error": VALUES,
    },
)


async def done_by(server: Running, client: Client) -> list[dict[str, Any]]:
    """The actions of a client's run that took effect."""
    await server.house.mcp.passing.drain()
    run = (await server.house.checkpoint.identify(client.credential)).run
    return [a for a in await server.actions(run) if a["state"] not in ("refused",)]


async def sent(client: Client, body: bytes, **headers: str) -> httpx2.Response:
    """These very bytes, with the headers of a call that would be allowed."""
    found = client.headers("tools/call", {"name": "pay"}) | headers
    async with asyncio.timeout(20):
        return await client.http.post(client.url, content=body, headers=found)


def said_of(message: dict[str, Any]) -> dict[str, str]:
    """The headers that agree with a message, as far as headers can."""
    params = message.get("params")
    name = params.get("name", params.get("uri")) if isinstance(params, dict) else None
    texts = {"mcp-method": message.get("method"), "mcp-name": name}
    return {
        n: v for n, v in texts.items() if isinstance(v, str) and v.isascii() and v.isprintable()
    }


def call(**changed: Any) -> bytes:
    """A call that would be allowed, but for what is changed."""
    params = {"name": "pay", "arguments": {"n": 1}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message | changed).encode()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" + call() + b"]",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        call()[:-1],
        call() + b"x",
        call().replace(b'"pay"', b'"\xff\xfe"'),
        call().replace(b'"n": 1', b'"n": ' + b"9" * 5000),
        call().replace(b'{"n": 1}', b"[" * 100_000 + b"]" * 100_000),
        call().replace(b'"name": "pay"', b'"name": "look_up", "name": "pay"'),
        call().replace(b'"n": 1', b'"n": 2, "n": 1'),
        call().replace(b'"n": 1', b'"n": 2, "\\u006e": 1'),
        call().replace(b'"method"', b'"Method"'),
        call().replace(b'"id": 1', b'"id": null'),
        call().replace(b'"id": 1', b'"id": 1.5'),
        call().replace(b'"id": 1', b'"id": "' + b"x" * 5000 + b'"'),
        call(method=7),
        call(params=[1]),
        call(params="x"),
        call(extra=1),
        call(result={}),
        call(jsonrpc="1.0"),
        call(method="no/such/method"),
        call(method="notifications/initialized"),
    ],
)
async def test_what_is_no_call_calls_nothing(tmp_path: Path, era: str, body: bytes) -> None:
    async with running(tmp_path, files()) as server, client_of(server, era) as client:
        answer = await sent(client, body)
        assert answer.status_code in STATUSES
        if answer.status_code != 202:
            told = answer.json()
            assert "error" in told or told["result"].get("isError") is True, told
        assert await done_by(server, client) == []
        assert (await client.post("tools/list")).status_code == 200


async def test_a_message_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        body = call().replace(b'"n": 1', b'"text": "' + b"x" * MCP_MESSAGE_BYTES_MAX + b'"')
        answer = await sent(client, body)
        assert answer.status_code == 413
        assert await done_by(server, client) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-method": "tools/list"},
        {"mcp-name": "look_up"},
        {"mcp-name": "PAY"},
        {"mcp-name": "p\u0430y".encode().decode("latin-1")},
        {"mcp-name": "=?base64?cGF5==?="},
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-protocol-version": "2099-01-01"},
    ],
)
async def test_a_header_that_disagrees_with_the_body_calls_nothing(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        found = client.headers("tools/call", {"name": "pay"}) | headers
        raw = {name: value.encode("latin-1") for name, value in found.items()}
        answer = await client.http.post(client.url, content=call(), headers=raw)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] in (-32020, -32022)
        assert await done_by(server, client) == []


@pytest.mark.parametrize("era", ERAS)
async def test_names_that_only_look_like_a_granted_tool_are_unknown(
    tmp_path: Path, era: str
) -> None:
    names = ["p\u0430y", "pay ", " pay", "PAY", "pay\u200b", "p\u0430y\u202e", "pay\x00", "../pay"]
    async with running(tmp_path, files()) as server, client_of(server, era) as client:
        for name in [*names, "x" * 100_000]:
            params = {"name": name, "arguments": {"n": 1}}
            message = client.message("tools/call", params)
            headers = client.headers("tools/call", {"name": "pay"})
            if era == MODERN:
                headers["mcp-name"] = encoded(name)
            answer = await client.http.post(client.url, json=message, headers=headers)
            assert "error" in answer.json(), name
            assert len(answer.content) < 1000
        assert await done_by(server, client) == []


def encoded(name: str) -> str:
    """A name as a header carries it."""
    from base64 import b64encode

    return f"=?base64?{b64encode(name.encode()).decode()}?=" if len(name) < 1000 else name[:100]


@pytest.mark.parametrize("era", ERAS)
async def test_any_message_is_answered_and_calls_only_what_it_names(
    tmp_path: Path, era: str
) -> None:
    async with running(tmp_path, files()) as server, client_of(server, era) as client:
        loop = asyncio.get_running_loop()

        @settings(
            max_examples=150,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(message=MESSAGES, agrees=st.booleans())
        def one(message: dict[str, Any], agrees: bool) -> None:
            headers = said_of(message) if agrees else {}
            future = asyncio.run_coroutine_threadsafe(
                sent(client, json.dumps(message).encode(), **headers), loop
            )
            answer = future.result(30)
            assert answer.status_code in STATUSES, (message, answer.text)
            if answer.content and answer.headers["content-type"] == "application/json":
                assert answer.json()["jsonrpc"] == "2.0"

        await asyncio.to_thread(one)
        assert (await client.post("tools/list")).status_code == 200
        named = {a["target"] for a in await done_by(server, client)}
        assert named <= {"look_up", "pay", "wipe"}


async def test_what_other_people_send_is_answered_alike_in_parallel(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        async with connections() as sending:
            client = Client(sending, server.url + "/mcp", run.credential)
            bodies = [b"{", b"[]", call(), call(id="x"), call(method="nope")] * 20
            answers = await asyncio.gather(*(sent(client, body) for body in bodies))
        assert {a.status_code for a in answers} <= STATUSES
        paid = [a for a in await done_by(server, client) if a["target"] == "pay"]
        # The same write of one run, repeated at once, happens once.
        assert len(paid) == 1
