"""Checks an export of a Quarterdeck ledger, offline: `python -I verifier.py EXPORT`.

One file, standard library only (Python 3.11 or later), so that it can be copied to where the
ledger's writer has no hand. INVARIANT: it imports nothing of the package it judges. It reads line
by line and remembers one leaf per writer and one hash per level of the tree, however long the
export. Format and rules: docs/explanation/ledger.md. Exit 0 verified, 1 tampered, 2 unusable input.
"""

import argparse
import base64
import binascii
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any, Final, NamedTuple

BACKDATE_SECONDS_MAX: Final = 600  # a leaf may be this much older than the head before it
FINDINGS_MAX: Final = 20  # written out; the rest is counted
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
SIGNATURES_MAX: Final = 100

# The fields of each line, in order, with their types: what kind of line it is.
SHAPES: Final[dict[tuple[str, ...], tuple[str, tuple[type, ...]]]] = {
    ("kind", "v", "origin", "public_key"): ("ledger", (str, int, str, str)),
    ("kind", "first", "writer", "first_number", "count"): ("span", (str, int, str, int, int)),
    ("kind", "data"): ("leaf", (str, str)),
    ("kind", "data", "body", "nonce"): ("leaf", (str, str, str, str)),
    ("kind", "note"): ("head", (str, str)),
    ("kind", "leaves"): ("end", (str, int)),
}
# Objects are read as pairs: of a field given twice, two readers may see different ones.
read_pairs: Final = json.JSONDecoder(object_pairs_hook=tuple).raw_decode
_TEXT: Final = r'"([ !#-\[\]-\x7f]*(?:\\(?:["\\bfnrt]|u[0-9a-f]{4})[ !#-\[\]-\x7f]*)*)"'
LEAF: Final = re.compile(
    r'\{"at":(0|[1-9][0-9]{0,16}),"commitment":"([0-9a-f]{64})",'
    rf'"kind":{_TEXT},"number":([1-9][0-9]{{0,17}}),"previous":"([0-9a-f]{{64}}|)",'
    rf'"subject":{_TEXT},"v":1,"writer":{_TEXT}\}}'
)
NONCE: Final = re.compile("[0-9a-f]{64}")
HEAD: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n((?:[^\n]+\n)+)")
AT: Final = re.compile(r"^at (0|[1-9][0-9]{0,16})$", re.MULTILINE)


class Unusable(ValueError):
    """What was given is not of the form that can be judged."""


# --- Ed25519, RFC 8032, verification only ---------------------------------------------------------

