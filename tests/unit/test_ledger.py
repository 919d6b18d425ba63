"""Leaves, heads and notes: what is hashed, what is committed to, what reads back."""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from types import MappingProxyType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.errors import Conflict, Corrupt, Invalid
from quarterdeck.domain.ledger import (
    Entry,
    Leaf,
    Span,
    StoredLeaf,
    canonical,
    commitment,
    export_lines,
    make_leaf,
)
from quarterdeck.domain.notes import (
    Head,
    VerifierKey,
    head_text,
    key_id,
    parse_head,
    parse_note,
    parse_verifier_key,
    sign_head,
    signed_note,
)

NONCE = bytes(range(32))
ROOT = sha256(b"root").digest()
PRIVATE = Ed25519PrivateKey.from_private_bytes(NONCE)
KEY = VerifierKey(name="example.com/fleet", public_key=PRIVATE.public_key().public_bytes_raw())
HEAD = Head(origin="example.com/fleet", size=12, root=ROOT, at=1_795_000_000_000_000)
# A verifier key and a note published with the first implementation of signed notes.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngot"
    "pRZb6KE6RyyBwJnAM=\n"
)


def leaf(entry: Entry, *, number: int = 1, previous: bytes = b"", at: int = 5) -> Leaf:
    return make_leaf(entry, writer="prc_1", number=number, previous=previous, at=at, nonce=NONCE)


ADMITTED = Entry(kind="admitted", subject="act_1", body={"run": "run_1", "held": 5})


def test_a_leaf_is_exactly_these_bytes() -> None:
    made = leaf(ADMITTED)
    assert made.body == b'{"held":5,"run":"run_1"}'
    committed = sha256(NONCE + sha256(made.body).digest()).hexdigest()
    assert made.data.decode() == (
        f'{{"at":5,"commitment":"{committed}","kind":"admitted","number":1,"previous":"",'
        '"subject":"act_1","v":1,"writer":"prc_1"}'
    )
    assert made.hash == sha256(b"\x00" + made.data).digest()


def test_a_leaf_names_the_leaf_before_it() -> None:
    first = leaf(ADMITTED)
    second = leaf(ADMITTED, number=2, previous=first.hash)
    assert json.loads(second.data)["previous"] == first.hash.hex()


def test_a_writers_first_leaf_and_only_that_follows_nothing() -> None:
    with pytest.raises(AssertionError):
        leaf(ADMITTED, number=2)
    with pytest.raises(AssertionError):
        leaf(ADMITTED, number=1, previous=ROOT)


def test_a_short_nonce_is_refused() -> None:
    with pytest.raises(AssertionError):
        make_leaf(ADMITTED, writer="prc_1", number=1, previous=b"", at=5, nonce=b"short")


def test_a_commitment_tells_nothing_without_its_nonce() -> None:
    assert commitment(b"{}", NONCE) != commitment(b"{}", NONCE[::-1])
    assert commitment(b"{}", NONCE) != commitment(b"[]", NONCE)


FACTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(), st.text(), st.dictionaries(st.text(), FACTS, max_size=5))
def test_any_entry_makes_an_ascii_leaf_that_reads_back(
    kind: str, subject: str, body: dict[str, object]
) -> None:
    made = leaf(Entry(kind=kind, subject=subject, body=body))
    read = json.loads(made.data)
    assert made.data.isascii()
    assert (read["kind"], read["subject"]) == (kind, subject)
    assert list(read) == sorted(read)
    assert json.loads(made.body) == body


def test_facts_have_one_way_to_be_written() -> None:
    assert canonical({"b": 1, "a": {"d": 2, "c": 3}}) == b'{"a":{"c":3,"d":2},"b":1}'
    assert canonical({"a": MappingProxyType({"b": 1})}) == b'{"a":{"b":1}}'
    assert canonical({"whole": 2**70}) == b'{"whole":1180591620717411303424}'
    assert canonical({"broken": "\ud800"}) == b'{"broken":"\\ud800"}'
    with pytest.raises(TypeError, match="JSON values"):
        canonical({"when": object()})


def test_a_head_is_a_checkpoint_with_its_time() -> None:
    text = head_text("example.com/fleet", 12, bytes(32), 77)
    root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert text.decode() == f"example.com/fleet\n12\n{root}\nat 77\n"


def test_a_signed_head_reads_back_and_its_signature_holds() -> None:
    note = parse_note(sign_head(HEAD, KEY, PRIVATE.sign))
    assert parse_head(note.text) == HEAD
    (signature,) = note.signatures
    assert (signature.name, signature.key_id) == (KEY.name, KEY.key_id)
    PRIVATE.public_key().verify(signature.signature, note.text)


def test_a_note_of_another_implementation_reads_here() -> None:
    key = parse_verifier_key(NEUMANN)
    note = parse_note(NEUMANN_NOTE)
    assert (key.name, key.key_id.hex(), str(key)) == ("PeterNeumann", "c74f20a3", NEUMANN)
    (signature,) = note.signatures
    assert signature.key_id == key_id("PeterNeumann", key.public_key)
    assert signed_note(note.text, key.name, key.key_id, signature.signature) == NEUMANN_NOTE


def test_a_note_may_carry_witnesses_and_other_extension_lines() -> None:
    text = head_text(HEAD.origin, HEAD.size, HEAD.root, HEAD.at) + b"seen by a witness\n"
    note = signed_note(text, KEY.name, KEY.key_id, bytes(64))
    both = parse_note(note + note.splitlines(keepends=True)[-1].replace("fleet", "witness"))
    assert [signature.name for signature in both.signatures] == [KEY.name, "example.com/witness"]
    assert parse_head(both.text) == HEAD


