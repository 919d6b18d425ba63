"""Builds everything once and closes it in reverse. No logic."""

import getpass
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from quarterdeck import keys as keyfiles
from quarterdeck.api import app as api
from quarterdeck.api.callers import Identification
from quarterdeck.api.driving import Driving
from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.checkpoint.checkpoint import Checkpoint
from quarterdeck.checkpoint.recording import Recorder
from quarterdeck.checkpoint.settling import Settling
from quarterdeck.checkpoint.spool import Spool
from quarterdeck.console import app as console
from quarterdeck.console.live import Live
from quarterdeck.console.perimeter import LOOPBACK
from quarterdeck.console.session import Sessions
from quarterdeck.domain.dialects import WIRES
from quarterdeck.domain.limits import PROCESS_HEARTBEAT_SECONDS, SEAL_SECONDS_MAX
from quarterdeck.gateways import agents
from quarterdeck.gateways.alive import Alive
from quarterdeck.gateways.described import description
from quarterdeck.gateways.llm.exchange import ModelGateway
from quarterdeck.gateways.llm.routes import Endpoint
from quarterdeck.gateways.llm.routes import endpoints as model_endpoints
from quarterdeck.gateways.mcp import oauth
from quarterdeck.gateways.mcp import routes as mcp_routes
from quarterdeck.gateways.mcp.door import door
from quarterdeck.gateways.mcp.gateway import McpGateway
from quarterdeck.gateways.mcp.places import Places
from quarterdeck.gateways.routes import DataPlane
from quarterdeck.keys import SealingKey
from quarterdeck.loops.forget_rates import forget_rates
from quarterdeck.loops.forget_secrets import forget_secrets
from quarterdeck.loops.give_back_memory import give_back_memory
from quarterdeck.loops.refresh_definitions import refresh_definitions
from quarterdeck.loops.renew_lease import renew_lease, watch_standing
from quarterdeck.loops.seal_ledger import seal_ledger
from quarterdeck.loops.settle_spooled import settle_spooled
from quarterdeck.loops.settle_unanswered import settle_unanswered
from quarterdeck.loops.sweep_actions import sweep_actions
from quarterdeck.loops.ticking import Tick
from quarterdeck.loops.watch_disk import watch_disk
from quarterdeck.orchestration.carrying import Carrying
from quarterdeck.orchestration.runner import Runner
from quarterdeck.services import Services
from quarterdeck.services.actions import Actions
from quarterdeck.services.agents import Agents
from quarterdeck.services.approvals import Approvals
from quarterdeck.services.backups import Backups
from quarterdeck.services.blast_radius import BlastRadii
from quarterdeck.services.changes import Changes
from quarterdeck.services.consents import Consents
from quarterdeck.services.conversations import Conversations
from quarterdeck.services.costs import Costs
from quarterdeck.services.definitions import Definitions
from quarterdeck.services.health import Health
from quarterdeck.services.keys import Keys
from quarterdeck.services.ledger import LedgerReadings
from quarterdeck.services.overview import Overview
from quarterdeck.services.plans import Plans
from quarterdeck.services.replies import Replies
from quarterdeck.services.runs import Runs
from quarterdeck.services.search import Search
from quarterdeck.services.secrets import Secrets
from quarterdeck.services.sessions import EndedSessions
from quarterdeck.services.suggestions import Suggestions
from quarterdeck.services.timeline import Timeline
from quarterdeck.services.views import Views
from quarterdeck.settings import Settings
from quarterdeck.sources import SystemClock, SystemDice, TimeSortedIds
from quarterdeck.store import standing
from quarterdeck.store.database import Database
from quarterdeck.store.keys import Keyring
from quarterdeck.store.sqlite import SqliteDatabase
from quarterdeck.store.standing import Process
from quarterdeck.upstream.models.call import ModelCall
from quarterdeck.upstream.models.client import ModelClient
from quarterdeck.upstream.reach import Connections, Reach, connections, reach
from quarterdeck.upstream.tools.call import ToolCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A running process: what entrances and loops are made of."""

    settings: Settings
    process: Process
    db: Database
    clock: SystemClock
    dice: SystemDice
    master: SealingKey
    keyring: Keyring
    bindings: Bindings
    checkpoint: Checkpoint
    settling: Settling
    models: ModelClient
    tools: ToolCalls
    runner: Runner
    carrying: Carrying
    services: Services
    gateways: Mapping[str, ModelGateway]
    mcp: McpGateway
    driving: Driving
    sessions: Sessions
    live: Live
    local_token: str = field(repr=False)
    local_user: str


def _open_database(settings: Settings, process: str, clock: SystemClock) -> Database:
    if settings.database_url is not None:
        # Not above: its driver takes 10 MB, and whoever stays on SQLite has no use for it.
        from quarterdeck.store.postgresql import (  # noqa: PLC0415  see above
            PostgresqlDatabase,
        )

        ids = TimeSortedIds()
        return PostgresqlDatabase(
            settings.database_url, writer=process, attempt=lambda: ids.new("att")
        )
    return SqliteDatabase(settings.folder / "quarterdeck.db", writer=process, clock=clock)


@asynccontextmanager
async def house(settings: Settings, *, role: str) -> AsyncIterator[House]:
    """Everything one process needs, from the database up."""
    clock, dice, ids = SystemClock(), SystemDice(), TimeSortedIds()
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    process = Process(id=ids.new("prc"), role=role, host=socket.gethostname(), pid=os.getpid())
    async with AsyncExitStack() as stack:
        known = settings.database_url is not None or (settings.folder / "quarterdeck.db").exists()
        master = keyfiles.open_master(settings.master_key_file, dice, is_known=known)
        db = _open_database(settings, process.id, clock)
        stack.push_async_callback(db.close)
        await _join(db, process, ids.new("inc"), alone=settings.database_url is None)
        stack.push_async_callback(_leave, db, process)
        outside = await stack.enter_async_context(connections())
        cookie_key = await Keyring(db, master, dice, {}).cookie_key()
        built = _build(settings, process, db, master, outside, cookie_key)
        stack.push_async_callback(built.tools.python.close)
        stack.push_async_callback(built.tools.mcp.close)
        stack.push_async_callback(built.settling.drain)
        stack.push_async_callback(built.mcp.passing.drain)
        stack.push_async_callback(built.carrying.drain)
        stack.push_async_callback(built.driving.drain)
        yield built


async def _join(db: Database, process: Process, incarnation: str, *, alone: bool) -> None:
    await db.write(lambda tx: standing.found(tx, incarnation))
    await db.write(lambda tx: standing.renew_lease(tx, process))
    if alone:
        await db.write(lambda tx: standing.end_other_leases(tx, process.id))


async def _leave(db: Database, process: Process) -> None:
    await db.write(lambda tx: standing.end_lease(tx, process.id))


def _build(
    settings: Settings,
    process: Process,
    db: Database,
    master: SealingKey,
    outside: Connections,
    cookie_key: bytes,
) -> House:
    clock, dice = SystemClock(), SystemDice()
    keyring = Keyring(db, master, dice, {})
    bindings = Bindings(db)
    checkpoint = _checkpoint(settings, process, db, keyring, bindings)
    settling = Settling(checkpoint)
    reached = reach(settings, checkpoint, outside)
    tools = reached.tools
    gateways = {
        wire.name: ModelGateway(
            wire=wire,
            checkpoint=checkpoint,
            client=reached.models,
            clock=clock,
            settle=settling.start,
        )
        for wire in WIRES.values()
    }
    runner = Runner(checkpoint, ModelCall(reached.models), tools)
    carrying = Carrying(checkpoint=checkpoint, tools=tools)
    services = _services(settings, master, reached, carrying)
    return House(
        settings=settings,
        process=process,
        db=db,
        clock=clock,
        dice=dice,
        master=master,
        keyring=keyring,
        bindings=bindings,
        checkpoint=checkpoint,
        settling=settling,
        models=reached.models,
        tools=tools,
        runner=runner,
        carrying=carrying,
        services=services,
        driving=Driving(runs=services.runs, runner=runner),
        sessions=Sessions(key=cookie_key, clock=clock, dice=dice),
        live=Live(services.timeline),
        local_token=dice.token(),
        local_user=getpass.getuser(),
        gateways=gateways,
        mcp=mcp_routes.build(
            mcp_routes.Parts(
                checkpoint=checkpoint,
                mcp=tools.mcp,
                use=tools.use,
                door=door(checkpoint, outside.named, outside.public),
                places=Places.of(settings.host, settings.gateway_url),
            )
        ),
    )


def _checkpoint(
    settings: Settings, process: Process, db: Database, keyring: Keyring, bindings: Bindings
) -> Checkpoint:
    return Checkpoint(
        db=db,
        bindings=bindings,
        recorder=Recorder(keyring),
        keyring=keyring,
        clock=SystemClock(),
        ids=TimeSortedIds(),
        dice=SystemDice(),
        process=process.id,
        spool=Spool(settings.folder / "spool", keyring.master),
    )


def _services(
    settings: Settings, master: SealingKey, reached: Reach, carrying: Carrying
) -> Services:
    clock, dice, ids = SystemClock(), SystemDice(), TimeSortedIds()
    checkpoint = carrying.checkpoint
    db = checkpoint.db
    keyring, bindings, seals = checkpoint.keyring, checkpoint.bindings, checkpoint.seals
    catalog = carrying.tools.mcp.catalog
    definitions = Definitions(
        db=db, bindings=bindings, dice=dice, states=catalog.states, released=catalog.released
    )
    runs = Runs(db=db, bindings=bindings, keyring=keyring, clock=clock, ids=ids, dice=dice)
    secrets = Secrets(db=db, master=master, clock=clock, dice=dice)
    consents = Consents(
        bindings=bindings,
        secrets=secrets,
        issuers=reached.consents,
        opened=catalog.opened,
        environment=settings.secrets,
    )
    return Services(
        actions=Actions(db=db),
        agents=Agents(bindings=bindings),
        approvals=Approvals(db=db, keyring=keyring, seals=seals, dice=dice),
        blast_radii=BlastRadii(bindings=bindings),
        backups=Backups(db=db, settings=settings, clock=clock, dice=dice),
        changes=Changes(db=db, bindings=bindings, clock=clock, dice=dice),
        consents=consents,
        conversations=Conversations(db=db),
        costs=Costs(db=db, clock=clock),
        definitions=definitions,
        health=Health(
            db=db,
            settings=settings,
            bindings=bindings,
            clock=clock,
            lines=reached.vendors.states,
            servers=reached.servers.states,
            definitions=definitions,
        ),
        keys=Keys(db=db, bindings=bindings, clock=clock, ids=ids, dice=dice),
        ledger=LedgerReadings(db=db, keyring=keyring, clock=clock, dice=dice),
        overview=Overview(db=db, bindings=bindings, settings=settings, clock=clock),
        plans=Plans(db=db),
        replies=Replies(db=db, keyring=keyring, clock=clock, dice=dice),
        runs=runs,
        search=Search(db=db, clock=clock, runs=runs),
        secrets=secrets,
        sessions=EndedSessions(db=db),
        suggestions=Suggestions(db=db, seals=seals, runs=runs, carry=carrying.call),
        timeline=Timeline(db=db),
        views=Views(db=db),
    )


def application(built: House, *, role: str = "all") -> Endpoint:
    """The whole product as one ASGI application; a role leaves out what it does not serve."""
    plane: dict[tuple[str, str], Endpoint] = {}
    if role in ("all", "gateway"):
        plane = model_endpoints(built.gateways, built.checkpoint, built.clock)
        plane |= mcp_routes.endpoints(built.mcp)
        plane |= oauth.endpoints(built.bindings)
        plane |= agents.endpoints(built.checkpoint, built.carrying.plan)
    return DataPlane(plane, _people(built, role))


def _people(built: House, role: str) -> Endpoint:
    """What people and programs of people use; a gateway process alone serves none of it."""
    if role not in ("all", "console"):
        alive = Alive(built.db, built.services.health.circuits)
        return Starlette(routes=[Route("/v1/healthz", alive)])
    identify = Identification(
        keys=built.services.keys,
        checkpoint=built.checkpoint,
        local_token=built.local_token,
        local_user=built.local_user,
    )
    hosts = LOOPBACK | {built.settings.host}
    people = Starlette(
        routes=[
            Route("/", RedirectResponse("/console/")),
            Mount(
                "/console",
                console.build(built.services, built.sessions, live=built.live, hosts=hosts),
            ),
        ]
    )
    # Not a mount: a path with a line break fits none, and would be answered in nobody's words.
    people.router.default = api.build(
        built.services,
        built.driving,
        identify,
        make_link=built.sessions.one_time_link,
        beside=description(served=role == "all", url=built.settings.gateway_url),
    )
    return people


def ticks(built: House) -> list[Tick]:
    """The background work of one process. A gateway and a console only keep themselves going."""
    checkpoint, role = built.checkpoint, built.process.role
    own = [
        Tick(
            name="renew_lease",
            seconds=PROCESS_HEARTBEAT_SECONDS,
            run=lambda: renew_lease(checkpoint, built.process),
        ),
        Tick(
            name="watch_standing",
            seconds=1,
            run=lambda: watch_standing(built.db, checkpoint.watch),
        ),
        Tick(name="settle_spooled", seconds=2, run=lambda: settle_spooled(checkpoint)),
        Tick(
            name="refresh_definitions",
            seconds=2,
            run=lambda: refresh_definitions(built.bindings, built.tools.mcp.catalog.refresh),
        ),
        Tick(name="settle_unanswered", seconds=1, run=lambda: settle_unanswered(checkpoint)),
        Tick(name="give_back_memory", seconds=60, run=give_back_memory),
    ]
    if built.settings.database_url is None:  # else it is the server's disk that counts
        folder = built.settings.folder
        own.append(
            Tick(name="watch_disk", seconds=1, run=lambda: watch_disk(checkpoint.watch, folder))
        )
    return own if role in ("gateway", "console") else own + _shared_ticks(built)


def _shared_ticks(built: House) -> list[Tick]:
    """What any one process does for all; where there are roles, the workers."""
    return [
        Tick(
            name="sweep_actions",
            seconds=5,
            run=lambda: sweep_actions(built.checkpoint, built.tools.use),
        ),
        Tick(
            name="seal_ledger",
            seconds=SEAL_SECONDS_MAX,
            run=lambda: seal_ledger(built.db, built.keyring),
        ),
        Tick(name="forget_rates", seconds=600, run=lambda: forget_rates(built.db, built.clock)),
        Tick(name="forget_secrets", seconds=60, run=lambda: forget_secrets(built.db)),
    ]
