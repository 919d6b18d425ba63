"""Money: which method pays, what has been paid, and gift cards, which move at once.

Cards and PayPal are only written down: their banks carry it out within days. A gift card's balance
is the shop's own, so it changes in the same transaction.
"""

import sqlite3

from shop.database import dollars
from shop.refusal import Refused

Shop = sqlite3.Connection


def method_of(shop: Shop, user_id: str, payment_method_id: str) -> sqlite3.Row:
    """A payment method, which must be this customer's own."""
    row: sqlite3.Row | None = shop.execute(
        "select * from payment_methods where payment_method_id = ? and user_id = ?",
        (payment_method_id, user_id),
    ).fetchone()
    if row is None:
        raise Refused(f"the customer has no payment method `{payment_method_id}`")
    return row


def paid(shop: Shop, order_id: str) -> dict[str, int]:
    """What each method has paid for an order, in cents, less what went back to it."""
    rows = shop.execute(
        "select payment_method_id, sum(case kind when 'payment' then amount_cents"
        " else -amount_cents end) as cents from payments where order_id = ?"
        " group by payment_method_id order by min(number)",
        (order_id,),
    )
    return {row["payment_method_id"]: row["cents"] for row in rows if row["cents"] > 0}


def must_cover(method: sqlite3.Row, amount_cents: int) -> None:
    """A gift card pays what is on it and no more."""
    if method["source"] == "gift_card" and method["balance_cents"] < amount_cents:
        raise Refused(
            f"the gift card holds {dollars(method['balance_cents']):.2f}, "
            f"which does not cover {dollars(amount_cents):.2f}"
        )


def charge(shop: Shop, order_id: str, method: sqlite3.Row, amount_cents: int) -> None:
    """Take money for an order."""
    must_cover(method, amount_cents)
    _move(shop, order_id, "payment", method["payment_method_id"], amount_cents)


def refund(shop: Shop, order_id: str, payment_method_id: str, amount_cents: int) -> None:
    """Give money back."""
    _move(shop, order_id, "refund", payment_method_id, amount_cents)


def _move(shop: Shop, order_id: str, kind: str, payment_method_id: str, amount_cents: int) -> None:
    shop.execute(
        "insert into payments select :order_id, coalesce(max(number), 0) + 1, :kind, :cents,"
        " :method from payments where order_id = :order_id",
        {"order_id": order_id, "kind": kind, "cents": amount_cents, "method": payment_method_id},
    )
    shop.execute(
        "update payment_methods set balance_cents = balance_cents + ?"
        " where payment_method_id = ? and source = 'gift_card'",
        (amount_cents if kind == "refund" else -amount_cents, payment_method_id),
    )
