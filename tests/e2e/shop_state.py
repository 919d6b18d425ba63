"""What a shop holds, in one plain form, read from its data or from its database.

Both readings are this file's own: neither uses the shop's code. Amounts are decimal text.
"""

import json
import pickle
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

PARTS: Final = ("address1", "address2", "city", "state", "country", "zip")
State = dict[str, Any]


def of_data(path: Path) -> State:
    """The state that a `db.json` describes."""
    data = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    return {
        "products": {
            product["product_id"]: {
                "name": product["name"],
                "items": {
                    item["item_id"]: {
                        "options": item["options"],
                        "available": item["available"],
                        "price": _text(item["price"]),
                    }
                    for item in product["variants"].values()
                },
            }
            for product in data["products"].values()
        },
        "users": {user["user_id"]: _user(user) for user in data["users"].values()},
        "orders": {order["order_id"]: _order(order) for order in data["orders"].values()},
        "transfers": [],
    }


def _text(amount: Decimal | int) -> str:
    return f"{amount:.2f}"


def _user(user: Mapping[str, Any]) -> State:
    return {
        "name": [user["name"]["first_name"], user["name"]["last_name"]],
        "email": user["email"],
        "address": {part: user["address"][part] for part in PARTS},
        "payment_methods": {
            method["id"]: {
                "source": method["source"],
                **{key: method[key] for key in ("brand", "last_four") if key in method},
                **({"balance": _text(method["balance"])} if "balance" in method else {}),
            }
            for method in user["payment_methods"].values()
        },
    }


def _order(order: Mapping[str, Any]) -> State:
    return {
        "user_id": order["user_id"],
        "status": order["status"],
        "address": {part: order["address"][part] for part in PARTS},
        "lines": [[item["item_id"], _text(item["price"])] for item in order["items"]],
        "parcels": {
            parcel["tracking_id"][0]: sorted(parcel["item_ids"]) for parcel in order["fulfillments"]
        },
        "payments": [
            [p["transaction_type"], _text(p["amount"]), p["payment_method_id"]]
            for p in order["payment_history"]
        ],
    }


class Beginning:
    """The state that data describes, to begin from again and again.

    What products there are no tool changes, so they are shared, and read from a database only by
    `of_database`: most of the time that reading a whole shop takes goes into them.
    """

    def __init__(self, data: Path) -> None:
        state = of_data(data)
        self._products = state.pop("products")
        self._rest = pickle.dumps(state)

    def state(self) -> State:
        """A copy to change."""
        return {**pickle.loads(self._rest), "products": self._products}

    def differences(self, database: Path, expected: State) -> list[str]:
        """Where a database that began so differs from what is expected now, but for products."""
        return differences(of_database(database, products=self._products), expected)


def of_database(path: Path, *, products: State | None = None) -> State:
    """The state that a shop's SQLite file is in, as of one moment; `products` are not read."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("begin")
        state: State = {
            "products": products or {},
            "users": {},
            "orders": {},
            "transfers": [
                row["summary"] for row in database.execute("select * from transfers order by 1")
            ],
        }
        if products is None:
            _read_products(database, state["products"])
        _read_users(database, state["users"])
        _read_orders(database, state["orders"])
        _read_what_comes_back(database, state["orders"])
    return state


@cache
def _dollars(cents: int) -> str:
    return f"{Decimal(cents) / 100:.2f}"


def _read_products(database: sqlite3.Connection, products: State) -> None:
    for row in database.execute("select * from products"):
        products[row["product_id"]] = {"name": row["name"], "items": {}}
    for row in database.execute("select * from items"):
        products[row["product_id"]]["items"][row["item_id"]] = {
            "options": json.loads(row["options"]),
            "available": bool(row["available"]),
            "price": _dollars(row["price_cents"]),
        }


def _read_users(database: sqlite3.Connection, users: State) -> None:
    for row in database.execute("select * from users"):
        users[row["user_id"]] = {
            "name": [row["first_name"], row["last_name"]],
            "email": row["email"],
            "address": {part: row[part] for part in PARTS},
            "payment_methods": {},
        }
    for row in database.execute("select * from payment_methods"):
        method = {"source": row["source"]}
        method |= {key: row[key] for key in ("brand", "last_four") if row[key] is not None}
        if row["balance_cents"] is not None:
            method["balance"] = _dollars(row["balance_cents"])
        users[row["user_id"]]["payment_methods"][row["payment_method_id"]] = method


def _read_orders(database: sqlite3.Connection, orders: State) -> None:
    for row in database.execute("select * from orders"):
        order = {
            "user_id": row["user_id"],
            "status": row["status"],
            "address": {part: row[part] for part in PARTS},
            "lines": [],
            "parcels": {},
            "payments": [],
        }
        if row["cancel_reason"] is not None:
            order["cancel_reason"] = row["cancel_reason"]
        orders[row["order_id"]] = order
    for row in database.execute("select * from order_lines order by order_id, line"):
        order = orders[row["order_id"]]
        order["lines"].append([row["item_id"], _dollars(row["price_cents"])])
        if row["tracking_id"] is not None:
            parcel = order["parcels"].setdefault(row["tracking_id"], [])
            parcel.append(row["item_id"])
            parcel.sort()
    for row in database.execute("select * from payments order by order_id, number"):
        paid = [row["kind"], _dollars(row["amount_cents"]), row["payment_method_id"]]
        orders[row["order_id"]]["payments"].append(paid)


def _read_what_comes_back(database: sqlite3.Connection, orders: State) -> None:
    for row in database.execute("select * from returns"):
        method = row["payment_method_id"]
        orders[row["order_id"]]["return"] = {"lines": [], "payment_method_id": method}
    for row in database.execute("select * from return_lines order by order_id, line"):
        orders[row["order_id"]]["return"]["lines"].append(row["line"])
    for row in database.execute("select * from exchanges"):
        orders[row["order_id"]]["exchange"] = {
            "lines": [],
            "new_item_ids": [],
            "payment_method_id": row["payment_method_id"],
            "price_difference": _dollars(row["price_difference_cents"]),
        }
    for row in database.execute("select * from exchange_lines order by order_id, line"):
        exchange = orders[row["order_id"]]["exchange"]
        exchange["lines"].append(row["line"])
        exchange["new_item_ids"].append(row["new_item_id"])


def merged(state: State, changes: Mapping[str, Any]) -> State:
    """A state with differences applied: objects entry by entry, anything else as a whole."""
    found = dict(state)
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], change)
        else:
            found[key] = change
    return found


def differences(found: Any, expected: Any, at: str = "") -> list[str]:
    """Where two states differ, in words; comparing 1,000 orders whole would print them all."""
    if isinstance(found, dict) and isinstance(expected, dict):
        said = []
        for key in sorted({*found, *expected}):
            absent = object()
            pair = found.get(key, absent), expected.get(key, absent)
            if absent in pair:
                said.append(f"{at}/{key}: {'not expected' if pair[1] is absent else 'missing'}")
            elif pair[0] != pair[1]:
                said += differences(*pair, f"{at}/{key}")
        return said
    return [] if found == expected else [f"{at}: {found!r}, expected {expected!r}"]
