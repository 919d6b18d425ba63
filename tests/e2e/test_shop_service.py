"""The example fleet `shop-service`: the shop's tools under contract, behind the MCP gateway."""

import contextlib
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.domain.blast_radius import computed, excesses
from quarterdeck.domain.definitions import hash_of
from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.tools import McpBackend
from quarterdeck.fleet.contracts import closed
from quarterdeck.fleet.load import load, read_folder
from tests.docs.terminals import ROOT, Reader
from tests.e2e import shop_server, shop_state
from tests.e2e.processes import Launcher, wait_until
from tests.e2e.shop_gateway import serving
from tests.e2e.shop_oracle import expect
from tests.e2e.shop_tasks import (
    DOES_NOT_FIT,
    FLEET,
    RETAIL,
    SAMPLE,
    Refused,
    carried_out,
    needs_retail,
    own_tasks,
    retail_tasks,
)


def test_contracts_are_pinned_to_what_the_shop_says_of_its_tools(tmp_path: Path) -> None:
    """The server's own definitions, from the process, beside the contracts in the folder."""
    fleet = load(read_folder(FLEET))
    with shop_server.stdio(tmp_path / "shop.sqlite", SAMPLE) as shop:
        listed = shop.wire.ask("tools/list", {})["result"]["tools"]
    granted = {name: tool for name, tool in fleet.tools.items() if name != "escalate"}
    assert set(granted) == {definition["name"] for definition in listed}
    for definition in listed:
        tool = granted[definition["name"]]
        assert tool.backend == McpBackend(
            server="shop", tool=definition["name"], pin=hash_of(definition)
        )
        assert tool.description == definition["description"]
        assert tool.arguments == closed(definition["inputSchema"])
        assert (tool.effect == "read") == definition["annotations"]["readOnlyHint"]
        assert set(tool.results["required"]) <= set(definition["outputSchema"]["required"])


def test_what_the_agents_could_do_in_an_hour_is_what_they_declare() -> None:
    fleet = load(read_folder(FLEET))
    for name, figures in (
        ("service", {"USD": 620_000, "written": 4610, "deleted": 0, "messages": 30}),
        ("trainee", {"USD": 0, "written": 0, "deleted": 0, "messages": 0}),
    ):
        agent = fleet.agents[AgentName(name)]
        found = computed(agent, fleet)
        assert found.figures == figures
        assert agent.radius is not None
        assert excesses(agent.radius, found) == ()
        assert agent.radius.data == found.data == {"pii", "pci"}


def test_own_tasks_run_through_the_gateway_and_leave_what_they_say(launcher: Launcher) -> None:
    before = shop_state.of_data(SAMPLE)
    with serving(launcher) as service:
        with service.agent() as agent:
            assert len(agent.ask("tools/list", {})["result"]["tools"]) == 16
        fresh = shop_server.snapshot(service.database)
        for task in own_tasks():
            shop_server.restore(fresh, service.database)
            expected = pickle.loads(pickle.dumps(before))
            with service.agent() as agent:
                refused = carried_out(agent.call, task, expected)
            assert set(refused) == {call.name for call in task.calls if call.refused}
            left = shop_state.of_database(service.database)
            stated = shop_state.merged(before, task.leaves or {})
            assert shop_state.differences(left, stated) == [], task.name
            assert shop_state.differences(left, expected) == [], task.name


@needs_retail
@pytest.mark.slow
@pytest.mark.timeout(400)  # ten seconds of work, on a machine that may be busy
def test_the_expected_calls_of_all_tasks_run_through_the_gateway(launcher: Launcher) -> None:
    """Goal: 550 calls of 114 tasks through real processes and sockets leave the expected state.

    Method: each task is a run of its own on a fresh shop, compared with the policy worked out
    apart from both. What is refused is exactly what does not fit the data, by name.
    """
    beginning = shop_state.Beginning(RETAIL / "db.json")
    refused: dict[str, str] = {}
    with serving(launcher, RETAIL) as service:
        with service.agent() as agent:
            agent.ask("tools/list", {})  # the shop makes its database when it is first asked
        fresh = shop_server.snapshot(service.database)
        for task in retail_tasks():
            shop_server.restore(fresh, service.database)
            expected = beginning.state()
            with service.agent() as agent:
                refused |= carried_out(agent.call, task, expected)
            assert beginning.differences(service.database, expected) == [], task.name
        left = shop_state.of_database(service.database)
        assert shop_state.differences(left, expected) == []
        verified = service.owner.post("/v1/ledger/verify").json()
    assert refused == DOES_NOT_FIT
    assert verified["ok"] is True


def test_a_shop_by_http_is_shown_a_secret_that_no_agent_sees(launcher: Launcher) -> None:
    database, order = launcher.folder / "other.sqlite", {"order_id": "#W1044257"}
    with (
        shop_server.http(database, SAMPLE, token="the-shops-own-token") as shop,
        serving(launcher, url=shop.wire.url) as service,
    ):
        asked = {"name": "get_order_details", "arguments": order}
        with service.agent() as agent:  # nobody has set the secret yet
            assert "result" not in agent.ask("tools/call", asked)
        put = {"value": "the-shops-own-token"}
        assert service.owner.put("/v1/secrets/SHOP_TOKEN", json=put).is_success
        with service.agent() as agent:
            assert agent.call("get_order_details", order)["status"] == "pending"
        actions = service.get(f"/v1/runs/{agent.run}/actions")
        assert "the-shops-own-token" not in str(actions)


