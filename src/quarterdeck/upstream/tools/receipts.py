"""Receipts of tool calls: what back ends say they did, in one form."""

from typing import Any, Final

import orjson

from quarterdeck.domain.actions import Content, Receipt
from quarterdeck.domain.errors import QuarterdeckError
from quarterdeck.domain.json_text import is_json
from quarterdeck.domain.limits import ERROR_CHARACTERS_MAX
from quarterdeck.domain.tools import Tool
from quarterdeck.fleet.contracts import results_misfit

NOT_FITTING: Final = "result does not fit the contract"


def done(tool: Tool, result: bytes, detail: dict[str, Any] | None = None) -> Receipt:
    """It was carried out: the JSON of its result, where that fits the contract."""
    said = detail or {}
    if not is_json(result):
        return failed(tool, "the result is not JSON", detail=said)
    misfit = None
    if tool.results is not None:
        misfit = results_misfit(tool, orjson.loads(result), result)
    if misfit is not None:
        # Not the value itself: what nobody described may be what nobody should see.
        noted = f"{NOT_FITTING}: see `/{misfit.rule}` of its schema"
        return failed(tool, NOT_FITTING, noted=noted, detail=said)
    return Receipt(
        status="done",
        result=result,
        content=Content(rest=result),
        cost_nanousd=tool.cost_nanousd,
        detail=said,
    )


def failed(
    tool: Tool,
    told: str,
    *,
    noted: str | None = None,
    detail: dict[str, Any] | None = None,
    result: bytes | None = None,
) -> Receipt:
    """It ran and came to nothing, so what a call costs is charged.

    The agent is told `told`, or `result`; `noted` is for those who may see more.
    """
    shown = orjson.dumps({"error": told[:ERROR_CHARACTERS_MAX]}) if result is None else result
    return Receipt(
        status="failed",
        result=shown,
        content=Content(rest=shown),
        cost_nanousd=tool.cost_nanousd,
        detail={**(detail or {}), "error": (noted or told)[:ERROR_CHARACTERS_MAX]},
    )


def not_attempted(error: QuarterdeckError, detail: dict[str, Any] | None = None) -> Receipt:
    """Provably nothing was begun, and nothing is charged."""
    message = error.message[:ERROR_CHARACTERS_MAX]
    return Receipt(
        status="not_attempted",
        result=orjson.dumps({"error": message}),
        detail={**(detail or {}), "error": message, "hint": error.hint},
    )
