"""Vendors and the models bound to them: pinned, priced, and with nothing slipped in."""

from collections.abc import Iterator
from typing import Final

from quarterdeck.domain.dialects.refusals import ALLOWANCES
from quarterdeck.domain.fleets import AUTH_OF_DIALECT, Fallback, Model, Timeouts, Vendor, takes
from quarterdeck.domain.ids import VendorName
from quarterdeck.domain.money import Price
from quarterdeck.fleet import pins, prices
from quarterdeck.fleet.problems import Path, instead, quoted
from quarterdeck.fleet.schema import AgentEntry, FleetEntry, VendorEntry
from quarterdeck.fleet.schema.agent import ModelEntry
from quarterdeck.fleet.sheets import Folder, Sheet, present

ROLES: Final = ("main", "router", "extractor", "judge")
#: What the gateway and the runner put into a model request themselves.
RESERVED_PARAMETERS: Final = frozenset(
    (
        "api_key",
        "base_url",
        "contents",
        "functions",
        "input",
        "messages",
        "model",
        "stream",
        "stream_options",
        "system",
        "systemInstruction",
        "toolConfig",
        "tools",
    )
)


def vendors(folder: Folder, fleet: Sheet[FleetEntry]) -> dict[VendorName, Vendor]:
    """The vendors, each with the price of every model that is stated or used."""
    for name, vendor in fleet.entry.vendors.items():
        for number, allowed in enumerate(vendor.allow):
            fleet.knows(("vendors", name, "allow", number), "allowance", allowed, ALLOWANCES)
        _check_auth(fleet, name, vendor)
    tables = {
        name: {model: prices.stated(price) for model, price in vendor.prices.items()}
        for name, vendor in fleet.entry.vendors.items()
    }
    for sheet in present(folder.agents):
        for role, entry in _entries(sheet.entry):
            _check_parameters(sheet, ("models", role), entry)
            places: list[tuple[Path, str, str]] = [(("models", role), entry.vendor, entry.model)]
            if entry.fallback is not None:
                _check_fallback(sheet, ("models", role, "fallback"), entry, fleet)
                second = entry.fallback
                places.append(
                    (("models", role, "fallback"), second.vendor, second.model or entry.model)
                )
            for path, name, model in places:
                price = _price(sheet, path, name, model, fleet)
                if price is not None:
                    tables[name].setdefault(model, price)
    return {
        VendorName(name): _vendor(name, vendor, tables[name])
        for name, vendor in fleet.entry.vendors.items()
    }


def _vendor(name: str, entry: VendorEntry, table: dict[str, Price]) -> Vendor:
    return Vendor(
        name=VendorName(name),
        dialect=entry.dialect,
        base_url=entry.base_url,
        secret=entry.secret,
        prices=table,
        allow=frozenset(entry.allow),
        auth=entry.auth or AUTH_OF_DIALECT[entry.dialect],
        region=entry.region,
        timeouts=Timeouts(**entry.timeouts.model_dump()),
        retries=entry.retries,
        calls_max=entry.calls_max,
    )


def _check_auth(fleet: Sheet[FleetEntry], name: str, vendor: VendorEntry) -> None:
    """A signature needs a region and a key; nothing else has a region."""
    path = ("vendors", name)
    signed = (vendor.auth or AUTH_OF_DIALECT[vendor.dialect]) == "aws-sigv4"
    if signed and vendor.secret is not None and vendor.region is None:
        hint = "add the region of its address, such as `region: eu-central-1`"
        fleet.note(path, "requests to it are signed for a region, and none is named", hint)
    if not signed and vendor.region is not None:
        hint = "remove it, or write `auth: aws-sigv4`"
        fleet.note((*path, "region"), "only signed requests have a region", hint)


def _check_fallback(
    sheet: Sheet[AgentEntry], path: Path, entry: ModelEntry, fleet: Sheet[FleetEntry]
) -> None:
    """The fallback takes the same requests, and may do all that was allowed of the first."""
    assert entry.fallback is not None
    known, name = fleet.entry.vendors, entry.fallback.vendor
    if name == entry.vendor:
        hint = "name another vendor entry; the same one is tried again by `retries`"
        sheet.note((*path, "vendor"), f"{quoted(name)} is the vendor it is to stand in for", hint)
        return
    first, second = known.get(entry.vendor), known.get(name)
    if first is None or second is None:
        return  # noted where names are looked up
    if not takes(second.dialect, first.dialect):
        message = f"{quoted(name)} speaks `{second.dialect}`, the first vendor `{first.dialect}`"
        sheet.note((*path, "vendor"), message, "name a vendor of the same dialect")
    for allowed in sorted(set(first.allow) - set(second.allow)):
        hint = f"add it to `vendors.{name}.allow` in fleet.yaml, or choose another fallback"
        sheet.note((*path, "vendor"), f"{quoted(name)} does not allow {quoted(allowed)}", hint)


def models(entry: AgentEntry) -> tuple[Model, ...]:
    """The models of an agent, in the order of their roles."""
    return tuple(
        Model(
            role=role,
            vendor=VendorName(model.vendor),
            model=model.model,
            parameters=model.parameters,
            fallback=None
            if model.fallback is None
            else Fallback(
                vendor=VendorName(model.fallback.vendor),
                model=model.fallback.model or model.model,
            ),
        )
        for role, model in _entries(entry)
    )


def _entries(entry: AgentEntry) -> Iterator[tuple[str, ModelEntry]]:
    for role in ROLES:
        if (model := getattr(entry.models, role)) is not None:
            yield role, model


def _check_parameters(sheet: Sheet[AgentEntry], path: Path, entry: ModelEntry) -> None:
    for name in sorted(RESERVED_PARAMETERS & entry.parameters.keys()):
        at = (*path, "parameters", name)
        sheet.note(at, f"{quoted(name)} is set by the platform, not by a parameter", "remove it")


def _price(
    sheet: Sheet[AgentEntry], path: Path, name: str, model: str, fleet: Sheet[FleetEntry]
) -> Price | None:
    """What the model costs, once it is known to be a pinned model of a known vendor."""
    if not sheet.knows((*path, "vendor"), "vendor", name, fleet.entry.vendors):
        return None
    vendor = fleet.entry.vendors[name]
    if why := pins.floating(model, vendor.base_url, vendor.pinned):
        sheet.note((*path, "model"), f"{quoted(model)} is {why[0]}", why[1])
        return None
    if (stated := vendor.prices.get(model)) is not None:
        return prices.stated(stated)
    table = pins.DATED_HOSTS.get(pins.host_of(vendor.base_url))
    price = prices.compiled(table, model) if table else None
    if price is None:
        message = f"the price of {quoted(model)} is not known"
        sheet.note((*path, "model"), message, _where_to_state_it(name, model, fleet))
    return price


def _where_to_state_it(name: str, model: str, fleet: Sheet[FleetEntry]) -> str:
    line = fleet.document.key_line(("vendors", name))
    stated = sorted(fleet.entry.vendors[name].prices)
    hint = (
        f"add `prices: {{{model}: {{input: …, output: …}}}}`, in USD per million tokens, "
        f"to vendor `{name}` (fleet.yaml:{line})"
    )
    return f"{hint}; or {instead(model, stated)}" if stated else hint
