"""Rows of the ledger: leaves, the spans that order them, tree nodes and signed heads.

INVARIANT: a leaf, a span and a head are inserted and never updated. A leaf's place in the tree is
its span's.
Deliberately absent: the arithmetic of the tree (domain/merkle.py) and any judgement.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from quarterdeck.domain.errors import Corrupt
from quarterdeck.domain.ledger import Entry, Span, make_leaf
from quarterdeck.domain.limits import SEAL_LEAVES_MAX
from quarterdeck.domain.merkle import Frontier, ReadHashes, Tile
from quarterdeck.domain.notes import Head, VerifierKey, sign_head
from quarterdeck.keys import Signer
from quarterdeck.store import leaves
from quarterdeck.store.database import Database, Reading, Row, Transaction
from quarterdeck.store.leaves import LeafRow, leaf_of

SEALER: Final = "seal_ledger"

_APPEND: Final = """
insert into leaves (writer, number, data, hash, body, nonce)
values (:writer, :number, :data, :hash, :body, :nonce)
"""
# One step into the index per writer, however many leaves each has.
_WRITERS: Final = """
with recursive known (writer) as (
  select min(writer) from leaves
  union all
  select (select min(l.writer) from leaves l where l.writer > known.writer) from known
  where known.writer is not null
)
select writer,
  (select max(l.number) from leaves l where l.writer = known.writer) as last,
  coalesce((select s.first_number + s.count - 1 from spans s where s.writer = known.writer
    order by s.first_number desc limit 1), 0) as sealed
from known where writer is not null order by writer
"""
_NEXT_LEAVES: Final = """
select number, hash from leaves where writer = :writer and number > :after
order by number limit :rows
"""
_SPAN: Final = """
insert into spans (first, writer, first_number, count)
values (:first, :writer, :first_number, :count)
"""
_HEAD: Final = """
insert into heads (size, root, frontier, note, at) values (:size, :root, :frontier, :note, :at)
"""
_NODE: Final = "insert into tree_nodes (level, position, hash) values (:level, :position, :hash)"
_PLACED: Final = """
select s.first, s.writer as span_writer, s.first_number, s.count,
  l.writer, l.number, l.data, l.hash, l.body, l.nonce
from spans s left join leaves l on l.writer = s.writer
  and l.number >= s.first_number and l.number < s.first_number + s.count
where s.first >= :start and s.first < :stop order by s.first, l.number
"""
_LEAF_HASHES: Final = """
select l.hash from spans s join leaves l on l.writer = s.writer
  and l.number >= s.first_number and l.number < s.first_number + s.count
where s.first >= (select coalesce(max(first), 0) from spans where first <= :start)
  and s.first < :stop
  and s.first + l.number - s.first_number >= :start and s.first + l.number - s.first_number < :stop
