"""The sheets of a fleet folder bound to one another: every name resolves, or is a problem."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from quarterdeck.domain import limits
from quarterdeck.domain.fleets import Agent, Cap, Fleet, Person, SignIn
from quarterdeck.domain.ids import AgentName, RevisionHash, TeamName, ToolName
from quarterdeck.domain.radius import Radius
from quarterdeck.domain.tools import Tool
from quarterdeck.fleet import bind_servers, builtin
from quarterdeck.fleet.bind_tools import tools as bind_tools
from quarterdeck.fleet.bind_vendors import models
from quarterdeck.fleet.bind_vendors import vendors as bind_vendors
from quarterdeck.fleet.documents import text_of
from quarterdeck.fleet.problems import Findings, instead, quoted
from quarterdeck.fleet.revision import folder_version, revision
from quarterdeck.fleet.schema import AgentEntry, FleetEntry
from quarterdeck.fleet.sheets import Folder, Sheet, caps, named_as_file, present

WRITES: Final = frozenset(("write", "privileged"))


def bind(folder: Folder, found: Findings) -> Fleet | None:
    """The fleet, if nothing was found wrong here or before."""
    servers = bind_servers.servers(folder)
    tools = bind_tools(folder)
    for sheet in present(folder.agents):
        named_as_file(sheet, sheet.entry.name)
        _grants(sheet, folder, tools)
    if (fleet := folder.fleet) is None:
        return None
    teams = _teams(fleet)
    fleet_caps = caps(fleet, fleet.entry.budgets, ("budgets",))
    default_caps = caps(fleet, fleet.entry.defaults.budgets, ("defaults", "budgets"))
    vendors = bind_vendors(folder, fleet)
    drafts = [_agent(sheet, fleet, default_caps, folder) for sheet in present(folder.agents)]
    sign_in = _sign_in(fleet, folder)
    if found.problems:
        return None
    agents = {
        agent.name: replace(
            agent,
            revision=revision(agent, vendors=vendors, tools=tools, servers=servers, quotas=quotas),
        )
        for agent, quotas in drafts
    }
    return Fleet(
        name=fleet.entry.name,
        version=folder_version(folder.files),
        teams=teams,
        caps=fleet_caps,
        people=tuple(
            Person(id=id_, name=person.name, role=person.role)
            for id_, person in sorted(fleet.entry.people.items())
        ),
        vendors=vendors,
        tools=tools,
        agents=agents,
        servers=servers,
        sign_in=sign_in,
    )


def _sign_in(fleet: Sheet[FleetEntry], folder: Folder) -> SignIn | None:
    entry = fleet.entry.sign_in
    if entry is None:
        return None
    fleet.knows(("sign_in", "agent"), "agent", entry.agent, folder.agents)
    return SignIn(
        issuer=entry.issuer,
        audience=entry.audience,
        agent=AgentName(entry.agent),
        person=entry.person,
        scopes=tuple(entry.scopes),
    )


def _teams(fleet: Sheet[FleetEntry]) -> dict[TeamName, tuple[Cap, ...]]:
    people = fleet.entry.people
    if all(person.role != "owner" for person in people.values()):
        hint = "give one person `role: owner`: only an owner can approve changes and thaw"
        fleet.note(("people",), "nobody is an owner", hint)
    for name, team in fleet.entry.teams.items():
        fleet.knows(("teams", name, "owner"), "person", team.owner, people)
    if (default := fleet.entry.defaults.team) is not None:
        fleet.knows(("defaults", "team"), "team", default, fleet.entry.teams)
    return {
        TeamName(name): caps(fleet, team.budgets, ("teams", name, "budgets"))
        for name, team in fleet.entry.teams.items()
    }


def _grants(sheet: Sheet[AgentEntry], folder: Folder, tools: Mapping[ToolName, Tool]) -> None:
    """Every tool granted exists, once, and may be granted at the agent's level."""
    entry = sheet.entry
    known = {*folder.tools, *builtin.TOOLS}
    seen: set[str] = set()
    for index, name in enumerate(entry.tools):
        path = ("tools", index)
        if not sheet.knows(path, "tool", name, known):
            continue
        if name in seen:
            sheet.note(path, f"{quoted(name)} is granted twice", "keep one")
        seen.add(name)
        tool = tools.get(ToolName(name))
        if entry.autonomy == "L0" and tool is not None and tool.effect in WRITES:
            message = f"an L0 agent drafts only, and {quoted(name)} has effect `{tool.effect}`"
            hint = "remove it, or grant a tool with effect `draft`, or raise `autonomy`"
            sheet.note(path, message, hint)
    for name in entry.quotas.calls_per_tool:
        at = ("quotas", "calls_per_tool", name)
        sheet.knows(at, "tool granted to this agent", name, entry.tools)


