"""The books after whatever happened, against the effects that were really seen outside."""

import base64
import contextlib
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson

import quarterdeck.verifier
from quarterdeck.sources import SystemClock, TimeSortedIds
from quarterdeck.store import actions
from quarterdeck.store.database import Database
from quarterdeck.store.postgresql import PostgresqlDatabase
from quarterdeck.store.sqlite import SqliteDatabase
from tests.e2e.processes import Launcher, Process
from tests.e2e.traffic import Traffic
from tests.simulation.crashes import check_ledger, check_money


@contextlib.asynccontextmanager
async def database(launcher: Launcher) -> AsyncIterator[Database]:
    """The database of the processes, opened beside or after them."""
    url = launcher.settings.get("QUARTERDECK_DATABASE_URL")
    ids = TimeSortedIds()
    db: Database
    if url is None:
        path = launcher.data / "quarterdeck.db"
        db = SqliteDatabase(path, writer=ids.new("prc"), clock=SystemClock())
    else:
        db = PostgresqlDatabase(url, writer=ids.new("prc"), attempt=lambda: ids.new("att"))
    try:
        yield db
    finally:
        await db.close()


async def check_books(launcher: Launcher) -> list[Any]:
    """Money, leaves and signatures; returns the rows of all actions."""
    async with database(launcher) as db:
        rows = await db.read(lambda tx: list(tx.rows("select * from actions")))
        await check_money(db, rows)
        await check_ledger(db, rows)
    verified = launcher.run("ledger", "verify").said
    assert verified["ok"], verified
    check_export(launcher)
    return rows


def check_export(launcher: Launcher) -> None:
    """The verifier, as an auditor runs it: one file, on an export, apart from the product."""
    export = launcher.folder / f"export-{len(list(launcher.folder.glob('export-*')))}.jsonl"
    key = launcher.run("ledger", "head").said["public_key"]
    launcher.run("ledger", "export", str(export))
    source = str(quarterdeck.verifier.__file__)
    done = subprocess.run(
        [sys.executable, "-I", source, str(export), "--public-key", key],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check_seen(launcher: Launcher, rows: list[Any], traffic: Traffic, standin: Process) -> int:
    """Every effect of a traffic, wherever it was seen; returns how many of the rarest kind."""
    calls = check_vendor(rows, standin)
    own = [row for row in rows if row["mark"] == "cooperative"]
    carried_out = [row for row in rows if row["mark"] != "cooperative"]
    paid = check_tool(launcher, carried_out, "pay", once=True)
    filed = check_tool(launcher, carried_out, "file_note", once=False)
    check_effects(own, "pay", Counter(traffic.own_effects), once=True)
    return min(calls, paid, filed, len(traffic.own_effects))


def check_tool(launcher: Launcher, rows: list[Any], tool: str, *, once: bool) -> int:
    """Every line a tool wrote has the action that allowed it; returns how many there are."""
    path = launcher.effects / f"{tool}.txt"
    written = path.read_text(encoding="utf-8").split() if path.exists() else []
    return check_effects(rows, tool, Counter(int(n) for n in written), once=once)


def check_effects(rows: list[Any], tool: str, seen: Counter[int], *, once: bool) -> int:
    """Effects by their number, against the actions whose arguments hold that number."""
    by_digest: dict[str, list[Any]] = {}
    for row in rows:
        if row["target"] == tool:
            by_digest.setdefault(row["digest"], []).append(row)
    for n, count in seen.items():
        found = by_digest.get(digest_of({"n": n}), [])
        assert found, f"{tool} {n}: an effect without a committed intent"
        allowed = [row for row in found if row["answer"] == "allow"]
        assert len(allowed) == 1, f"{tool} {n}: not one action that allowed it: {found}"
        assert allowed[0]["state"] != "not_attempted", f"{tool} {n}: recorded as never tried"
        assert count == 1 or not once, f"{tool} {n}: it may happen once and happened {count} times"
    digests = {digest_of({"n": n}) for n in seen}
    for digest, found in by_digest.items():
        for row in found:
            assert row["state"] != "done" or digest in digests, f"{row['id']}: done and never seen"
    return sum(seen.values())


def check_vendor(rows: list[Any], standin: Process) -> int:
    """What reached the vendor was allowed by one action each, and no more reached it than that."""
    with httpx2.Client(base_url=standin.url, timeout=60, trust_env=False, verify=False) as client:
        kept = client.get("/standin/requests").json()["requests"]
        total: int = client.get("/standin/usage").json()["requests"]
    allowed = Counter(row["digest"] for row in rows if row["not_after"] and row["kind"] == "model")
    seen = Counter(
        hashlib.sha256(base64.b64decode(request["body_base64"])).hexdigest() for request in kept
    )
    for digest, count in seen.items():
        assert count <= allowed[digest], f"called {count} times, allowed {allowed[digest]} times"
    assert total <= allowed.total(), "the vendor was called without an intent"
    return total


def check_nothing_begun(rows: list[Any]) -> None:
    """Every action has ended, but for writes of which nobody knows whether they took place."""
    for row in rows:
        if actions.is_open(row):
            assert (row["state"], row["target"]) == ("in_doubt", "pay"), dict(row)


def digest_of(arguments: dict[str, Any]) -> str:
    """The digest an action has for these arguments."""
    return hashlib.sha256(orjson.dumps(arguments)).hexdigest()