order by s.first + l.number - s.first_number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Leaves of a writer that no head covers yet: those after number `sealed`, up to `last`."""

    writer: str
    sealed: int
    last: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.last - self.sealed


def append(tx: Transaction, entry: Entry, nonce: bytes, *, keep_body: bool = True) -> None:
    """Write one leaf in the transaction of the change it records (I-4).

    Where the body is made of columns of the row the leaf is about, it is not kept twice: an export
    makes it again from the row, so a changed row no longer fits its leaf.
    """
    chain = tx.chain
    leaf = make_leaf(
        entry,
        writer=chain.writer,
        number=chain.number + 1,
        previous=chain.previous,
        at=tx.now,
        nonce=nonce,
    )
    tx.later(
        _APPEND,
        {
            "writer": leaf.writer,
            "number": leaf.number,
            "data": leaf.data.decode("ascii"),
            "hash": leaf.hash,
            "body": leaf.body.decode("utf-8") if keep_body else None,
            "nonce": nonce,
        },
        key=leaf.number,
    )
    chain.number, chain.previous = leaf.number, leaf.hash


# --- sealing --------------------------------------------------------------------------------------


def key_of(signer: Signer) -> VerifierKey:
    """The ledger's public key; its name, which is the ledger's origin, is taken from the key."""
    public = signer.public()
    return VerifierKey(name=f"quarterdeck/{sha256(public).hexdigest()[:16]}", public_key=public)


def unsealed(tx: Reading) -> list[Waiting]:
    """Every writer that has leaves which no head covers yet."""
    return [waiting for waiting in list_writers(tx) if waiting.count > 0]


async def seal_visible(db: Database, signer: Signer) -> int:
    """Seal what was visible when it began, in as many writes as that takes; returns how many."""
    waiting = await db.read(unsealed)
    writers, goal = [w.writer for w in waiting], sum(w.count for w in waiting)
    key, sealed = key_of(signer), 0
    while sealed < goal:
        count = await db.write(lambda tx: seal(tx, writers, key=key, sign=signer.sign))
        if not count:  # another process is the sealer now
            break
        sealed += count
    return sealed


def seal(
    tx: Transaction,
    writers: Sequence[str],
    *,
    key: VerifierKey,
    sign: Callable[[bytes], bytes],
) -> int:
    """Order the writers' next leaves, grow the tree over them and sign its head.

    Only committed leaves are visible here, and a writer's commits come in the order of its numbers:
    what is taken has certainly ended, and nothing can come before it any more.
    """
    if not tx.try_lock(SEALER):
        return 0
    head = find_head(tx)
    frontier = _frontier(tx, head, key, sign)
    at = tx.now if head is None else max(tx.now, head["at"])
    spans: list[Span] = []
    hashes: list[bytes] = []
    for writer in writers:
        taken = _next_leaves(tx, writer, SEAL_LEAVES_MAX - len(hashes))
        if taken:
            span = Span(
                first=frontier.size + len(hashes),
                writer=writer,
                first_number=taken[0]["number"],
                count=len(taken),
            )
            spans.append(span)
            hashes += [bytes(row["hash"]) for row in taken]
            at = max(at, leaves.time_of(tx, writer, taken[-1]["number"]))
    if not hashes:
        return 0
    growth = frontier.grow(hashes)
    note = _signed(growth.frontier, at, key, sign)
    _insert(tx, spans, growth.tiles)
    root = growth.frontier.root()
    stored = growth.frontier.to_bytes()
    tx.execute(
        _HEAD,
        {"size": growth.frontier.size, "root": root, "frontier": stored, "note": note, "at": at},
    )
    return len(hashes)


def _frontier(
    tx: Reading, head: Row | None, key: VerifierKey, sign: Callable[[bytes], bytes]
) -> Frontier:
    """What the tree grows from. INVARIANT: nothing is signed over what this key did not sign.

    Signatures of Ed25519 repeat: the newest head, signed again from its row, is its note.
    """
    frontier = Frontier() if head is None else Frontier.from_bytes(bytes(head["frontier"]))
    last = tx.row("select first + count as size from spans order by first desc limit 1")
    size = 0 if last is None else last["size"]
    fits = head is None or (
        head["size"] == frontier.size and head["note"] == _signed(frontier, head["at"], key, sign)
    )
    if size != frontier.size or not fits:
        raise Corrupt(
            "the newest head of the ledger is not the one that was signed, or not of its spans",
            hint="run: quarterdeck ledger verify; keep a copy of the database as it is",
        )
    return frontier


def _next_leaves(tx: Reading, writer: str, rows: int) -> Sequence[Row]:
    """A writer's leaves after its last sealed one, up to the first gap: there never is one."""
    last = tx.row(
        "select first_number + count - 1 as number from spans where writer = :writer"
        " order by first_number desc limit 1",
        {"writer": writer},
    )
    after = 0 if last is None else last["number"]
    found = tx.rows(_NEXT_LEAVES, {"writer": writer, "after": after, "rows": rows})
    if found and found[-1]["number"] != after + len(found):
        return [row for n, row in enumerate(found, after + 1) if row["number"] == n]
    return found


def _signed(frontier: Frontier, at: int, key: VerifierKey, sign: Callable[[bytes], bytes]) -> str:
    head = Head(origin=key.name, size=frontier.size, root=frontier.root(), at=at)
    return sign_head(head, key, sign)


