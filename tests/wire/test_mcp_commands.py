"""MCP servers behind commands: one process, many calls, clean surroundings, an end."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from quarterdeck.domain.actions import Cleared, Done, InDoubt, Receipt
from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import SERVER_SESSION_IDLE_SECONDS
from quarterdeck.domain.mcp.asks import Ask, Reply, Said
from quarterdeck.upstream.tools.mcp_stdio import StdioPeer
from tests.cli.commands import up
from tests.serving import OWNER, Running, running
from tests.upstream.test_python_tools import LANDLOCK_VERSION
from tests.wire import stdio_server
from tests.wire.mcp_fixture import TOOLS
from tests.wire.mcp_processes import STDIO
from tests.wire.mcp_servers import fleet_of, proposal, receipt_of, use

SOURCE = Path(stdio_server.__file__).read_bytes()
COMMAND = ["python3", "servers/raw.py", "--flag"]


def folder(command: list[str] | None = None, **more: Any) -> dict[str, bytes]:
    """A fleet with the raw server as a command, its file among the applied ones."""
    tools = {d["name"]: ("raw", d) for d in stdio_server.definitions()}
    files = fleet_of(("raw", command or COMMAND), tools=tools, **more)
    return files | {"servers/raw.py": SOURCE}


@asynccontextmanager
async def served(tmp_path: Path, **more: Any) -> AsyncIterator[Running]:
    """Quarterdeck with that fleet; its processes are gone afterwards."""
    async with running(tmp_path / "data", folder(**more)) as q:
        yield q
        peers = [kept.peer for kept in q.house.tools.mcp.peers._kept.values()]
        pids = [
            peer._running.process.process.pid
            for peer in peers
            if isinstance(peer, StdioPeer) and peer._running is not None
        ]
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def peer_of(q: Running) -> StdioPeer:
    """The one command."""
    kept = list(q.house.tools.mcp.peers._kept.values())
    [found] = [k.peer for k in kept if isinstance(k.peer, StdioPeer)]
    return found


def pid_of(q: Running) -> int:
    """The number of its process; 0 if it does not run."""
    running_ = peer_of(q)._running
    return 0 if running_ is None else running_.process.process.pid


def said(receipt: Receipt) -> Any:
    """What the tool said."""
    return json.loads(json.loads(receipt.result)["content"][0]["text"])


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
async def test_one_process_answers_calls_that_run_side_by_side(tmp_path: Path, era: str) -> None:
    async with served(tmp_path, server={"environment": {"ERA": era}}) as q:
        run = await q.start_run()
        await receipt_of(q, run, "echo")
        pid = pid_of(q)
        slow = asyncio.create_task(receipt_of(q, run, "sleep", b'{"n": 1}'))
        quick = [await receipt_of(q, run, "echo", b'{"n": %d}' % n) for n in range(5)]
        assert not slow.done()
        assert [said(r) for r in quick] == [{"n": n} for n in range(5)]
        assert said(await slow) == {"n": 1}
        assert pid_of(q) == pid


async def test_a_command_gets_its_entry_s_variables_and_secrets_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_SECRET_OTHER", "hidden")
    more = {"environment": {"PLAIN": "yes"}, "secrets": {"TOKEN": "SHOP"}}
    async with running(tmp_path / "data", folder(server=more)) as q:
        await q.house.services.secrets.put(OWNER, "SHOP", "sealed-value")
        found = said(await receipt_of(q, await q.start_run(), "seen"))
    assert set(found["environment"]) - {"LC_CTYPE"} == {
        "HOME",
        "LANG",
        "PATH",
        "PLAIN",
        "TMPDIR",
        "TOKEN",
    }
    assert (found["environment"]["PLAIN"], found["environment"]["TOKEN"]) == ("yes", "sealed-value")
    assert (found["arguments"], found["files"]) == (["--flag"], ["raw.py"])
    assert Path(found["cwd"]).parent == (tmp_path / "data" / "servers").resolve()


async def test_a_command_runs_what_was_applied_and_not_what_somebody_wrote_there_since(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as q:
        run = await q.start_run()
        found = said(await receipt_of(q, run, "seen"))
        (Path(found["cwd"]) / "raw.py").write_text("raise SystemExit('changed')")
        os.kill(found["pid"], 9)
        await peer_of(q)._running.reading  # type: ignore[union-attr]  # it ran a moment ago
        await asyncio.sleep(0)
        peer_of(q)._not_before = 0
        receipt = await use(q, run, "echo", b'{"n": 1}')
        if isinstance(receipt, Done) and receipt.receipt.status == "not_attempted":
            peer_of(q)._not_before = 0
            receipt = await use(q, run, "echo", b'{"n": 2}')
        assert isinstance(receipt, Done)
        assert receipt.receipt.status == "done", receipt


async def test_the_data_folder_cannot_be_read_by_a_command(tmp_path: Path) -> None:
    if LANDLOCK_VERSION < 1:
        pytest.skip("this kernel has no Landlock")
    async with served(tmp_path) as q:
        run = await q.start_run()
        key = json.dumps({"path": str(q.house.settings.master_key_file.resolve())}).encode()
        other = json.dumps({"path": "/etc/hostname"}).encode()
        refused = await receipt_of(q, run, "read", key)
        allowed = await receipt_of(q, run, "read", other)
    assert b"Permission denied" in refused.result
    assert b"read " in allowed.result


async def test_a_command_that_dies_leaves_its_call_in_doubt_and_is_started_again(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as q:
        run = await q.start_run()
        first = said(await receipt_of(q, run, "seen"))["pid"]
        assert isinstance(await use(q, run, "die"), InDoubt)
        early = await receipt_of(q, run, "echo", b'{"n": 1}')
        assert early.status == "not_attempted"
        assert "I am dying" in early.detail["error"], "its last words"
        peer_of(q)._not_before = 0
        again = said(await receipt_of(q, run, "seen", b'{"n": 2}'))
        assert again["pid"] != first


async def test_a_command_that_cannot_begin_is_tried_less_and_less_often(tmp_path: Path) -> None:
    async with running(tmp_path / "data", folder(server={"environment": {"FAILS": "1"}})) as q:
        receipt = await receipt_of(q, await q.start_run(), "echo")
        assert receipt.status == "not_attempted"
        assert "no licence" in receipt.detail["error"]
        peer = peer_of(q)
        waits = []
        for _ in range(4):
            peer._note("again")
            waits.append(peer._not_before - q.house.clock.monotonic())
    assert all(later > 1.5 * sooner for sooner, later in itertools.pairwise(waits))


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with running(tmp_path / "data", folder(["no-such-program"])) as q:
        receipt = await receipt_of(q, await q.start_run(), "echo")
    assert receipt.status == "not_attempted"
    assert "no-such-program: No such file" in receipt.detail["error"]


async def test_lines_that_are_no_messages_are_passed_over(tmp_path: Path) -> None:
    async with served(tmp_path) as q:
        receipt = await receipt_of(q, await q.start_run(), "noise", b'{"n": 7}')
        assert said(receipt) == {"n": 7}


async def test_a_line_without_end_ends_the_process(tmp_path: Path) -> None:
    async with served(tmp_path) as q:
        run = await q.start_run()
        assert isinstance(await use(q, run, "flood"), InDoubt)
        async with asyncio.timeout(60):
            for n in itertools.count():  # where it does not start in time, nothing is attempted
                peer_of(q)._not_before = 0
                again = await use(q, run, "echo", b'{"n": %d}' % n)
                assert isinstance(again, Done)
                if again.receipt.status != "not_attempted":
                    break
        assert again.receipt.status == "done"


async def test_a_caller_that_leaves_is_told_to_the_command(tmp_path: Path) -> None:
    async with served(tmp_path) as q:
        run = await q.start_run()
        place = Path(said(await receipt_of(q, run, "seen"))["cwd"])
        calling = asyncio.create_task(use(q, run, "sleep", b'{"n": 20}'))
        while not peer_of(q)._running.calls:  # type: ignore[union-attr]  # it runs
            await asyncio.sleep(0.01)
        calling.cancel()
        await asyncio.wait((calling,))
        async with asyncio.timeout(10):
            while not (place / "cancelled.txt").exists():
                await asyncio.sleep(0.01)


async def test_progress_goes_to_the_call_it_belongs_to(tmp_path: Path) -> None:
    """Two callers with the same token of their own share one pipe."""
    heard: dict[int, list[Said]] = {1: [], 2: []}

    def listening_for(n: int) -> Any:
        async def on_said(message: Said) -> Reply | None:
            heard[n].append(message)
            return None

        return on_said

    async with served(tmp_path) as q:
        run = await q.start_run()
        await receipt_of(q, run, "echo")
        mcp = q.house.tools.mcp
        ask = Ask(meta={"progressToken": Raw(b'"mine"')})

        async def call(n: int) -> Any:
            return await q.house.checkpoint.carry_out(
                proposal(run, "progress", b'{"n": %d}' % n),
                lambda cleared: mcp.open(cleared, ask, listening_for(n)),
            )

        await asyncio.gather(call(1), call(2))
    for n in (1, 2):
        [message] = heard[n]
        assert json.loads(message.params) == {"progressToken": "mine", "progress": n}


async def test_what_a_command_asks_is_answered_where_one_call_can_be_meant(tmp_path: Path) -> None:
    async def on_said(message: Said) -> Reply | None:
        assert (message.method, message.is_request) == ("elicitation/create", True)
        return Reply(result=b'{"action":"accept"}')

    async with served(tmp_path) as q:
        run = await q.start_run()
        mcp = q.house.tools.mcp
        ask = Ask(capabilities=b'{"elicitation":{}}')
        outcome = await q.house.checkpoint.carry_out(
            proposal(run, "ask"), lambda cleared: mcp.open(cleared, ask, on_said)
        )
        assert isinstance(outcome, Done)
        assert said(outcome.receipt)["result"] == {"action": "accept"}
        alone = said(await receipt_of(q, run, "ask", b'{"n": 1}'))
        assert alone["error"]["code"] == -32601, "nobody listens there"


async def test_the_official_server_is_spoken_to_over_pipes(tmp_path: Path) -> None:
    definition = TOOLS["test_simple_text"].definition.model_dump(
        by_alias=True, mode="json", exclude_none=True
    )
    root = str(Path(__file__).parents[2])
    files = fleet_of(
        ("fixture", list(STDIO)),
        tools={"test_simple_text": ("fixture", definition)},
        server={"environment": {"PYTHONPATH": root}},
    )
    async with running(tmp_path / "data", files) as q:
        run = await q.start_run()
        # Its imports alone may take longer than a call waits for a look.
        catalog = q.house.tools.mcp.catalog
        await catalog.refresh(run.binding.fleet.servers.values(), frozenset())
        await catalog.settled()
        receipt = await receipt_of(q, run, "test_simple_text")
    assert b"This is a simple text response" in receipt.result


async def test_an_agent_s_own_secret_has_a_process_of_its_own(tmp_path: Path) -> None:
    files = folder(server={"secrets": {"TOKEN": "SHOP"}}, grant={"secret": "OWN"})
    other = files["agents/clerk.yaml"].replace(b"name: clerk", b"name: other")
    files["agents/other.yaml"] = other.replace(b"secret: OWN", b"secret: null")
    async with running(tmp_path / "data", files) as q:
        for name, value in (("SHOP", "shared"), ("OWN", "mine")):
            await q.house.services.secrets.put(OWNER, name, value)
        own = said(await receipt_of(q, await q.start_run(), "seen"))
        run = await q.house.services.runs.start(OWNER, "other", {"text": "hi"}, kind="external")
        shared = said(await receipt_of(q, run, "seen"))
    assert (own["environment"]["TOKEN"], shared["environment"]["TOKEN"]) == ("mine", "shared")
    assert own["pid"] != shared["pid"]


async def test_a_command_that_says_its_tools_changed_is_looked_at_before_the_next_call(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as q:
        run = await q.start_run()
        assert (await receipt_of(q, run, "change")).status == "done"
        outcome = await use(q, run, "echo")
        assert isinstance(outcome, Done)
        assert outcome.receipt.detail["rule"] == "quarantine:drift"


async def test_a_command_that_nobody_uses_is_ended(tmp_path: Path) -> None:
    async with served(tmp_path) as q:
        run = await q.start_run()
        first = said(await receipt_of(q, run, "seen"))["pid"]
        peers = q.house.tools.mcp.peers
        for kept in peers._kept.values():
            kept.used_at -= SERVER_SESSION_IDLE_SECONDS
        peers.sweep()
        async with asyncio.timeout(10):
            while os.path.exists(f"/proc/{first}"):
                await asyncio.sleep(0.01)
        assert said(await receipt_of(q, run, "seen", b'{"n": 1}'))["pid"] != first


def test_a_command_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    for path, body in folder().items():
        (fleet / path).parent.mkdir(parents=True, exist_ok=True)
        (fleet / path).write_bytes(body)

    def commands() -> set[str]:
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if str(tmp_path).encode() in (entry / "environ").read_bytes():
                        found.add(entry.name)
        return found

    with up(tmp_path, "--fleet", str(fleet)) as server:
        deadline = time.monotonic() + 30
        while not (found := commands()):  # it looks at the command within two seconds
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        while commands() & found:
            assert time.monotonic() < deadline, "the kernel ends it with its parent"
            time.sleep(0.05)


async def rotated(q: Running, value: str) -> None:
    """A new value of the secret, as it is seen when values are looked up anew."""
    await q.house.services.secrets.put(OWNER, "SHOP", value)
    q.house.tools.mcp.peers.credentials._kept.clear()


async def test_a_rotated_secret_reaches_a_command_that_runs_at_its_next_call(
    tmp_path: Path,
) -> None:
    """Goal: the new value at the first call after it is seen; what is under way is not cut off."""
    more = {"secrets": {"TOKEN": "SHOP"}}
    async with running(tmp_path / "data", folder(server=more)) as q:
        await q.house.services.secrets.put(OWNER, "SHOP", "first-value")
        run = await q.start_run()
        before = said(await receipt_of(q, run, "seen", b'{"n": 1}'))
        slow = asyncio.create_task(receipt_of(q, run, "sleep", b'{"n": 2}'))
        while not peer_of(q)._running.calls:  # type: ignore[union-attr]  # it runs
            await asyncio.sleep(0.01)
        await rotated(q, "second-value")
        after = said(await receipt_of(q, run, "seen", b'{"n": 3}'))
        assert (before["environment"]["TOKEN"], after["environment"]["TOKEN"]) == (
            "first-value",
            "second-value",
        )
        assert after["pid"] != before["pid"]
        assert not slow.done(), "the old process works on what it was asked"
        assert os.path.exists(f"/proc/{before['pid']}")
        assert said(await slow) == {"n": 2}
        async with asyncio.timeout(10):
            while os.path.exists(f"/proc/{before['pid']}"):
                await asyncio.sleep(0.01)
        assert said(await receipt_of(q, run, "seen", b'{"n": 4}'))["pid"] == after["pid"]


async def test_many_calls_around_a_rotation_all_end_and_one_process_is_left(
    tmp_path: Path,
) -> None:
    more = {"secrets": {"TOKEN": "SHOP"}}
    async with running(tmp_path / "data", folder(server=more)) as q:
        await q.house.services.secrets.put(OWNER, "SHOP", "value-0")
        run = await q.start_run()
        pids: set[int] = set()

        async def caller(number: int) -> None:
            for n in range(10):
                arguments = b'{"n": %d}' % (100 * number + n)
                pids.add(said(await receipt_of(q, run, "seen", arguments))["pid"])

        async def rotating() -> None:
            for n in range(1, 4):
                await asyncio.sleep(0.05)
                await rotated(q, f"value-{n}")

        await asyncio.gather(rotating(), *(caller(n) for n in range(4)))
        last = said(await receipt_of(q, run, "seen", b'{"n": 9999}'))
        assert last["environment"]["TOKEN"] == "value-3"
        async with asyncio.timeout(10):
            while [pid for pid in pids | {last["pid"]} if os.path.exists(f"/proc/{pid}")] != [
                last["pid"]
            ]:
                await asyncio.sleep(0.01)


async def test_a_stop_ends_processes_that_were_let_go(tmp_path: Path) -> None:
    more = {"secrets": {"TOKEN": "SHOP"}}
    async with running(tmp_path / "data", folder(server=more)) as q:
        await q.house.services.secrets.put(OWNER, "SHOP", "first-value")
        run = await q.start_run()
        old = said(await receipt_of(q, run, "seen", b'{"n": 1}'))["pid"]
        slow = asyncio.create_task(use(q, run, "sleep", b'{"n": 30}'))
        while not peer_of(q)._running.calls:  # type: ignore[union-attr]  # it runs
            await asyncio.sleep(0.01)
        await rotated(q, "second-value")
        await receipt_of(q, run, "seen", b'{"n": 3}')
        await q.house.tools.mcp.peers.close()
        assert isinstance(await slow, InDoubt)
    assert not os.path.exists(f"/proc/{old}")


async def test_what_breaks_while_a_server_is_heard_does_not_undo_the_call(tmp_path: Path) -> None:
    """Goal: it was asked, so its outcome is not known, whatever of ours failed meanwhile."""
    async with served(tmp_path) as q:
        run = await q.start_run()

        async def broken(_: Said) -> Reply | None:
            raise Unavailable("the database is away", hint="wait")

        ask = Ask(capabilities=b'{"elicitation":{}}')

        async def effect(cleared: Cleared) -> Receipt:
            return await q.house.tools.mcp.open(cleared, ask, on_said=broken)

        outcome = await q.house.checkpoint.carry_out(proposal(run, "ask"), effect)
        assert isinstance(outcome, InDoubt)