Point = tuple[int, int, int, int]  # extended coordinates: X/Z = x, Y/Z = y, T/Z = x*y
P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE: Final = pow(2, (P - 1) // 4, P)
IDENTITY: Final[Point] = (0, 1, 1, 0)


def _add(one: Point, two: Point) -> Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = two
    a = (y1 - x1) * (y2 - x2) % P
    b = (y1 + x1) * (y2 + x2) % P
    c = 2 * D * t1 * t2 % P
    d = 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _encoded(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def _decoded(encoded: bytes) -> Point | None:
    """The point of 32 bytes, if they are the one way to write a point of the curve."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _table(point: Point) -> list[list[Point]]:
    """Every multiple 0…15 of 1, 16, 256, … times the point: later only additions are left."""
    rows = []
    for _ in range(64):
        row = [IDENTITY]
        for _ in range(15):
            row.append(_add(row[-1], point))
        rows.append(row)
        point = _add(row[-1], point)
    return rows


def _times(table: list[list[Point]], scalar: int) -> Point:
    total = IDENTITY
    for row in table:
        if scalar & 15:
            total = _add(total, row[scalar & 15])
        scalar >>= 4
    return total


@cache
def _generator() -> list[list[Point]]:
    point = _decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None, "4/5 is the generator's y"
    return _table(point)


def ed25519_verifier(public_key: bytes) -> Callable[[bytes, bytes], bool]:
    """A check `(signature, message) -> bool` for one public key; the key's tables are made once."""
    point = _decoded(public_key) if len(public_key) == 32 else None
    if point is None or _times(_table(point), 8)[0] == 0:  # a key of small order signs anything
        raise Unusable("the public key is not an Ed25519 key")
    negated = _table((P - point[0], point[1], 1, P - point[3]))

    def verifies(signature: bytes, message: bytes) -> bool:
        scalar = int.from_bytes(signature[32:], "little")
        if len(signature) != 64 or scalar >= ORDER:
            return False
        digest = sha512(signature[:32] + public_key + message).digest()
        challenge = int.from_bytes(digest, "little") % ORDER
        found = _add(_times(_generator(), scalar), _times(negated, challenge))
        return _encoded(found) == signature[:32]

    return verifies


# --- keys and heads (C2SP signed-note, tlog-checkpoint) -------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """A public key under its name, ready to check signatures."""

    text: str
    name: str
    id: bytes
    verifies: Callable[[bytes, bytes], bool]


class Head(NamedTuple):
    """A head whose signature was checked."""

    origin: str
    size: int
    root: bytes
    at: int


def parse_key(text: str) -> Key:
    """A key from `name+keyid+base64`; its id must be that of its name and bytes."""
    name, _, rest = text.partition("+")
    written_id, _, encoded = rest.partition("+")
    raw = _base64(encoded)
    key_id = sha256(name.encode(errors="surrogatepass") + b"\n" + raw).digest()[:4]
    if raw[:1] != b"\x01" or name.split() != [name] or key_id.hex() != written_id:
        raise Unusable(f"{_quoted(text)} is not a public key of the form name+keyid+base64")
    return Key(text=text, name=name, id=key_id, verifies=ed25519_verifier(raw[1:]))


def parse_head(note: str, key: Key) -> Head:
    """The head in a signed note; `ValueError` says why it does not count."""
    text, gap, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not gap or lines[-1] or not 1 < len(lines) <= SIGNATURES_MAX + 1:
        raise Unusable("is not a signed note")
    signed = f"{text}\n".encode(errors="surrogatepass")
    signatures = [_signature(line, key) for line in lines[:-1]]
    known = [signature for signature in signatures if signature is not None]
    if not known:
        raise ValueError(f"is not signed by {_quoted(key.name)} with key {key.id.hex()}")
    if not all(key.verifies(signature, signed) for signature in known):
        raise ValueError("has a signature that does not fit its text")
    match = HEAD.fullmatch(f"{text}\n")
    times = AT.findall(match[4]) if match else []
    root = _base64(match[3]) if match else b""
    if match is None or len(times) != 1 or len(root) != 32:
        raise Unusable("is signed, but is not a head of a ledger")
    return Head(match[1], int(match[2]), root, int(times[0]))


def _signature(line: str, key: Key) -> bytes | None:
    """The signature of a line if the line names this key; other signers are passed over."""
    parts = line.split(" ")
    raw = _base64(parts[2]) if len(parts) == 3 else b""
    if len(raw) <= 4 or parts[0] != "\u2014":
        raise Unusable("has a signature line that cannot be read")
    return raw[4:] if parts[1] == key.name and raw[:4] == key.id else None


def _base64(text: str) -> bytes:
    """The bytes, or none where the same bytes would be written differently."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""


# --- the report -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and the line of the export that shows it."""

    line: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked and what was found. Verified means nothing was found."""

    verified: bool
    origin: str
    public_key: str
    key_from_export: bool
    leaves: int
    writers: int
    heads: int
    bodies_checked: int
    bodies_absent: int
    root: str
    head_at: int
    kept_sizes: tuple[int, ...]
    findings: tuple[Finding, ...]
    findings_count: int

    def text(self) -> str:
        """The report for people."""
        lines = [f"line {finding.line}: {finding.what}" for finding in self.findings]
        if self.findings_count > len(self.findings):
            lines.append(f"and {self.findings_count - len(self.findings)} more")
        lines.append(
            f"{'verified' if self.verified else 'TAMPERED'}: {self.leaves} leaves of "
            f"{self.writers} writers under {self.heads} heads of {_quoted(self.origin)}, "
            f"{self.bodies_checked} bodies checked, {self.bodies_absent} absent"
        )
        if self.verified:
            lines.append(self._completeness())
        if self.key_from_export:
            lines.append(
                "warning: the public key came from the export itself, so anyone could have signed "
                "it; pass the key you were given before with --public-key"
            )
        return "\n".join(lines)

    def _completeness(self) -> str:
        word = f"complete to {self.leaves} by this log's own word, as of {_time(self.head_at)}"
        if not self.kept_sizes:
            return f"{word}; keep this head, and pass it next time with --since"
        return f"unchanged since the head you kept at {max(self.kept_sizes)}; beyond it {word}"


# --- the checks -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """The last leaf of a writer."""

    number: int = 0
    hash: str = ""
    at: int = 0


class _Ledger:
    """The reading of one export: what is known so far, and what was found wrong."""

    def __init__(self, origin: str, key: Key) -> None:
        self.origin, self.key = origin, key
        self.kept: dict[int, list[Head]] = {}
        self.kept_seen: list[int] = []
        self.line = 1
        self.findings: list[Finding] = []
        self.findings_count = 0
        self.size = 0
        self.stack: list[bytes] = []
        self.writers: dict[str, _Writer] = {}
        self.writer, self.number, self.left = "", 0, 0  # of the open span
        self.latest = 0  # time of the latest leaf
        self.oldest = 0  # what a next leaf may not be older than
        self.heads, self.head = 0, Head(self.origin, 0, b"", 0)
        self.forked = self.ended = False
        self.bodies_checked = self.bodies_absent = 0

    def keep(self, head: Head) -> None:
        """Remember a head that was kept, to compare where the tree has its size."""
        if head.origin != self.origin:
            self.wrong(f"the head you kept is of another ledger, {_quoted(head.origin)}")
        self.kept.setdefault(head.size, []).append(head)

    def wrong(self, what: str) -> None:
        """Note a finding at the current line."""
        self.findings_count += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(line=self.line, what=what))

    def take(self, line: int, raw: bytes) -> None:
        """Check one line after the first."""
        self.line = line
        record = _record(raw)
        shape = record.get("kind", "ledger")
        if shape == "ledger":
            self.wrong("the line is not written as a line of an export")
            return
        if self.ended:
            self.wrong("there is a line after the end")
        if shape == "leaf":
            self.take_leaf(record)
            return
        self.close_span()
        if shape == "span":
            self.take_span(record)
        elif shape == "head":
            self.take_head(record["note"])
        else:
            self.take_end(record["leaves"])

    def close_span(self) -> None:
        """A span is followed by as many leaves as it says."""
        if self.left:
            self.wrong(f"the span of {_quoted(self.writer)} lacks {self.left} leaves here")
        self.left = 0

    def take_span(self, record: dict[str, Any]) -> None:
        """A span continues the tree where it ends and its writer where it stopped."""
        if record["first"] != self.size:
            self.wrong(f"the span says it starts at leaf {record['first']}, not at {self.size}")
        if record["count"] < 1:
            self.wrong("the span is empty")
        self.writer, self.number = record["writer"], record["first_number"]
        self.left = max(0, record["count"])

    def take_leaf(self, record: dict[str, Any]) -> None:
        """A leaf grows the tree and continues its writer's chain."""
        raw = record["data"].encode(errors="surrogatepass")
        digest = sha256(b"\x00" + raw).digest()
        self.grow(digest)
        if not self.left:
            self.wrong(f"leaf {self.size - 1} belongs to no span")
        match = LEAF.fullmatch(record["data"])
        if match is None:
            self.wrong(f"leaf {self.size - 1} is not written as a leaf of version 1")
        else:
            self.check_leaf(match, digest.hex(), record)
        if self.left:
            self.number += 1
            self.left -= 1
        if self.size in self.kept:
            self.compare_kept()

    def check_leaf(self, match: re.Match[str], digest: str, record: dict[str, Any]) -> None:
        """Its place in the chain of its writer, its time, and its body if that is there."""
        at_text, committed, _, number_text, previous, _, quoted_writer = match.groups()
        at, number = int(at_text), int(number_text)
        name: str = quoted_writer
        if "\\" in name:
            name = json.loads(f'"{name}"')
        writer = self.writers.get(name)
        if writer is None:
            writer = self.writers[name] = _Writer()
        index = self.size - 1
        if self.left and (name != self.writer or number != self.number):
            self.wrong(f"leaf {index} is {_quoted(name)} number {number}, not what its span says")
        if number != writer.number + 1:
            self.wrong(f"{_quoted(name)} goes from number {writer.number} to {number}")
        if previous != writer.hash:
            self.wrong(f"leaf {index} does not follow the leaf of {_quoted(name)} before it")
        if at < writer.at:
            self.wrong(f"leaf {index} of {_time(at)} is older than its writer's leaf before it")
        if at < self.oldest:
            self.wrong(
                f"leaf {index} of {_time(at)} is more than {BACKDATE_SECONDS_MAX} seconds older "
                "than a head signed before it was there: it is back-dated"
            )
        writer.number, writer.hash, writer.at = number, digest, at
        self.latest = max(self.latest, at)
        if "body" in record:
            self.check_body(record, committed)
        else:
            self.bodies_absent += 1

    def check_body(self, record: dict[str, Any], committed: str) -> None:
        """The body must be the one the leaf commits to."""
        self.bodies_checked += 1
        nonce: str = record["nonce"]
        if NONCE.fullmatch(nonce) is None:
            self.wrong(f"the nonce of leaf {self.size - 1} is not 32 bytes in hexadecimal")
            return
        digest = sha256(record["body"].encode(errors="surrogatepass")).digest()
        if sha256(bytes.fromhex(nonce) + digest).hexdigest() != committed:
            self.wrong(f"the body of leaf {self.size - 1} is not the one it was made with")

    def take_head(self, note: str) -> None:
        """A head is signed by the key and fits every leaf before it."""
        self.heads += 1
        try:
            head = parse_head(note, self.key)
        except ValueError as error:
            self.wrong(f"the head after leaf {self.size} {error}")
            return
        if head.origin != self.origin:
            self.wrong(f"the head is of another ledger, {_quoted(head.origin)}")
        if head.size != self.size:
            self.wrong(f"a head of {head.size} leaves stands after {self.size}")
        elif head.root != self.root() and not self.forked:
            self.forked = True  # every later head differs too, and says nothing more
            self.wrong(
                f"the leaves up to {head.size} are not the ones its head was signed over: one was "
                f"changed, removed, added or moved since the head of {self.head.size}"
            )
        if head.at < self.latest or head.at < self.head.at:
            self.wrong(f"the head of {_time(head.at)} is older than what it covers")
        self.head = head
        self.oldest = max(self.oldest, head.at - BACKDATE_SECONDS_MAX * 1_000_000)

    def take_end(self, leaves: int) -> None:
        """The end says how many leaves there were."""
        self.ended = True
        if leaves != self.size:
            self.wrong(f"the end says {leaves} leaves, and {self.size} are here")

    def grow(self, node: bytes) -> None:
        """Add a leaf hash to the tree: join it with every full subtree of its own size."""
        rest = self.size
        while rest & 1:
            node = sha256(b"\x01" + self.stack.pop() + node).digest()
            rest >>= 1
        self.stack.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root over the leaves so far."""
        if not self.stack:
            return sha256(b"").digest()
        node = self.stack[-1]
        for left in self.stack[-2::-1]:
            node = sha256(b"\x01" + left + node).digest()
        return node

    def compare_kept(self) -> None:
        """Where a head was kept of this size, the leaves before it must be those of then."""
        for head in self.kept.get(self.size, ()):
            self.kept_seen.append(head.size)
            self.oldest = max(self.oldest, head.at - BACKDATE_SECONDS_MAX * 1_000_000)
            if head.root != self.root():
                self.wrong(f"the first {head.size} leaves are not those of the head you kept")

    def finish(self) -> None:
        """What can only be said when all lines were read."""
        self.close_span()
        if not self.ended:
            self.wrong("the export stops before its end line: it was cut off")
        if not self.heads:
            self.wrong("there is no signed head: nothing vouches for the export")
        elif self.head.size != self.size:
            self.wrong(f"no good head covers the leaves from {self.head.size} to {self.size}")
        for size in sorted(size for size in self.kept if size > self.size):
            self.wrong(f"you kept a head of {size} leaves, and {self.size} are here: truncated")


def _record(raw: bytes) -> dict[str, Any]:
    """A line's fields; none if they are not exactly those of a known kind of line."""
    try:
        text = raw.decode().removesuffix("\n")
        pairs, end = read_pairs(text)
    except (ValueError, RecursionError):
        return {}
    if type(pairs) is not tuple or end != len(text):
        return {}
    record = dict(pairs)
    kind, types = SHAPES.get(tuple([name for name, _ in pairs]), ("", ()))
    fits = record.get("kind") == kind and tuple(map(type, record.values())) == types
    return record if fits else {}


def _header(raw: bytes) -> tuple[str, str]:
    """The origin and the key that the first line names."""
    header = _record(raw)
    if header.get("kind") != "ledger":
        raise Unusable("the file is not an export of a ledger: its first line does not say so")
    if header["v"] != 1:
        raise Unusable(f"the export has version {header['v']}, and this reads version 1")
    return header["origin"], header["public_key"]


def verify(
    lines: Iterable[bytes], *, public_key: str | None = None, since: Sequence[str] = ()
) -> Report:
    """Check an export, line by line, against a public key and the heads kept from earlier.

    Without `public_key` the export's own is used, which proves only that it fits itself. Raises
    `Unusable` where there is nothing to judge: no export, no such key, a kept head that is none.
    """
    reading = iter(lines)
    origin, named_key = _header(next(reading, b""))
    ledger = _Ledger(origin, parse_key(public_key or named_key))
    if public_key not in (None, named_key):
        ledger.wrong(f"the export names another public key, {_quoted(named_key)}")
    for note in since:
        _keep(ledger, note, sure=public_key is not None)
    ledger.compare_kept()
    for line, raw in enumerate(reading, 2):
        ledger.take(line, raw)
    ledger.finish()
    return Report(
        verified=not ledger.findings_count,
        origin=origin,
        public_key=ledger.key.text,
        key_from_export=public_key is None,
        leaves=ledger.size,
        writers=len(ledger.writers),
        heads=ledger.heads,
        bodies_checked=ledger.bodies_checked,
        bodies_absent=ledger.bodies_absent,
        root=ledger.root().hex(),
        head_at=ledger.head.at,
        kept_sizes=tuple(ledger.kept_seen),
        findings=tuple(ledger.findings),
        findings_count=ledger.findings_count,
    )


def _keep(ledger: _Ledger, note: str, *, sure: bool) -> None:
    """Take in a kept head. If one key must be wrong, the one given (`sure`) is not it."""
    try:
        ledger.keep(parse_head(note, ledger.key))
    except Unusable as error:
        raise Unusable(f"the head you kept {error}") from error
    except ValueError as error:
        if sure:
            raise Unusable(f"the head you kept {error}, the key you gave") from error
        ledger.wrong(f"the head you kept {error}, which signs this export: it was signed anew")


def _quoted(text: str) -> str:
    """Text of the export, made safe to print: ASCII only and short."""
    shown = ascii(text)[1:-1]
    return f"`{shown[:80]}{'…' if len(shown) > 80 else ''}`"


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the command ----------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 verified, 1 tampered, 2 unusable input."""
    parser = argparse.ArgumentParser(
        prog="verifier.py", description="Check an export of a Quarterdeck ledger, offline."
    )
    parser.add_argument("export", help="the export, JSON Lines; - reads standard input")
    parser.add_argument(
        "--public-key", metavar="VKEY", help="the ledger's key, name+keyid+base64, got before"
    )
    parser.add_argument(
        "--since",
        metavar="HEAD_FILE",
        action="append",
        default=[],
        help="a signed head kept from earlier; may be given more than once",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(argv)
    try:
        since = [Path(file).read_bytes().decode() for file in options.since]
        report = verify(_lines(options.export), public_key=options.public_key, since=since)
    except (OSError, UnicodeDecodeError, Unusable) as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(report)) if options.json else report.text())
    return 0 if report.verified else 1


def _lines(export: str) -> Iterator[bytes]:
    """The lines of a file; an overlong one comes in pieces, which no check accepts."""
    if export == "-":
        yield from iter(lambda: sys.stdin.buffer.readline(LINE_BYTES_MAX), b"")
        return
    with Path(export).open("rb") as file:
        yield from iter(lambda: file.readline(LINE_BYTES_MAX), b"")


if __name__ == "__main__":
    sys.exit(main())
