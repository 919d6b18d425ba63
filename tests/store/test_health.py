"""What `doctor` sees: each thing that can be wrong is made wrong, and said with what to do."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quarterdeck.checkpoint.bindings import Bindings
from quarterdeck.domain.errors import Forbidden
from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.limits import DISK_FREE_BYTES_MIN
from quarterdeck.domain.people import Caller
from quarterdeck.keys import make_master
from quarterdeck.loops.seal_ledger import seal_ledger
from quarterdeck.services.definitions import Definitions
from quarterdeck.services.health import Check, Health, worst
from quarterdeck.settings import Settings
from quarterdeck.sources import SystemClock
from quarterdeck.store import actions, doubts, secrets, standing
from quarterdeck.store.postgresql import connect
from tests.fleets import files
from tests.postgresql import server
from tests.store.places import DICE, OWNER, Desk, ended_sessions


class ShiftedClock(SystemClock):
    """A clock that is wrong."""

    seconds: int = 0

    def now(self) -> datetime:
        """The wrong time."""
        return super().now() + timedelta(seconds=type(self).seconds)

    def micros(self) -> int:
        """The wrong time."""
        return super().micros() + type(self).seconds * 1_000_000


def clock_off_by(seconds: int) -> SystemClock:
    """A clock so many seconds fast."""
    wrong = type("Wrong", (ShiftedClock,), {"seconds": seconds})
    found: SystemClock = wrong()
    return found


def health_of(
    desk: Desk, *, settings: Settings | None = None, clock: SystemClock | None = None
) -> Health:
    """The service on a desk's database."""
    return Health(
        db=desk.db,
        settings=settings or desk.place.settings,
        bindings=Bindings(desk.db),
        clock=clock or SystemClock(),
        definitions=Definitions(db=desk.db, bindings=Bindings(desk.db), dice=DICE),
    )


async def look(desk: Desk, name: str, **changes: Any) -> Check:
    """One check by its name."""
    checks = await health_of(desk, **changes).check(OWNER)
    return next(check for check in checks if check.name == name)


async def test_of_a_healthy_system_only_what_is_not_known_or_missing_is_said(desk: Desk) -> None:
    await desk.act()
    await seal_ledger(desk.db, desk.keyring)
    checks = await health_of(desk).check(OWNER)
    states = {check.name: check.state for check in checks if check.state != "ok"}
    expected = {"ledger witness": "warn"}
    if desk.db.dialect == "postgresql":
        expected["database disk"] = "unknown"
    assert states == expected
    assert worst(checks) == "warn"
    assert all(check.sentence for check in checks)
    assert all(check.do for check in checks if check.state in ("warn", "fail"))


async def test_an_agent_may_not_ask(desk: Desk) -> None:
    with pytest.raises(Forbidden):
        await health_of(desk).check(
            Caller(id="agent:clerk", role="agent", agent=AgentName("clerk"))
        )


def test_not_knowing_is_never_well() -> None:
    ok = Check(name="a", state="ok", sentence="s")
    assert worst([ok]) == "ok"
    assert worst([ok, replace(ok, state="unknown")]) == "unknown"
    assert worst([replace(ok, state="unknown"), replace(ok, state="warn")]) == "warn"
    assert worst([replace(ok, state="warn"), replace(ok, state="fail")]) == "fail"


async def test_while_the_database_is_away_what_rests_on_it_is_unknown(desk: Desk) -> None:
    """Method: let nobody connect to the server's database; take tables out of the file."""
    raw, health = desk.place.raw(), health_of(desk)
    if desk.place.url is None:
        for table in ("standing", "spans", "heads", "keys"):
            raw.run(f"drop table {table}")
        checks = {check.name: check for check in await health.check(OWNER)}
        assert checks["database"].state == "ok", "it answers"
    else:
        name = raw.run("select current_database() as name")[0]["name"]
        with connect(server().url) as admin:
            admin.execute(f"alter database {name} allow_connections false")
            ended_sessions(raw)
            checks = {check.name: check for check in await health.check(OWNER)}
            admin.execute(f"alter database {name} allow_connections true")
        assert checks["database"].state == "fail"
        assert "cannot read from PostgreSQL" in checks["database"].sentence
    for about in ("master key", "fleet", "secrets", "upstream accounts", "ledger", "clock"):
        assert checks[about].state == "unknown", about
        assert checks[about].sentence.startswith("could not look")
    assert checks["disk"].state == "ok"


