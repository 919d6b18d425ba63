"""What the shop's policy says should happen, worked out on a plain state.

Written from the policy and not from the shop: obvious, slow, in dollars. It answers every call with
the reason why it is refused, or nothing, and changes the state as the call should.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from tests.e2e.shop_state import PARTS, State

REASONS: Final = ("no longer needed", "ordered by mistake")
Arguments = Mapping[str, Any]


class Against(Exception):
    """The policy is against it."""


def expect(state: State, tool: str, arguments: Arguments) -> str | None:
    """Change the state as the policy says; the reason why not, if it says no."""
    try:
        RULES[tool](state, arguments)
    except Against as reason:
        return str(reason)
    return None


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Against(otherwise)


def _order(state: State, given: Arguments, status: str | None = None) -> State:
    _must(given["order_id"] in state["orders"], "no such order")
    order: State = state["orders"][given["order_id"]]
    _must(status in (None, order["status"]), f"the order is {order['status']}")
    return order


def _own_method(state: State, order: State, given: Arguments) -> State:
    methods = state["users"][order["user_id"]]["payment_methods"]
    _must(given["payment_method_id"] in methods, "no such payment method of this customer")
    method: State = methods[given["payment_method_id"]]
    return method


def _item(state: State, item_id: str) -> tuple[str, State]:
    for product_id, product in state["products"].items():
        if item_id in product["items"]:
            return product_id, product["items"][item_id]
    raise Against("no such item")


def _payer(order: State) -> str:
    """Who has paid, when all is said and done."""
    balance: Counter[str] = Counter()
    for kind, amount, method in order["payments"]:
        balance[method] += (1 if kind == "payment" else -1) * round(Decimal(amount) * 100)
    (payer,) = [method for method, cents in balance.items() if cents > 0]
    return payer


def _total(order: State) -> Decimal:
    return sum((Decimal(price) for _, price in order["lines"]), Decimal(0))


def _pay(order: State, methods: State, method: str, amount: Decimal) -> None:
    """Positive: the customer pays; negative: gets back. A gift card's balance moves at once."""
    if amount == 0:
        return
    kind = "payment" if amount > 0 else "refund"
    order["payments"].append([kind, f"{abs(amount):.2f}", method])
    if methods[method]["source"] == "gift_card":
        methods[method]["balance"] = f"{Decimal(methods[method]['balance']) - amount:.2f}"


def _covered(method: State, amount: Decimal) -> None:
    enough = method["source"] != "gift_card" or Decimal(method["balance"]) >= amount
    _must(enough, "the gift card does not cover it")


def _find_by_email(state: State, given: Arguments) -> None:
    wanted = given["email"].lower()
    found = [user for user in state["users"].values() if user["email"].lower() == wanted]
    _must(bool(found), "no such customer")


def _find_by_name_zip(state: State, given: Arguments) -> None:
    wanted = [given["first_name"].lower(), given["last_name"].lower(), given["zip"]]
    found = [
        user
        for user in state["users"].values()
        if [*(name.lower() for name in user["name"]), user["address"]["zip"]] == wanted
    ]
    _must(len(found) == 1, "no such customer")


def _get_user(state: State, given: Arguments) -> None:
    _must(given["user_id"] in state["users"], "no such customer")


def _get_product(state: State, given: Arguments) -> None:
    _must(given["product_id"] in state["products"], "no such product")


def _calculate(_: State, given: Arguments) -> None:
    _must(re.fullmatch(r"[-+*/(). 0-9]+", given["expression"]) is not None, "no sum")


def _cancel(state: State, given: Arguments) -> None:
    order = _order(state, given, "pending")
    _must(given["reason"] in REASONS, "no accepted reason")
    methods = state["users"][order["user_id"]]["payment_methods"]
    _pay(order, methods, _payer(order), -_total(order))
    order["status"], order["cancel_reason"] = "cancelled", given["reason"]


def _modify_order_address(state: State, given: Arguments) -> None:
    _order(state, given, "pending")["address"] = {part: given[part] for part in PARTS}


