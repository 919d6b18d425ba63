"""What the shop sells: products, and the items they come as."""

import json
import sqlite3
from typing import Any

from shop.database import dollars
from shop.refusal import Refused

Shop = sqlite3.Connection


def list_products(shop: Shop) -> dict[str, Any]:
    """Every product's name and id, by name."""
    rows = shop.execute("select name, product_id from products order by name, product_id")
    return {"products": [dict(row) for row in rows]}


def get_product(shop: Shop, product_id: str) -> dict[str, Any]:
    """One product and all its items, the unavailable ones too."""
    row = shop.execute("select name from products where product_id = ?", (product_id,)).fetchone()
    if row is None:
        raise Refused(f"there is no product `{product_id}`; an item's id is not a product's")
    items = shop.execute(
        "select * from items where product_id = ? order by item_id", (product_id,)
    ).fetchall()
    return {
        "product_id": product_id,
        "name": row["name"],
        "items": [_item(item) for item in items],
    }


def get_item(shop: Shop, item_id: str) -> dict[str, Any]:
    """One item, with the product it belongs to."""
    row = shop.execute(
        "select * from items join products using (product_id) where item_id = ?", (item_id,)
    ).fetchone()
    if row is None:
        raise Refused(f"there is no item `{item_id}`; a product's id is not an item's")
    return {"product_id": row["product_id"], "name": row["name"], **_item(row)}


def _item(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "item_id": row["item_id"],
        "options": json.loads(row["options"]),
        "available": bool(row["available"]),
        "price": dollars(row["price_cents"]),
    }
