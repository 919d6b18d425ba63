"""Sums in decimal, for agents that should not do them in their head."""

import ast
import operator
import re
from collections.abc import Callable
from decimal import Decimal, DecimalException, localcontext
from typing import Any

from shop.refusal import Refused

ALLOWED = re.compile(r"[0-9+\-*/(). ]{1,200}")
DEPTH_MAX = 50
DIGITS_MAX = 30
OPERATORS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculate(expression: str) -> dict[str, Any]:
    """The value of a sum of numbers with `+ - * /` and brackets, rounded to cents."""
    if not ALLOWED.fullmatch(expression):
        raise Refused("write numbers, `+ - * /` and brackets, 200 characters at most")
    try:
        with localcontext(prec=DIGITS_MAX):
            tree = ast.parse(expression.strip(), mode="eval").body
            value = round(_value(tree, expression.strip(), 0), 2)
    except (SyntaxError, DecimalException, MemoryError, RecursionError):
        raise Refused("this is not a sum that has a value") from None
    return {"result": float(value)}


def _value(node: ast.expr, text: str, depth: int) -> Decimal:
    if depth > DEPTH_MAX:
        raise Refused("there are too many brackets or signs in this")
    match node:
        case ast.Constant(value=int() | float()):
            return Decimal(ast.get_source_segment(text, node) or "")  # as written: floats round
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, text, depth + 1)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner, text, depth + 1)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATORS:
            parts = _value(left, text, depth + 1), _value(right, text, depth + 1)
            return OPERATORS[type(op)](*parts)
    raise Refused("write numbers, `+ - * /` and brackets, nothing else")
