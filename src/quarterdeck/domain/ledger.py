"""The ledger's leaves: what a state change says, how it is chained and committed to, how it leaves.

A leaf names its writer (a process), that writer's gapless number and the hash of its previous leaf;
it has no index. A sealer later places runs of leaves in the tree as spans.
INVARIANT: a leaf, once written, is never updated. Its body is only committed to: when the body is
purged the proof remains, and tells nothing.
Deliberately absent: storage, private keys, and the verifier's checks (verifier.py shares no code).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec
import orjson

from quarterdeck.domain.errors import Conflict, Corrupt

VERSION: Final = 1
NONCE_BYTES: Final = 32


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a state change says: its kind, the id it is about, and the facts."""

    kind: str
    subject: str
    body: Mapping[str, Any]


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf: the bytes the tree holds, their hash, and what may be purged (body, nonce)."""

    writer: str
    number: int
    data: bytes
    hash: bytes
    body: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where the sealer put `count` leaves of one writer: `first` counts leaves of the tree."""

    first: int
    writer: str
    first_number: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLeaf:
    """A leaf as it is kept: body and nonce are both there, or both purged."""

    data: bytes
    body: bytes | None = None
    nonce: bytes | None = None


def make_leaf(
    entry: Entry, *, writer: str, number: int, previous: bytes, at: int, nonce: bytes
) -> Leaf:
    """The next leaf of a writer; `previous` is the hash of its last one, empty for its first.

    `at` must not be below that of the writer's previous leaf: clocks step back, ledgers do not.
    """
    assert len(nonce) == NONCE_BYTES, "a shorter nonce could be guessed, and the body with it"
    assert (number == 1) == (not previous), "only a first leaf follows nothing"
    body = canonical(entry.body)
    fields = {
        "at": at,
        "commitment": commitment(body, nonce).hex(),
        "kind": entry.kind,
        "number": number,
        "previous": previous.hex(),
        "subject": entry.subject,
        "v": VERSION,
        "writer": writer,
    }
    data = orjson.dumps(fields)  # written in sorted order above
    if not data.isascii():
        data = _escaped(fields)
    return Leaf(
        writer=writer,
        number=number,
        data=data,
        hash=sha256(b"\x00" + data).digest(),
        body=body,
        nonce=nonce,
    )


def commitment(body: bytes, nonce: bytes) -> bytes:
    """What a leaf says of its body. Without the nonce it cannot be matched to a guessed body."""
    return sha256(nonce + sha256(body).digest()).digest()


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one way to write these facts as JSON: compact, keys sorted."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        # Integers past 64 bits and broken surrogates are JSON too, only slower to write.
        return _escaped(value)


def export_lines(
    *,
    origin: str,
    public_key: str,
    spans: Iterable[tuple[Span, Iterable[StoredLeaf]]],
    heads: Iterable[tuple[int, str]],
) -> Iterator[bytes]:
    """The ledger as JSON Lines for the offline verifier (docs/explanation/ledger.md).

    `heads` are (size, signed note) in order of size. Each is written where the tree had that size,
    so that a reader needs to remember no leaf. The last head must cover the last span.
    """
    yield _line({"kind": "ledger", "v": VERSION, "origin": origin, "public_key": public_key})
    waiting = iter(heads)
    head = next(waiting, None)
    size = covered = 0

    def due() -> Iterator[bytes]:
        nonlocal head, covered
        while head is not None and head[0] <= size:
            yield _head_line(head, size)
            covered, head = size, next(waiting, None)

    yield from due()
    for span, leaves in spans:
        yield from _span_lines(span, leaves, size)
        size += span.count
        yield from due()
    if head is not None or covered != size:
        raise Conflict(
            f"the last head covers {head[0] if head else covered} of {size} leaves",
            hint="seal the ledger so that a head covers every leaf, then export it again",
        )
    yield _line({"kind": "end", "leaves": size})


def _span_lines(span: Span, leaves: Iterable[StoredLeaf], size: int) -> Iterator[bytes]:
    if span.first != size:
        raise _broken(f"a span starts at leaf {span.first}, the one before it ends at {size}")
    yield _line(
        {
            "kind": "span",
            "first": span.first,
            "writer": span.writer,
            "first_number": span.first_number,
            "count": span.count,
        }
    )
    written = 0
    for leaf in leaves:
        yield _leaf_line(leaf)
        written += 1
    if written != span.count:
        raise _broken(f"the span at leaf {span.first} has {written} leaves, not {span.count}")


def _leaf_line(leaf: StoredLeaf) -> bytes:
    fields = {"kind": "leaf", "data": leaf.data.decode()}
    if leaf.body is not None and leaf.nonce is not None:
        fields["body"] = leaf.body.decode()
        fields["nonce"] = leaf.nonce.hex()
    return _line(fields)


def _head_line(head: tuple[int, str], size: int) -> bytes:
    if head[0] != size:
        raise _broken(f"a head covers {head[0]} leaves, where a span ends there are {size}")
    return _line({"kind": "head", "note": head[1]})


def _line(fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _escaped(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: object) -> dict[str, Any]:
    """A mapping of any type as a plain one."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError("a ledger body holds JSON values only")


def _broken(message: str) -> Corrupt:
    return Corrupt(message, hint="keep a copy of the database as it is and restore a backup")
