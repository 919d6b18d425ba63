"""The shapes that the tools' definitions are put together from."""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]


def text(description: str, pattern: str | None = None, *, length_max: int = 64) -> Schema:
    """A string, bounded."""
    schema: Schema = {"type": "string", "description": description, "maxLength": length_max}
    return schema if pattern is None else {**schema, "pattern": pattern}


def list_of(schema: Schema, description: str) -> Schema:
    """A list of at least one."""
    return {
        "type": "array",
        "description": description,
        "items": {key: said for key, said in schema.items() if key != "description"},
        "minItems": 1,
        "maxItems": 20,
    }


def record(properties: Mapping[str, Schema], optional: Sequence[str] = ()) -> Schema:
    """An object of exactly these entries."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def write(properties: Mapping[str, Schema]) -> Schema:
    """The arguments of a tool that changes something, which may name the request."""
    return record({**properties, "request_id": REQUEST_ID}, optional=("request_id",))


REQUEST_ID = text(
    "Name of this request; sent again under it, it is answered again and done once.",
    "^[A-Za-z0-9_.:-]{1,128}$",
    length_max=128,
)
ORDER_ID = text("Id of the order, `#W` and seven digits, as in `#W0000000`.", "^#W[0-9]{7}$")
USER_ID = text("Id of the customer, as a search found it.", "^[a-z0-9_]{1,64}$")
PRODUCT_ID = text("Id of a product (not of an item): ten digits.", "^[0-9]{10}$")
ITEM_ID = text("Id of an item (not of a product): ten digits.", "^[0-9]{10}$")
METHOD_ID = text("Id of one of the customer's own payment methods.", "^[a-z0-9_]{1,64}$")
ITEM_IDS = list_of(ITEM_ID, "Items of the order; one that was ordered twice may stand here twice.")
NEW_ITEM_IDS = list_of(ITEM_ID, "The items wanted instead, in the same order.")
ADDRESS = {
    "address1": text("Street and number.", length_max=200),
    "address2": text("Flat or suite; empty if there is none.", length_max=200),
    "city": text("City.", length_max=100),
    "state": text("State, as two letters.", "^[A-Z]{2}$"),
    "country": text("Country.", length_max=100),
    "zip": text("Zip code.", "^[0-9]{5}$"),
}

AMOUNT: Schema = {"type": "number", "description": "US dollars."}
OPTIONS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
ADDRESS_RESULT = record({part: {"type": "string"} for part in ADDRESS})
ITEM_RESULT = {
    "item_id": ITEM_ID,
    "options": OPTIONS,
    "available": {"type": "boolean"},
    "price": AMOUNT,
}
PLAIN: Schema = {"type": "string"}
PLAIN_LIST: Schema = {"type": "array", "items": PLAIN}
USER_FOUND = record({"user_id": USER_ID})
USER = record(
    {
        "user_id": USER_ID,
        "name": record({"first_name": PLAIN, "last_name": PLAIN}),
        "email": PLAIN,
        "address": ADDRESS_RESULT,
        "payment_methods": {
            "type": "array",
            "items": record(
                {
                    "payment_method_id": METHOD_ID,
                    "source": {"type": "string", "enum": ["credit_card", "gift_card", "paypal"]},
                    "brand": PLAIN,
                    "last_four": PLAIN,
                    "balance": AMOUNT,
                },
                optional=("brand", "last_four", "balance"),
            ),
        },
        "orders": {"type": "array", "items": ORDER_ID},
    }
)
ORDER = record(
    {
        "order_id": ORDER_ID,
        "user_id": USER_ID,
        "status": PLAIN,
        "cancel_reason": PLAIN,
        "address": ADDRESS_RESULT,
        "items": {
            "type": "array",
            "items": record(
                {
                    "item_id": ITEM_ID,
                    "product_id": PRODUCT_ID,
                    "name": PLAIN,
                    "options": OPTIONS,
                    "price": AMOUNT,
                }
            ),
        },
        "fulfillments": {
            "type": "array",
            "items": record({"tracking_id": PLAIN_LIST, "item_ids": PLAIN_LIST}),
        },
        "payment_history": {
            "type": "array",
            "items": record(
                {
                    "transaction_type": {"type": "string", "enum": ["payment", "refund"]},
                    "amount": AMOUNT,
                    "payment_method_id": METHOD_ID,
                }
            ),
        },
        "return": record({"item_ids": PLAIN_LIST, "payment_method_id": METHOD_ID}),
        "exchange": record(
            {
                "item_ids": PLAIN_LIST,
                "new_item_ids": PLAIN_LIST,
                "payment_method_id": METHOD_ID,
                "price_difference": AMOUNT,
            }
        ),
    },
    optional=("cancel_reason", "return", "exchange"),
)