async def test_a_schema_of_another_version_fails(desk: Desk) -> None:
    old = {
        "sqlite": "pragma user_version=0",
        "postgresql": "update schema_version set number = number - 99",
    }
    desk.place.raw().run(old[desk.db.dialect])
    check = await look(desk, "database")
    assert check.state == "fail"
    assert "the database is at schema" in check.sentence


@pytest.mark.parametrize(
    ("free", "state"),
    [
        (DISK_FREE_BYTES_MIN - 1, "fail"),
        (DISK_FREE_BYTES_MIN + 1, "warn"),
        (DISK_FREE_BYTES_MIN * 100, "ok"),
    ],
)
async def test_a_disk_that_fills_is_said_before_it_is_full(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    def usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(total=0, used=0, free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert (await look(desk, "disk")).state == state


async def test_a_folder_that_cannot_be_looked_at_is_unknown(desk: Desk, tmp_path: Path) -> None:
    settings = replace(desk.place.settings, folder=tmp_path / "gone")
    check = await look(desk, "disk", settings=settings)
    assert check.state == "unknown"


def _readable(key: Path) -> None:
    key.chmod(0o644)


def _gone(key: Path) -> None:
    key.unlink()


def _another(key: Path) -> None:
    key.unlink()
    make_master(key, DICE)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_readable, "others can read the master key"),
        (_gone, "cannot read the master key"),
        (_another, "cannot be opened with this key"),
    ],
)
async def test_a_master_key_that_is_not_right_fails(
    desk: Desk, harm: Callable[[Path], None], said: str
) -> None:
    harm(desk.place.settings.master_key_file)
    check = await look(desk, "master key")
    assert check.state == "fail"
    assert said in check.sentence
    assert check.do


async def test_a_clock_behind_the_ledger_fails(desk: Desk) -> None:
    await seal_ledger(desk.db, desk.keyring)
    check = await look(desk, "clock", clock=clock_off_by(-60))
    assert check.state == "fail"
    assert "before the ledger's newest head" in check.sentence


async def test_a_clock_apart_from_the_servers_is_said(desk: Desk) -> None:
    expected = {"sqlite": ["ok", "ok"], "postgresql": ["warn", "fail"]}[desk.db.dialect]
    found = [(await look(desk, "clock", clock=clock_off_by(s))).state for s in (3, 30)]
    assert found == expected


async def test_with_no_process_alive_that_is_said(desk: Desk) -> None:
    assert "1 alive: all on here (pid 1)" in (await look(desk, "processes")).sentence
    await desk.db.write(lambda tx: standing.end_lease(tx, "prc_1"))
    check = await look(desk, "processes")
    assert (check.state, check.sentence) == ("warn", "no process holds a lease")


async def test_with_no_fleet_what_a_fleet_would_say_is_unknown(desk: Desk) -> None:
    desk.place.raw().run("update standing set fleet_version = null")
    checks = {check.name: check.state for check in await health_of(desk).check(OWNER)}
    assert (checks["fleet"], checks["secrets"]) == ("warn", "unknown")
    assert checks["upstream accounts"] == "unknown"


