"""The shop's SQLite file: made once from a folder of data, then opened by as many as like.

The file appears whole or not at all: it is written beside its place and moved there.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("schema.sql")
VERSION = 1
BUSY_SECONDS_MAX = 5
ADDRESS = ("address1", "address2", "city", "state", "country", "zip")


class Unusable(Exception):
    """The database or the data cannot be used; the message says why."""


def prepare(path: Path, data: Path) -> None:
    """Make the database from `data` if there is none yet."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _fill(fresh, data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a database that was prepared."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS_MAX, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        found = connection.execute("pragma user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise Unusable(f"`{path}` is no shop's database: {error}") from error
    if found != VERSION:
        raise Unusable(
            f"`{path}` has version {found} of the shop's tables, this is {VERSION}; remove the file"
        )
    connection.execute("pragma foreign_keys = on")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, *, writes: bool = True) -> Iterator[None]:
    """All of it or nothing, read as of one moment; one writer waits for the other."""
    connection.execute("begin immediate" if writes else "begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _fill(path: Path, data: Path) -> None:
    file = data / "db.json" if data.is_dir() else data
    try:
        held = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise Unusable(f"`{file}` cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"`{file}` is not JSON: {error}") from error
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(f"pragma journal_mode = wal;\n{SCHEMA.read_text('utf-8')}")
        connection.execute("pragma foreign_keys = on")
        try:
            with transaction(connection):
                _products(connection, held["products"])
                _users(connection, held["users"])
                _orders(connection, held["orders"])
        except (KeyError, TypeError, AttributeError, sqlite3.IntegrityError) as error:
            raise Unusable(f"`{file}` does not hold a shop: {error!r}") from error


def _products(connection: sqlite3.Connection, products: Mapping[str, Any]) -> None:
    for product in products.values():
        row = (product["product_id"], product["name"])
        connection.execute("insert into products values (?, ?)", row)
        connection.executemany(
            "insert into items values (?, ?, ?, ?, ?)",
            [
                (
                    item["item_id"],
                    product["product_id"],
                    json.dumps(item["options"], ensure_ascii=False),
                    int(item["available"]),
                    cents(item["price"]),
                )
                for item in product["variants"].values()
            ],
        )


def _users(connection: sqlite3.Connection, users: Mapping[str, Any]) -> None:
    for user in users.values():
        name = user["name"]
        row = (user["user_id"], name["first_name"], name["last_name"], user["email"])
        connection.execute(
            "insert into users values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, *(user["address"][part] for part in ADDRESS)),
        )
        connection.executemany(
            "insert into payment_methods values (?, ?, ?, ?, ?, ?)",
            [
                (
                    method["id"],
                    user["user_id"],
                    method["source"],
                    method.get("brand"),
                    method.get("last_four"),
                    cents(method["balance"]) if "balance" in method else None,
                )
                for method in user["payment_methods"].values()
            ],
        )


def _orders(connection: sqlite3.Connection, orders: Mapping[str, Any]) -> None:
    for order in orders.values():
        order_id = order["order_id"]
        connection.execute(
            "insert into orders values (null, ?, ?, ?, null, ?, ?, ?, ?, ?, ?)",
            (
                order_id,
                order["user_id"],
                order["status"],
                *(order["address"][part] for part in ADDRESS),
            ),
        )
        parcels = [
            [parcel["tracking_id"][0], list(parcel["item_ids"])] for parcel in order["fulfillments"]
        ]
        connection.executemany(
            "insert into order_lines values (?, ?, ?, ?, ?)",
            [
                (order_id, line, item["item_id"], cents(item["price"]), _tracking(item, parcels))
                for line, item in enumerate(order["items"], 1)
            ],
        )
        connection.executemany(
            "insert into payments values (?, ?, ?, ?, ?)",
            [
                (
                    order_id,
                    number,
                    payment["transaction_type"],
                    cents(payment["amount"]),
                    payment["payment_method_id"],
                )
                for number, payment in enumerate(order["payment_history"], 1)
            ],
        )


def _tracking(item: Mapping[str, Any], parcels: list[list[Any]]) -> str | None:
    """The parcel a line went with; an item ordered twice is in the parcels twice."""
    for tracking_id, item_ids in parcels:
        if item["item_id"] in item_ids:
            item_ids.remove(item["item_id"])
            return str(tracking_id)
    return None


def cents(amount: Decimal | int) -> int:
    """An amount in dollars as whole cents; a fraction of a cent is refused."""
    whole = Decimal(amount) * 100
    if whole != whole.to_integral_value():
        raise TypeError(f"`{amount}` is not in whole cents")
    return int(whole)


def dollars(amount_cents: int) -> float:
    """Whole cents as the dollars that the wire carries."""
    return amount_cents / 100
