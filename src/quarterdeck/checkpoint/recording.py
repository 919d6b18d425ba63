"""What goes into the record: redacted first, each part once, a conversation as what was added.

Two bounded memories make a resent conversation cheap: parts already stored are known by a digest of
their raw bytes, and the last sequence of each run tells what is new. Both are filled only after the
commit that stored them; losing them costs space, never content.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import orjson

from quarterdeck.domain.actions import Content
from quarterdeck.domain.ids import PayloadHash, RunId, TeamName
from quarterdeck.domain.labels import NONE, Labels
from quarterdeck.domain.limits import SLICE_BYTES
from quarterdeck.domain.redacted import Redacted
from quarterdeck.guards.redact import redact
from quarterdeck.keys import Pseudonyms
from quarterdeck.store import payloads
from quarterdeck.store.keys import Keyring
from quarterdeck.store.payloads import Payload

PARTS_KNOWN_MAX: Final = 20_000
SEQUENCES_KNOWN_MAX: Final = 2_000
_DIGEST_BYTES: Final = 16


class _Part(msgspec.Struct, frozen=True):
    hash: PayloadHash
    labels: Labels


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Redacted content, ready to be put into a transaction; `root` is what the action refers to."""

    root: PayloadHash
    payloads: tuple[Payload, ...]
    labels: Labels
    run: RunId
    parts: tuple[PayloadHash, ...]
    seen: tuple[tuple[bytes, _Part], ...]


@dataclass(slots=True)
class Recorder:
    """Prepares content for the record."""

    keyring: Keyring
    _keys: dict[TeamName, tuple[bytes, Pseudonyms]] = field(default_factory=dict, repr=False)
    _known: "OrderedDict[bytes, _Part]" = field(default_factory=OrderedDict)
    _last: "OrderedDict[RunId, tuple[PayloadHash, tuple[PayloadHash, ...]]]" = field(
        default_factory=OrderedDict
    )

    async def prepare(self, team: TeamName, run: RunId, content: Content) -> Prepared:
        """Redact and hash what a request holds; parts already stored are not stored again."""
        key, pseudonyms = self._keys.get(team) or await self._keys_of(team)
        fresh: dict[PayloadHash, Payload] = {}
        seen: list[tuple[bytes, _Part]] = []
        labels: set[str] = set()
        hashes = []
        for raw in content.parts:
            part = self._part(team, key, pseudonyms, "part", raw, fresh, seen)
            hashes.append(part.hash)
            labels |= part.labels
        rest = self._part(team, key, pseudonyms, "rest", content.rest, fresh, seen)
        root = self._sequence(team, key, run, tuple(hashes), rest.hash)
        return Prepared(
            root=root.hash,
            payloads=(*fresh.values(), root),
            labels=frozenset(labels) | rest.labels,  # type: ignore[arg-type]  # unions of Labels
            run=run,
            parts=tuple(hashes),
            seen=tuple(seen),
        )

    async def _keys_of(self, team: TeamName) -> tuple[bytes, Pseudonyms]:
        """What a team's record is hashed and redacted under; it never changes."""
        keys = await self.keyring.payload_key(team), await self.keyring.pseudonyms(team)
        self._keys[team] = keys
        return keys

    def _part(
        self,
        team: TeamName,
        key: bytes,
        pseudonyms: Pseudonyms,
        kind: str,
        raw: bytes,
        fresh: dict[PayloadHash, Payload],
        seen: list[tuple[bytes, _Part]],
    ) -> _Part:
        # The team's key is in the digest: the same words of another team are another part.
        digest = hashlib.blake2b(raw, digest_size=_DIGEST_BYTES, key=key).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        redacted = redact(raw, pseudonyms)
        payload = payloads.make(team, key, kind, redacted)
        part = _Part(payload.hash, redacted.labels)
        fresh[payload.hash] = payload
        seen.append((digest, part))
        return part

    def _sequence(
        self,
        team: TeamName,
        key: bytes,
        run: RunId,
        parts: tuple[PayloadHash, ...],
        rest: PayloadHash,
    ) -> Payload:
        parent, before = self._last.get(run, (None, ()))
        keep = _shared(before, parts)
        if keep == 0:
            parent = None
        link = {"parent": parent, "keep": keep, "parts": parts[keep:], "rest": rest}
        # Only hashes and numbers: there is nothing in it to redact.
        return payloads.make(team, key, "sequence", Redacted(orjson.dumps(link), NONE))

    def stored(self, prepared: Prepared) -> None:
        """Remember what a commit has stored."""
        for digest, part in prepared.seen:
            self._known[digest] = part
        while len(self._known) > PARTS_KNOWN_MAX:
            self._known.popitem(last=False)
        self._last[prepared.run] = (prepared.root, prepared.parts)
        self._last.move_to_end(prepared.run)
        while len(self._last) > SEQUENCES_KNOWN_MAX:
            self._last.popitem(last=False)

    async def redacted_text(self, team: TeamName, text: str) -> str:
        """A short text that goes into a row: a reason, an error, a name somebody sent."""
        _, pseudonyms = self._keys.get(team) or await self._keys_of(team)
        return redact(text.encode("utf-8", "replace"), pseudonyms).body.decode("utf-8", "replace")

    async def prepare_answer(self, team: TeamName, run: RunId, content: Content) -> Prepared:
        """Redact and hash what came back."""
        key, pseudonyms = self._keys.get(team) or await self._keys_of(team)

        def made() -> tuple[Redacted, Payload]:
            redacted = redact(content.rest, pseudonyms)
            return redacted, payloads.make(team, key, "answer", redacted)

        # A megabyte takes as long as many admissions, which need not wait for it.
        is_large = len(content.rest) > SLICE_BYTES
        redacted, payload = await asyncio.to_thread(made) if is_large else made()
        return Prepared(
            root=payload.hash,
            payloads=(payload,),
            labels=redacted.labels,
            run=run,
            parts=(),
            seen=(),
        )


def _shared(before: Sequence[PayloadHash], now: Sequence[PayloadHash]) -> int:
    shared = 0
    for old, new in zip(before, now, strict=False):
        if old != new:
            break
        shared += 1
    return shared
