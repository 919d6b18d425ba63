"""The shop's server on its wires: both eras of the protocol, by lines and by HTTP."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.e2e import shop_server
from tests.e2e.shop_server import Lines, Posts, Shop
from tests.e2e.shop_tasks import SAMPLE, SERVER

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
STATELESS = {"_meta": {VERSION: "2026-07-28", CAPABILITIES: {}}}
LUCIAS = "#W1044257"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The sample's shop."""
    with shop_server.stdio(tmp_path / "shop.sqlite", SAMPLE) as found:
        yield found


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "prompts/list"}', -32601),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}',
            -32602,
        ),
        (b'"' + b"x" * 2_000_000 + b'"', -32600),
    ],
)
def test_what_is_no_request_gets_an_error_and_the_next_an_answer(
    shop: Shop, line: bytes, code: int
) -> None:
    assert isinstance(shop.wire, Lines)
    assert shop.wire.say(line)["error"]["code"] == code
    assert shop.wire.ask("ping", {})["result"] == {}


def test_both_eras_of_the_protocol_are_spoken(shop: Shop) -> None:
    old = shop.wire.ask("initialize", {"protocolVersion": "2025-06-18"})["result"]
    assert old["protocolVersion"] == "2025-06-18"
    discovered = shop.wire.ask("server/discover", STATELESS)["result"]
    assert "2026-07-28" in discovered["supportedVersions"]
    listed = shop.wire.ask("tools/list", STATELESS)["result"]
    assert listed["tools"] == shop.wire.ask("tools/list", {})["result"]["tools"]
    assert (listed["resultType"], listed["cacheScope"]) == ("complete", "public")
    later = {"_meta": {VERSION: "2030-01-01", CAPABILITIES: {}}}
    assert shop.wire.ask("tools/list", later)["error"]["code"] == -32022
    assert (
        shop.wire.ask("tools/list", {"_meta": {VERSION: "2026-07-28"}})["error"]["code"] == -32602
    )


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_works_by_either_way(tmp_path: Path, mode: Any) -> None:
    named = ["--database", str(tmp_path / "shop.sqlite")]
    parameters = StdioServerParameters(command=sys.executable, args=[str(SERVER), *named])
    with shop_server.http(tmp_path / "shop.sqlite", SAMPLE) as shop:
        assert isinstance(shop.wire, Posts)
        for where in (shop.wire.url, parameters):
            async with Client(where, mode=mode) as client:
                assert len((await client.list_tools()).tools) == 16
                read = await client.call_tool("get_order_details", {"order_id": LUCIAS})
                assert read.structured_content["user_id"] == "lucia_hathersage_1443"
                refused = await client.call_tool("get_order_details", {"order_id": "x"})
                assert refused.is_error
                with pytest.raises(MCPError, match="no such tool"):
                    await client.call_tool("drop_tables", {})


def test_http_keeps_pages_and_strangers_out(tmp_path: Path) -> None:
    with shop_server.http(tmp_path / "shop.sqlite", SAMPLE, token="t0p") as shop:
        assert isinstance(shop.wire, Posts)
        url, client = shop.wire.url, shop.wire.client
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

        def status(**more: str) -> int:
            return client.post(url, json=ping, headers=more).status_code

        assert status() == 200
        assert status(authorization="Bearer wrong") == 401
        assert status(origin="https://example.com") == 403
        assert client.get(url).status_code == 405
        assert client.post(url.replace("/mcp", "/"), json=ping).status_code == 404
        assert client.post(url, content=b"x" * 2_000_000).status_code == 413
    with shop_server.http(tmp_path / "shop.sqlite", SAMPLE) as shop:
        assert isinstance(shop.wire, Posts)
        rebound = {"host": "shop.example.com"}
        assert httpx2.post(shop.wire.url, json=ping, headers=rebound).status_code == 403


def test_http_headers_and_message_must_agree(tmp_path: Path) -> None:
    with shop_server.http(tmp_path / "shop.sqlite", SAMPLE) as shop:
        assert isinstance(shop.wire, Posts)
        params = {"name": "list_all_product_types", "arguments": {}, **STATELESS}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        right = {
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "list_all_product_types",
        }

        def answered(headers: dict[str, str]) -> tuple[int, int | None]:
            said = shop.wire.client.post(shop.wire.url, json=message, headers=headers)
            return said.status_code, said.json().get("error", {}).get("code")

        assert answered(right) == (200, None)
        for name in right:
            assert answered({**right, name: "other"}) == (400, -32020)
            assert answered({n: h for n, h in right.items() if n != name}) == (400, -32020)


def test_by_lines_it_needs_the_standard_library_alone(tmp_path: Path) -> None:
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    ended = subprocess.run(
        [sys.executable, "-S", str(SERVER), "--database", str(tmp_path / "shop.sqlite")],
        input=ping,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert json.loads(ended.stdout) == {"jsonrpc": "2.0", "id": 1, "result": {}}
