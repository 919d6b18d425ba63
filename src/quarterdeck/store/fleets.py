"""Rows of applied fleet folders, the revisions in them, and which revision each agent is at."""

from collections.abc import Mapping
from typing import Final

import msgspec
import zstandard

from quarterdeck.domain.fleets import Agent, Fleet
from quarterdeck.store.database import Reading, Row, Transaction

_AGENT: Final = """
insert into agents (name, team, revision) values (:name, :team, :revision)
on conflict (name) do update set
  team = excluded.team, revision = excluded.revision, retired_at = null
"""
_REVISION: Final = """
insert into revisions (hash, agent, team, fleet_version, applied_at)
values (:hash, :agent, :team, :version, :now) on conflict (hash) do nothing
"""


def put(tx: Transaction, fleet: Fleet, files: Mapping[str, bytes], applied_by: str) -> None:
    """Keep a fleet folder under its version; name its agents' revisions; retire who left."""
    body = zstandard.ZstdCompressor(level=9).compress(msgspec.msgpack.encode(dict(files)))
    tx.execute(
        "insert into fleets (version, files, applied_at, applied_by)"
        " values (:version, :files, :now, :by) on conflict (version) do nothing",
        {"version": fleet.version, "files": body, "now": tx.now, "by": applied_by},
    )
    for agent in fleet.agents.values():
        _put_agent(tx, fleet, agent)
    present = set(fleet.agents)
    for row in tx.rows("select name from agents where retired_at is null"):
        if row["name"] not in present:
            tx.execute(
                "update agents set retired_at = :now where name = :name",
                {"now": tx.now, "name": row["name"]},
            )


def _put_agent(tx: Transaction, fleet: Fleet, agent: Agent) -> None:
    tx.execute(_AGENT, {"name": agent.name, "team": agent.team, "revision": agent.revision})
    tx.execute(
        _REVISION,
        {
            "hash": agent.revision,
            "agent": agent.name,
            "team": agent.team,
            "version": fleet.version,
            "now": tx.now,
        },
    )


def find_files(tx: Reading, version: str) -> dict[str, bytes] | None:
    """The files of an applied folder."""
    row = tx.row("select files from fleets where version = :version", {"version": version})
    if row is None:
        return None
    body = zstandard.ZstdDecompressor().decompress(bytes(row["files"]))
    return msgspec.msgpack.decode(body, type=dict[str, bytes])


def find_applied(tx: Reading, version: str) -> Row | None:
    """When a folder was applied, and by whom."""
    return tx.row(
        "select version, applied_at, applied_by from fleets where version = :version",
        {"version": version},
    )


def find_version_of(tx: Reading, revision: str) -> str | None:
    """The fleet version a revision was first applied in."""
    row = tx.row("select fleet_version from revisions where hash = :hash", {"hash": revision})
    return None if row is None else str(row["fleet_version"])


def list_agents(tx: Reading) -> list[Row]:
    """Agents in force, by name."""
    return list(tx.rows("select * from agents where retired_at is null order by name"))


def list_versions(tx: Reading, rows: int) -> list[Row]:
    """Applied folders, newest first."""
    return list(
        tx.rows(
            "select version, applied_at, applied_by from fleets"
            " order by applied_at desc limit :rows",
            {"rows": rows},
        )
    )
