"""MCP servers as the upstream of tools: both eras, and servers that do not behave."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.domain.actions import Done, InDoubt
from quarterdeck.domain.limits import SERVER_ANSWER_BYTES_MAX
from tests.serving import OWNER, running
from tests.wire.mcp_fleets import granting_all
from tests.wire.mcp_processes import fixture
from tests.wire.mcp_servers import (
    HANDSHAKE,
    STATELESS,
    Asked,
    McpServer,
    error_of,
    fleet_of,
    http,
    listening,
    receipt_of,
    result_of,
    text,
    tool,
    use,
)

Writer = asyncio.StreamWriter
RATES = [{"calls": 1000, "per": "hour"}]


def body_of(asked: Asked, result: Any) -> bytes:
    """A JSON-RPC result."""
    return json.dumps({"jsonrpc": "2.0", "id": asked.json["id"], "result": result}).encode()


def answering(body: bytes, kind: str = "application/json") -> Any:
    """A tool that answers with these bytes."""

    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        writer.write(http(200, body.replace(b'"ID"', str(asked.json["id"]).encode()), kind))

    return act


@pytest.mark.parametrize("era", [STATELESS, HANDSHAKE, "2025-06-18"])
async def test_a_tool_is_called_with_the_arguments_as_they_were_cleared(
    tmp_path: Path, era: str
) -> None:
    arguments = b'{"n": 1.10, "big": 12345678901234567890123}'
    async with listening(McpServer(era=era)) as mcp, running(tmp_path, fleet_of(("a", mcp))) as q:
        receipt = await receipt_of(q, await q.start_run(), "echo", arguments)
    [call] = mcp.calls()
    assert receipt.status == "done"
    assert arguments in call.body
    assert call.headers["mcp-protocol-version"] == era
    if era == STATELESS:
        assert (call.headers["mcp-method"], call.headers["mcp-name"]) == ("tools/call", "echo")
        meta = call.json["params"]["_meta"]
        assert meta["io.modelcontextprotocol/protocolVersion"] == STATELESS
        assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "quarterdeck"
        assert "mcp-session-id" not in call.headers
    else:
        assert "_meta" not in call.json["params"]
        assert call.headers["mcp-session-id"].startswith("session-")


async def test_the_era_of_a_server_is_asked_once(tmp_path: Path) -> None:
    async with (
        listening(McpServer(era=HANDSHAKE)) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        for _ in range(2):
            await receipt_of(q, await q.start_run(), "echo")
    assert len(mcp.says("server/discover")) == 1
    assert mcp.says("initialize")[0].json["params"]["protocolVersion"] == HANDSHAKE
    assert mcp.says("notifications/initialized")


async def test_each_run_has_its_own_session_and_ends_it(tmp_path: Path) -> None:
    async with listening(McpServer(era=HANDSHAKE)) as mcp:
        folder = fleet_of(("a", mcp))
        async with running(tmp_path, folder) as q:
            first, second = await q.start_run(), await q.start_run()
            for run in (first, second, first):
                await receipt_of(q, run, "echo")
            sessions = [call.headers["mcp-session-id"] for call in mcp.calls()]
            assert sessions[0] == sessions[2] != sessions[1]
        assert mcp.open_sessions == set()
        assert [a.method for a in mcp.asked].count("DELETE") >= 3, "one is the platform's own"


async def test_a_session_that_the_server_forgot_is_begun_again(tmp_path: Path) -> None:
    async with (
        listening(McpServer(era=HANDSHAKE)) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        run = await q.start_run()
        await receipt_of(q, run, "echo")
        mcp.open_sessions.clear()
        receipt = await receipt_of(q, run, "echo")
    assert receipt.status == "done"
    ids = [call.headers["mcp-session-id"] for call in mcp.calls()]
    assert len(set(ids)) == 2, "the forgotten one was refused before it was looked at"


async def test_a_server_that_changed_its_era_is_met_again(tmp_path: Path) -> None:
    async with listening(McpServer()) as mcp, running(tmp_path, fleet_of(("a", mcp))) as q:
        run = await q.start_run()
        await receipt_of(q, run, "echo")
        mcp.era = HANDSHAKE
        mcp.first = lambda asked: (
            error_of(asked, -32022, "Unsupported protocol version")
            if asked.headers.get("mcp-protocol-version") == STATELESS
            else None
        )
        receipt = await receipt_of(q, run, "echo")
    assert receipt.status == "done"


async def test_the_official_server_is_called_in_its_own_era(tmp_path: Path) -> None:
    async with (
        fixture(tmp_path) as mcp,
        running(tmp_path / "data", await granting_all(mcp.url)) as q,
    ):
        run = await q.start_run()
        said = await receipt_of(q, run, "test_simple_text")
        failed = await receipt_of(q, run, "test_error_handling")
        header = await receipt_of(q, run, "test_custom_header", b'{"region": "S\xc3\xbcd"}')
        assert {call["version"] for call in mcp.got("tools/call")} == {STATELESS}
    assert b"This is a simple text response" in said.result
    assert (failed.status, b'"isError":true' in failed.result) == ("failed", True)
    assert json.loads(header.result)["content"][0]["text"] == "Region: Süd"


async def test_an_error_of_the_server_is_kept_as_its_own(tmp_path: Path) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        writer.write(error_of(asked, -32602, "n is missing"))

    async with (
        listening(McpServer(acts={"echo": act})) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        receipt = await receipt_of(q, await q.start_run(), "echo")
    assert (receipt.status, receipt.result) == ("failed", b"")
    assert receipt.detail["rpc"] == {"code": -32602, "message": "n is missing"}


async def test_structured_content_that_does_not_fit_the_contract_is_not_passed_on(
    tmp_path: Path,
) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        writer.write(result_of(asked, text("x", structuredContent={"sum": "secret"})))

    results = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    async with listening(McpServer(acts={"echo": act})) as mcp:
        folder = fleet_of(("a", mcp), contract={"results": results})
        async with running(tmp_path, folder) as q:
            receipt = await receipt_of(q, await q.start_run(), "echo")
    assert (receipt.status, receipt.result) == ("failed", b"")
    assert "secret" not in str(receipt)


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "application/json"),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":"ID","result":{"x":"\xff"}}', "application/json"),
    "too deep": (
        b'{"jsonrpc":"2.0","id":"ID","result":{"x":' + b"[" * 500 + b"]" * 500 + b"}}",
        "application/json",
    ),
    "far too deep": (b'{"id":"ID","result":' + b"[" * 100_000, "application/json"),
    "another's id": (b'{"jsonrpc":"2.0","id":999999,"result":{}}', "application/json"),
    "neither result nor error": (b'{"jsonrpc":"2.0","id":"ID"}', "application/json"),
    "no object": (b"[1]", "application/json"),
    "HTML": (b"<html>", "text/html"),
    "a stream that ends": (b": nothing\n\n", "text/event-stream"),
}


@pytest.mark.parametrize("kind", sorted(BAD))
async def test_an_answer_that_is_none_leaves_the_call_in_doubt(tmp_path: Path, kind: str) -> None:
    async with (
        listening(McpServer(acts={"echo": answering(*BAD[kind])})) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        run = await q.start_run()
        outcome = await use(q, run, "echo")
        assert isinstance(outcome, InDoubt), outcome
        mcp.acts.clear()
        assert (await receipt_of(q, run, "echo", b'{"n":2}')).status == "done"


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_without_end_is_cut_off_early(tmp_path: Path, kind: str) -> None:
    sent = 0

    async def flood(server: McpServer, asked: Asked, writer: Writer) -> None:
        nonlocal sent
        head = f"HTTP/1.1 200 X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + b'data: {"jsonrpc":"2.0","id":1,"result":"')
        for _ in range(100):
            writer.write(b"x" * 1024 * 1024)
            await writer.drain()
            sent += 1024 * 1024

    async with (
        listening(McpServer(acts={"echo": flood})) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        outcome = await use(q, await q.start_run(), "echo")
    assert isinstance(outcome, InDoubt)
    assert sent < 3 * SERVER_ANSWER_BYTES_MAX


async def test_an_answer_that_says_it_is_too_large_is_not_read(tmp_path: Path) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        writer.write(
            b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n"
            b"content-length: 104857600\r\n\r\n{"
        )
        await asyncio.sleep(30)

    async with (
        listening(McpServer(acts={"echo": act})) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        began = time.monotonic()
        outcome = await use(q, await q.start_run(), "echo")
    assert isinstance(outcome, InDoubt)
    assert time.monotonic() - began < 4


async def test_what_is_never_answered_is_in_doubt_when_its_time_is_over(tmp_path: Path) -> None:
    async def silent(server: McpServer, asked: Asked, writer: Writer) -> None:
        await asyncio.sleep(30)

    async with listening(McpServer(acts={"echo": silent})) as mcp:
        folder = fleet_of(("a", mcp), contract={"timeout_seconds": 1})
        async with running(tmp_path, folder) as q:
            outcome = await use(q, await q.start_run(), "echo")
            await asyncio.wait_for(mcp.hung_up.wait(), 5)
    assert isinstance(outcome, InDoubt)


@pytest.mark.parametrize("era", [STATELESS, HANDSHAKE])
async def test_a_caller_that_leaves_ends_the_call_at_the_server(tmp_path: Path, era: str) -> None:
    begun = asyncio.Event()

    async def silent(server: McpServer, asked: Asked, writer: Writer) -> None:
        begun.set()
        await asyncio.sleep(30)

    async with listening(McpServer(era=era, acts={"echo": silent})) as mcp:
        folder = fleet_of(("a", mcp))
        async with running(tmp_path, folder) as q:
            calling = asyncio.create_task(use(q, await q.start_run(), "echo"))
            await asyncio.wait_for(begun.wait(), 10)
            calling.cancel()
            await asyncio.wait((calling,))
            await asyncio.wait_for(mcp.hung_up.wait(), 5)
        cancelled = mcp.says("notifications/cancelled")
    if era == HANDSHAKE:
        [notice] = cancelled
        assert notice.json["params"]["requestId"] == mcp.calls()[0].json["id"]
    else:
        assert cancelled == [], "there the closed stream says it"


async def test_a_server_that_cannot_be_reached_was_not_asked(tmp_path: Path) -> None:
    async with listening(McpServer()) as mcp:
        folder = fleet_of(("a", mcp))
    async with running(tmp_path, folder) as q:
        receipt = await receipt_of(q, await q.start_run(), "echo")
    assert receipt.status == "not_attempted"
    assert receipt.detail["rule"] == "quarantine:unknown"


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with listening(McpServer()) as elsewhere:

        async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
            writer.write(http(307, location=elsewhere.url))

        async with (
            listening(McpServer(acts={"echo": act})) as mcp,
            running(tmp_path, fleet_of(("a", mcp))) as q,
        ):
            receipt = await receipt_of(q, await q.start_run(), "echo")
    assert receipt.status == "failed"
    assert receipt.detail["error"] == "the server answered HTTP 307"
    assert elsewhere.asked == []


async def test_a_stream_of_a_write_that_a_proxy_gave_up_is_in_doubt(tmp_path: Path) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        writer.write(http(504, b"gateway timeout", "text/plain"))

    more = {"effect": "write", "records": {"written": 1}, "rates": RATES}
    async with (
        listening(McpServer(acts={"echo": act})) as mcp,
        running(tmp_path, fleet_of(("a", mcp), contract=more)) as q,
    ):
        outcome = await use(q, await q.start_run(), "echo")
    assert isinstance(outcome, InDoubt)


async def test_a_stream_that_was_cut_is_gone_on_with(tmp_path: Path) -> None:
    """The handshake era lets a server close a stream and answer on another one."""
    waiting: dict[str, bytes] = {}

    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        waiting["answer"] = body_of(asked, text("after a while"))
        writer.write(http(200, b"id: 7\nretry: 10\ndata:\n\n", "text/event-stream"))

    def first(asked: Asked) -> bytes | None:
        if asked.method != "GET":
            return None
        assert asked.headers["last-event-id"] == "7"
        return http(200, b"id: 8\ndata: " + waiting["answer"] + b"\n\n", "text/event-stream")

    async with (
        listening(McpServer(era=HANDSHAKE, acts={"echo": act}, first=first)) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        receipt = await receipt_of(q, await q.start_run(), "echo")
    assert b"after a while" in receipt.result
    assert len(mcp.calls()) == 1


async def test_a_server_that_floods_with_notices_leaves_the_loop_to_others(tmp_path: Path) -> None:
    async def chatter(server: McpServer, asked: Asked, writer: Writer) -> None:
        head = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n"
        writer.write(head)
        line = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n'
        while True:
            writer.write(line * 200)
            await writer.drain()

    async with AsyncExitStack() as stack:
        noisy = await stack.enter_async_context(listening(McpServer(acts={"shout": chatter})))
        noisy.tools = [tool("shout")]
        calm = await stack.enter_async_context(listening(McpServer()))
        folder = fleet_of(("noisy", noisy), ("calm", calm))
        q = await stack.enter_async_context(running(tmp_path, folder))
        run = await q.start_run()
        await receipt_of(q, run, "echo")
        shouting = asyncio.create_task(use(q, run, "shout"))
        while not noisy.calls("shout"):
            await asyncio.sleep(0.01)
        for n in range(5):
            receipt = await receipt_of(q, run, "echo", b'{"n":%d}' % n)
            assert receipt.status == "done"
        assert not shouting.done()
        shouting.cancel()
        await asyncio.wait((shouting,))


async def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while(
    tmp_path: Path,
) -> None:
    async def fail(server: McpServer, asked: Asked, writer: Writer) -> None:
        writer.write(http(500, b"no", "text/plain"))

    async with (
        listening(McpServer(acts={"echo": fail})) as mcp,
        running(tmp_path, fleet_of(("a", mcp))) as q,
    ):
        run = await q.start_run()
        receipts = [await receipt_of(q, run, "echo", b'{"n":%d}' % n) for n in range(8)]
    assert [r.status for r in receipts][-1] == "not_attempted"
    assert "has been failing" in receipts[-1].detail["error"]
    assert len(mcp.calls()) < 8


async def test_the_server_s_secret_is_shown_and_an_agent_s_own_goes_before_it(
    tmp_path: Path,
) -> None:
    async with listening(McpServer()) as mcp:
        folder = fleet_of(("a", mcp), server={"secret": "SHOP"}, grant={"secret": "OWN"})
        async with running(tmp_path, folder) as q:
            await q.house.services.secrets.put(OWNER, "SHOP", "servers")
            await q.house.services.secrets.put(OWNER, "OWN", "agents")
            outcome = await use(q, await q.start_run(), "echo")
    assert isinstance(outcome, Done)
    assert mcp.calls()[0].headers["authorization"] == "Bearer agents"
    assert mcp.says("tools/list")[0].headers["authorization"] == "Bearer servers"
    assert "agents" not in str(outcome) + str(outcome.receipt.detail)
