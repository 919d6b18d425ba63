"""The shop's tools: what each is called, what it takes, what it answers, what it does.

A call is one transaction. Whatever is wrong with it is answered in words that a model can act on.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from shop import catalogue, customers, delivered, orders, pending, transfers
from shop.arguments import problem
from shop.calculator import calculate
from shop.database import transaction
from shop.refusal import Refused
from shop.requests import once
from shop.schemas import (
    ADDRESS,
    ITEM_ID,
    ITEM_IDS,
    ITEM_RESULT,
    METHOD_ID,
    NEW_ITEM_IDS,
    ORDER,
    ORDER_ID,
    PLAIN,
    PRODUCT_ID,
    USER,
    USER_FOUND,
    USER_ID,
    Schema,
    record,
    text,
    write,
)

Shop = sqlite3.Connection
Function = Callable[..., dict[str, Any]]


class Unknown(Exception):
    """There is no tool of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool: its definition on the wire, and the function behind it."""

    name: str
    title: str
    description: str
    arguments: Schema
    results: Schema
    changes: Literal["nothing", "reversibly", "for good"]
    function: Function
    #: Whether the same call twice, even without a `request_id`, does no more than once.
    same_twice: bool = True

    def definition(self) -> dict[str, Any]:
        """What `tools/list` says of it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.arguments,
            "outputSchema": self.results,
            "annotations": {
                "readOnlyHint": self.changes == "nothing",
                "destructiveHint": self.changes == "for good",
                "idempotentHint": self.same_twice,
                "openWorldHint": False,
            },
        }


def definitions() -> list[dict[str, Any]]:
    """All of them, always in the same order."""
    return [tool.definition() for tool in TOOLS.values()]


