"""The stored ledger: sealed by one at a time, proved, exported, and verified against tampering."""

import asyncio
import random
from base64 import b64decode, b64encode
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quarterdeck.domain.actions import Done, Refused
from quarterdeck.domain.errors import Corrupt, Forbidden, NotFound, QuarterdeckError
from quarterdeck.domain.ids import AgentName
from quarterdeck.domain.ledger import NONCE_BYTES, commitment
from quarterdeck.domain.limits import SEAL_LEAVES_MAX
from quarterdeck.domain.merkle import hash_leaf, verify_inclusion
from quarterdeck.domain.notes import parse_head, parse_note, parse_verifier_key
from quarterdeck.domain.people import Caller
from quarterdeck.keys import Signer
from quarterdeck.loops.seal_ledger import seal_ledger
from quarterdeck.store import leaves, ledger
from quarterdeck.store.actions import ADMITTED, SETTLED
from quarterdeck.store.database import Database, Transaction
from quarterdeck.verifier import Report, verify
from tests.store.places import DICE, OWNER, Desk, Place, Raw, entry, noting

SIGNER = Signer.from_seed(b"s" * 32)


async def offline(desk: Desk) -> Report:
    """What the offline verifier says of an export."""
    return verify(await desk.exported(), public_key=await desk.ledger.public_key(OWNER))


async def note_many(db: Database, count: int) -> None:
    """Append so many leaves in one write."""

    def write(tx: Transaction) -> None:
        for n in range(count):
            ledger.append(tx, entry(f"s{n}"), DICE.bytes(NONCE_BYTES))

    await db.write(write)


async def test_what_an_agent_did_is_sealed_exported_and_verified(desk: Desk) -> None:
    for n in range(20):
        await desk.act("look_up", n)
    assert isinstance(await desk.act("nope", 1), Refused)
    sealed = await seal_ledger(desk.db, desk.keyring)
    report, apart = await desk.ledger.verify(OWNER), await offline(desk)
    assert report.ok
    assert report.problems == ()
    assert apart.verified, apart.text()
    assert sealed == report.leaves == apart.leaves == report.bodies_checked == apart.bodies_checked
    assert sealed == 2 + 2 * 20 + 1, "a fleet, a run, twenty actions of two entries, one refusal"


async def test_with_nothing_to_seal_no_new_head_is_signed(desk: Desk) -> None:
    assert await seal_ledger(desk.db, desk.keyring) > 0
    first = await desk.ledger.head(OWNER)
    assert await seal_ledger(desk.db, desk.keyring) == 0
    assert (await desk.ledger.head(OWNER)).note == first.note
    assert first.unsealed == 0


async def test_unsealed_leaves_are_counted_for_each_writer(place: Place) -> None:
    one, two = place.open("prc_1"), place.open("prc_2") if place.url else None
    await note_many(one, 3)
    if two is not None:
        await note_many(two, 2)
    waiting = await one.read(ledger.unsealed)
    found = {w.writer: w.count for w in waiting}
    assert found == ({"prc_1": 3, "prc_2": 2} if two else {"prc_1": 3})
    assert await ledger.seal_visible(one, SIGNER) == sum(found.values())
    assert await one.read(ledger.unsealed) == []


