"""What can still be done about an order that has not left the shop."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from shop.orders import get_order, in_status, swaps_of
from shop.payments import charge, method_of, paid, refund
from shop.refusal import Refused

Shop = sqlite3.Connection


def cancel(shop: Shop, order_id: str, reason: str) -> dict[str, Any]:
    """Cancel it; every method gets back what it paid."""
    in_status(shop, order_id, "pending")
    for payment_method_id, amount_cents in paid(shop, order_id).items():
        refund(shop, order_id, payment_method_id, amount_cents)
    shop.execute(
        "update orders set status = 'cancelled', cancel_reason = ? where order_id = ?",
        (reason, order_id),
    )
    return get_order(shop, order_id)


def modify_address(shop: Shop, order_id: str, **address: str) -> dict[str, Any]:
    """Send it elsewhere; the customer's own address stays."""
    in_status(shop, order_id, "pending")
    shop.execute(
        "update orders set address1 = :address1, address2 = :address2, city = :city,"
        " state = :state, country = :country, zip = :zip where order_id = :order_id",
        {**address, "order_id": order_id},
    )
    return get_order(shop, order_id)


def modify_payment(shop: Shop, order_id: str, payment_method_id: str) -> dict[str, Any]:
    """Let one other method pay all of it; whoever paid before is paid back."""
    order = in_status(shop, order_id, "pending")
    method = method_of(shop, order["user_id"], payment_method_id)
    before = paid(shop, order_id)
    if payment_method_id in before:
        raise Refused(f"`{payment_method_id}` is what the order was paid with; name another")
    charge(shop, order_id, method, sum(before.values()))
    for earlier, amount_cents in before.items():
        refund(shop, order_id, earlier, amount_cents)
    return get_order(shop, order_id)


def modify_items(
    shop: Shop,
    order_id: str,
    item_ids: Sequence[str],
    new_item_ids: Sequence[str],
    payment_method_id: str,
) -> dict[str, Any]:
    """Put other items of the same products in their place, once; the difference is settled now."""
    order = in_status(shop, order_id, "pending")
    swaps, method, difference = swaps_of(shop, order, item_ids, new_item_ids, payment_method_id)
    for swap in swaps:
        shop.execute(
            "update order_lines set item_id = ?, price_cents = ? where order_id = ? and line = ?",
            (swap.new_item_id, swap.new_price_cents, order_id, swap.line),
        )
    if difference > 0:
        charge(shop, order_id, method, difference)
    elif difference < 0:
        refund(shop, order_id, payment_method_id, -difference)
    shop.execute(
        "update orders set status = 'pending (items modified)' where order_id = ?", (order_id,)
    )
    return get_order(shop, order_id)
