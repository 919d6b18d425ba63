"""What a change of the fleet folder does, in sentences short enough to be read.

INVARIANT: two fleets that differ in anything but their version give at least one change, and a
fleet compared with itself gives none. So an empty answer means that nothing will happen.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from quarterdeck.domain.fleets import Agent, Cap, Fleet, Model, Person, Vendor
from quarterdeck.domain.money import Price, usd
from quarterdeck.domain.servers import Server
from quarterdeck.domain.tools import Backend, HttpBackend, McpBackend, PythonBackend, Tool

Noun: TypeAlias = Literal["fleet", "team", "person", "vendor", "server", "tool", "agent"]
Kind: TypeAlias = Literal["added", "removed", "changed"]
Sentences: TypeAlias = Iterator[str]

SHOWN_CHARACTERS_MAX: Final = 80
#: Follow from other fields; saying that a hash changed says nothing.
DERIVED: Final = frozenset(("digest", "revision", "version"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One noun that was added, removed or changed, and what that means."""

    noun: Noun
    name: str
    kind: Kind
    details: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{self.noun} `{self.name}` {self.kind}"
        return f"{head}: {'; '.join(self.details)}" if self.details else head


def changes(old: Fleet | None, new: Fleet) -> tuple[Change, ...]:
    """What putting `new` in the place of `old` changes; empty if nothing."""
    if old is None:
        caps = tuple(_cap(cap) for cap in new.caps)
        return (
            Change(noun="fleet", name=new.name, kind="added", details=caps),
            *_all(_nouns(None), _nouns(new)),
        )
    found = tuple(_fleet(old, new))
    fleet = Change(noun="fleet", name=new.name, kind="changed", details=found)
    return ((fleet,) if found else ()) + _all(_nouns(old), _nouns(new))


_Nouns: TypeAlias = Mapping[Noun, Mapping[str, Any]]


def _nouns(fleet: Fleet | None) -> _Nouns:
    if fleet is None:
        return {"team": {}, "person": {}, "vendor": {}, "server": {}, "tool": {}, "agent": {}}
    return {
        "team": {str(name): team for name, team in fleet.teams.items()},
        "person": {person.id: person for person in fleet.people},
        "vendor": {str(name): vendor for name, vendor in fleet.vendors.items()},
        "server": {str(name): server for name, server in fleet.servers.items()},
        "tool": {str(name): tool for name, tool in fleet.tools.items()},
        "agent": {str(name): agent for name, agent in fleet.agents.items()},
    }


def _all(old: _Nouns, new: _Nouns) -> tuple[Change, ...]:
    return tuple(change for noun in new for change in _one_noun(noun, old.get(noun, {}), new[noun]))


