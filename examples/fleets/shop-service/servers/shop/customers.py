"""Who buys: customers, where they live and how they pay."""

import sqlite3
from typing import Any

from shop.database import ADDRESS, dollars
from shop.refusal import Refused

Shop = sqlite3.Connection


def find_by_email(shop: Shop, email: str) -> dict[str, Any]:
    """The customer with this address of mail; capitals make no difference."""
    row = shop.execute("select user_id from users where email = ?", (email,)).fetchone()
    if row is None:
        raise Refused("no customer has this e-mail address")
    return {"user_id": row["user_id"]}


def find_by_name_zip(shop: Shop, first_name: str, last_name: str, zip: str) -> dict[str, Any]:
    """The one customer of this name who lives there; two of them are as good as none."""
    rows = shop.execute(
        "select user_id from users where first_name = ? collate nocase"
        " and last_name = ? collate nocase and zip = ?",
        (first_name, last_name, zip),
    ).fetchall()
    if len(rows) != 1:
        count = "no customer has" if not rows else "several customers have"
        raise Refused(f"{count} this name and zip code; ask for the e-mail address")
    return {"user_id": rows[0]["user_id"]}


def get_user(shop: Shop, user_id: str) -> dict[str, Any]:
    """A customer's profile, ways to pay and orders."""
    row = shop.execute("select * from users where user_id = ?", (user_id,)).fetchone()
    if row is None:
        raise Refused(f"there is no customer `{user_id}`")
    methods = shop.execute(
        "select * from payment_methods where user_id = ? order by payment_method_id", (user_id,)
    ).fetchall()
    orders = shop.execute(
        "select order_id from orders where user_id = ? order by number", (user_id,)
    ).fetchall()
    return {
        "user_id": user_id,
        "name": {"first_name": row["first_name"], "last_name": row["last_name"]},
        "email": row["email"],
        "address": {part: row[part] for part in ADDRESS},
        "payment_methods": [_method(method) for method in methods],
        "orders": [order["order_id"] for order in orders],
    }


def modify_address(shop: Shop, user_id: str, **address: str) -> dict[str, Any]:
    """Another default address; orders already placed keep theirs."""
    get_user(shop, user_id)
    shop.execute(
        "update users set address1 = :address1, address2 = :address2, city = :city,"
        " state = :state, country = :country, zip = :zip where user_id = :user_id",
        {**address, "user_id": user_id},
    )
    return get_user(shop, user_id)


def _method(row: sqlite3.Row) -> dict[str, Any]:
    method = {"payment_method_id": row["payment_method_id"], "source": row["source"]}
    if row["source"] == "credit_card":
        method |= {"brand": row["brand"], "last_four": row["last_four"]}
    if row["source"] == "gift_card":
        method["balance"] = dollars(row["balance_cents"])
    return method
