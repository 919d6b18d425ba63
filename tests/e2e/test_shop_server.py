"""The shop of `examples/fleets/shop-service`: a real MCP server over a real SQLite database."""

import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.fleet.contracts import validator
from tests.e2e import shop_server, shop_state
from tests.e2e.shop_server import Shop
from tests.e2e.shop_tasks import (
    DOES_NOT_FIT,
    RETAIL,
    SAMPLE,
    SERVER,
    Call,
    Refused,
    Task,
    carried_out,
    needs_retail,
    own_tasks,
    retail_tasks,
)

LUCIAS = "#W1044257"
CANCEL = {"order_id": LUCIAS, "reason": "no longer needed"}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The sample's shop."""
    with shop_server.stdio(tmp_path / "shop.sqlite", SAMPLE) as found:
        yield found


@pytest.fixture(params=["stdio", "http"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """The same by either way."""
    way = getattr(shop_server, request.param)
    with way(tmp_path / "shop.sqlite", SAMPLE) as found:
        yield found


def test_own_tasks_leave_what_they_say(either: Shop) -> None:
    before = shop_state.of_data(SAMPLE)
    assert shop_state.differences(shop_state.of_database(either.database), before) == []
    fresh = shop_server.snapshot(either.database)
    for task in own_tasks():
        shop_server.restore(fresh, either.database)
        expected = pickle.loads(pickle.dumps(before))
        refused = carried_out(either.call, task, expected)
        assert set(refused) == {call.name for call in task.calls if call.refused}
        assert task.leaves is not None
        left = shop_state.of_database(either.database)
        assert shop_state.differences(left, shop_state.merged(before, task.leaves)) == [], task.name
        assert shop_state.differences(left, expected) == [], task.name


@needs_retail
def test_the_expected_calls_of_all_tasks_leave_the_expected_state(tmp_path: Path) -> None:
    """Every call of every task, each task on a fresh shop, beside the policy worked out apart."""
    data = RETAIL / "db.json"
    beginning, refused, tasks = shop_state.Beginning(data), {}, retail_tasks()
    with shop_server.stdio(tmp_path / "shop.sqlite", data) as shop:
        fresh = shop_server.snapshot(shop.database)
        for task in tasks:
            shop_server.restore(fresh, shop.database)
            expected = beginning.state()
            refused |= carried_out(shop.call, task, expected)
            assert beginning.differences(shop.database, expected) == [], task.name
        left = shop_state.of_database(shop.database)
        assert shop_state.differences(left, expected) == []
    assert len(tasks) == 114
    assert sum(len(task.calls) for task in tasks) == 550
    assert refused == DOES_NOT_FIT


STATE = shop_state.of_data(SAMPLE)
ITEMS = sorted(i for product in STATE["products"].values() for i in product["items"])


@st.composite
def any_calls(draw: st.DrawFn) -> list[Call]:
    """Calls about a few orders that change something or should not: right, wrong and twice."""
    calls = []
    orders = draw(st.lists(st.sampled_from(sorted(STATE["orders"])), min_size=1, max_size=3))
    for number in range(draw(st.integers(1, 8))):
        order_id = draw(st.sampled_from(orders))
        order = STATE["orders"][order_id]
        own = [*STATE["users"][order["user_id"]]["payment_methods"], "gift_card_8907459"]
        held = st.sampled_from([item_id for item_id, _ in order["lines"]])
        old = draw(st.lists(held, min_size=1, max_size=3))
        wanted = {
            "order_id": order_id,
            "item_ids": old,
            "new_item_ids": [draw(st.sampled_from(_kin(item_id))) for item_id in old],
            "payment_method_id": draw(st.sampled_from(own)),
            "reason": draw(st.sampled_from(["no longer needed", "ordered by mistake"])),
        }
        tool = draw(st.sampled_from(FITTING.get(order["status"], sorted(TAKES))))
        calls.append(
            Call(name=str(number), tool=tool, arguments={key: wanted[key] for key in TAKES[tool]})
        )
    return calls


def _kin(item_id: str) -> list[str]:
    """The items of the same product, those that cannot be had first, and one of another."""
    (product,) = [p for p in STATE["products"].values() if item_id in p["items"]]
    kin = sorted(product["items"], key=lambda kin: product["items"][kin]["available"])
    return [*kin, next(i for i in ITEMS if i not in kin)]


TAKES = {
    "cancel_pending_order": ("order_id", "reason"),
    "modify_pending_order_payment": ("order_id", "payment_method_id"),
    "modify_pending_order_items": ("order_id", "item_ids", "new_item_ids", "payment_method_id"),
    "return_delivered_order_items": ("order_id", "item_ids", "payment_method_id"),
    "exchange_delivered_order_items": (
        "order_id",
        "item_ids",
        "new_item_ids",
        "payment_method_id",
    ),
}


FITTING = {
    "pending": [
        "cancel_pending_order",
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "return_delivered_order_items",
    ],
    "delivered": [
        "cancel_pending_order",
        "exchange_delivered_order_items",
        "return_delivered_order_items",
    ],
}


def test_a_gift_card_pays_to_the_last_cent_and_no_further(shop: Shop) -> None:
    change = {
        "order_id": "#W1092086",
        "item_ids": ["5200087783"],
        "new_item_ids": ["5200093837"],  # 18.51 for 16.27
        "payment_method_id": "gift_card_3821112",
    }
    _on_the_card(shop, change["payment_method_id"], 223)
    with pytest.raises(Refused, match=r"holds 2\.23, which does not cover 2\.24"):
        shop.call("modify_pending_order_items", change)
    _on_the_card(shop, change["payment_method_id"], 224)
    shop.call("modify_pending_order_items", change)
    methods = shop_state.of_database(shop.database)["users"]["salma_rosendahl_1879"]
    assert methods["payment_methods"]["gift_card_3821112"]["balance"] == "0.00"


def _on_the_card(shop: Shop, gift_card: Any, cents: int) -> None:
    with closing(sqlite3.connect(shop.database, isolation_level=None)) as database:
        database.execute(
            "update payment_methods set balance_cents = ? where payment_method_id = ?",
            (cents, gift_card),
        )


def test_any_calls_end_as_the_policy_says(tmp_path: Path) -> None:
    with shop_server.stdio(tmp_path / "shop.sqlite", SAMPLE) as shop:
        fresh = shop_server.snapshot(shop.database)

        @settings(max_examples=150, deadline=None)
        @given(any_calls())
        def check(calls: list[Call]) -> None:
            shop_server.restore(fresh, shop.database)
            expected = pickle.loads(pickle.dumps(STATE))
            carried_out(shop.call, Task(name="any", calls=tuple(calls)), expected)
            left = shop_state.of_database(shop.database)
            assert shop_state.differences(left, expected) == []

        check()


def test_answers_are_as_the_definitions_say(shop: Shop) -> None:
    listed = shop.wire.ask("tools/list", {})["result"]["tools"]
    results = {tool["name"]: validator(tool["outputSchema"]) for tool in listed}
    state = shop_state.of_data(SAMPLE)
    asked = [
        *(("get_user_details", {"user_id": user}) for user in state["users"]),
        *(("get_order_details", {"order_id": order}) for order in state["orders"]),
        *(("get_product_details", {"product_id": product}) for product in state["products"]),
        *(call for task in own_tasks() for call in _allowed(task)),
    ]
    for tool, arguments in asked:
        results[tool].validate(shop.call(tool, arguments))
    assert set(results) == {tool for tool, _ in asked}


def _allowed(task: Task) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool, call.arguments) for call in task.calls if call.refused is None]


