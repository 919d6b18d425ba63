"""Orders as they are read, and the lines of one that somebody means."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shop.database import ADDRESS, dollars
from shop.payments import method_of, must_cover
from shop.refusal import Refused

Shop = sqlite3.Connection
#: The contracts of the tools promise that no call passes it.
DIFFERENCE_CENTS_MAX = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Another item in the place of one that was ordered."""

    line: int
    new_item_id: str
    new_price_cents: int
    difference_cents: int


def get_order(shop: Shop, order_id: str) -> dict[str, Any]:
    """An order with its lines, parcels and payments, and what is to come back."""
    order = row_of(shop, order_id)
    lines = shop.execute(
        "select l.*, i.product_id, i.options, p.name from order_lines l join items i using"
        " (item_id) join products p using (product_id) where order_id = ? order by line",
        (order_id,),
    ).fetchall()
    payments = shop.execute(
        "select * from payments where order_id = ? order by number", (order_id,)
    ).fetchall()
    return {
        "order_id": order_id,
        "user_id": order["user_id"],
        "status": order["status"],
        **({"cancel_reason": order["cancel_reason"]} if order["cancel_reason"] else {}),
        "address": {part: order[part] for part in ADDRESS},
        "items": [
            {
                "item_id": line["item_id"],
                "product_id": line["product_id"],
                "name": line["name"],
                "options": json.loads(line["options"]),
                "price": dollars(line["price_cents"]),
            }
            for line in lines
        ],
        "fulfillments": _parcels(lines),
        "payment_history": [
            {
                "transaction_type": payment["kind"],
                "amount": dollars(payment["amount_cents"]),
                "payment_method_id": payment["payment_method_id"],
            }
            for payment in payments
        ],
        **_coming_back(shop, order_id),
    }


def row_of(shop: Shop, order_id: str) -> sqlite3.Row:
    """The order itself, or a refusal."""
    row: sqlite3.Row | None = shop.execute(
        "select * from orders where order_id = ?", (order_id,)
    ).fetchone()
    if row is None:
        raise Refused(f"there is no order `{order_id}`; ids look like `#W0000000`")
    return row


def in_status(shop: Shop, order_id: str, status: str) -> sqlite3.Row:
    """An order in the one status that allows what is asked."""
    row = row_of(shop, order_id)
    if row["status"] != status:
        raise Refused(f"the order is {row['status']}, and must be {status} for this")
    return row


def lines_of(shop: Shop, order_id: str, item_ids: Sequence[str]) -> list[sqlite3.Row]:
    """One line for each item named; an item named twice needs two lines of it."""
    left = shop.execute(
        "select * from order_lines where order_id = ? order by line", (order_id,)
    ).fetchall()
    chosen = []
    for item_id in item_ids:
        line = next((line for line in left if line["item_id"] == item_id), None)
        if line is None:
            raise Refused(f"the order does not hold item `{item_id}`, or not as often")
        left.remove(line)
        chosen.append(line)
    return chosen


def swaps_of(
    shop: Shop,
    order: sqlite3.Row,
    item_ids: Sequence[str],
    new_item_ids: Sequence[str],
    payment_method_id: str,
) -> tuple[list[Swap], sqlite3.Row, int]:
    """What replaces what, the method that settles it, and the difference in price, in cents."""
    if len(item_ids) != len(new_item_ids):
        raise Refused("name as many new items as items, in the same order")
    method = method_of(shop, order["user_id"], payment_method_id)
    lines = lines_of(shop, order["order_id"], item_ids)
    swaps = [_swap(shop, line, new) for line, new in zip(lines, new_item_ids, strict=True)]
    difference = sum(swap.difference_cents for swap in swaps)
    if abs(difference) > DIFFERENCE_CENTS_MAX:
        raise Refused(f"a difference of {dollars(difference):.2f} is for a person to settle")
    must_cover(method, difference)
    return swaps, method, difference


def _swap(shop: Shop, line: sqlite3.Row, new_item_id: str) -> Swap:
    new = shop.execute("select * from items where item_id = ?", (new_item_id,)).fetchone()
    if new is None:
        raise Refused(f"there is no item `{new_item_id}`")
    if new_item_id == line["item_id"]:
        raise Refused(f"`{new_item_id}` is what was ordered already")
    old = shop.execute("select * from items where item_id = ?", (line["item_id"],)).fetchone()
    if new["product_id"] != old["product_id"]:
        raise Refused(f"`{new_item_id}` is another product than `{line['item_id']}`")
    if not new["available"]:
        raise Refused(f"`{new_item_id}` is not available")
    return Swap(
        line=line["line"],
        new_item_id=new_item_id,
        new_price_cents=new["price_cents"],
        difference_cents=new["price_cents"] - line["price_cents"],
    )


def _parcels(lines: Sequence[sqlite3.Row]) -> list[dict[str, Any]]:
    parcels: dict[str, list[str]] = {}
    for line in lines:
        if line["tracking_id"] is not None:
            parcels.setdefault(line["tracking_id"], []).append(line["item_id"])
    return [{"tracking_id": [parcel], "item_ids": ids} for parcel, ids in parcels.items()]


def _coming_back(shop: Shop, order_id: str) -> dict[str, Any]:
    returned = shop.execute(
        "select payment_method_id, item_id from returns join return_lines using (order_id)"
        " join order_lines using (order_id, line) where order_id = ? order by line",
        (order_id,),
    ).fetchall()
    if returned:
        return {
            "return": {
                "item_ids": [row["item_id"] for row in returned],
                "payment_method_id": returned[0]["payment_method_id"],
            }
        }
    swapped = shop.execute(
        "select payment_method_id, price_difference_cents, item_id, new_item_id from exchanges"
        " join exchange_lines using (order_id) join order_lines using (order_id, line)"
        " where order_id = ? order by line",
        (order_id,),
    ).fetchall()
    if swapped:
        return {
            "exchange": {
                "item_ids": [row["item_id"] for row in swapped],
                "new_item_ids": [row["new_item_id"] for row in swapped],
                "payment_method_id": swapped[0]["payment_method_id"],
                "price_difference": dollars(swapped[0]["price_difference_cents"]),
            }
        }
    return {}
