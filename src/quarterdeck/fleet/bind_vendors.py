"""Vendors and the models bound to them: pinned, priced, and with nothing slipped in."""

from collections.abc import Iterator
from typing import Final

from quarterdeck.domain.dialects.refusals import ALLOWANCES
from quarterdeck.domain.fleets import Model, Vendor
from quarterdeck.domain.ids import VendorName
from quarterdeck.domain.money import Price
from quarterdeck.fleet import pins, prices
from quarterdeck.fleet.problems import Path, instead, quoted
from quarterdeck.fleet.schema import AgentEntry, FleetEntry, ModelEntry
from quarterdeck.fleet.sheets import Folder, Sheet, present

ROLES: Final = ("main", "router", "extractor", "judge")
#: What the gateway and the runner put into a model request themselves.
RESERVED_PARAMETERS: Final = frozenset(
    (
        "api_key",
        "base_url",
        "functions",
        "input",
        "messages",
        "model",
        "stream",
        "stream_options",
        "system",
        "tools",
    )
)


def vendors(folder: Folder, fleet: Sheet[FleetEntry]) -> dict[VendorName, Vendor]:
    """The vendors, each with the price of every model that is stated or used."""
    for name, vendor in fleet.entry.vendors.items():
        for number, allowed in enumerate(vendor.allow):
            fleet.knows(("vendors", name, "allow", number), "allowance", allowed, ALLOWANCES)
    tables = {
        name: {model: prices.stated(price) for model, price in vendor.prices.items()}
        for name, vendor in fleet.entry.vendors.items()
    }
    for sheet in present(folder.agents):
        for role, entry in _entries(sheet.entry):
            price = _price(sheet, ("models", role), entry, fleet)
            if price is not None:
                tables[entry.vendor].setdefault(entry.model, price)
    return {
        VendorName(name): Vendor(
            name=VendorName(name),
            dialect=vendor.dialect,
            base_url=vendor.base_url,
            secret=vendor.secret,
            prices=tables[name],
            allow=frozenset(vendor.allow),
        )
        for name, vendor in fleet.entry.vendors.items()
    }


def models(entry: AgentEntry) -> tuple[Model, ...]:
    """The models of an agent, in the order of their roles."""
    return tuple(
        Model(
            role=role,
            vendor=VendorName(model.vendor),
            model=model.model,
            parameters=model.parameters,
        )
        for role, model in _entries(entry)
    )


def _entries(entry: AgentEntry) -> Iterator[tuple[str, ModelEntry]]:
    for role in ROLES:
        if (model := getattr(entry.models, role)) is not None:
            yield role, model


def _price(
    sheet: Sheet[AgentEntry], path: Path, entry: ModelEntry, fleet: Sheet[FleetEntry]
) -> Price | None:
    """What the model costs, once it is known to be a pinned model of a known vendor."""
    for name in sorted(RESERVED_PARAMETERS & entry.parameters.keys()):
        at = (*path, "parameters", name)
        sheet.note(at, f"{quoted(name)} is set by the platform, not by a parameter", "remove it")
    if not sheet.knows((*path, "vendor"), "vendor", entry.vendor, fleet.entry.vendors):
        return None
    vendor = fleet.entry.vendors[entry.vendor]
    if why := pins.floating(entry.model, vendor.base_url, vendor.pinned):
        sheet.note((*path, "model"), f"{quoted(entry.model)} is {why[0]}", why[1])
        return None
    if (stated := vendor.prices.get(entry.model)) is not None:
        return prices.stated(stated)
    table = pins.DATED_HOSTS.get(pins.host_of(vendor.base_url))
    price = prices.compiled(table, entry.model) if table else None
    if price is None:
        message = f"the price of {quoted(entry.model)} is not known"
        sheet.note((*path, "model"), message, _where_to_state_it(entry, fleet))
    return price


def _where_to_state_it(entry: ModelEntry, fleet: Sheet[FleetEntry]) -> str:
    line = fleet.document.key_line(("vendors", entry.vendor))
    stated = sorted(fleet.entry.vendors[entry.vendor].prices)
    hint = (
        f"add `prices: {{{entry.model}: {{input: …, output: …}}}}`, in USD per million tokens, "
        f"to vendor `{entry.vendor}` (fleet.yaml:{line})"
    )
    return f"{hint}; or {instead(entry.model, stated)}" if stated else hint
