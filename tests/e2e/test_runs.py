"""A new user's way from nothing to a governed agent, by the command line alone."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.processes import Launcher, Process, wait_until

UP_SECONDS_MAX = 10.0  # a slow and busy machine; docs/benchmarks.md has the figure that counts
WORD = "laptops"
TOOL_CALL = {"tool_calls": [{"name": "find_article", "arguments": {"word": WORD}}]}
RULES = {
    "models": ["standin-1"],
    "rules": [
        {"nth": 1, "answer": {"text": "Send it within 30 days."}},
        {"nth": 2, "answer": TOOL_CALL},
        {"answer": {"text": "It is replaced the same day."}},
    ],
}
PROGRAM = """
import os, sys
from openai import OpenAI

answer = OpenAI().chat.completions.create(
    model="standin-1", messages=[{"role": "user", "content": sys.argv[1]}]
)
with open("said.txt", "w") as file:
    print(answer.choices[0].message.content, os.environ["QUARTERDECK_RUN"], file=file)
sys.exit(int(sys.argv[2]))
"""
QUESTION = json.dumps({"question": "By when do I send a receipt?"})


@pytest.fixture
def server(launcher: Launcher, record_property: Callable[[str, object], None]) -> Process:
    """The fleet that `init` writes, served, with its stand-in model where a free port is."""
    standin = launcher.standin(RULES)
    fleet = launcher.folder / "my-fleet"
    assert len(launcher.run("init", str(fleet)).said["files"]) >= 5
    path = fleet / "fleet.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("http://127.0.0.1:8099", standin.url), encoding="utf-8")
    checked = launcher.run("check", str(fleet)).said
    assert (checked["ok"], checked["agents"]) == (True, ["assistant"])
    (launcher.folder / "agent.py").write_text(PROGRAM, encoding="utf-8")
    started = time.monotonic()
    process = launcher.up("--fleet", str(fleet))
    with httpx2.Client(base_url=process.url, trust_env=False) as client:
        assert client.get("/v1/healthz").status_code == 200
    seconds = time.monotonic() - started
    record_property("up_seconds", round(seconds, 2))
    assert seconds < UP_SECONDS_MAX
    assert process.said["agents"] == ["assistant"]
    return process


def _said(launcher: Launcher) -> list[str]:
    return (launcher.folder / "said.txt").read_text(encoding="utf-8").rsplit(maxsplit=1)


def test_a_program_of_ones_own_is_governed_by_two_variables(
    launcher: Launcher, server: Process
) -> None:
    started = launcher.run("runs", "start", "assistant", "--input", QUESTION, "--external").said
    program = subprocess.run(
        [sys.executable, "agent.py", "By when?", "0"],
        cwd=launcher.folder,
        env=launcher.environment(started["environment"]),
        check=False,
    )
    assert program.returncode == 0
    assert _said(launcher) == ["Send it within 30 days.", started["id"]]
    # The settlement is a moment behind the answer.
    wait_until(lambda: _action(launcher, started["id"])["state"] == "done", what="it is settled")
    action = _action(launcher, started["id"])
    assert action["target"] == "standin/standin-1"
    shown = launcher.run("actions", "show", action["id"]).said
    assert (shown["id"], shown["cost_nanousd"]) == (action["id"], action["cost_nanousd"])
    assert "By when?" in json.dumps(shown, ensure_ascii=False)
    ended = launcher.run("runs", "end", started["id"], "--because", "answered").said
    assert ended["state"] == "succeeded"
    (listed,) = launcher.run("runs", "list").said["items"]
    detail = launcher.run("runs", "show", started["id"]).said
    for run in (listed, detail):
        assert (run["state"], run["because"], run["actions"]) == ("succeeded", "answered", 1)
        assert run["cost_nanousd"] == action["cost_nanousd"] > 0
    assert detail["input"] == json.loads(QUESTION)
    costs = launcher.run("costs").said
    assert str(action["cost_nanousd"]) in json.dumps(costs)
    verified = launcher.run("ledger", "verify").said
    assert (verified["ok"], verified["problems"]) == (True, [])
    assert launcher.run("doctor").said["state"] in ("ok", "warn", "unknown")


def _action(launcher: Launcher, run: str) -> dict[str, Any]:
    (action,) = launcher.run("actions", "list", run).said["items"]
    return dict(action)


@pytest.mark.parametrize(("status", "state"), [("0", "succeeded"), ("7", "failed")])
def test_exec_governs_a_command_and_ends_its_run_with_its_status(
    launcher: Launcher, server: Process, status: str, state: str
) -> None:
    command = ("exec", "assistant", "--", "python", "agent.py", "By when?", status)
    ended = launcher.run(*command, status=int(status)).said
    assert (ended["state"], ended["status"]) == (state, int(status))
    assert _said(launcher) == ["Send it within 30 days.", ended["id"]]
    shown = launcher.run("runs", "show", ended["id"]).said
    assert (shown["state"], shown["actions"]) == (state, 1)
    assert f"status {status}" in shown["because"]
    missing = launcher.run("exec", "assistant", "--", "no-such-command", status=127).said
    assert missing["state"] == "failed"


def test_the_plain_runner_calls_the_model_and_its_tools(
    launcher: Launcher, server: Process
) -> None:
    launcher.run("exec", "assistant", "--", "python", "agent.py", "first", "0")
    ended = launcher.run("runs", "start", "assistant", "--input", QUESTION).said
    assert (ended["state"], ended["result"]["text"]) == (
        "succeeded",
        "It is replaced the same day.",
    )
    items = launcher.run("actions", "list", ended["id"]).said["items"]
    assert [(a["kind"], a["target"]) for a in items] == [
        ("model", "standin/standin-1"),
        ("tool", "find_article"),
        ("model", "standin/standin-1"),
    ]
    assert {a["answer"] for a in items} == {"allow"}


def test_a_backup_that_is_restored_voids_what_was_outstanding(
    launcher: Launcher, server: Process
) -> None:
    """The ledger goes on in a new incarnation, and says so; credentials of before are dead."""
    kept = launcher.run("runs", "start", "assistant", "--external").said
    backup = launcher.folder / "friday.db"
    made = launcher.run("backup", str(backup)).said
    assert Path(made["file"]) == backup
    after = launcher.run("runs", "start", "assistant", "--external").said
    refused = launcher.run("restore", str(backup), status=6).said["error"]
    assert f"process {server.pid}" in refused["message"], "not while a server has the folder"
    assert server.stop() == 0
    restored = launcher.run("restore", str(backup)).said
    assert Path(restored["kept"]).is_file()
    again = launcher.up()
    runs = [run["id"] for run in launcher.run("runs", "list").said["items"]]
    assert kept["id"] in runs
    assert after["id"] not in runs
    for run in (kept, after):
        with contextlib.closing(httpx2.Client(trust_env=False)) as client:
            answer = client.post(
                f"{again.url}/openai/v1/chat/completions",
                headers={"authorization": f"Bearer {run['credential']}"},
                json={"model": "standin-1", "messages": []},
            )
        assert answer.status_code == 401
    assert launcher.run("ledger", "verify").said["ok"]
    launcher.run("exec", "assistant", "--", "python", "agent.py", "after all", "0")
    assert _said(launcher)[0] == "Send it within 30 days."
