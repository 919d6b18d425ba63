"""Heads of the ledger, and the signed notes that carry them (C2SP tlog-checkpoint, signed-note).

A note is text, an empty line, and signature lines `— name base64(key id || signature)`. The key id
is the first four bytes of SHA-256(name || newline || 0x01 || public key); 0x01 says Ed25519.
INVARIANT: what is written here reads back equal, and nothing else reads back.
Deliberately absent: private keys and the check of signatures. Signing is a callable.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.merkle import HASH_BYTES

ED25519: Final = b"\x01"
KEY_ID_BYTES: Final = 4
PUBLIC_KEY_BYTES: Final = 32
SIGNATURES_MAX: Final = 100
AT_DIGITS_MAX: Final = 17  # microseconds up to the year 5138


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the ledger was at a time: its origin, how many leaves, their root. `at` in micros."""

    origin: str
    size: int
    root: bytes
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line: who says they signed, with which key, and the bytes."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text and its signatures. Nothing in it is true until a signature was checked."""

    text: bytes
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key with the name it signs under, as people hand it around."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in a signature line."""
        return key_id(self.name, self.public_key)

    def __str__(self) -> str:
        encoded = b64encode(ED25519 + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes that name an Ed25519 key in a signature line."""
    return sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:KEY_ID_BYTES]


def parse_verifier_key(text: str) -> VerifierKey:
    """A verifier key from `name+keyid+base64`."""
    parts = text.split("+", 2)  # the base64 part may hold a plus itself
    encoded = _base64(parts[2]) if len(parts) == 3 else b""
    key = VerifierKey(name=parts[0], public_key=encoded[1:])
    fits = encoded[:1] == ED25519 and len(key.public_key) == PUBLIC_KEY_BYTES
    if not fits or not _names_a_key(key.name) or str(key) != text:
        raise Invalid(
            f"`{text}` is not a verifier key",
            hint="write name+keyid+base64 of an Ed25519 key, as `quarterdeck ledger head` does",
        )
    return key


def head_text(origin: str, size: int, root: bytes, at: int) -> bytes:
    """The text to sign: origin, size, root, and the time as an extension line."""
    if not origin or not origin.isprintable():
        raise Invalid(
            f"`{origin}` cannot name a ledger", hint="use a name such as example.com/fleet"
        )
    assert size >= 0, "a size counts leaves"
    assert len(root) == HASH_BYTES, "a root is one hash"
    assert 0 <= at < 10**AT_DIGITS_MAX, "times are microseconds since the epoch"
    return f"{origin}\n{size}\n{b64encode(root).decode()}\nat {at}\n".encode()


def parse_head(text: bytes) -> Head:
    """A head from its text; extension lines other than the time are passed over."""
    lines = _decoded(text).split("\n")
    if len(lines) < 5 or lines[-1] or not all(lines[:-1]):
        raise _not_a_head()
    origin, size, root, *extensions = lines[:-1]
    times = [line[3:] for line in extensions if line.startswith("at ")]
    hashed = _base64(root)
    if len(times) != 1 or len(hashed) != HASH_BYTES:
        raise _not_a_head()
    return Head(origin=origin, size=_decimal(size), root=hashed, at=_decimal(times[0]))


def signed_note(text: bytes, signer_name: str, key_hash: bytes, signature: bytes) -> str:
    """The note that carries a text and one signature over it."""
    if not _names_a_key(signer_name):
        raise Invalid(
            f"`{signer_name}` cannot name a key",
            hint="use a name without spaces and plus signs, such as example.com/fleet",
        )
    assert text.endswith(b"\n"), "a signed text ends in a newline"
    assert len(key_hash) == KEY_ID_BYTES, "a key id has four bytes"
    encoded = b64encode(key_hash + signature).decode()
    return f"{text.decode()}\n— {signer_name} {encoded}\n"


def sign_head(head: Head, key: VerifierKey, sign: Callable[[bytes], bytes]) -> str:
    """The signed note of a head; `sign` makes the Ed25519 signature of bytes."""
    text = head_text(head.origin, head.size, head.root, head.at)
    return signed_note(text, key.name, key.key_id, sign(text))


def parse_note(note: str) -> Note:
    """A note's text and signatures; the text ends at the last empty line."""
    text, gap, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    controls = any(ord(letter) < 0x20 and letter != "\n" for letter in note)
    if not gap or controls or lines[-1] or not 1 < len(lines) <= SIGNATURES_MAX + 1:
        raise _not_a_note()
    signatures = tuple(_signature(line) for line in lines[:-1])
    return Note(text=f"{text}\n".encode(), signatures=signatures)


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    raw = _base64(encoded)
    if dash != "—" or not _names_a_key(name) or len(raw) <= KEY_ID_BYTES:
        raise _not_a_note()
    return Signature(name=name, key_id=raw[:KEY_ID_BYTES], signature=raw[KEY_ID_BYTES:])


def _names_a_key(name: str) -> bool:
    return name.isprintable() and name.split() == [name] and "+" not in name


def _decimal(text: str) -> int:
    """A whole number without sign, spaces or leading zeroes: one number, one way to write it."""
    if not (text.isascii() and text.isdigit()) or len(text) > AT_DIGITS_MAX:
        raise _not_a_head()
    if text != "0" and text.startswith("0"):
        raise _not_a_head()
    return int(text)


def _base64(text: str) -> bytes:
    """The bytes, or none if another text would decode to the same bytes."""
    try:
        raw = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        return b""
    return raw if b64encode(raw).decode() == text else b""


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _not_a_head() from error


def _not_a_head() -> Invalid:
    return Invalid(
        "the note's text is not a head of a ledger",
        hint="a head has four lines: origin, size, root in base64, and `at` with microseconds",
    )


def _not_a_note() -> Invalid:
    return Invalid(
        "the text is not a signed note",
        hint="keep the whole file: the text, an empty line, and the lines that start with a dash",
    )
