"""What can be done about an order that has arrived: send things back, for money or for others.

Both are requests: the money moves when the parcel is back, which is not this service's work.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from shop.orders import get_order, in_status, lines_of, swaps_of
from shop.payments import method_of, paid
from shop.refusal import Refused

Shop = sqlite3.Connection


def return_items(
    shop: Shop, order_id: str, item_ids: Sequence[str], payment_method_id: str
) -> dict[str, Any]:
    """Ask for things back; the refund goes to whoever paid, or to a gift card."""
    order = in_status(shop, order_id, "delivered")
    method = method_of(shop, order["user_id"], payment_method_id)
    if method["source"] != "gift_card" and payment_method_id not in paid(shop, order_id):
        raise Refused("a refund goes to the method that paid, or to a gift card of the customer")
    lines = lines_of(shop, order_id, item_ids)
    shop.execute("insert into returns values (?, ?)", (order_id, payment_method_id))
    shop.executemany(
        "insert into return_lines values (?, ?)", [(order_id, line["line"]) for line in lines]
    )
    shop.execute("update orders set status = 'return requested' where order_id = ?", (order_id,))
    return get_order(shop, order_id)


def exchange_items(
    shop: Shop,
    order_id: str,
    item_ids: Sequence[str],
    new_item_ids: Sequence[str],
    payment_method_id: str,
) -> dict[str, Any]:
    """Ask for things back and promise others of the same products, once."""
    order = in_status(shop, order_id, "delivered")
    swaps, _, difference = swaps_of(shop, order, item_ids, new_item_ids, payment_method_id)
    shop.execute(
        "insert into exchanges values (?, ?, ?)", (order_id, payment_method_id, difference)
    )
    shop.executemany(
        "insert into exchange_lines values (?, ?, ?)",
        [(order_id, swap.line, swap.new_item_id) for swap in swaps],
    )
    shop.execute("update orders set status = 'exchange requested' where order_id = ?", (order_id,))
    return get_order(shop, order_id)