def _with_secrets(second_agent: str) -> dict[str, bytes]:
    """The small fleet, its vendors with secrets and a second agent on one of them."""
    found = dict(files())
    fleet = found["fleet.yaml"].decode()
    fleet = fleet.replace("dialect: openai", "dialect: openai\n    secret: openai_key")
    fleet = fleet.replace("dialect: anthropic", "dialect: anthropic\n    secret: Anthropic_Key")
    found["fleet.yaml"] = fleet.encode()
    agent = found["agents/clerk.yaml"].decode()
    agent = "\n".join(line for line in agent.splitlines() if "judge" not in line)
    found["agents/clerk.yaml"] = agent.encode()
    second = agent.replace("name: clerk", "name: scribe")
    second = second.replace("{vendor: local, model: small-1}", second_agent)
    found["agents/scribe.yaml"] = second.encode()
    return found


async def test_secrets_that_are_not_set_are_named(desk: Desk) -> None:
    """Goal: what is missing is said by name, wherever a secret may come from. Method: none set,
    then one in the database, then the other in the environment; values appear nowhere."""
    await desk.changes.apply(OWNER, _with_secrets("{vendor: other, model: other-1}"))
    check = await look(desk, "secrets")
    assert check.state == "fail"
    assert "`Anthropic_Key`, `openai_key`" in check.sentence
    await desk.db.write(lambda tx: secrets.put(tx, desk.place.master(), "openai_key", "hidden-1"))
    check = await look(desk, "secrets")
    assert "`Anthropic_Key`" in check.sentence
    assert "openai_key" not in check.sentence
    settings = replace(desk.place.settings, secrets={"anthropic_key": "hidden-2"})
    checks = await health_of(desk, settings=settings).check(OWNER)
    assert next(c.state for c in checks if c.name == "secrets") == "ok"
    assert "hidden" not in repr(checks)


@pytest.mark.parametrize(
    ("model", "state"),
    [("{vendor: other, model: other-1}", "ok"), ("{vendor: local, model: small-1}", "warn")],
)
async def test_two_agents_on_one_upstream_account_are_a_warning(
    desk: Desk, model: str, state: str
) -> None:
    await desk.changes.apply(OWNER, _with_secrets(model))
    check = await look(desk, "upstream accounts")
    assert check.state == state
    if state == "warn":
        assert "`openai_key`: clerk, scribe" in check.sentence


async def test_actions_in_doubt_are_counted(desk: Desk) -> None:
    begun = await desk.begin("pay", 1)
    await desk.db.write(lambda tx: actions.doubt(tx, begun.action.id))
    check = await look(desk, "actions in doubt")
    assert check.state == "warn"
    assert begun.action.id in check.do


async def test_what_ended_without_anybody_knowing_is_counted_for_a_day(desk: Desk) -> None:
    assert (await look(desk, "actions in doubt")).state == "ok"
    begun = await desk.begin("pay", 1)
    await desk.db.write(lambda tx: doubts.end(tx, begun.action.id))
    check = await look(desk, "actions in doubt")
    assert check.state == "warn"
    assert "nobody knows whether they took place" in check.sentence
    assert begun.action.id in check.do
    later = await look(desk, "actions in doubt", clock=clock_off_by(25 * 3600))
    assert later.state == "ok"


async def test_receipts_that_wait_beside_the_database_are_counted(desk: Desk) -> None:
    folder = desk.place.folder / "spool"
    folder.mkdir()
    (folder / "act_1").write_bytes(b"sealed")
    check = await look(desk, "spool")
    assert check.state == "warn"
    assert check.sentence.startswith("1 receipts wait")


async def test_entries_that_wait_too_long_to_be_sealed_are_said(desk: Desk) -> None:
    check = await look(desk, "ledger")
    assert (check.state, check.sentence[:22]) == ("ok", "2 entries wait to be s")
    check = await look(desk, "ledger", clock=clock_off_by(120))
    assert check.state == "warn"
    await seal_ledger(desk.db, desk.keyring)
    check = await look(desk, "ledger", clock=clock_off_by(120))
    assert (check.state, check.sentence) == ("ok", "every entry is under a signed head")