@pytest.mark.parametrize(
    "text",
    [
        NEUMANN.replace("c74f", "c74e"),
        NEUMANN.replace("c74f", "C74F"),
        NEUMANN.replace("+AR", "+Ag"),
        NEUMANN.replace("Peter", "Peter "),
        NEUMANN[:-4],
        NEUMANN + "=",
        "PeterNeumann",
        "",
    ],
)
def test_what_is_not_a_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a verifier key"):
        parse_verifier_key(text)


GOOD_HEAD = head_text("example.com/fleet", 12, ROOT, 77)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        GOOD_HEAD[:-1],
        GOOD_HEAD + b"\n",
        GOOD_HEAD + b"at 78\n",
        GOOD_HEAD.replace(b"at 77\n", b""),
        GOOD_HEAD.replace(b"at 77", b"at 077"),
        GOOD_HEAD.replace(b"at 77", b"at -1"),
        GOOD_HEAD.replace(b"at 77", b"at " + b"9" * 30),
        GOOD_HEAD.replace(b"\n12\n", b"\n012\n"),
        GOOD_HEAD.replace(b"\n12\n", b"\n+12\n"),
        GOOD_HEAD.replace(b"\n12\n", "\n\u0661\u0662\n".encode()),
        GOOD_HEAD.replace(b"=\n", b"\n"),
        GOOD_HEAD.replace(b"example", b"\xff"),
    ],
)
def test_what_is_not_a_head_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="not a head"):
        parse_head(text)


@pytest.mark.parametrize(
    "note",
    [
        "",
        NEUMANN_NOTE[:-1],
        NEUMANN_NOTE.replace("\n\n", "\n"),
        NEUMANN_NOTE.replace("—", "-"),
        NEUMANN_NOTE.replace("— Peter", "— Peter+"),
        NEUMANN_NOTE.replace("x08go", "x08g*"),
        NEUMANN_NOTE.replace("AM=", "AN="),
        NEUMANN_NOTE.replace("think", "thi\tnk"),
        NEUMANN_NOTE + NEUMANN_NOTE.splitlines(keepends=True)[-1] * 100,
    ],
)
def test_what_is_not_a_note_is_refused(note: str) -> None:
    with pytest.raises(Invalid, match="not a signed note"):
        parse_note(note)


def test_names_that_would_blur_a_note_are_refused() -> None:
    with pytest.raises(Invalid, match="cannot name a key"):
        signed_note(GOOD_HEAD, "example.com/my fleet", bytes(4), bytes(64))
    with pytest.raises(Invalid, match="cannot name a ledger"):
        head_text("two\nlines", 0, ROOT, 0)


def span_of(first: int, leaves: list[Leaf]) -> tuple[Span, list[StoredLeaf]]:
    span = Span(
        first=first, writer=leaves[0].writer, first_number=leaves[0].number, count=len(leaves)
    )
    return span, [StoredLeaf(data=one.data, body=one.body, nonce=one.nonce) for one in leaves]


def chain(count: int) -> list[Leaf]:
    leaves: list[Leaf] = []
    for number in range(1, count + 1):
        previous = leaves[-1].hash if leaves else b""
        leaves.append(leaf(ADMITTED, number=number, previous=previous))
    return leaves


def exported(
    spans: Iterable[tuple[Span, list[StoredLeaf]]], heads: Iterable[tuple[int, str]]
) -> Iterator[bytes]:
    return export_lines(origin="o", public_key="k", spans=spans, heads=heads)


def test_an_export_puts_each_head_where_the_tree_had_its_size() -> None:
    leaves = chain(3)
    spans = [span_of(0, leaves[:2]), span_of(2, leaves[2:])]
    lines = list(exported(spans, [(0, "a"), (2, "b"), (3, "c"), (3, "d")]))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    read = [json.loads(line) for line in lines]
    kinds = "ledger head span leaf leaf head span leaf head head end"
    assert [line["kind"] for line in read] == kinds.split()
    assert [line["note"] for line in read if line["kind"] == "head"] == ["a", "b", "c", "d"]
    assert read[3]["data"].encode() == leaves[0].data
    assert (read[3]["body"].encode(), read[3]["nonce"]) == (leaves[0].body, NONCE.hex())
    assert read[-1] == {"kind": "end", "leaves": 3}


def test_a_purged_body_leaves_only_its_leaf_in_the_export() -> None:
    (made,) = chain(1)
    spans = [(span_of(0, [made])[0], [StoredLeaf(data=made.data)])]
    line = json.loads(list(exported(spans, [(1, "a")]))[2])
    assert line == {"kind": "leaf", "data": made.data.decode()}


def test_an_export_is_not_finished_where_a_head_does_not_cover_it() -> None:
    spans = [span_of(0, chain(2))]
    for heads in ([], [(0, "a")], [(2, "a"), (3, "b")]):
        with pytest.raises(Conflict, match="covers"):
            list(exported(spans, heads))


def test_an_export_stops_at_spans_that_do_not_fit() -> None:
    leaves = chain(3)
    span, stored = span_of(0, leaves)
    with pytest.raises(Corrupt, match="starts at leaf 1"):
        list(exported([span_of(1, leaves)], []))
    with pytest.raises(Corrupt, match="has 2 leaves, not 3"):
        list(exported([(span, stored[:2])], []))
    with pytest.raises(Corrupt, match="a head covers 2 leaves"):
        list(exported([(span, stored)], [(2, "a")]))
