"""Rows of leaves as they are kept, their bodies, and the leaves about one subject.

A body made of columns of an action's row is not kept but made again from that row: a changed row no
longer fits its leaf.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import Corrupt
from quarterdeck.domain.ledger import StoredLeaf, canonical
from quarterdeck.store.actions import ADMITTED, SETTLED
from quarterdeck.store.database import Reading, Row

ADMISSIONS: Final = frozenset(("admitted", "refused", "held", "suggested"))
# A few fixed lengths, filled up, so that the statements stay the same and prepared.
_ACTIONS: Final = {
    count: "select * from actions where id in ("  # noqa: S608  names made here
    + ", ".join(f":i{n}" for n in range(count))
    + ")"
    for count in (200, 20, 1)
}

# One statement sees one moment. A text in a leaf cannot look like its kind: quotes are escaped.
_UNRECORDED: Final = """
select
  (select count(*) from actions) - (select count(*) from leaves where
    data like :k0 or data like :k1 or data like :k2 or data like :k3) as admitted,
  (select count(*) from actions where state in ('done', 'failed', 'not_attempted'))
    - (select count(*) from leaves where data like :settled) as settled
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRow:
    """A leaf as its row has it; nothing of it is checked."""

    writer: str
    number: int
    data: bytes
    hash: bytes
    body: bytes | None
    nonce: bytes | None

    def fields(self) -> Mapping[str, Any]:
        """What the leaf says; empty where it cannot be read."""
        try:
            read = orjson.loads(self.data)
        except orjson.JSONDecodeError:
            return {}
        return read if isinstance(read, dict) else {}


def leaf_of(row: Row) -> LeafRow:
    """A row of the table as a leaf."""
    return LeafRow(
        writer=row["writer"],
        number=row["number"],
        data=_bytes(row["data"]),
        hash=_bytes(row["hash"]),
        body=None if row["body"] is None else _bytes(row["body"]),
        nonce=None if row["nonce"] is None else _bytes(row["nonce"]),
    )


def _bytes(value: str | bytes) -> bytes:
    """A column's bytes, also where somebody put a value of the wrong type into it."""
    return value.encode(errors="surrogatepass") if isinstance(value, str) else bytes(value)


def find_leaf(tx: Reading, writer: str, number: int) -> LeafRow | None:
    """One leaf."""
    row = tx.row(
        "select * from leaves where writer = :writer and number = :number",
        {"writer": writer, "number": number},
    )
    return None if row is None else leaf_of(row)


def list_leaves(tx: Reading, writer: str, *, start: int, rows: int) -> list[LeafRow]:
    """A writer's leaves from a number on."""
    found = tx.rows(
        "select * from leaves where writer = :writer and number >= :start"
        " order by number limit :rows",
        {"writer": writer, "start": start, "rows": rows},
    )
    return [leaf_of(row) for row in found]


def time_of(tx: Reading, writer: str, number: int) -> int:
    """When a leaf was written. A writer's times never go back: its last leaf has its latest."""
    leaf = find_leaf(tx, writer, number)
    at = None if leaf is None else leaf.fields().get("at")
    if not isinstance(at, int):
        raise Corrupt(
            f"leaf {number} of `{writer}` cannot be read",
            hint="keep a copy of the database as it is and restore a backup",
        )
    return at


def stored(tx: Reading, leaves: Sequence[LeafRow]) -> list[StoredLeaf]:
    """Leaves as an export writes them, each with its body, kept or made again."""
    return [
        StoredLeaf(data=leaf.data, body=body, nonce=leaf.nonce)
        for leaf, body in zip(leaves, bodies_of(tx, leaves), strict=True)
    ]


def body_of(tx: Reading, leaf: LeafRow) -> bytes | None:
    """A leaf's body, kept or made again from its action's row; `None` if it was purged."""
    return bodies_of(tx, [leaf])[0]


