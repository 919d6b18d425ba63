"""Requests that have a name are done once, however often they are sent.

The answer is kept in the transaction that does the work: either both are there or neither.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from shop.refusal import Refused


def once(
    shop: sqlite3.Connection,
    function: Callable[..., dict[str, Any]],
    tool: str,
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """Do it, or say again what was answered when it was done."""
    given = dict(arguments)
    request_id = given.pop("request_id", None)
    if request_id is None:
        return function(shop, **given)
    asked = json.dumps([tool, given], sort_keys=True)
    row = shop.execute("select * from requests where request_id = ?", (request_id,)).fetchone()
    if row is None:
        answered = function(shop, **given)
        shop.execute(
            "insert into requests values (?, ?, ?)", (request_id, asked, json.dumps(answered))
        )
        return answered
    if row["asked"] != asked:
        raise Refused("this `request_id` was used for something else; take another")
    found: dict[str, Any] = json.loads(row["answered"])
    return found