def _modify_payment(state: State, given: Arguments) -> None:
    order = _order(state, given, "pending")
    method, before = _own_method(state, order, given), _payer(order)
    _must(given["payment_method_id"] != before, "it is the one that paid")
    _covered(method, _total(order))
    methods = state["users"][order["user_id"]]["payment_methods"]
    _pay(order, methods, given["payment_method_id"], _total(order))
    _pay(order, methods, before, -_total(order))


def _swapped(state: State, order: State, given: Arguments) -> tuple[list[int], Decimal]:
    """The lines that are swapped, by their place in the order, and what it costs more."""
    old, new = given["item_ids"], given["new_item_ids"]
    _must(len(old) == len(new), "not as many new items as old ones")
    places = _places(order, old)
    more = Decimal(0)
    for place, item_id in zip(places, new, strict=True):
        was, price = order["lines"][place]
        product, item = _item(state, item_id)
        _must(product == _item(state, was)[0], "another product")
        _must(item["available"], "not available")
        _must(item_id != was, "the same item")
        more += Decimal(item["price"]) - Decimal(price)
    _covered(_own_method(state, order, given), more)
    return places, more


def _places(order: State, item_ids: list[str]) -> list[int]:
    places: list[int] = []
    for item_id in item_ids:
        free = [
            place
            for place, (held, _) in enumerate(order["lines"])
            if held == item_id and place not in places
        ]
        _must(bool(free), "not in the order")
        places.append(free[0])
    return places


def _modify_items(state: State, given: Arguments) -> None:
    order = _order(state, given, "pending")
    places, more = _swapped(state, order, given)
    for place, item_id in zip(places, given["new_item_ids"], strict=True):
        order["lines"][place] = [item_id, _item(state, item_id)[1]["price"]]
    methods = state["users"][order["user_id"]]["payment_methods"]
    _pay(order, methods, given["payment_method_id"], more)
    order["status"] = "pending (items modified)"


def _exchange(state: State, given: Arguments) -> None:
    order = _order(state, given, "delivered")
    places, more = _swapped(state, order, given)
    pairs = sorted(zip(places, given["new_item_ids"], strict=True))
    order["status"] = "exchange requested"
    order["exchange"] = {
        "lines": [place + 1 for place, _ in pairs],
        "new_item_ids": [item_id for _, item_id in pairs],
        "payment_method_id": given["payment_method_id"],
        "price_difference": f"{more:.2f}",
    }


def _return(state: State, given: Arguments) -> None:
    order = _order(state, given, "delivered")
    method = _own_method(state, order, given)
    allowed = method["source"] == "gift_card" or given["payment_method_id"] == _payer(order)
    _must(allowed, "neither who paid nor a gift card")
    order["return"] = {
        "lines": sorted(place + 1 for place in _places(order, given["item_ids"])),
        "payment_method_id": given["payment_method_id"],
    }
    order["status"] = "return requested"


def _modify_user_address(state: State, given: Arguments) -> None:
    _get_user(state, given)
    state["users"][given["user_id"]]["address"] = {part: given[part] for part in PARTS}


RULES: Final[Mapping[str, Callable[[State, Arguments], Any]]] = {
    "find_user_id_by_email": _find_by_email,
    "find_user_id_by_name_zip": _find_by_name_zip,
    "get_user_details": _get_user,
    "get_order_details": _order,
    "get_product_details": _get_product,
    "get_item_details": lambda state, given: _item(state, given["item_id"]),
    "list_all_product_types": lambda _state, _given: None,
    "calculate": _calculate,
    "cancel_pending_order": _cancel,
    "modify_pending_order_address": _modify_order_address,
    "modify_pending_order_payment": _modify_payment,
    "modify_pending_order_items": _modify_items,
    "modify_user_address": _modify_user_address,
    "exchange_delivered_order_items": _exchange,
    "return_delivered_order_items": _return,
    "transfer_to_human_agents": lambda state, given: state["transfers"].append(given["summary"]),
}