def test_what_a_trainee_would_change_is_done_once_a_person_says_so(launcher: Launcher) -> None:
    order_id = "#W1044257"
    cancel = {"order_id": order_id, "reason": "no longer needed"}
    before = shop_state.of_data(SAMPLE)
    with serving(launcher) as service:
        with service.agent("trainee") as agent:
            assert agent.call("get_order_details", {"order_id": order_id})["status"] == "pending"
            with pytest.raises(Refused, match="recorded as a suggestion"):
                agent.call("cancel_pending_order", cancel)
        left = shop_state.of_database(service.database)
        assert shop_state.differences(left, before) == []
        (suggested,) = service.get("/v1/suggestions")["items"]
        assert suggested["consequences"]["moves"] == ["up to 10000 USD"]
        done = service.owner.post(f"/v1/suggestions/{suggested['id']}/carry-out").json()
        assert done["state"] == "done"
        left = shop_state.of_database(service.database)
        expect(before, "cancel_pending_order", cancel)
        assert shop_state.differences(left, before) == []


def test_a_shop_that_is_killed_is_started_again_and_remembers(launcher: Launcher) -> None:
    """What was done is under the action's own id in the shop: a repeat of it would do nothing."""
    cancel = {"order_id": "#W1044257", "reason": "no longer needed"}
    with serving(launcher) as service:
        with service.agent() as agent:
            agent.call("cancel_pending_order", cancel)
            (killed,) = _shops(launcher)
            os.kill(killed, signal.SIGKILL)
            asked = {"name": "get_order_details", "arguments": {"order_id": "#W1044257"}}
            refused = []

            def is_read() -> bool:
                result = agent.ask("tools/call", asked)["result"]
                if result.get("isError"):
                    refused.append(result["content"][0]["text"])
                assert "content" in result, f"no result of a tool: {result}"
                return "structuredContent" in result

            wait_until(is_read, seconds=10, what=f"a new process answers: {refused}")
        assert killed not in _shops(launcher)
        actions = service.get(f"/v1/runs/{agent.run}/actions")["items"]
    with closing(sqlite3.connect(service.database)) as shop:
        named = [name for (name,) in shop.execute("select request_id from requests")]
    assert named == [a["id"] for a in actions if a["target"] == "cancel_pending_order"]


def _shops(launcher: Launcher) -> list[int]:
    """The processes that run this test's shop."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if any(w.startswith(bytes(launcher.data)) and w.endswith(b".py") for w in words):
                found.append(int(folder.name))
    return found


def test_the_eleventh_change_of_payment_in_an_hour_is_refused(launcher: Launcher) -> None:
    """A contract's rate, over runs: back and forth between two ways to pay, until it bites."""
    methods = ["gift_card_8907459", "paypal_3068771"]
    with serving(launcher) as service:
        refusals = []
        for number in range(21):  # the hour of the clock may turn once meanwhile
            given = {"order_id": "#W1030862", "payment_method_id": methods[number % 2]}
            with service.agent() as agent:
                try:
                    agent.call("modify_pending_order_payment", given)
                except Refused as refused:
                    refusals.append(str(refused))
                    break
        assert number in range(10, 21), number
        assert "rate:" in refusals[0]
        payments = shop_state.of_database(service.database)["orders"]["#W1030862"]["payments"]
        assert len(payments) == 1 + 2 * number


def test_a_tool_whose_definition_drifts_is_quarantined_alone(launcher: Launcher) -> None:
    """The shop is changed behind the contract's back: one tool goes, until it is released."""
    tool, reads = "cancel_pending_order", "get_order_details"
    code = Path("servers/shop/tools.py")
    with serving(launcher, edit=(code, "Cancel a pending order", "Cancel any order")) as service:
        with service.agent() as agent:
            listed = {found["name"] for found in agent.ask("tools/list", {})["result"]["tools"]}
            assert reads in listed
            assert tool not in listed
            assert agent.call(reads, {"order_id": "#W1044257"})["status"] == "pending"
            asked = {
                "name": tool,
                "arguments": {"order_id": "#W1044257", "reason": "no longer needed"},
            }
            assert "result" not in agent.ask("tools/call", asked)
        shown = service.get(f"/v1/tools/{tool}")
        assert shown["state"] == "drift"
        assert "Cancel any order" in str(shown["changes"])
        launcher.run("tools", "release", tool, "--hash", shown["offered"])
        with service.agent() as agent:
            assert agent.call(tool, asked["arguments"])["status"] == "cancelled"


def test_what_was_not_granted_reads_like_what_does_not_exist(launcher: Launcher) -> None:
    def refusal(agent: Any, name: str) -> str:
        answer = agent.ask("tools/call", {"name": name, "arguments": {}})
        assert "result" not in answer, answer
        return str(answer["error"]).replace(name, "NAME")

    with serving(launcher) as service, service.agent("trainee") as agent:
        names = {tool["name"] for tool in agent.ask("tools/list", {})["result"]["tools"]}
        assert "modify_user_address" not in names
        assert refusal(agent, "modify_user_address") == refusal(agent, "no_such_tool")


@pytest.mark.slow
def test_the_how_to_does_what_it_shows(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    shutil.copytree(FLEET, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    try:
        typed = reader.follow((ROOT / "docs/how-to/run-the-shop.md").read_text(encoding="utf-8"))
    finally:
        reader.close()
    assert typed >= 10, "a page whose examples are not found would pass"


@pytest.mark.slow
def test_make_shop_sees_what_it_promises() -> None:
    command = [sys.executable, str(ROOT / "examples" / "shop.py"), "--exit", "--port", "0"]
    environment = {**os.environ, "COLUMNS": "160"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 in 8 runs" in done.stdout
    assert "3 calls" in done.stdout
