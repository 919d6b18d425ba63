"""`make bench-mcp`: the raw server speaks MCP, every answer is checked, and targets are judged."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from mcp import Client

from benchmarks.comparison.wire import Wrong
from benchmarks.mcp import __main__ as bench
from benchmarks.mcp import fleets, wire
from benchmarks.mcp.beside import AT_ONCE, CONTEXTFORGE, FASTMCP, OURS, Cell, judge
from benchmarks.mcp.upstream import BIG_BYTES, TEXT
from benchmarks.mcp.wire import LEGACY, MODERN, Target, check_wire, greet
from benchmarks.peers import environments
from benchmarks.processes import listening, write_fleet
from quarterdeck.fleet.folder import read_folder
from quarterdeck.fleet.load import load

UPSTREAM = "benchmarks.mcp.upstream"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_raw_server_is_one_to_the_official_client(mode: str) -> None:
    with listening(UPSTREAM, "50") as port:
        async with Client(f"http://127.0.0.1:{port}/7/mcp", mode=mode) as client:
            assert len((await client.list_tools()).tools) == 50
            small = await client.call_tool("look_up", {"order": "1"})
            big = await client.call_tool("big", {"order": "1"})
    assert small.content[0].text == TEXT  # type: ignore[union-attr]  # it is text
    assert len(big.content[0].text) == BIG_BYTES  # type: ignore[union-attr]  # it is text


@pytest.mark.parametrize("kind", ["hang", "flood", "die"])
async def test_a_sick_server_lists_its_tools_and_is_sick_when_one_is_called(kind: str) -> None:
    with listening(UPSTREAM, "1") as port:
        target = Target(name=kind, port=port, path=f"/{kind}/mcp")
        status, _, body = await wire.asked(target, target.request("tools/list", {}))
        assert (status, len(wire.message_of(body)["result"]["tools"])) == (200, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(target.calls()())
        if kind == "hang":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)
        elif kind == "flood":
            assert len(await reader.readexactly(10_000_000)) == 10_000_000
        else:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_the_content_of_every_answer_is_checked(
    era: wire.Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(UPSTREAM, "2") as port:
        target = Target(name="direct", port=port, era=era)
        await greet(target)
        await check_wire(target)
        monkeypatch.setattr(wire, "TEXT", "something else")
        with pytest.raises(Wrong, match="direct answered"):
            await check_wire(target)


def test_no_two_calls_have_the_same_id() -> None:
    following = Target(name="direct", port=9, era=LEGACY).calls()
    calls = [following() for _ in range(100)]
    bodies = [json.loads(call.partition(b"\r\n\r\n")[2]) for call in calls]
    assert len({body["id"] for body in bodies}) == 100
    assert len({len(call) for call in calls}) == 1


def test_the_fleet_of_many_servers_loads(tmp_path: Path) -> None:
    urls = {f"s{number}": f"http://127.0.0.1:9/{number}/mcp" for number in range(3)}
    fleet = load(read_folder(write_fleet(tmp_path, 9, fleets.of_servers(urls, 4))))
    [agent] = fleet.agents.values()
    assert (len(fleet.servers), len(agent.tools)) == (3, 12)
    assert set(agent.tools) <= set(fleet.tools)


@pytest.mark.parametrize(
    ("ours", "contextforge", "met"),
    [(1600.0, 60.0, [True, True, True, True]), (790.0, 60.0, [True, False, False, True])],
)
def test_the_targets_are_judged_by_what_was_measured(
    ours: float, contextforge: float, met: list[bool]
) -> None:
    rates = {OURS: ours, CONTEXTFORGE: contextforge, FASTMCP: 30.0}
    row = {
        name: Cell(per_second=rate, p50_ms=1, p99_ms=2, added_p50_ms=1.4, cpu_us=None)
        for name, rate in rates.items()
    }
    assert [one.met for one in judge(dict.fromkeys(AT_ONCE, row))] == met


@pytest.mark.parametrize(("peer", "name"), [("CONTEXTFORGE", "ContextForge"), ("FASTMCP", "fastm")])
def test_an_absent_peer_ends_the_run_with_what_to_do(
    peer: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, peer, environments.ROOT / ".tools" / "no-such-peer")
    if peer == "FASTMCP":
        monkeypatch.setattr(bench.peers, "contextforge", bench.relay)  # another one's affair
    with pytest.raises(SystemExit) as ended:
        bench.main(["beside", "--quick"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert name in said
    assert "is not installed" in said
    assert "run: make peers" in said


@pytest.mark.parametrize("name", list(environments.PYTHON_PEERS))
def test_a_lock_pins_what_is_asked_for_and_names_no_host(name: str) -> None:
    lock = (environments.HERE / f"{name}.lock").read_text(encoding="utf-8")
    asked = (environments.HERE / f"{name}.in").read_text(encoding="utf-8").strip()
    package = asked.partition("[")[0].partition("==")[0]
    assert f"\n{package}=={asked.partition('==')[2]} \\" in lock
    assert "://" not in lock
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert lock.count("--hash=sha256:") >= len(pinned)