def call(shop: Shop, name: str, arguments: Any) -> dict[str, Any]:
    """Carry one call out; `Refused` where the shop says no, `Unknown` for no tool at all."""
    tool = TOOLS.get(name)
    if tool is None:
        raise Unknown(name)
    wrong = problem(tool.arguments, arguments)
    if wrong is not None:
        raise Refused(wrong)
    if tool.changes == "nothing":
        with transaction(shop, writes=False):
            return tool.function(shop, **arguments)
    with transaction(shop):
        return once(shop, tool.function, name, arguments)


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            name="find_user_id_by_email",
            title="Find a customer by e-mail",
            description="Find the id of the customer with an e-mail address.",
            arguments=record({"email": text("The e-mail address.", length_max=254)}),
            results=USER_FOUND,
            changes="nothing",
            function=customers.find_by_email,
        ),
        Tool(
            name="find_user_id_by_name_zip",
            title="Find a customer by name and zip code",
            description="Find the id of a customer by first name, last name and zip code. "
            "Ask for the e-mail address first; this is for customers who do not remember it.",
            arguments=record(
                {
                    "first_name": text("First name."),
                    "last_name": text("Last name."),
                    "zip": ADDRESS["zip"],
                }
            ),
            results=USER_FOUND,
            changes="nothing",
            function=customers.find_by_name_zip,
        ),
        Tool(
            name="get_user_details",
            title="Read a customer",
            description="Read a customer's name, address, payment methods and order ids.",
            arguments=record({"user_id": USER_ID}),
            results=USER,
            changes="nothing",
            function=customers.get_user,
        ),
        Tool(
            name="get_order_details",
            title="Read an order",
            description="Read an order: status, items, parcels and payments.",
            arguments=record({"order_id": ORDER_ID}),
            results=ORDER,
            changes="nothing",
            function=orders.get_order,
        ),
        Tool(
            name="list_all_product_types",
            title="List the products",
            description="List the name and id of every product.",
            arguments=record({}),
            results=record(
                {
                    "products": {
                        "type": "array",
                        "items": record({"name": PLAIN, "product_id": PRODUCT_ID}),
                    }
                }
            ),
            changes="nothing",
            function=catalogue.list_products,
        ),
        Tool(
            name="get_product_details",
            title="Read a product",
            description="Read a product: all its items with options, price and availability.",
            arguments=record({"product_id": PRODUCT_ID}),
            results=record(
                {
                    "product_id": PRODUCT_ID,
                    "name": PLAIN,
                    "items": {"type": "array", "items": record(ITEM_RESULT)},
                }
            ),
            changes="nothing",
            function=catalogue.get_product,
        ),
        Tool(
            name="get_item_details",
            title="Read an item",
            description="Read an item: options, price, availability and the product it is of.",
            arguments=record({"item_id": ITEM_ID}),
            results=record({"product_id": PRODUCT_ID, "name": PLAIN, **ITEM_RESULT}),
            changes="nothing",
            function=catalogue.get_item,
        ),
        Tool(
            name="calculate",
            title="Calculate",
            description="Work out a sum of numbers with + - * / and brackets, to two decimals.",
            arguments=record(
                {"expression": text("The sum, as in `12.50 + 3 * 4`.", length_max=200)}
            ),
            results=record({"result": {"type": "number"}}),
            changes="nothing",
            function=lambda _shop, expression: calculate(expression),
        ),
        Tool(
            name="cancel_pending_order",
            title="Cancel an order",
            description="Cancel a pending order and pay back what was paid. "
            "The customer must have confirmed the order and the reason.",
            arguments=write(
                {
                    "order_id": ORDER_ID,
                    "reason": {
                        "type": "string",
                        "description": "Why; no other reason is accepted.",
                        "enum": ["no longer needed", "ordered by mistake"],
                    },
                }
            ),
            results=ORDER,
            changes="for good",
            function=pending.cancel,
        ),
        Tool(
            name="modify_pending_order_address",
            title="Send an order elsewhere",
            description="Change the address a pending order goes to. "
            "The customer must have confirmed it.",
            arguments=write({"order_id": ORDER_ID, **ADDRESS}),
            results=ORDER,
            changes="reversibly",
            function=pending.modify_address,
        ),
        Tool(
            name="modify_pending_order_payment",
            title="Pay an order otherwise",
            description="Let one other payment method of the customer pay a pending order; "
            "the first is paid back. The customer must have confirmed it.",
            arguments=write({"order_id": ORDER_ID, "payment_method_id": METHOD_ID}),
            results=ORDER,
            changes="reversibly",
            function=pending.modify_payment,
        ),
        Tool(
            name="modify_pending_order_items",
            title="Change the items of an order",
            description="Put other available items of the same products in the place of items "
            "of a pending order. This can be done once, and the order can then no longer be "
            "changed or cancelled. The customer must have confirmed all of it.",
            arguments=write(
                {
                    "order_id": ORDER_ID,
                    "item_ids": ITEM_IDS,
                    "new_item_ids": NEW_ITEM_IDS,
                    "payment_method_id": METHOD_ID,
                }
            ),
            results=ORDER,
            changes="for good",
            function=pending.modify_items,
        ),
        Tool(
            name="return_delivered_order_items",
            title="Return items",
            description="Take back items of a delivered order. The refund goes to the method "
            "that paid or to a gift card. The customer must have confirmed it.",
            arguments=write(
                {"order_id": ORDER_ID, "item_ids": ITEM_IDS, "payment_method_id": METHOD_ID}
            ),
            results=ORDER,
            changes="for good",
            function=delivered.return_items,
        ),
        Tool(
            name="exchange_delivered_order_items",
            title="Exchange items",
            description="Take back items of a delivered order for other available items of the "
            "same products. This can be done once. The customer must have confirmed all of it.",
            arguments=write(
                {
                    "order_id": ORDER_ID,
                    "item_ids": ITEM_IDS,
                    "new_item_ids": NEW_ITEM_IDS,
                    "payment_method_id": METHOD_ID,
                }
            ),
            results=ORDER,
            changes="for good",
            function=delivered.exchange_items,
        ),
        Tool(
            name="modify_user_address",
            title="Change a customer's address",
            description="Change a customer's default address. The customer must have confirmed it.",
            arguments=write({"user_id": USER_ID, **ADDRESS}),
            results=USER,
            changes="reversibly",
            function=customers.modify_address,
        ),
        Tool(
            name="transfer_to_human_agents",
            title="Hand over to a person",
            description="Hand the conversation to a person, with a summary, where nothing else "
            "here can do what the customer needs.",
            arguments=write(
                {"summary": text("What the customer needs, and why.", length_max=2000)}
            ),
            results=record({"transfer": {"type": "integer"}}),
            changes="for good",
            function=transfers.transfer,
            same_twice=False,
        ),
    )
}