async def test_more_leaves_than_one_write_takes_are_sealed_in_one_tick(database: Database) -> None:
    count = 2 * SEAL_LEAVES_MAX + 500
    await note_many(database, count)
    assert await ledger.seal_visible(database, SIGNER) == count
    heads = await database.read(lambda tx: ledger.list_heads(tx, after=0, until=count, rows=9))
    assert [row["size"] for row in heads] == [SEAL_LEAVES_MAX, 2 * SEAL_LEAVES_MAX, count]
    tiles = await database.read(lambda tx: tx.rows("select level, position from tree_nodes"))
    assert {(row["level"], row["position"]) for row in tiles} == {
        (8, position) for position in range(count // 256)
    }


async def test_two_sealers_at_once_place_every_leaf_once(place: Place) -> None:
    """Goal: any number of processes may run the loop. Method: two do, over and over, while both
    write; then the places of all leaves must be 0, 1, 2, … without a gap or a repeat."""
    databases = [place.open("prc_1"), place.open("prc_2")] if place.url else [place.open("prc_1")]

    async def work(db: Database, name: str) -> None:
        for n in range(15):
            await db.write(noting(f"{name}{n}"))
            await ledger.seal_visible(db, SIGNER)

    await asyncio.gather(*(work(db, f"{n}_{k}_") for n, db in enumerate(databases) for k in "ab"))
    for db in databases:
        await ledger.seal_visible(db, SIGNER)
    spans = place.raw().run("select * from spans order by first")
    count = place.raw().run("select count(*) as n from leaves")[0]["n"]
    ends = [span["first"] + span["count"] for span in spans]
    assert [span["first"] for span in spans] == [0, *ends[:-1]]
    assert ends[-1] == count == 30 * len(databases)
    assert place.raw().run("select max(size) as n from heads")[0]["n"] == count


async def test_while_another_process_seals_the_tick_does_nothing(postgresql_place: Place) -> None:
    db, other = postgresql_place.open(), postgresql_place.raw()
    await db.write(noting("one"))
    other.run("begin")
    other.run("select pg_advisory_xact_lock(hashtextextended(:name, 0))", {"name": ledger.SEALER})
    assert await ledger.seal_visible(db, SIGNER) == 0
    other.run("commit")
    assert await ledger.seal_visible(db, SIGNER) == 1


@pytest.mark.parametrize(
    "change",
    [
        "update heads set frontier = root",
        "update heads set at = at + 1",
        "update heads set size = size + 1",
        "update spans set count = count - 1",
        "delete from heads",
        "delete from spans",
    ],
)
async def test_nothing_is_signed_over_a_head_that_was_changed(desk: Desk, change: str) -> None:
    await desk.act()
    await seal_ledger(desk.db, desk.keyring)
    desk.place.raw().run(change)
    before = desk.place.raw().run("select * from heads")
    await desk.act("look_up", 2)
    with pytest.raises(Corrupt):
        await seal_ledger(desk.db, desk.keyring)
    assert desk.place.raw().run("select * from heads") == before
    assert not (await desk.ledger.verify(OWNER)).ok


async def test_a_head_is_never_older_than_a_leaf_it_covers(place: Place) -> None:
    db = place.open()
    for n in range(3):
        await db.write(noting(str(n)))
        await ledger.seal_visible(db, SIGNER)
    rows = await db.read(lambda tx: ledger.list_heads(tx, after=0, until=9, rows=9))
    for row in rows:
        at = await db.read(partial(leaves.time_of, writer="prc_1", number=row["size"]))
        assert row["at"] >= at
        assert parse_head(parse_note(row["note"]).text).at == row["at"]


async def test_a_proof_is_checked_with_nothing_but_the_key(desk: Desk) -> None:
    """Goal: what `prove` gives is enough offline. Method: check signature, inclusion and body of
    every leaf with the domain's own functions and the public key alone, in a tree of 700 leaves."""
    await note_many(desk.db, 300)
    done = await desk.act("look_up", 7)
    refused = await desk.act("nope", 1)
    await note_many(desk.db, 350)
    assert isinstance(done, Done)
    run = desk.started[0].id
    proofs = {
        subject: await desk.ledger.prove(OWNER, subject)
        for subject in (done.action.id, refused.action.id, run, "s299")
    }
    kinds: dict[str, list[str]] = {}
    for subject, proof in proofs.items():
        key = parse_verifier_key(await desk.ledger.public_key(OWNER))
        note = parse_note(proof.head)
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(
            note.signatures[0].signature, note.text
        )
        head = parse_head(note.text)
        assert (head.size, head.root.hex()) == (proof.size, proof.root)
        for leaf in proof.leaves:
            path = [bytes.fromhex(node) for node in leaf.proof]
            assert verify_inclusion(
                hash_leaf(leaf.data.encode()),
                leaf.index,
                size=head.size,
                root=head.root,
                proof=path,
            )
            assert leaf.body is not None
            assert leaf.nonce is not None
            said = commitment(leaf.body.encode(), bytes.fromhex(leaf.nonce)).hex()
            assert f'"commitment":"{said}"' in leaf.data
            assert f'"subject":"{subject}"' in leaf.data
            kinds.setdefault(subject, []).append(leaf.data.split('"kind":"')[1].split('"')[0])
    assert kinds[done.action.id] == ["admitted", "settled:done"]
    assert kinds[refused.action.id] == ["refused"]
    assert kinds[run] == ["run_started"]
    assert kinds["s299"] == ["noted", "noted"], "found by reading all leaves: nothing dates it"


async def test_what_the_ledger_does_not_know_cannot_be_proved(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no entry about `act_%`"):
        await desk.ledger.prove(OWNER, "act_%")


async def test_an_agents_key_reads_nothing_of_the_ledger(desk: Desk) -> None:
    agent = Caller(id="agent:clerk", role="agent", agent=AgentName("clerk"))
    for asked in (
        desk.ledger.head(agent),
        desk.ledger.verify(agent),
        desk.ledger.prove(agent, "x"),
        desk.ledger.public_key(agent),
        anext(desk.ledger.export(agent)),
    ):
        with pytest.raises(Forbidden):
            await asked


async def test_a_body_made_again_from_its_row_is_the_one_committed_to(desk: Desk) -> None:
    await desk.act("look_up", 3)
    await desk.act("file_note", 3)
    rows = await desk.db.read(lambda tx: leaves.list_leaves(tx, "prc_1", start=1, rows=99))
    made = [leaf for leaf in rows if leaf.body is None]
    assert len(made) == 4, "admissions and settlements keep no body of their own"
    for leaf in rows:
        body = await desk.db.read(partial(leaves.body_of, leaf=leaf))
        assert body is not None
        assert leaf.nonce is not None
        assert commitment(body, leaf.nonce).hex() == leaf.fields()["commitment"]


async def test_a_purged_body_leaves_a_proof_and_no_problem(desk: Desk) -> None:
    await desk.act()
    raw = desk.place.raw()
    raw.run("update leaves set body = null, nonce = null where number = 2")
    report, apart = await desk.ledger.verify(OWNER), await offline(desk)
    assert (report.ok, report.bodies_absent) == (True, 1)
    assert (apart.verified, apart.bodies_absent) == (True, 1)


async def test_leaves_that_no_head_covers_yet_are_verified_too(desk: Desk) -> None:
    await desk.act()
    before = await desk.ledger.verify(OWNER)
    assert (before.ok, before.leaves, before.unsealed) == (True, 0, 4)
    desk.place.raw().run("update actions set cost_nanousd = cost_nanousd + 1")
    after = await desk.ledger.verify(OWNER)
    assert not after.ok
    assert "is not what its entry `settled:done` says" in after.problems[0]


# --- tampering ------------------------------------------------------------------------------------

# Columns and whether an export shows them too: the rest only the database holds.
COLUMNS = [
    *(("actions", name, True) for name in dict.fromkeys(ADMITTED + SETTLED) if name != "id"),
    ("leaves", "data", True),
    ("leaves", "hash", False),
    ("leaves", "body", True),
    ("leaves", "nonce", True),
    ("spans", "first", True),
    ("spans", "writer", True),
    ("spans", "first_number", True),
    ("spans", "count", True),
    ("heads", "size", True),
    ("heads", "root", False),
    ("heads", "frontier", False),
    ("heads", "note", True),
    ("heads", "at", False),
    ("tree_nodes", "hash", False),
]
KEYS = {
    "actions": ("id",),
    "leaves": ("writer", "number"),
    "spans": ("first",),
    "heads": ("size",),
    "tree_nodes": ("level", "position"),
}


def changed(value: Any, dice: random.Random) -> Any:
    """Another value of the same type, by as little as one bit."""
    if isinstance(value, bytes):
        at = dice.randrange(len(value))
        return value[:at] + bytes([value[at] ^ (1 << dice.randrange(8))]) + value[at + 1 :]
    if isinstance(value, int):
        return value + dice.choice((-1, 1, 1000))
    text = value or "x"
    at = dice.randrange(len(text))
    return text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]


def rows_with(raw: Raw, table: str, column: str) -> list[dict[str, Any]]:
    """Rows that have a value there."""
    where = f"where {column} is not null" if table == "leaves" else ""
    if (table, column) in (("actions", "response"), ("actions", "detail"), ("actions", "usage")):
        where = "where settled_at is not null"
    if table == "actions" and column in SETTLED and column not in ADMITTED:
        where = "where settled_at is not null"
    return raw.run(f"select * from {table} {where} order by {', '.join(KEYS[table])}")


def change(raw: Raw, table: str, row: dict[str, Any], values: dict[str, Any]) -> None:
    """Update one row found by its old key to these values."""
    sets = ", ".join(f"{name} = :new_{name}" for name in values)
    where = " and ".join(f"{name} = :old_{name}" for name in KEYS[table])
    params = {f"new_{name}": value for name, value in values.items()}
    params |= {f"old_{name}": row[name] for name in KEYS[table]}
    raw.run(f"update {table} set {sets} where {where}", params)


async def busy(desk: Desk) -> None:
    """A ledger with something of everything: 300 leaves, several heads, every kind of action."""
    for n in range(4):
        await desk.act("look_up", n)
        await desk.act("wipe", n)
        await desk.act("nope", n)
        await note_many(desk.db, 75)
        await ledger.seal_visible(desk.db, await desk.keyring.ledger_signer())


@pytest.mark.parametrize("seed", range(3))
async def test_any_changed_value_is_found(desk: Desk, seed: int) -> None:
    """Goal: no column of the record can be changed unseen. Method: in each column change a random
    row by a random bit, digit or letter, verify, put it back; at the end all is well again."""
    await busy(desk)
    dice, raw = random.Random(seed), desk.place.raw()
    size = raw.run("select max(size) as size from heads")[0]
    for table, column, shown in COLUMNS:
        row = dice.choice(rows_with(raw, table, column))
        value = "failed" if column == "state" else changed(row[column], dice)
        said = f"{table}.{column}: {row[column]!r} to {value!r}"
        change(raw, table, row, {column: value})
        assert not (await desk.ledger.verify(OWNER)).ok, said
        if shown:
            assert not await _exports_as_verified(desk), said
        change(raw, table, {**row, column: value}, {column: row[column]})
        # An export seals first: where leaves seemed unsealed it sealed them, once more.
        raw.run("delete from spans where first >= :size", size)
        raw.run("delete from heads where size > :size", size)
    assert (await desk.ledger.verify(OWNER)).ok
    assert (await offline(desk)).verified


async def _exports_as_verified(desk: Desk) -> bool:
    """Whether an export can still be made and passes the offline verifier."""
    try:
        return (await offline(desk)).verified
    except QuarterdeckError:
        return False


REMOVALS = {
    "a leaf": "delete from leaves where number = 30",
    "a writer's last leaf": "delete from leaves where number = (select max(number) from leaves)",
    "a span": "delete from spans where first = (select max(first) from spans)",
    "the newest head": "delete from heads where size = (select max(size) from heads)",
    "an action": "delete from actions where id = (select min(id) from actions)",
    "every head": "delete from heads",
}


@pytest.mark.parametrize("what", REMOVALS)
async def test_whatever_is_removed_is_missed(desk: Desk, what: str) -> None:
    await busy(desk)
    desk.place.raw().run(REMOVALS[what])
    assert not (await desk.ledger.verify(OWNER)).ok


async def test_a_truncated_ledger_is_found_against_a_kept_head(desk: Desk) -> None:
    """Goal: what only a kept head can show is shown. Method: keep a head, cut the ledger back to
    an earlier one everywhere in the database, export, verify with and without the kept head."""
    await busy(desk)
    raw = desk.place.raw()
    kept = (await desk.ledger.head(OWNER)).note
    earlier = raw.run("select min(size) as size from heads")[0]["size"]
    last = raw.run(
        "select max(first_number + count - 1) as n from spans where first < :s", {"s": earlier}
    )
    raw.run("delete from heads where size > :s", {"s": earlier})
    raw.run("delete from spans where first >= :s", {"s": earlier})
    raw.run("delete from leaves where number > :n", {"n": last[0]["n"]})
    lines, key = await desk.exported(), await desk.ledger.public_key(OWNER)
    assert verify(lines, public_key=key).verified, "complete by the log's own word"
    against = verify(lines, public_key=key, since=[kept])
    assert not against.verified
    assert "truncated" in against.findings[-1].what


async def test_an_action_without_an_entry_is_found(desk: Desk) -> None:
    await busy(desk)
    names = ", ".join(desk.place.raw().run("select * from actions limit 1")[0])
    copied = names.replace("id,", "'act_forged',", 1).replace("idempotency_key", "'k'")
    desk.place.raw().run(
        f"insert into actions ({names}) select {copied} from actions where state = 'done' limit 1"
    )
    report = await desk.ledger.verify(OWNER)
    assert report.problems == (
        "1 actions have no entry in the ledger",
        "1 actions are settled without an entry that says so",
    )


async def test_a_begun_action_called_done_without_an_entry_is_found(desk: Desk) -> None:
    await desk.begin()
    desk.place.raw().run("update actions set state = 'done'")
    report = await desk.ledger.verify(OWNER)
    assert report.problems == ("1 actions are settled without an entry that says so",)


async def test_a_history_signed_anew_with_another_key_is_found(desk: Desk) -> None:
    """The forger rewrites every head with a key of their own, in the same names."""
    await busy(desk)
    raw, forger = desk.place.raw(), Signer.from_seed(b"f" * 32)
    for row in raw.run("select * from heads"):
        note = parse_note(row["note"])
        line = note.signatures[0]
        old = row["note"].split(" ")[-1].strip()
        assert b64decode(old)[4:] == line.signature
        new = b64encode(line.key_id + forger.sign(note.text)).decode()
        change(raw, "heads", row, {"note": row["note"].replace(old, new)})
    report = await desk.ledger.verify(OWNER)
    assert "its signature does not fit its text" in report.problems[0]
    assert not (await offline(desk)).verified
