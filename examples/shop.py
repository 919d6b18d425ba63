"""A shop behind the MCP gateway: an agent's tool calls under contract, on a real database.

Starts Quarterdeck with the fleet `shop-service`, which starts the shop's MCP server, and makes the
calls that a good agent makes for each of the shop's tasks, with a run's credential and nothing
else. `make shop` runs it; `DATA` names a folder with `db.json` and `tasks.json` in the form of
tau2-bench's retail domain.
"""

import argparse
import json
import shutil
import sqlite3
import statistics
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml
from children import Children, console
from rich.progress import track
from rich.table import Table

SEALED_SECONDS_MAX = 10
ROOT = Path(__file__).parent.parent
FLEET = ROOT / "examples" / "fleets" / "shop-service"
WORK = ROOT / ".demo" / "shop"
DATABASE = WORK / "shop" / "shop.sqlite"
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "shop-example", "version": "1"},
}


@dataclass
class Figures:
    """What was seen."""

    tasks: int = 0
    calls: int = 0
    failed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)


class Agent:
    """A program that was given a run's credential and nothing else."""

    def __init__(self, owner: httpx2.Client, name: str, story: str) -> None:
        self._owner = owner
        body = {"agent": name, "input": {"story": story}, "kind": "external"}
        run = owner.post("/v1/runs", json=body).raise_for_status().json()
        self.run = run["id"]
        self._client = httpx2.Client(
            base_url=owner.base_url,
            headers={
                "authorization": f"Bearer {run['credential']}",
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": VERSION,
                "mcp-method": "tools/call",
            },
            trust_env=False,
            timeout=60,
        )

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call at the gateway; the whole answer."""
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": META},
        }
        headers = {"mcp-name": tool}
        return dict(self._client.post("/mcp/shop", json=message, headers=headers).json())

    def end(self) -> None:
        """Say that the work is done."""
        self._client.close()
        self._owner.post(f"/v1/runs/{self.run}/end", json={"state": "succeeded"}).raise_for_status()


def main() -> int:
    """Run the tasks; 0 only if everything that was promised was seen."""
    chosen = _arguments()
    data = None if chosen.data is None else chosen.data.resolve()
    if data is not None and not (data / "db.json").is_file():
        console.print(f"[red]no db.json in {data}[/]; DATA names a folder with it and tasks.json")
        return 2
    shutil.rmtree(WORK, ignore_errors=True)
    DATABASE.parent.mkdir(parents=True)
    with Children(WORK) as children:
        console.print("Starting Quarterdeck, which starts the shop …")
        server = children.quarterdeck(_fleet_for(data), chosen.port)
        headers = {"authorization": f"Bearer {server['token']}"}
        with httpx2.Client(
            base_url=server["url"], headers=headers, trust_env=False, timeout=60
        ) as owner:
            passed = _work(owner, _tasks(data))
        _how_to_look_closer(None if chosen.exit else str(server["sign_in"]))
        if chosen.exit:
            return 0 if passed else 1
        console.print("\nServing until Ctrl-C.")
        children.wait()
        return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=None, help="default: the packaged sample")
    parser.add_argument("--exit", action="store_true", help="end after the summary")
    parser.add_argument("--port", type=int, default=7700, help="0 for any free one")
    return parser.parse_args()


def _fleet_for(data: Path | None) -> Path:
    """A copy of the fleet folder that says where the shop's database and its data are."""
    copy = WORK / "fleet"
    shutil.copytree(FLEET, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "servers" / "shop.yaml"
    entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    entry["environment"]["SHOP_DATABASE"] = str(DATABASE)
    if data is not None:
        entry["environment"]["SHOP_DATA"] = str(data)
    path.write_text(yaml.safe_dump(entry, sort_keys=False), encoding="utf-8")
    return copy


def _tasks(data: Path | None) -> list[dict[str, Any]]:
    """Tasks in the sample's own form."""
    path = FLEET / "sample" / "tasks.json" if data is None else data / "tasks.json"
    tasks: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    if data is None:
        return tasks
    return [
        {
            "id": task["id"],
            "story": task["user_scenario"]["instructions"]["reason_for_call"],
            "calls": [
                {"tool": action["name"], "arguments": action["arguments"]}
                for action in task["evaluation_criteria"]["actions"]
            ],
        }
        for task in tasks
    ]


def _work(owner: httpx2.Client, tasks: list[dict[str, Any]]) -> bool:
    figures = Figures()
    first = Agent(owner, "service", "opens the shop")
    first.call("list_all_product_types", {})  # the shop makes its database when it is first asked
    first.end()
    fresh = WORK / "fresh.sqlite"
    _copy(DATABASE, fresh)
    for task in track(tasks, "Tasks", console=console):
        _copy(fresh, DATABASE)  # each customer finds the shop as it was
        _one(owner, task, figures)
    _copy(fresh, DATABASE)
    return _report(owner, figures, suggested=_suggested(owner, tasks))


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _one(owner: httpx2.Client, task: dict[str, Any], figures: Figures) -> None:
    agent = Agent(owner, "service", task["story"])
    figures.tasks += 1
    for call in task["calls"]:
        began = time.perf_counter()
        answer = agent.call(call["tool"], call["arguments"])
        figures.milliseconds.append((time.perf_counter() - began) * 1000)
        figures.calls += 1
        name = f"{task['id']}: {call['tool']}"
        if "result" not in answer:
            figures.failed.append(f"{name}: {answer.get('error')}")
        elif answer["result"].get("isError"):
            figures.refused.append(f"{name}: {answer['result']['content'][0]['text']}")
    agent.end()


def _suggested(owner: httpx2.Client, tasks: list[dict[str, Any]]) -> bool:
    """Whether what the trainee would change is written down, and the shop is as it was."""
    call = next(
        call
        for task in tasks
        for call in task["calls"]
        if call["tool"] == "cancel_pending_order" and "refused" not in call
    )
    before = _status(call["arguments"]["order_id"])
    trainee = Agent(owner, "trainee", "wants to learn")
    trainee.call(call["tool"], call["arguments"])
    trainee.end()
    actions = owner.get(f"/v1/runs/{trainee.run}/actions").json()["items"]
    suggested = [action for action in actions if action["answer"] == "suggest"]
    return len(suggested) == 1 and _status(call["arguments"]["order_id"]) == before


def _status(order_id: str) -> str:
    with closing(sqlite3.connect(DATABASE)) as shop:
        row = shop.execute("select status from orders where order_id = ?", (order_id,)).fetchone()
    return str(row[0])


def _verified(owner: httpx2.Client) -> dict[str, Any]:
    """What verifying says, once every leaf is under a signed head: one is signed each second."""
    until = time.monotonic() + SEALED_SECONDS_MAX
    ledger: dict[str, Any] = owner.post("/v1/ledger/verify").json()
    while ledger.get("unsealed", 0) and time.monotonic() < until:
        time.sleep(0.2)
        ledger = owner.post("/v1/ledger/verify").json()
    return ledger


def _report(owner: httpx2.Client, figures: Figures, *, suggested: bool) -> bool:
    ledger = _verified(owner)
    checks = [
        ("every call was answered", not figures.failed, f"{figures.calls} in {figures.tasks} runs"),
        ("what the trainee would change is a suggestion", suggested, "the order stayed as it was"),
        (
            "ledger verified",
            bool(ledger.get("ok") and ledger.get("leaves")),
            f"{ledger.get('leaves', 0):,} leaves",
        ),
    ]
    table = Table(title=f"shop-service: {figures.tasks} tasks", title_justify="left")
    for column in ("", "what", "seen"):
        table.add_column(column, overflow="fold")
    for what, passed, seen in checks:
        table.add_row("[green]✓[/]" if passed else "[red]✗[/]", what, seen)
    times = sorted(figures.milliseconds)
    p50, p95 = statistics.median(times), times[int(len(times) * 0.95)]
    table.add_row("", "time per call", f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, one at a time")
    table.add_row("", "refused by contract or shop", f"{len(figures.refused)} calls")
    console.print()
    console.print(table)
    for line in [*figures.failed[:3], *figures.refused[:20]]:
        console.print(f"  {line}"[:200], markup=False, highlight=False)
    return all(passed for _, passed, _ in checks)


def _how_to_look_closer(sign_in: str | None) -> None:
    folder = (WORK / "data").relative_to(ROOT)
    console.print("\nLook closer:")
    if sign_in is not None:
        console.print(f"  {'the console':<17} {sign_in}", soft_wrap=True, highlight=False)
    for what, command in (
        ("runs", "runs list"),
        ("an hour's worst", "blast-radius service"),
        ("verify the ledger", "ledger verify"),
    ):
        line = f"  {what:<17} .venv/bin/quarterdeck --data {folder} {command}"
        console.print(line, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
