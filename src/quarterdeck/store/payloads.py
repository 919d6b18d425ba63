"""Content of the record: redacted, compressed, stored once per team under a keyed hash.

A *sequence* is a conversation as it stood at one action: its parent (the sequence before it in the
run), the parts added since, and the rest of the request. So a run that resends everything on every
turn costs linear space. Bodies are reached only through an action the reader may see.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import orjson
import zstandard

from quarterdeck.domain.errors import Corrupt
from quarterdeck.domain.ids import PayloadHash, TeamName
from quarterdeck.domain.redacted import Redacted
from quarterdeck.store.database import Reading, Transaction

_INSERT: Final = """
insert into payloads (hash, team, kind, body) values (:hash, :team, :kind, :body)
on conflict (hash) do nothing
"""
_PLAIN: Final = b"\x00"
_ZSTD: Final = b"\x01"
_COMPRESS_BYTES_MIN: Final = 160
_SEQUENCE_DEPTH_MAX: Final = 100_000
# A zstandard compressor is not safe to share between threads.
_codec: Final = threading.local()


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """A body ready to be stored."""

    hash: PayloadHash
    team: TeamName
    kind: str
    body: bytes


def _compressed(body: bytes) -> bytes:
    if len(body) < _COMPRESS_BYTES_MIN:
        return _PLAIN + body
    compressor = getattr(_codec, "compressor", None)
    if compressor is None:
        compressor = _codec.compressor = zstandard.ZstdCompressor(level=1)
    packed: bytes = compressor.compress(body)
    return _ZSTD + packed


def _expanded(stored: bytes) -> bytes:
    if stored[:1] == _PLAIN:
        return stored[1:]
    return zstandard.ZstdDecompressor().decompress(stored[1:])


def make(team: TeamName, key: bytes, kind: str, content: Redacted) -> Payload:
    """A payload of redacted content (I-9: nothing else can be made into one)."""
    # Keyed BLAKE2b (RFC 7693) is a MAC by itself, at a third of what HMAC-SHA-256 costs here.
    digest = hashlib.blake2b(
        content.body, digest_size=16, key=key, person=kind.encode()
    ).hexdigest()
    return Payload(hash=PayloadHash(digest), team=team, kind=kind, body=_compressed(content.body))


def put(tx: Transaction, payloads: Iterable[Payload]) -> None:
    """Store payloads; those already there stay as they are."""
    for p in payloads:
        row = {"hash": p.hash, "team": p.team, "kind": p.kind, "body": p.body}
        tx.later(_INSERT, row, key=p.hash)


def get(tx: Reading, payload: str) -> bytes:
    """The redacted body."""
    row = tx.row("select body from payloads where hash = :hash", {"hash": payload})
    if row is None:
        raise Corrupt(f"payload `{payload}` is missing", hint="it may have been purged")
    return _expanded(bytes(row["body"]))


def get_sequence(tx: Reading, payload: str) -> tuple[list[bytes], bytes]:
    """All parts of a conversation in order, and the rest of the request."""
    links: list[dict[str, Any]] = []
    current: str | None = payload
    while current is not None:
        if len(links) > _SEQUENCE_DEPTH_MAX:
            raise Corrupt(f"sequence `{payload}` has no beginning")
        link = orjson.loads(get(tx, current))
        links.append(link)
        current = link["parent"]
    kept: list[str] = []
    for link in reversed(links):
        kept = kept[: link["keep"]] + link["parts"]
    rest = links[0]["rest"]
    return _bodies(tx, kept), b"" if rest is None else get(tx, rest)


def _bodies(tx: Reading, hashes: Sequence[str]) -> list[bytes]:
    found = {payload: get(tx, payload) for payload in dict.fromkeys(hashes)}
    return [found[payload] for payload in hashes]
