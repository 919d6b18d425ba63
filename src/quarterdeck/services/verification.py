"""The check of everything the database holds of the ledger, page by page.

It knows what an export cannot show: stored hashes, roots and tiles, leaves no head covers yet, and
the rows of actions that leaves commit to. Memory: one leaf per writer, one hash per tree level.
Deliberately absent: doubt about this database's own key and code. The offline verifier has that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.ledger import Span, commitment
from quarterdeck.domain.merkle import Frontier, Tile, hash_leaf
from quarterdeck.domain.notes import Head, VerifierKey, parse_head, parse_note
from quarterdeck.store import leaves, ledger
from quarterdeck.store.database import Reading, Row
from quarterdeck.store.leaves import LeafRow
from quarterdeck.verifier import BACKDATE_SECONDS_MAX

PROBLEMS_MAX: Final = 20  # kept in words; the rest is counted
LEAVES_AT_ONCE: Final = 2000
_STATES: Final[Mapping[str, frozenset[str]]] = {
    "admitted": frozenset(("begun", "in_doubt", "done", "failed", "not_attempted")),
    "refused": frozenset(("refused",)),
    "held": frozenset(("held",)),
    "suggested": frozenset(("suggested",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked and what is wrong; `ok` means nothing is."""

    ok: bool
    origin: str
    public_key: str
    leaves: int
    unsealed: int
    writers: int
    heads: int
    bodies_checked: int
    bodies_absent: int
    problems: tuple[str, ...]
    problems_count: int


@dataclass(slots=True)
class _Writer:
    """The last leaf of a writer that was read."""

    number: int = 0
    hash: str = ""
    at: int = 0


