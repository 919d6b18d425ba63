"""After a soak: what the callers know, what the upstream told and what the database holds agree."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.soak.kinds import KINDS, TOOL_NANOUSD, Kind, cost_of
from benchmarks.soak.traffic import Journal
from quarterdeck import verifier
from quarterdeck.store import actions

SHOWN_MAX: Final = 5
VERIFY_SECONDS_MAX: Final = 900


@dataclass
class Account:
    """What became of one kind of call."""

    begun: int = 0
    ended: int = 0
    states: Counter[str] = field(default_factory=Counter)
    nanousd: int = 0
    estimated: int = 0


def reconcile(
    journal: Journal, rows: list[Any], told: Mapping[str, Any]
) -> tuple[dict[str, Account], list[str]]:
    """Every call has its action and every action its call; each ended and cost as it must."""
    wrong: list[str] = []
    accounts = {name: Account(journal.begun[name], journal.ended[name]) for name in KINDS}
    accounts["blocked"] = Account()
    unknown = 0
    found_early: set[str] = set()
    reached = set(told["early"])
    for row in rows:
        if row["id"] in journal.actions:
            name, number = journal.actions[row["id"]]
        elif row["digest"] in journal.early.keys() - found_early:
            name, number = "early_hang_up", journal.early[row["digest"]]
            found_early.add(row["digest"])
        else:
            unknown += 1
            continue
        account = accounts[name]
        account.states[row["state"]] += 1
        account.nanousd += row["cost_nanousd"]
        account.estimated += row["usage_source"] == "estimated"
        fault = _fault(row, KINDS.get(name), number)
        if name == "early_hang_up":
            fault = _fault_early(row, reached=number in reached)
        if fault:
            wrong.append(f"{name} {number}, {row['id']}: {fault}")
    missing = len(journal.actions) - (len(rows) - unknown - len(found_early))
    if unseen := reached - {journal.early[digest] for digest in found_early}:
        wrong.append(f"{len(unseen)} calls reached the upstream without an action")
    if unknown:
        wrong.append(f"{unknown} actions are in the database that no caller was told of")
    if missing:
        wrong.append(f"{missing} actions that callers were told of are not in the database")
    return accounts, wrong + _against_upstream(accounts, told)


def _fault(row: Any, kind: Kind | None, number: int) -> str | None:
    cost, source = row["cost_nanousd"], row["usage_source"]
    if kind is None:  # its circuit was open, at the first attempt or at the second
        ended = row["state"] in ("not_attempted", "failed")
        return None if ended and not cost else f"blocked, and `{row['state']}` for {cost} nano-USD"
    if row["state"] != kind.state:
        return f"it is `{row['state']}` and must be `{kind.state}`"
    expected = {"exact": cost_of(number), "nothing": 0, "tool": TOOL_NANOUSD}
    if kind.charge in expected and cost != expected[kind.charge]:
        return f"it cost {cost} nano-USD and must cost {expected[kind.charge]}"
    if kind.charge == "exact" and source != "reported":
        return f"its usage is `{source}` and was reported"
    if kind.charge == "estimate" and (source != "estimated" or cost <= 0):
        return f"it cost {cost} nano-USD, `{source}`, and must be charged as an estimate"
    if kind.charge == "doubt" and source != "estimated":
        return f"it cost {cost} nano-USD, `{source}`, and must be marked as an estimate"
    return None


def _fault_early(row: Any, *, reached: bool) -> str | None:
    """A call whose caller left: charged as an estimate if it was sent, else not at all."""
    state, cost = row["state"], row["cost_nanousd"]
    if reached and (state, row["usage_source"], cost > 0) != ("failed", "estimated", True):
        return f"it reached the upstream, and is `{state}` for {cost} nano-USD"
    if not reached and state not in ("not_attempted", "failed"):
        return f"it did not reach the upstream, and is `{state}`"
    return None


def _against_upstream(accounts: Mapping[str, Account], told: Mapping[str, Any]) -> list[str]:
    """What the upstream told costs what was charged, and no call reached it unseen."""
    wrong = []
    for name, kind in KINDS.items():
        account = accounts[name]
        if kind.charge == "exact":
            cost = told["input"].get(name, 0) * 150 + told["output"].get(name, 0) * 600
            if cost != account.nanousd:
                wrong.append(f"{name}: {account.nanousd} nano-USD charged, {cost} told")
        asked = told["requests"].get(name, 0)
        counted = kind.model is not None and kind.charge != "early"
        if counted and asked < account.states[kind.state]:
            wrong.append(f"{name}: {asked} reached the upstream, fewer than ended")
    cut = told["cut"].get("hang_up", 0)
    if cut != accounts["hang_up"].begun:
        wrong.append(f"{accounts['hang_up'].begun} hang-ups, {cut} of them cut at the upstream")
    return wrong


def check_money(rows: list[Any], budgets: list[Any]) -> list[str]:
    """Nothing is open, nothing is held, and every budget was charged what its actions cost."""
    wrong = [f"{row['id']} is still `{row['state']}`" for row in rows if actions.is_open(row)]
    charged: Counter[str] = Counter()
    for row in rows:
        for hold in actions.reservation_of(row).holds:
            if row["state"] in ("done", "failed"):
                charged[hold.budget] += row["cost_nanousd"]  # all budgets of the fleet are money
    for budget in budgets:
        if budget["held"]:
            wrong.append(f"budget {budget['id']} still holds {budget['held']}")
        if budget["id"] in charged and budget["charged"] != charged[budget["id"]]:
            wrong.append(
                f"budget {budget['id']} was charged {budget['charged']}, its actions cost"
                f" {charged[budget['id']]}"
            )
    return wrong[:SHOWN_MAX]


def verify_export(quarterdeck: list[str], folder: Path) -> tuple[str, list[str]]:
    """The offline verifier, one file apart from the product, on an export of the ledger."""
    export = folder / "export.jsonl"
    head = subprocess.check_output([*quarterdeck, "ledger", "head"], timeout=VERIFY_SECONDS_MAX)
    key = str(json.loads(head)["public_key"])
    subprocess.check_output(
        [*quarterdeck, "ledger", "export", str(export)], timeout=VERIFY_SECONDS_MAX
    )
    source = str(verifier.__file__)
    done = subprocess.run(
        [sys.executable, "-I", source, str(export), "--public-key", key],
        capture_output=True,
        text=True,
        check=False,
        timeout=VERIFY_SECONDS_MAX,
    )
    said = (done.stdout + done.stderr).strip()
    return said.splitlines()[-1] if said else "", [] if done.returncode == 0 else [said[-1000:]]