def test_a_request_that_has_a_name_is_done_once(shop: Shop) -> None:
    named = {"summary": "Call Lucia back.", "request_id": "key-1"}
    first = shop.call("transfer_to_human_agents", named)
    assert shop.call("transfer_to_human_agents", named) == first
    with pytest.raises(Refused, match="used for something else"):
        shop.call("transfer_to_human_agents", {**named, "summary": "Call Viggo back."})
    assert shop_state.of_database(shop.database)["transfers"] == ["Call Lucia back."]
    with pytest.raises(Refused):
        shop.call("cancel_pending_order", {**CANCEL, "order_id": "#W1100641", "request_id": "no"})
    shop.call("cancel_pending_order", {**CANCEL, "request_id": "no"})  # nothing was done before


def test_of_two_processes_that_cancel_an_order_one_does(tmp_path: Path) -> None:
    """Two servers over one file, asked at once for the same money: it goes back once."""
    database = tmp_path / "shop.sqlite"
    with (
        shop_server.stdio(database, SAMPLE) as one,
        shop_server.stdio(database, SAMPLE) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        answers = list(pool.map(_cancelled, (one, other)))
    assert sorted(answers) == [False, True]
    orders = shop_state.of_database(database)["orders"]
    assert [kind for kind, _, _ in orders[LUCIAS]["payments"]] == ["payment", "refund"]


def _cancelled(shop: Shop) -> bool:
    try:
        shop.call("cancel_pending_order", CANCEL)
    except Refused:
        return False
    return True


def test_a_refused_call_changes_nothing(shop: Shop) -> None:
    before = shop_state.of_database(shop.database)
    pine, brass = "5200130161", "5200015135"
    swap = {"order_id": "#W1092086", "payment_method_id": "gift_card_3821112"}
    for item_ids, new_item_ids, why in (
        (["5200021189"], [pine], "another product"),
        (["5200021189"], ["5200021189"], "what was ordered already"),
        (["5200087783"], ["5200084756"], "not available"),
        (["5200021189", "5200021189"], [brass, brass], "or not as often"),
        (["5200021189"], [brass, brass], "as many new items"),
        (["5200021189"], ["5299999999"], "no item"),
    ):
        given = {**swap, "item_ids": item_ids, "new_item_ids": new_item_ids}
        with pytest.raises(Refused, match=why):
            shop.call("modify_pending_order_items", given)
    assert shop_state.differences(shop_state.of_database(shop.database), before) == []


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("get_order_details", {}, "`order_id` is missing"),
        ("get_order_details", {"order_id": 7}, "must be of type string"),
        ("get_order_details", {"order_id": "#W1044257\n"}, "does not look right"),
        ("get_order_details", {"order_id": LUCIAS, "x": 1}, "not known"),
        ("get_order_details", [], "must be of type object"),
        ("cancel_pending_order", {**CANCEL, "reason": "bored"}, "must be one of"),
        ("find_user_id_by_email", {"email": "x" * 300}, "254 characters at most"),
        ("find_user_id_by_email", {"email": "\ud800@example.com"}, "no text"),
        ("calculate", {"expression": "9 ** 9"}, "write numbers"),
        ("calculate", {"expression": "1 / 0"}, "not a sum"),
        ("calculate", {"expression": "(" * 100 + ")" * 100}, "write numbers"),
        ("calculate", {"expression": "-" * 199 + "1"}, "too many"),
        ("calculate", {"expression": "open('x')"}, "write numbers"),
    ],
)
def test_bad_arguments_are_answered_in_words(
    shop: Shop, tool: str, arguments: Any, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        shop.call(tool, arguments)


def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    data, database = tmp_path / "db.json", tmp_path / "shop.sqlite"
    for content, why in (
        ("{", "is not JSON"),
        ('{"products": {}, "users": {}}', "does not hold a shop"),
        (
            '{"products": {}, "users": {}, "orders": {"a": {"order_id": "a"}}}',
            "does not hold a shop",
        ),
    ):
        data.write_text(content, encoding="utf-8")
        ended = _ended("--data", str(data), "--database", str(database))
        assert (ended.returncode, why in ended.stderr) == (2, True), ended.stderr
    assert list(tmp_path.iterdir()) == [data]
    with closing(sqlite3.connect(database)) as other:
        other.execute("pragma user_version = 9")
    assert "version 9" in _ended("--database", str(database)).stderr
    ended = _ended("--http", "0.0.0.0:0", "--database", str(database))
    assert (ended.returncode, "set SHOP_TOKEN" in ended.stderr) == (2, True)


def _ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SERVER), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False
    )
