"""Readings of the ledger: its head, its verification, proofs of single entries, an export."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from quarterdeck.domain.errors import Corrupt, NotFound
from quarterdeck.domain.ledger import Span, StoredLeaf, export_lines
from quarterdeck.domain.limits import CLEARANCE_SECONDS_MAX
from quarterdeck.domain.merkle import hash_leaf, inclusion_proof, nodes_from, verify_inclusion
from quarterdeck.domain.people import Caller, authorise_whole
from quarterdeck.services.verification import Verification, Verifying
from quarterdeck.sources import Clock, Dice
from quarterdeck.store import actions, leaves, ledger, runs
from quarterdeck.store.database import Database, Reading, Row
from quarterdeck.store.keys import Keyring
from quarterdeck.store.leaves import LeafRow

EXPORT_LINES: Final = 500  # read and handed on at a time
EXPORT_HEAD_SECONDS: Final = 60  # heads closer than this are left out: each covers all before it
ADMITTED_SECONDS: Final = 120  # how far a refusal's leaf may be from when it was proposed
_FOR_EVER: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadReading:
    """The newest signed head, and how many leaves it does not cover yet."""

    note: str
    origin: str
    public_key: str
    size: int
    root: str
    at: int
    unsealed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenLeaf:
    """A leaf, its body, and the hashes that lead from it to the head's root. Bytes are in hex."""

    index: int
    data: str
    body: str | None
    nonce: str | None
    proof: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That entries about a subject are in the ledger: enough to check without it (RFC 6962)."""

    subject: str
    public_key: str
    head: str
    size: int
    root: str
    leaves: tuple[ProvenLeaf, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReadings:
    """The use cases of the ledger."""

    db: Database
    keyring: Keyring
    clock: Clock
    dice: Dice

    async def public_key(self, caller: Caller) -> str:
        """The key that signs the heads, as `name+keyid+base64`: hand it out, and early."""
        authorise_whole(caller, "read")
        return str(ledger.key_of(await self.keyring.ledger_signer()))

    async def head(self, caller: Caller) -> HeadReading:
        """The newest head, after sealing what waits."""
        public_key = await self.public_key(caller)
        row = await self._sealed_head()
        waiting = await self.db.read(ledger.unsealed)
        return HeadReading(
            note=row["note"],
            origin=public_key.split("+")[0],
            public_key=public_key,
            size=row["size"],
            root=bytes(row["root"]).hex(),
            at=row["at"],
            unsealed=sum(w.count for w in waiting),
        )

    async def _sealed_head(self) -> Row:
        signer = await self.keyring.ledger_signer()
        with suppress(Corrupt):  # what cannot be sealed can still be read, proved and exported
            await ledger.seal_visible(self.db, signer)
        row = await self.db.read(ledger.find_head)
        if row is None:
            raise NotFound("the ledger is empty", hint="it begins with the first change")
        return row

    async def verify(self, caller: Caller) -> Verification:
        """Check all that is stored: chains, spans, tree, heads, bodies, and rows against them.

        Page by page in reader threads. It judges by this database's own key and code: the offline
        verifier, given an export and a head kept elsewhere, trusts neither.
        """
        authorise_whole(caller, "read")
        verifying = Verifying(key=ledger.key_of(await self.keyring.ledger_signer()))
        await self.db.read(verifying.begin)
        while await self.db.read(verifying.page):
            pass
        await self.db.read(verifying.begin_unsealed)
        while await self.db.read(verifying.unsealed_page):
            pass
        await self.db.read(verifying.finish)
        return verifying.report()

    async def prove(self, caller: Caller, subject: str) -> Proof:
        """Proofs for every entry about an action, a run or anything else the ledger names."""
        public_key = await self.public_key(caller)
        head = await self._sealed_head()
        return await self.db.read(lambda tx: _proof(tx, subject, head, public_key))

    async def export(
        self, caller: Caller, *, head_seconds: int = EXPORT_HEAD_SECONDS
    ) -> AsyncIterator[bytes]:
        """The whole ledger as JSON Lines for the offline verifier, some lines at a time.

        Of heads closer together than `head_seconds` only the first is exported; the last always.
        """
        public_key = await self.public_key(caller)
        head = await self._sealed_head()
        pages = _Pages(size=head["size"], head_seconds=head_seconds)
        lines = export_lines(
            origin=public_key.split("+")[0],
            public_key=public_key,
            spans=pages.spans(),
            heads=pages.heads(),
        )

        def take(tx: Reading) -> bytes:
            pages.reading = tx
            return b"".join(islice(lines, EXPORT_LINES))

        while page := await self.db.read(take):
            yield page


@dataclass(slots=True, kw_only=True)
class _Pages:
    """Feeds an export from whichever reader takes the next page. Below a head nothing changes."""

    size: int
    head_seconds: int
    reading: Reading = field(init=False)

    def spans(self) -> Iterator[tuple[Span, Iterable[StoredLeaf]]]:
        start = 0
        while page := ledger.list_placed(self.reading, start=start, until=self.size):
            rows = [leaf for _, some in page for leaf in some]
            written = iter(leaves.stored(self.reading, rows))
            for span, some in page:
                yield span, islice(written, len(some))
            start = page[-1][0].first + 1

    def heads(self) -> Iterator[tuple[int, str]]:
        after, due = -1, 0
        while some := ledger.list_heads(self.reading, after=after, until=self.size, rows=200):
            for row in some:
                if row["at"] >= due or row["size"] == self.size:
                    due = row["at"] + self.head_seconds * 1_000_000
                    yield row["size"], row["note"]
            after = some[-1]["size"]


def _proof(tx: Reading, subject: str, head: Row, public_key: str) -> Proof:
    size, root = head["size"], bytes(head["root"])
    placed: dict[int, LeafRow] = {}
    for leaf in _leaves_about(tx, subject):
        index = ledger.find_position(tx, leaf.writer, leaf.number)
        if index is not None and index < size:
            placed[index] = leaf
    if not placed:
        raise NotFound(
            f"no entry about `{subject}` is in the ledger",
            hint="give the id of an action or a run, as `quarterdeck runs list` shows it",
        )
    return Proof(
        subject=subject,
        public_key=public_key,
        head=head["note"],
        size=size,
        root=root.hex(),
        leaves=tuple(_proven(tx, placed[index], index, size, root) for index in sorted(placed)),
    )


def _proven(tx: Reading, leaf: LeafRow, index: int, size: int, root: bytes) -> ProvenLeaf:
    proof = inclusion_proof(index, size, nodes_from(ledger.hashes_from(tx)))
    if not verify_inclusion(hash_leaf(leaf.data), index, size=size, root=root, proof=proof):
        raise Corrupt(
            f"leaf {index} does not lead to the root of its head",
            hint="run: quarterdeck ledger verify",
        )
    body = leaves.body_of(tx, leaf)
    return ProvenLeaf(
        index=index,
        data=leaf.data.decode(),
        body=None if body is None else body.decode(),
        nonce=None if leaf.nonce is None else leaf.nonce.hex(),
        proof=tuple(node.hex() for node in proof),
    )


def _leaves_about(tx: Reading, subject: str) -> list[LeafRow]:
    """The leaves about a subject: looked for when its row says they were written, else anywhere."""
    writers = [waiting.writer for waiting in ledger.list_writers(tx)]
    for windows in _windows(tx, subject):
        found = [
            leaf
            for since, until in windows
            for writer in writers
            for leaf in leaves.find_about(tx, subject, writer, since=since, until=until)
        ]
        if found:
            return found
    return leaves.scan_about(tx, subject)


def _windows(tx: Reading, subject: str) -> list[list[tuple[int, int]]]:
    """When leaves about an action or a run were written: stretches of time, the likely ones first.

    A clearance and a settlement were written at known times. A refusal was not: shortly after it
    was proposed, or before, where the database's clock is behind the process's.
    """
    if (run := runs.find(tx, subject)) is not None:
        times = [run["started_at"], run["ended_at"]]
        return [[(at, at) for at in times if at is not None]]
    action = actions.find(tx, subject)
    if action is None:
        return []
    if action["not_after"] is not None:
        since = action["not_after"] - CLEARANCE_SECONDS_MAX * 1_000_000
        return [[(since, action["settled_at"] or _FOR_EVER)]]
    at, around = action["proposed_at"], ADMITTED_SECONDS * 1_000_000
    return [[(at, at + around)], [(at - around, at)]]
