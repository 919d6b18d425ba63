"""Blast radius on an agent's page: the most it could do in one hour, figure by figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.console.plain import line
from quarterdeck.console.views import Badge
from quarterdeck.services.blast_radius import shown

_JUDGED: Final = {
    "within": "within what it declares",
    "above": "above what it declares, so that the same folder would not be applied again",
    "undeclared": "not declared, so that the same folder would not be applied again",
    "needless": "it is granted nothing that writes",
}
_UNBOUNDED: Final = Badge(text="unbounded", tone="bad")


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusRow:
    """One figure; a badge where nothing bounds it."""

    what: str
    most: str
    badge: Badge | None
    declared: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusRows:
    """All of them, and what the rule at `apply` says of them."""

    judgement: str
    rows: tuple[RadiusRow, ...]


def radius_rows(binding: Binding) -> RadiusRows:
    """What an agent's page shows of its blast radius."""
    found = shown(binding)
    figures = [_figure(figure, found["tools"]) for figure in found["figures"]]
    return RadiusRows(judgement=_JUDGED[found["judgement"]], rows=(*figures, _data(found)))


def _figure(figure: Mapping[str, Any], tools: list[dict[str, Any]]) -> RadiusRow:
    unbounded = figure["most"] is None
    return RadiusRow(
        what=str(figure["words"]).capitalize() if figure["words"].islower() else figure["words"],
        most=figure["most"] or "",
        badge=_UNBOUNDED if unbounded else None,
        declared=figure["declared"] or "not declared",
        because=line(_because(figure, tools), 400),
    )


def _because(figure: Mapping[str, Any], tools: list[dict[str, Any]]) -> str:
    if figure["most"] is None:
        return f"{figure['would_bound']} would bound it"
    said = []
    for tool in tools:
        if figure["quantity"] in tool["each"] and tool["taken"]:
            asks = ", each call asks a person" if tool["asks"] else ""
            said.append(f"{tool['tool']}: {tool['limit']}{asks}")
        elif figure["quantity"] in tool["each"]:
            said.append(f"{tool['tool']}: only suggested at this level")
    return "; ".join(said) or "no tool of it does this"


def _data(found: Mapping[str, Any]) -> RadiusRow:
    declared = found["data_declared"]
    servers = ", ".join(found["servers"])
    more = f"; resources of {servers} hold what no contract describes" if servers else ""
    return RadiusRow(
        what="Classes of data read",
        most=", ".join(found["data"]) or "none",
        badge=None,
        declared="not declared" if declared is None else ", ".join(declared) or "none",
        because=line(f"as the contracts of its tools say{more}", 400),
    )
