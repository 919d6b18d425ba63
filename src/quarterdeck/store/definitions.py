"""Rows of definitions: what servers said of their tools, what is offered now, what was released.

A change of what a server offers, and a release, write their leaf in the same transaction.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from quarterdeck.domain.definitions import PIN_PREFIX, Definition, Releases
from quarterdeck.domain.ledger import Entry
from quarterdeck.store import ledger
from quarterdeck.store.database import Reading, Row, Transaction

_OFFERED: Final = (
    "select o.identity, o.tool, o.server, o.hash, o.since, o.gone_at, d.body, d.seen_at"
    " from offered_tools o left join definitions d on d.hash = o.hash"
)


def note(
    tx: Transaction, identity: str, server: str, tools: Iterable[Definition], nonce: bytes
) -> bool:
    """What a server offers now; `True` if that is not what it offered before."""
    now = {definition.name: definition for definition in tools}
    before = {row["tool"]: row for row in list_hashes(tx, identity)}
    came = {
        name: found.hash
        for name, found in now.items()
        if name not in before
        or before[name]["hash"] != found.hash
        or before[name]["gone_at"] is not None
    }
    went = [n for n, row in before.items() if n not in now and row["gone_at"] is None]
    for name, hash_ in came.items():
        _keep(tx, hash_, now[name].raw)
        tx.execute(
            "insert into offered_tools (identity, tool, server, hash, since, gone_at)"
            " values (:identity, :tool, :server, :hash, :now, null)"
            " on conflict (identity, tool) do update set"
            " hash = excluded.hash, since = excluded.since, gone_at = null",
            {"identity": identity, "tool": name, "server": server, "hash": hash_, "now": tx.now},
        )
    for name in went:
        tx.execute(
            "update offered_tools set gone_at = :now where identity = :identity and tool = :tool",
            {"identity": identity, "tool": name, "now": tx.now},
        )
    if not came and not went:
        return False
    body = {"server": server, "identity": identity, "came": came, "went": sorted(went)}
    ledger.append(tx, Entry(kind="definitions_changed", subject=server, body=body), nonce)
    return True


def _keep(tx: Transaction, hash_: str, raw: bytes) -> None:
    if not hash_.startswith(PIN_PREFIX):
        return
    tx.execute(
        "insert into definitions (hash, body, seen_at) values (:hash, :body, :now)"
        " on conflict (hash) do nothing",
        {"hash": hash_, "body": raw.decode(), "now": tx.now},
    )


def list_hashes(tx: Reading, identity: str) -> list[Row]:
    """What a server was last seen to offer, without the definitions themselves."""
    sql = "select tool, hash, since, gone_at from offered_tools where identity = :identity"
    return list(tx.rows(sql, {"identity": identity}))


def list_offered(tx: Reading, identity: str) -> list[Row]:
    """What a server was last seen to offer, and what went; by name."""
    sql = f"{_OFFERED} where o.identity = :identity order by o.tool"
    return list(tx.rows(sql, {"identity": identity}))


def find_offered(tx: Reading, identity: str, tool: str) -> Row | None:
    """One tool as a server was last seen to offer it."""
    sql = f"{_OFFERED} where o.identity = :identity and o.tool = :tool"
    return tx.row(sql, {"identity": identity, "tool": tool})


def find_body(tx: Reading, hash_: str) -> str | None:
    """A definition by its hash, if it was ever seen."""
    row = tx.row("select body from definitions where hash = :hash", {"hash": hash_})
    return None if row is None else str(row["body"])


def release(tx: Transaction, fields: Mapping[str, str], nonce: bytes) -> None:
    """Grant one definition: `fields` are identity, server, tool, hash and by whom."""
    tx.execute(
        "insert into released_definitions"
        " (identity, tool, hash, server, released_by, released_at)"
        " values (:identity, :tool, :hash, :server, :by, :now)"
        " on conflict (identity, tool, hash) do nothing",
        {**fields, "now": tx.now},
    )
    entry = Entry(kind="definition_released", subject=fields["tool"], body=dict(fields))
    ledger.append(tx, entry, nonce)


def releases(tx: Reading) -> Releases:
    """All hashes that were released, by server identity and tool."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for row in tx.rows("select identity, tool, hash from released_definitions"):
        key = (row["identity"], row["tool"])
        found[key] = found.get(key, frozenset()) | {row["hash"]}
    return found


def list_released(tx: Reading, identity: str, tool: str) -> list[Row]:
    """Who released which definitions of a tool, newest first."""
    return list(
        tx.rows(
            "select hash, released_by, released_at from released_definitions"
            " where identity = :identity and tool = :tool order by released_at desc, hash",
            {"identity": identity, "tool": tool},
        )
    )
