"""The tasks that customers bring to the shop: our own, and those of tau2-bench's retail domain."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.e2e.shop_oracle import expect
from tests.e2e.shop_state import State

ROOT: Final = Path(__file__).resolve().parents[2]
FLEET: Final = ROOT / "examples" / "fleets" / "shop-service"
SERVER: Final = FLEET / "servers" / "serve_shop.py"
SAMPLE: Final = FLEET / "servers" / "shop" / "sample.json"
OWN_TASKS: Final = FLEET / "sample" / "tasks.json"
RETAIL: Final = ROOT.parent / "shared" / "data" / "tau2_retail"

needs_retail = pytest.mark.skipif(
    not RETAIL.is_dir(), reason="tau2_retail is not beside the project in shared/data"
)

#: Expected calls that the data itself contradicts, by task and call: the policy refuses them, and
#: so does the shop. Most are a customer's slip that the next call puts right.
DOES_NOT_FIT: Final[Mapping[str, str]] = {
    "2/2_1": "no such product",
    "3/3_1": "no such product",
    "4/4_1": "no such product",
    "35/35_0": "no such customer",  # the e-mail address is nobody's
    "37/37_0": "no such customer",
    "38/38_0": "no such customer",
    "39/39_0": "no such customer",  # nobody of that name lives at that zip code
    "46/46_1": "no such order",  # the number without its `W`, and another number
    "46/46_2": "no such order",
    "47/47_1": "no such order",
    "47/47_2": "no such order",
    "54/54_0": "no such customer",
    "55/55_0": "no such customer",
    "64/64_6": "the order is pending",  # so nothing can be exchanged; the next call modifies it
    "67/67_0": "no such customer",
    "67/67_1": "no such customer",
    "68/68_0": "no such customer",
    "105/106_0": "the gift card does not cover it",  # it holds 17.00 and the difference is 21.10
}


#: Calls a tool with arguments: its structured answer, or `Refused`.
Ask: TypeAlias = Callable[[str, dict[str, Any]], Any]


class Refused(Exception):
    """A tool answered with an error, in these words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that a good agent makes; `refused` is what the shop then says, or nothing."""

    name: str
    tool: str
    arguments: dict[str, Any]
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a customer wants: the calls for it, and what is different afterwards if that is said."""

    name: str
    calls: tuple[Call, ...]
    leaves: Mapping[str, Any] | None = None


def own_tasks() -> list[Task]:
    """The tasks of the packaged sample."""
    return [
        Task(
            name=task["id"],
            calls=tuple(
                Call(name=f"{task['id']}/{number}", **call)
                for number, call in enumerate(task["calls"])
            ),
            leaves=task["leaves"],
        )
        for task in json.loads(OWN_TASKS.read_text(encoding="utf-8"))
    ]


def retail_tasks() -> list[Task]:
    """The 114 tasks of the retail data, with the calls that are expected of an agent."""
    read = json.loads((RETAIL / "tasks.json").read_text(encoding="utf-8"))
    return [
        Task(
            name=task["id"],
            calls=tuple(
                Call(
                    name=f"{task['id']}/{action['action_id']}",
                    tool=action["name"],
                    arguments=action["arguments"],
                )
                for action in task["evaluation_criteria"]["actions"]
            ),
        )
        for task in read
    ]


def carried_out(ask: Ask, task: Task, state: State) -> dict[str, str]:
    """Make a task's calls and change `state` as the policy says they should.

    Asserts that each is refused exactly where the policy refuses it; those are returned, by name.
    """
    refused = {}
    for call in task.calls:
        reason = expect(state, call.tool, call.arguments)
        answer, words = _asked(ask, call)
        assert (words is None) == (reason is None), f"{call.name}: {words or answer}, not {reason}"
        if reason is not None:
            refused[call.name] = reason
        if call.refused is not None:
            assert call.refused in (words or ""), f"{call.name}: {words}"
        if call.tool == "calculate" and words is None:
            assert answer["result"] == _calculated(call.arguments["expression"]), call.name
    return refused


def _asked(ask: Ask, call: Call) -> tuple[Any, str | None]:
    """What was answered, and in which words it was refused."""
    try:
        return ask(call.tool, call.arguments), None
    except Refused as refused:
        return None, str(refused)


def _calculated(expression: str) -> float:
    exact = " ".join(f"Fraction('{w}')" if w[0].isdigit() else w for w in expression.split())
    return round(float(eval(exact, {"Fraction": Fraction})), 2)
