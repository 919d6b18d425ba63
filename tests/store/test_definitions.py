"""What servers offer and what owners released, on both databases."""

import json
from typing import Any

from quarterdeck.domain.definitions import Definition, hash_of
from quarterdeck.domain.ledger import NONCE_BYTES
from quarterdeck.store import definitions
from quarterdeck.store.database import Database

NONCE = b"n" * NONCE_BYTES
AT, SERVER = "identity-1", "shop"


def offered(name: str, description: str = "A tool.") -> Definition:
    """As a server offers it."""
    said = {"name": name, "description": description}
    return Definition(name=name, raw=json.dumps(said).encode(), hash=hash_of(said))


async def note(db: Database, *tools: Definition, at: str = AT) -> bool:
    """What a server offers now."""
    return await db.write(lambda tx: definitions.note(tx, at, SERVER, tools, NONCE))


async def leaves(db: Database, kind: str) -> list[dict[str, Any]]:
    """The bodies of the ledger's entries of a kind."""
    rows = await db.read(lambda tx: tx.rows("select data, body from leaves order by number"))
    return [json.loads(r["body"]) for r in rows if json.loads(r["data"])["kind"] == kind]


async def test_what_came_changed_and_went_is_noted_once_with_its_leaf(database: Database) -> None:
    a, b, c = offered("a"), offered("b"), offered("b", "Other words.")
    assert await note(database, a, b)
    assert not await note(database, b, a), "the order says nothing"
    assert await note(database, a, c)
    assert await note(database, a)
    assert not await note(database, a)
    assert await note(database, a, b), "it came back"
    rows = await database.read(lambda tx: definitions.list_offered(tx, AT))
    assert [(r["tool"], r["hash"], r["gone_at"], json.loads(r["body"])) for r in rows] == [
        (d.name, d.hash, None, json.loads(d.raw)) for d in (a, b)
    ]
    changed = await leaves(database, "definitions_changed")
    assert [(body["came"], body["went"]) for body in changed] == [
        ({"a": a.hash, "b": b.hash}, []),
        ({"b": c.hash}, []),
        ({}, ["b"]),
        ({"b": b.hash}, []),
    ]
    assert await database.read(lambda tx: definitions.find_body(tx, c.hash)), "for a difference"


async def test_servers_of_one_name_at_two_places_are_kept_apart(database: Database) -> None:
    await note(database, offered("a"))
    await note(database, offered("a", "Elsewhere."), at="identity-2")
    first = await database.read(lambda tx: definitions.find_offered(tx, AT, "a"))
    second = await database.read(lambda tx: definitions.find_offered(tx, "identity-2", "a"))
    assert first["hash"] != second["hash"]
    assert await database.read(lambda tx: definitions.find_offered(tx, AT, "b")) is None


async def test_a_release_is_for_one_definition_of_one_tool_at_one_place(
    database: Database,
) -> None:
    fields = {"identity": AT, "tool": "a", "hash": "sha256:1", "server": SERVER, "by": "local:ann"}

    async def release(**more: str) -> None:
        await database.write(lambda tx: definitions.release(tx, {**fields, **more}, NONCE))

    await release()
    await release(hash="sha256:2")
    await release(tool="b")
    assert await database.read(definitions.releases) == {
        (AT, "a"): frozenset(("sha256:1", "sha256:2")),
        (AT, "b"): frozenset(("sha256:1",)),
    }
    rows = await database.read(lambda tx: definitions.list_released(tx, AT, "a"))
    assert {(r["hash"], r["released_by"]) for r in rows} == {
        ("sha256:1", "local:ann"), ("sha256:2", "local:ann")
    }  # fmt: skip
    assert [body["hash"] for body in await leaves(database, "definition_released")] == [
        "sha256:1", "sha256:2", "sha256:1"
    ]  # fmt: skip


async def test_what_nobody_can_pin_is_not_kept(database: Database) -> None:
    odd = Definition(name="odd", raw=b'{"name":"odd"}', hash="none:")
    await note(database, odd)
    row = await database.read(lambda tx: definitions.find_offered(tx, AT, "odd"))
    assert (row["hash"], row["body"]) == ("none:", None)