@dataclass(slots=True, kw_only=True)
class Verifying:
    """A verification under way: `begin`, `page` to the end, the same of `unsealed`, `finish`."""

    key: VerifierKey
    target: int = 0
    cursor: int = 0
    frontier: Frontier = field(default_factory=Frontier)
    heads: int = 0
    head_at: int = 0
    latest: int = 0
    forked: bool = False
    unsealed: int = 0
    bodies_checked: int = 0
    bodies_absent: int = 0
    problems: list[str] = field(default_factory=list)
    problems_count: int = 0
    seen: dict[str, _Writer] = field(default_factory=dict)
    waiting: list[tuple[str, int]] = field(default_factory=list)

    def begin(self, tx: Reading) -> None:
        """Everything below the newest head is checked; what comes later meanwhile is not."""
        head = ledger.find_head(tx)
        self.target = 0 if head is None else head["size"]

    def page(self, tx: Reading) -> bool:
        """Check the next spans with their leaves and heads; `False` when there are no more."""
        placed = ledger.list_placed(tx, start=self.cursor, until=self.target)
        if not placed:
            return False
        count = sum(len(rows) for _, rows in placed)
        heads = {
            row["size"]: row
            for row in ledger.list_heads(
                tx, after=self.frontier.size, until=self.frontier.size + count, rows=count + 1
            )
        }
        self._bodies(tx, [leaf for _, rows in placed for leaf in rows])
        hashes: list[bytes] = []
        for span, rows in placed:
            self._span(span, rows, self.frontier.size + len(hashes))
            for leaf in rows:
                hashes.append(self._leaf(leaf))
                if head := heads.get(self.frontier.size + len(hashes)):
                    self._grow(tx, hashes)
                    self._head(head)
        self._grow(tx, hashes)
        self.cursor = placed[-1][0].first + 1
        return True

    def begin_unsealed(self, tx: Reading) -> None:
        """Name the leaves that no head covers; those written meanwhile are left out."""
        for writer in ledger.list_writers(tx):
            seen = self.seen.setdefault(writer.writer, _Writer())
            if writer.last > seen.number:
                self.waiting.append((writer.writer, writer.last))

    def unsealed_page(self, tx: Reading) -> bool:
        """Check the next leaves that no head covers; `False` when there are no more."""
        if not self.waiting:
            return False
        name, last = self.waiting[-1]
        start = self.seen[name].number + 1
        rows = leaves.list_leaves(tx, name, start=start, rows=LEAVES_AT_ONCE)
        rows = [leaf for leaf in rows if leaf.number <= last]
        if not rows:
            self.waiting.pop()
        self._bodies(tx, rows)
        for leaf in rows:
            self._leaf(leaf)
        self.unsealed += len(rows)
        return True

    def finish(self, tx: Reading) -> None:
        """What can only be said when everything was read."""
        if self.frontier.size != self.target:
            self.wrong(
                f"the newest head covers {self.target} leaves, {self.frontier.size} are here"
            )
        stored = ledger.count_heads(tx, until=self.target)
        if stored != self.heads:
            self.wrong(f"{stored - self.heads} heads stand where no span ends")
        if uncovered := ledger.count_uncovered(tx):
            self.wrong(f"{uncovered} spans are beyond the newest head: a head was removed")
        for row in ledger.count_leaves(tx):
            if row["low"] != 1 or row["high"] != row["count"]:
                self.wrong(
                    f"`{row['writer']}` has {row['count']} leaves, numbered {row['low']} to"
                    f" {row['high']}"
                )
        missing = leaves.count_unrecorded(tx)
        if missing["admitted"] > 0:
            self.wrong(f"{missing['admitted']} actions have no entry in the ledger")
        if missing["settled"] > 0:
            self.wrong(f"{missing['settled']} actions are settled without an entry that says so")

    def wrong(self, what: str) -> None:
        """Note a problem."""
        self.problems_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(what)

    def _span(self, span: Span, rows: list[LeafRow], size: int) -> None:
        """A span begins where the tree ends, and all its leaves are there."""
        if span.first != size:
            self.wrong(f"a span says it starts at leaf {span.first}, not at {size}")
        if span.count != len(rows) or not rows:
            self.wrong(f"the span at leaf {span.first} has {len(rows)} leaves, not {span.count}")

    def _leaf(self, leaf: LeafRow) -> bytes:
        """A leaf continues its writer's chain; returns the hash of what it says."""
        digest, fields = hash_leaf(leaf.data), leaf.fields()
        name = f"leaf {leaf.number} of `{leaf.writer}`"
        seen = self.seen.setdefault(leaf.writer, _Writer())
        if digest != leaf.hash:
            self.wrong(f"{name} is not what its hash was made of")
        if fields.get("writer") != leaf.writer or fields.get("number") != leaf.number:
            self.wrong(f"{name} says it is {fields.get('number')} of `{fields.get('writer')}`")
        if leaf.number != seen.number + 1 or fields.get("previous") != seen.hash:
            self.wrong(f"{name} does not follow number {seen.number}")
        at = fields.get("at")
        if not isinstance(at, int) or at < seen.at:
            self.wrong(f"{name} is older than the leaf before it")
            at = seen.at
        if at < self.head_at - BACKDATE_SECONDS_MAX * 1_000_000:
            self.wrong(f"{name} is dated long before a head that was signed before it was there")
        seen.number, seen.hash, seen.at = leaf.number, digest.hex(), at
        self.latest = max(self.latest, at)
        return digest

    def _bodies(self, tx: Reading, some: list[LeafRow]) -> None:
        """Every body fits its leaf, and every row of an action the entries about it."""
        rows = leaves.rows_behind(tx, some)
        for leaf, body in zip(some, leaves.bodies_from(some, rows), strict=True):
            if body is None:
                self.bodies_absent += 1
                continue
            self.bodies_checked += 1
            fields = leaf.fields()
            subject, kind = str(fields.get("subject")), str(fields.get("kind"))
            fits = leaf.nonce is not None and (
                commitment(body, leaf.nonce).hex() == fields.get("commitment")
            )
            row = rows.get(subject) if leaf.body is None else None
            if not fits and leaf.body is None:
                gone = "is gone" if row is None else f"is not what its entry `{kind}` says"
                self.wrong(f"the row of action `{subject}` {gone}")
            elif not fits:
                self.wrong(f"the body of leaf {leaf.number} of `{leaf.writer}` is not its own")
            elif row is not None and not _state_fits(row, kind):
                self.wrong(f"action `{subject}` is {row['state']}, and its entry says `{kind}`")

    def _grow(self, tx: Reading, hashes: list[bytes]) -> None:
        """Grow the tree, and compare what was stored of it."""
        growth = self.frontier.grow(hashes)
        hashes.clear()
        self.frontier = growth.frontier
        for tile in growth.tiles:
            if not self.forked and not _is_stored(tx, tile):
                self.wrong(f"the stored hash {tile.index} of level {tile.level} is not its leaves'")

    def _head(self, row: Row) -> None:
        """A head is signed by this ledger's key and fits every leaf before it."""
        self.heads += 1
        name, root = f"the head of {row['size']} leaves", self.frontier.root()
        try:
            head = signed_head(row["note"], self.key)
        except Invalid as error:
            self.wrong(f"{name}: {error}")
            return
        if head.origin != self.key.name or head.size != row["size"] or head.at != row["at"]:
            self.wrong(f"{name} is not what its note says")
        stored = (bytes(row["root"]), bytes(row["frontier"]))
        if stored != (head.root, self.frontier.to_bytes()) and not self.forked:
            self.wrong(f"{name} is stored with another root or frontier than it was signed with")
        if head.root != root and not self.forked:
            self.forked = True  # every later head differs too, and says nothing more
            self.wrong(
                f"the leaves up to {head.size} are not the ones its head was signed over: one was"
                " changed, removed, added or moved"
            )
        if head.at < self.latest or head.at < self.head_at:
            self.wrong(f"{name} is older than what it covers")
        self.head_at = max(self.head_at, head.at)

    def report(self) -> Verification:
        """What was found."""
        return Verification(
            ok=not self.problems_count,
            origin=self.key.name,
            public_key=str(self.key),
            leaves=self.frontier.size,
            unsealed=self.unsealed,
            writers=len(self.seen),
            heads=self.heads,
            bodies_checked=self.bodies_checked,
            bodies_absent=self.bodies_absent,
            problems=tuple(self.problems),
            problems_count=self.problems_count,
        )


def signed_head(note: str, key: VerifierKey) -> Head:
    """The head in a note, its signature checked; raises Invalid if the key did not sign it."""
    parsed = parse_note(note)
    for signature in parsed.signatures:
        if signature.name == key.name and signature.key_id == key.key_id:
            try:
                public = Ed25519PublicKey.from_public_bytes(key.public_key)
                public.verify(signature.signature, parsed.text)
            except InvalidSignature as error:
                raise Invalid("its signature does not fit its text") from error
            return parse_head(parsed.text)
    raise Invalid(f"it is not signed by `{key.name}`")


def _state_fits(row: Row, kind: str) -> bool:
    """Whether an action's row is in a state that this entry about it allows."""
    if row["state"] not in _STATES.get(kind, (kind.removeprefix("settled:"),)):
        return False
    settled = row["state"] in ("done", "failed", "not_attempted")
    return settled or (row["settled_at"] is None and row["cost_nanousd"] == 0)


def _is_stored(tx: Reading, tile: Tile) -> bool:
    return ledger.hashes_from(tx)(tile.level, tile.index, tile.index + 1) == [tile.hash]