def _agent(
    sheet: Sheet[AgentEntry],
    fleet: Sheet[FleetEntry],
    default_caps: tuple[Cap, ...],
    folder: Folder,
) -> tuple[Agent, Mapping[str, Any]]:
    """The agent without its revision, and the quotas that count towards it."""
    entry, defaults = sheet.entry, fleet.entry.defaults
    sheet.knows(("owner",), "person", entry.owner, fleet.entry.people)
    agent = Agent(
        name=AgentName(entry.name),
        team=_team(sheet, fleet),
        owner=entry.owner,
        purpose=entry.purpose,
        autonomy=entry.autonomy,
        critical=entry.criticality,
        models=models(entry),
        prompt=_prompt(sheet, folder.files),
        tools=tuple(ToolName(name) for name in entry.tools),
        caps=_bounded(caps(sheet, entry.budgets, ("budgets",)) or default_caps),
        turns_max=entry.turns_max or defaults.turns_max,
        run_seconds_max=entry.run_seconds_max or defaults.run_seconds_max,
        revision=RevisionHash(""),
        servers=bind_servers.grants(sheet, folder),
        radius=_radius(entry),
    )
    return agent, entry.quotas.model_dump(exclude_defaults=True)


def _radius(entry: AgentEntry) -> Radius | None:
    declared = entry.radius
    if declared is None:
        return None
    return Radius(
        money={currency: f"{amount:f}" for currency, amount in declared.money.items()},
        written=declared.written,
        deleted=declared.deleted,
        messages=declared.messages,
        data=frozenset(declared.data),
    )


def _team(sheet: Sheet[AgentEntry], fleet: Sheet[FleetEntry]) -> TeamName:
    name = sheet.entry.team
    if name is not None:
        sheet.knows(("team",), "team", name, fleet.entry.teams)
    elif fleet.entry.defaults.team is None:
        known = instead("", sorted(fleet.entry.teams)).replace("write", "add `team:` with", 1)
        sheet.note(("team",), "missing", f"{known}, or set `defaults.team` in fleet.yaml")
    return TeamName(name or fleet.entry.defaults.team or "")


def _bounded(written: tuple[Cap, ...]) -> tuple[Cap, ...]:
    """Never without a cap in money: one on tokens or calls alone does not bound their cost."""
    if any(cap.unit == "nanousd" for cap in written):
        return written
    return (Cap(unit="nanousd", period="day", amount=limits.AGENT_DAY_NANOUSD_DEFAULT), *written)


def _prompt(sheet: Sheet[AgentEntry], files: Mapping[str, bytes]) -> str:
    file = sheet.entry.prompt
    if file not in files:
        known = sorted(path for path in files if path.startswith("prompts/"))
        hint = instead(file, known) if known else "write that file"
        sheet.note(("prompt",), f"no file {quoted(file)} in the folder", hint)
        return ""
    text = text_of(file, files[file], sheet.found)
    if text is not None and not text.strip():
        sheet.found.add(file, "the prompt is empty", "write what the agent is to do", line=1)
    return text or ""