def _one_noun(noun: Noun, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            details = tuple(_INTRODUCED[noun](new[name]))
            yield Change(noun=noun, name=name, kind="added", details=details)
        elif name not in new:
            yield Change(noun=noun, name=name, kind="removed", details=())
        elif old[name] != new[name] and (details := tuple(_COMPARED[noun](old[name], new[name]))):
            yield Change(noun=noun, name=name, kind="changed", details=details)


# --- how each noun is introduced when it is new


def _new_agent(agent: Agent) -> Sentences:
    yield f"autonomy {agent.autonomy}"
    yield f"models {', '.join(f'`{model.model}`' for model in agent.models)}"
    yield f"tools {', '.join(f'`{tool}`' for tool in agent.tools) or 'none'}"
    yield from (_cap(cap) for cap in agent.caps)


def _new_tool(tool: Tool) -> Sentences:
    yield f"effect {tool.effect}"


def _new_server(server: Server) -> Sentences:
    yield f"{server.protocol} at {server.url or ' '.join(server.command)}"


def _new_vendor(vendor: Vendor) -> Sentences:
    yield f"{vendor.dialect} at {vendor.base_url}"


def _new_person(person: Person) -> Sentences:
    yield person.role


def _new_team(team: tuple[Cap, ...]) -> Sentences:
    yield from (_cap(cap) for cap in team)


# --- how two versions of each noun are compared


def _fleet(old: Fleet, new: Fleet) -> Sentences:
    if old.name != new.name:
        yield f"name `{old.name}` → `{new.name}`"
    if old.sign_in != new.sign_in:
        yield f"people's sign-in {_issuer(old)} → {_issuer(new)}"
    yield from _caps(old.caps, new.caps)


def _issuer(fleet: Fleet) -> str:
    return "none" if fleet.sign_in is None else f"`{fleet.sign_in.issuer}`"


def _agent(old: Agent, new: Agent) -> Sentences:
    if old.prompt != new.prompt:
        yield f"prompt changed ({_size(old.prompt)} → {_size(new.prompt)})"
    yield from _tools(old.tools, new.tools)
    yield from _models(old, new)
    yield from _caps(old.caps, new.caps)
    yield from _plain(old, new, {"prompt", "tools", "models", "caps"})
    # The revision can move for what the agent itself does not show: a tool's code, a vendor's URL.
    if old.revision != new.revision and replace(old, revision=new.revision) == new:
        yield "new revision: a tool, quota or vendor it uses changed, or how it is carried out"


def _tool(old: Tool, new: Tool) -> Sentences:
    for schema in ("arguments", "results"):
        if getattr(old, schema) != getattr(new, schema):
            yield f"{schema} schema changed"
    if old.backend != new.backend:
        yield from _backend(old.backend, new.backend)
    if old.cost_nanousd != new.cost_nanousd:
        yield f"cost {usd(old.cost_nanousd)} → {usd(new.cost_nanousd)} USD a call"
    yield from _plain(old, new, {"arguments", "results", "backend", "cost_nanousd"})
    if old.digest != new.digest and replace(old, digest=new.digest) == new:
        yield "how it is carried out changed"


def _backend(old: Backend | None, new: Backend | None) -> Sentences:
    if new is None:
        yield "no longer carried out here"
    elif old is None or type(old) is not type(new):
        yield f"carried out by {_where(new)}"
    elif isinstance(new, PythonBackend):
        yield "Python function changed"
    else:
        yield from _plain(old, new, set())


def _where(backend: Backend) -> str:
    match backend:
        case PythonBackend():
            return "a Python function"
        case McpBackend():
            return f"`{backend.tool}` of the MCP server `{backend.server}`"
        case HttpBackend():
            return f"`{backend.method} {backend.path}` of `{backend.server}`"


def _server(old: Server, new: Server) -> Sentences:
    if old.files != new.files:
        yield "the files of its command changed"
    yield from _plain(old, new, {"files"})


def _vendor(old: Vendor, new: Vendor) -> Sentences:
    for model in sorted(old.prices.keys() | new.prices.keys()):
        before, after = old.prices.get(model), new.prices.get(model)
        if before != after:
            yield f"price of `{model}` {_price(before)} → {_price(after)}"
    for name in sorted(new.allow - old.allow):
        yield f"allows `{name}`"
    for name in sorted(old.allow - new.allow):
        yield f"no longer allows `{name}`"
    yield from _plain(old, new, {"prices", "allow"})


def _person(old: Person, new: Person) -> Sentences:
    yield from _plain(old, new, set())


def _tools(old: tuple[str, ...], new: tuple[str, ...]) -> Sentences:
    gained = [f"`{name}`" for name in new if name not in old]
    lost = [f"`{name}`" for name in old if name not in new]
    if gained:
        yield f"tools gained: {', '.join(gained)}"
    if lost:
        yield f"tools lost: {', '.join(lost)}"
    if old != new and not gained and not lost:
        yield "tools in another order"


def _models(old: Agent, new: Agent) -> Sentences:
    before = {model.role: model for model in old.models}
    after = {model.role: model for model in new.models}
    for role in sorted(before.keys() | after.keys()):
        was, now = before.get(role), after.get(role)
        if was is None and now is not None:
            yield f"{role} model added: {_model(now)}"
        elif was is not None and now is None:
            yield f"{role} model removed: {_model(was)}"
        elif was is not None and now is not None and was != now:
            if (was.model, was.vendor) != (now.model, now.vendor):
                yield f"{role} model {_model(was)} → {_model(now)}"
            if was.parameters != now.parameters:
                yield f"{role} model's parameters changed"
            if was.fallback != now.fallback:
                yield f"{role} model's fallback {_fallback(was)} → {_fallback(now)}"


def _caps(old: tuple[Cap, ...], new: tuple[Cap, ...]) -> Sentences:
    before = {(cap.unit, cap.period): cap for cap in old}
    after = {(cap.unit, cap.period): cap for cap in new}
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            yield f"{_cap(now)} added"
        elif was is not None and now is None:
            yield f"{_cap(was)} removed"
        elif was is not None and now is not None and was.amount != now.amount:
            way = "raised" if now.amount > was.amount else "lowered"
            yield f"{_cap(was)} {way} to {_amount(now)}"


def _plain(old: Any, new: Any, told: set[str]) -> Sentences:
    """Every other field that differs, by its name: a field added later is never passed over."""
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name not in told | DERIVED and before != after:
            yield f"{field.name.replace('_', ' ')} {_shown(before)} → {_shown(after)}"


# --- values in words


def _cap(cap: Cap) -> str:
    return f"cap of {_amount(cap)} a {cap.period}"


def _amount(cap: Cap) -> str:
    return f"{usd(cap.amount)} USD" if cap.unit == "nanousd" else f"{cap.amount} {cap.unit}"


def _model(model: Model) -> str:
    return f"`{model.model}` at `{model.vendor}`"


def _fallback(model: Model) -> str:
    second = model.fallback
    return "none" if second is None else f"`{second.model}` at `{second.vendor}`"


def _price(price: Price | None) -> str:
    if price is None:
        return "none"
    return f"{usd(price.input)} in, {usd(price.output)} out ({price.version})"


def _size(text: str) -> str:
    return f"{len(text)} characters"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    text = str(value).lower() if isinstance(value, bool) else _said(value)
    if not text:
        return "none"
    line = " ".join(text.split())
    return f"`{line[:SHOWN_CHARACTERS_MAX]}…`" if len(line) > SHOWN_CHARACTERS_MAX else f"`{line}`"


def _said(value: object) -> str:
    """What a part of a file says, without the names of our own classes."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in sorted(value.items()))
    if isinstance(value, tuple | frozenset):
        return ", ".join(sorted(_said(item) for item in value))
    if is_dataclass(value) and type(value).__str__ is object.__str__:
        said = ((f.name, getattr(value, f.name)) for f in fields(value))
        return ", ".join(f"{name} {_said(inner)}" for name, inner in said if inner)
    return str(value)


_INTRODUCED: Final[Mapping[Noun, Callable[[Any], Sentences]]] = {
    "agent": _new_agent,
    "server": _new_server,
    "tool": _new_tool,
    "vendor": _new_vendor,
    "person": _new_person,
    "team": _new_team,
}
_COMPARED: Final[Mapping[Noun, Callable[[Any, Any], Sentences]]] = {
    "agent": _agent,
    "server": _server,
    "tool": _tool,
    "vendor": _vendor,
    "person": _person,
    "team": _caps,
}