def _insert(tx: Transaction, spans: Sequence[Span], tiles: Sequence[Tile]) -> None:
    tx.execute_many(
        _SPAN,
        [
            {
                "first": s.first,
                "writer": s.writer,
                "first_number": s.first_number,
                "count": s.count,
            }
            for s in spans
        ],
    )
    if tiles:
        tx.execute_many(
            _NODE, [{"level": t.level, "position": t.index, "hash": t.hash} for t in tiles]
        )


# --- readings -------------------------------------------------------------------------------------


def find_head(tx: Reading) -> Row | None:
    """The newest head's row."""
    return tx.row("select * from heads order by size desc limit 1")


def list_heads(tx: Reading, *, after: int, until: int, rows: int) -> list[Row]:
    """Heads of more than `after` and at most `until` leaves, smallest first."""
    return list(
        tx.rows(
            "select * from heads where size > :after and size <= :until order by size limit :rows",
            {"after": after, "until": until, "rows": rows},
        )
    )


def count_heads(tx: Reading, *, until: int) -> int:
    """How many heads there are of at most so many leaves."""
    row = tx.row("select count(*) as count from heads where size <= :until", {"until": until})
    assert row is not None, "counting always answers"
    return int(row["count"])


def count_uncovered(tx: Reading) -> int:
    """How many spans begin beyond the newest head: none, for both are written together."""
    row = tx.row(
        "select count(*) as count from spans"
        " where first >= (select coalesce(max(size), 0) from heads)"
    )
    assert row is not None, "counting always answers"
    return int(row["count"])


def list_placed(tx: Reading, *, start: int, until: int) -> list[tuple[Span, list[LeafRow]]]:
    """The next spans that begin at `start` or later, and before `until`, with their leaves."""
    row = tx.row(
        "select min(first) as first from spans where first >= :start and first < :until",
        {"start": start, "until": until},
    )
    if row is None or row["first"] is None:
        return []
    stop = min(until, row["first"] + SEAL_LEAVES_MAX)
    placed: dict[int, tuple[Span, list[LeafRow]]] = {}
    for found in tx.rows(_PLACED, {"start": row["first"], "stop": stop}):
        if found["first"] not in placed:
            placed[found["first"]] = (_span(found), [])
        if found["number"] is not None:
            placed[found["first"]][1].append(leaf_of(found))
    return list(placed.values())


def _span(row: Row) -> Span:
    return Span(
        first=row["first"],
        writer=row["span_writer"],
        first_number=row["first_number"],
        count=row["count"],
    )


def find_position(tx: Reading, writer: str, number: int) -> int | None:
    """Where a leaf is in the tree; `None` while no head covers it."""
    row = tx.row(
        "select * from spans where writer = :writer and first_number <= :number"
        " order by first_number desc limit 1",
        {"writer": writer, "number": number},
    )
    if row is None or number >= row["first_number"] + row["count"]:
        return None
    return int(row["first"] + number - row["first_number"])


def list_writers(tx: Reading) -> list[Waiting]:
    """Every writer, up to which number its leaves are sealed, and its last number."""
    rows = tx.rows(_WRITERS)
    return [Waiting(writer=r["writer"], sealed=r["sealed"], last=r["last"]) for r in rows]


def count_leaves(tx: Reading) -> list[Row]:
    """Every writer with its lowest and highest number and how many leaves it has: one pass."""
    return list(
        tx.rows(
            "select writer, min(number) as low, max(number) as high, count(*) as count"
            " from leaves group by writer order by writer"
        )
    )


def hashes_from(tx: Reading) -> ReadHashes:
    """Stored hashes of the tree: leaves by their spans (level 0), tiles above."""

    def read(level: int, start: int, end: int) -> list[bytes]:
        params = {"start": start, "stop": end}
        if level == 0:
            return [bytes(row["hash"]) for row in tx.rows(_LEAF_HASHES, params)]
        found = tx.rows(
            "select hash from tree_nodes where level = :level and position >= :start"
            " and position < :stop order by position",
            {**params, "level": level},
        )
        return [bytes(row["hash"]) for row in found]

    return read