def bodies_of(tx: Reading, leaves: Sequence[LeafRow]) -> list[bytes | None]:
    """The bodies of many leaves, the rows they are made from read together."""
    return bodies_from(leaves, rows_behind(tx, leaves))


def bodies_from(leaves: Sequence[LeafRow], rows: Mapping[str, Row]) -> list[bytes | None]:
    """The bodies of leaves, kept or made again from these rows of actions."""
    return [
        _made_again(leaf.fields(), rows) if leaf.body is None and leaf.nonce else leaf.body
        for leaf in leaves
    ]


def rows_behind(tx: Reading, leaves: Sequence[LeafRow]) -> dict[str, Row]:
    """The rows of actions, by id, that bodies of these leaves are made from."""
    subjects = [leaf.fields().get("subject") for leaf in leaves if leaf.body is None and leaf.nonce]
    wanted = list(dict.fromkeys(str(subject) for subject in subjects))
    found: dict[str, Row] = {}
    while wanted:
        count = min((c for c in _ACTIONS if c >= len(wanted)), default=max(_ACTIONS))
        some, wanted = wanted[:count], wanted[count:]
        some += some[:1] * (count - len(some))
        for row in tx.rows(_ACTIONS[count], {f"i{n}": name for n, name in enumerate(some)}):
            found[row["id"]] = row
    return found


def count_unrecorded(tx: Reading) -> Row:
    """How many actions, and settled actions, there are beyond the entries that record them."""
    kinds = {f"k{n}": _of_kind(kind) for n, kind in enumerate(sorted(ADMISSIONS))}
    row = tx.row(_UNRECORDED, {**kinds, "settled": '%"kind":"settled:%'})
    assert row is not None, "counting always answers"
    return row


def _of_kind(kind: str) -> str:
    return f'%"kind":"{kind}","number":%'


def columns_of(kind: str) -> tuple[str, ...]:
    """The columns of an action's row that a leaf of this kind commits to."""
    if kind in ADMISSIONS:
        return ADMITTED
    return SETTLED if kind.startswith("settled:") else ()


def _made_again(fields: Mapping[str, Any], rows: Mapping[str, Row]) -> bytes:
    """What the row says now. Of a row that is gone nothing is left, and that fits no leaf."""
    row = rows.get(str(fields.get("subject")))
    if row is None:
        return canonical({})
    return canonical({name: row[name] for name in columns_of(str(fields.get("kind")))})


def find_about(
    tx: Reading, subject: str, writer: str, *, since: int, until: int
) -> Iterator[LeafRow]:
    """A writer's leaves about a subject, written between two times.

    There is no index by subject: it would cost every action, and this is asked seldom. A writer's
    times never go back, so the first of them is found by halving.
    """
    last = tx.row("select max(number) as number from leaves where writer = :w", {"w": writer})
    low, high = 1, (0 if last is None or last["number"] is None else int(last["number"])) + 1
    while low < high:
        middle = (low + high) // 2
        if time_of(tx, writer, middle) < since:
            low = middle + 1
        else:
            high = middle
    while page := list_leaves(tx, writer, start=low, rows=500):
        for leaf in page:
            fields = leaf.fields()
            if fields.get("at", 0) > until:
                return
            if fields.get("subject") == subject:
                yield leaf
        low = page[-1].number + 1


def scan_about(tx: Reading, subject: str) -> list[LeafRow]:
    """All leaves about a subject, by reading every leaf: where nothing says when they were made."""
    quoted = orjson.dumps(subject).decode().replace("\\", "\\\\").replace("%", "\\%")
    pattern = '%"subject":' + quoted.replace("_", "\\_") + ',"v":1%'
    rows = tx.rows(
        "select * from leaves where data like :pattern escape '\\' order by writer, number",
        {"pattern": pattern},
    )
    return [leaf for row in rows if (leaf := leaf_of(row)).fields().get("subject") == subject]
