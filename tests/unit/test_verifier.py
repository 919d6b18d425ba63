"""The offline verifier: honest exports pass, and every way of tampering we know of is named."""

import ast
import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from hashlib import sha256, sha512
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck import verifier
from quarterdeck.domain.ledger import Entry, Leaf, Span, StoredLeaf, export_lines, make_leaf
from quarterdeck.domain.merkle import Frontier
from quarterdeck.domain.notes import Head, VerifierKey, sign_head
from quarterdeck.verifier import Report, Unusable, ed25519_verifier, verify

START = 1_795_000_000_000_000
SECOND = 1_000_000
ORIGIN = "example.com/fleet"


def private_key(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


def public_key(private: Ed25519PrivateKey, name: str = ORIGIN) -> VerifierKey:
    return VerifierKey(name=name, public_key=private.public_key().public_bytes_raw())


KEY = str(public_key(private_key(1)))


class Written:
    """A ledger in memory: leaves are written, sealed into spans, and exported."""

    def __init__(self, *, seed: int = 1, origin: str = ORIGIN) -> None:
        self.private, self.origin = private_key(seed), origin
        self.key = public_key(self.private)
        self.at = START
        self.chains: dict[str, list[Leaf]] = {}
        self.pending: list[Leaf] = []
        self.spans: list[tuple[Span, list[StoredLeaf]]] = []
        self.heads: list[tuple[int, str]] = []
        self.frontier = Frontier()

    def write(self, writer: str, *, at: int | None = None, subject: str = "act") -> None:
        """One leaf of a writer, a second after the one before it."""
        self.at += SECOND
        chain = self.chains.setdefault(writer, [])
        number = len(chain) + 1
        leaf = make_leaf(
            Entry(
                kind="admitted", subject=f"{subject}_{number}", body={"for": "café\n", "n": number}
            ),
            writer=writer,
            number=number,
            previous=chain[-1].hash if chain else b"",
            at=self.at if at is None else at,
            nonce=sha256(f"{writer} {number}".encode()).digest(),
        )
        chain.append(leaf)
        self.pending.append(leaf)

    def seal(self, *, at: int | None = None) -> str:
        """Order what is pending, grow the tree, sign a head."""
        for writer in dict.fromkeys(leaf.writer for leaf in self.pending):
            own = [leaf for leaf in self.pending if leaf.writer == writer]
            first, count = self.frontier.size, len(own)
            span = Span(first=first, writer=writer, first_number=own[0].number, count=count)
            stored = [StoredLeaf(data=one.data, body=one.body, nonce=one.nonce) for one in own]
            self.spans.append((span, stored))
            self.frontier = self.frontier.append(leaf.hash for leaf in own)
        self.pending = []
        head = Head(
            origin=self.origin,
            size=self.frontier.size,
            root=self.frontier.root(),
            at=self.at if at is None else at,
        )
        self.heads.append((head.size, sign_head(head, self.key, self.private.sign)))
        return self.heads[-1][1]

    def lines(self) -> list[bytes]:
        """The export."""
        exported = export_lines(
            origin=self.origin, public_key=str(self.key), spans=self.spans, heads=self.heads
        )
        return list(exported)


def honest(*, seed: int = 1, subject: str = "act", rounds: int = 3) -> Written:
    """Eight leaves a round of two writers, a head after each round."""
    written = Written(seed=seed)
    for _ in range(rounds):
        for number in range(8):
            written.write("prc_b" if number % 3 else "prc_a", subject=subject)
        written.seal()
    return written


LINES = honest().lines()


def checked(lines: list[bytes], *, since: str | None = None, key: str | None = KEY) -> Report:
    return verify(lines, public_key=key, since=[since] if since else [])


def said(report: Report) -> str:
    return "\n".join(finding.what for finding in report.findings)


def changed(at: int, change: Callable[[dict[str, object]], None]) -> list[bytes]:
    """The honest export with the fields of one line changed."""
    lines = list(LINES)
    record = json.loads(lines[at])
    change(record)
    written = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    lines[at] = written.encode() + b"\n"
    return lines


def lines_of(kind: str) -> list[int]:
    return [at for at, line in enumerate(LINES) if json.loads(line)["kind"] == kind]


LEAVES, SPANS, HEADS = lines_of("leaf"), lines_of("span"), lines_of("head")


# --- honest exports -------------------------------------------------------------------------------


def test_an_honest_export_is_verified() -> None:
    report = checked(LINES)
    assert report.verified, said(report)
    assert (report.leaves, report.writers, report.heads) == (24, 2, 3)
    assert (report.bodies_checked, report.bodies_absent) == (24, 0)
    assert report.root == honest().frontier.root().hex()
    assert "complete to 24 by this log's own word" in report.text()
    assert "warning" not in report.text()


def test_an_empty_ledger_with_a_head_is_verified() -> None:
    written = Written()
    written.seal()
    assert checked(written.lines()).verified


def test_two_heads_of_one_size_are_honest() -> None:
    written = honest()
    written.seal()
    assert checked(written.lines()).verified


def test_without_a_key_of_ones_own_the_report_warns() -> None:
    report = checked(LINES, key=None)
    assert report.verified
    assert report.key_from_export
    assert "warning: the public key came from the export itself" in report.text()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_kept_head_of_this_history_is_agreed_with(at: int) -> None:
    size, note = honest().heads[at]
    report = checked(LINES, since=note)
    assert report.verified, said(report)
    assert report.kept_sizes == (size,)
    assert f"unchanged since the head you kept at {size}" in report.text()


def test_purged_bodies_are_counted_and_prove_as_before() -> None:
    def purge(record: dict[str, object]) -> None:
        del record["body"], record["nonce"]

    lines = changed(LEAVES[3], purge)
    report = checked(lines)
    assert report.verified
    assert (report.bodies_checked, report.bodies_absent) == (23, 1)


def test_a_signature_of_an_unknown_witness_is_passed_over() -> None:
    other = sign_head(Head(origin=ORIGIN, size=8, root=bytes(32), at=1), KEY2, KEY2_PRIVATE.sign)
    witness = other.splitlines(keepends=True)[-1]
    lines = changed(HEADS[0], lambda record: record.update(note=f"{record['note']}{witness}"))
    assert checked(lines).verified


KEY2_PRIVATE = private_key(2)
KEY2 = public_key(KEY2_PRIVATE, "example.com/witness")


# --- tampering ------------------------------------------------------------------------------------

FLIPPED = st.tuples(st.sampled_from(range(len(LINES))), st.integers(0, 10_000), st.integers(0, 7))


@given(FLIPPED, st.booleans())
def test_a_flipped_bit_is_found_or_changes_no_meaning(
    flip: tuple[int, int, int], own_key: bool
) -> None:
    """Goal: no single flipped bit anywhere goes unseen, with or without a key of one's own.

    Method: flip one; what still passes must read, as JSON, exactly as before.
    """
    at, offset, bit = flip
    lines = list(LINES)
    damaged = bytearray(lines[at])
    damaged[offset % len(damaged)] ^= 1 << bit
    lines[at] = bytes(damaged)
    try:
        report = checked(lines, key=KEY if own_key else None)
    except Unusable:
        return
    if report.verified:
        assert json.loads(lines[at]) == json.loads(LINES[at])


@pytest.mark.parametrize("field", ["data", "body", "nonce", "note"])
@given(data=st.data())
def test_a_changed_character_of_a_leaf_or_a_head_is_found(field: str, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(HEADS if field == "note" else LEAVES))
    text = json.loads(LINES[at])[field]
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(exclude_characters=text[place], codec="utf-8"))
    tampered = text[:place] + letter + text[place + 1 :]
    assert not checked(changed(at, lambda record: record.update({field: tampered}))).verified


@given(st.data())
def test_removed_duplicated_and_moved_lines_are_found(data: st.DataObject) -> None:
    lines = list(LINES)
    at, to = (data.draw(st.integers(1, len(lines) - 1)) for _ in range(2))
    match data.draw(st.sampled_from(["remove", "duplicate", "swap"])):
        case "remove":
            lines.pop(at)
        case "duplicate":
            lines.insert(to, lines[at])
        case _:
            lines[at], lines[to] = lines[to], lines[at]
    report = checked(lines)
    heads_dropped = [line for line in LINES if line not in lines or lines.count(line) > 1]
    harmless = lines == LINES or all(json.loads(one)["kind"] == "head" for one in heads_dropped)
    assert not report.verified or harmless


def test_a_leaf_whose_number_and_span_were_mended_is_still_found() -> None:
    """Goal: removing the last leaf of the last span, and mending every count, is found."""
    lines = list(LINES)
    span = json.loads(lines[SPANS[-1]])
    span["count"] -= 1
    lines[SPANS[-1]] = json.dumps(span, separators=(",", ":")).encode()
    lines[-1] = b'{"kind":"end","leaves":23}'
    lines.pop(LEAVES[-1])
    assert "a head of 24 leaves stands after 23" in said(checked(lines))


def test_an_inserted_leaf_that_fits_its_chain_is_found() -> None:
    """Goal: a leaf that fits its writer's chain, added under heads signed before, is found."""
    written = honest()
    heads = list(written.heads)
    written.write("prc_c")
    written.seal()
    written.heads = [*heads[:2], (25, heads[2][1])]
    report = checked(written.lines())
    assert "a head of 24 leaves stands after 25" in said(report)


def test_leaves_after_the_last_head_are_found() -> None:
    lines = list(LINES)
    lines.pop(HEADS[-1])
    assert "no good head covers the leaves from 16 to 24" in said(checked(lines))


def test_an_export_without_any_head_proves_nothing() -> None:
    lines = [line for at, line in enumerate(LINES) if at not in HEADS]
    assert "nothing vouches for the export" in said(checked(lines))


def test_an_export_cut_off_at_any_line_is_found() -> None:
    for end in range(1, len(LINES)):
        assert "cut off" in said(checked(LINES[:end]))


def test_lines_after_the_end_are_found() -> None:
    assert "after the end" in said(checked([*LINES, LINES[HEADS[-1]]]))


def test_a_body_that_was_swapped_is_found_where_it_is() -> None:
    report = checked(changed(LEAVES[5], lambda record: record.update(body='{"for":"me"}')))
    (finding,) = report.findings
    assert finding.line == LEAVES[5] + 1
    assert finding.what == "the body of leaf 5 is not the one it was made with"


def test_a_signature_written_in_other_base64_of_the_same_bytes_is_found() -> None:
    note = json.loads(LINES[HEADS[0]])["note"]
    last = note[-3]  # of its six bits, the last two are not part of any byte
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(last) ^ 1]
    lines = changed(HEADS[0], lambda record: record.update(note=f"{note[:-3]}{other}=\n"))
    assert "signature line that cannot be read" in said(checked(lines))


def test_a_field_given_twice_is_found() -> None:
    lines = list(LINES)
    lines[LEAVES[0]] = lines[LEAVES[0]].replace(b'"body":', b'"body":"{}","body":')
    assert "not written as a line of an export" in said(checked(lines))


def test_a_leaf_with_a_field_given_twice_is_found() -> None:
    data = json.loads(LINES[LEAVES[0]])["data"].replace('"at":', '"at":1,"at":')
    lines = changed(LEAVES[0], lambda record: record.update(data=data))
    assert "not written as a leaf of version 1" in said(checked(lines))


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"[]", b"null", b"{", b"\xff\n", b"[" * 100_000, b'{"kind":"leaf","data":7}'],
)
def test_a_line_that_is_none_is_found(line: bytes) -> None:
    assert "line of an export" in said(checked([*LINES[:3], line, *LINES[3:]]))


def test_a_broken_surrogate_does_not_pass_for_the_letter_it_replaced() -> None:
    lines = list(LINES)
    at = LEAVES[0]
    lines[at] = lines[at].replace("café".encode(), b"caf\\udce9")
    assert lines[at] != LINES[at]
    assert "the body of leaf 0" in said(checked(lines))


def test_many_findings_are_counted_and_not_all_written_out() -> None:
    lines = [line.replace(b'\\"v\\":1', b'\\"v\\":2') for line in LINES]
    report = checked(lines)
    assert len(report.findings) == 20
    assert report.findings_count > 20
    assert f"and {report.findings_count - 20} more" in report.text()


# --- keys and kept heads --------------------------------------------------------------------------


def test_an_export_signed_with_another_key_is_found_by_ones_own_key() -> None:
    report = checked(honest(seed=2).lines())
    assert "names another public key" in said(report)
    assert "is not signed by `example.com/fleet`" in said(report)
    assert checked(honest(seed=2).lines(), key=None).verified


def test_an_export_signed_with_another_key_is_found_by_a_kept_head() -> None:
    report = checked(honest(seed=2).lines(), since=honest().heads[0][1], key=None)
    assert "the head you kept is not signed by" in said(report)
    assert "signed anew" in said(report)


def test_heads_of_another_key_under_the_old_name_are_found() -> None:
    lines = [LINES[0], *honest(seed=2).lines()[1:]]
    assert "is not signed by" in said(checked(lines))


def test_history_rebuilt_with_the_same_key_is_found_only_by_a_kept_head() -> None:
    rebuilt = honest(subject="other").lines()
    assert checked(rebuilt).verified, "it fits itself: that is what a kept head is for"
    report = checked(rebuilt, since=honest().heads[0][1])
    assert "the first 8 leaves are not those of the head you kept" in said(report)


def test_a_truncated_ledger_is_found_only_by_a_kept_head() -> None:
    shorter = honest(rounds=2).lines()
    assert checked(shorter).verified, "a shorter history fits itself too"
    report = checked(shorter, since=honest().heads[2][1])
    assert "you kept a head of 24 leaves, and 16 are here: truncated" in said(report)


def test_a_kept_head_inside_a_span_is_compared_too() -> None:
    """Goal: history sealed in other portions is the same history."""
    coarse = Written()
    fine = Written()
    for written in (coarse, fine):
        for _ in range(4):
            written.write("prc_a")
        if written is fine:
            kept = written.seal()
        for _ in range(4):
            written.write("prc_a")
        written.seal()
    assert checked(coarse.lines(), since=kept).verified


def test_two_kept_heads_of_one_size_cannot_both_hold() -> None:
    notes = [honest().heads[0][1], honest(subject="other").heads[0][1]]
    report = verify(LINES, public_key=KEY, since=notes)
    assert said(report).count("not those of the head you kept") == 1


def test_a_kept_head_of_another_ledger_is_found() -> None:
    other = Written(origin="example.com/other")
    assert "of another ledger" in said(checked(LINES, since=other.seal()))


def test_a_head_of_another_ledger_under_the_same_key_is_found() -> None:
    other = Written(origin="example.com/other").seal()
    lines = [LINES[0], json.dumps({"kind": "head", "note": other}).encode(), *LINES[1:]]
    assert not checked(lines).verified


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("first", 7, "starts at leaf 7, not at 0"),
        ("writer", "prc_z", "not what its span says"),
        ("first_number", 2, "not what its span says"),
        ("count", 1, "belongs to no span"),
        ("count", 9, "lacks 6 leaves here"),
        ("count", 0, "the span is empty"),
        ("count", -3, "the span is empty"),
    ],
)
def test_a_span_that_says_something_else_is_found(field: str, value: int | str, words: str) -> None:
    report = checked(changed(SPANS[0], lambda record: record.update({field: value})))
    assert words in said(report)


def test_a_gap_in_a_writers_numbers_is_found_though_the_key_holder_made_it() -> None:
    written = honest()
    written.chains["prc_a"].append(written.chains["prc_a"][-1])
    written.write("prc_a")
    written.seal()
    assert "`prc_a` goes from number 9 to 11" in said(checked(written.lines()))


def test_a_leaf_that_follows_another_is_found_though_the_key_holder_made_it() -> None:
    written = honest()
    chain = written.chains["prc_a"]
    chain[-1] = chain[-2]
    written.write("prc_a")
    written.seal()
    report = checked(written.lines())
    assert said(report) == "leaf 24 does not follow the leaf of `prc_a` before it"


# --- time -----------------------------------------------------------------------------------------


def backdated(seconds: int) -> Report:
    """A ledger whose key holder adds, after a head, a leaf of a new writer dated before it."""
    written = honest()
    written.write("prc_new", at=written.at - seconds * SECOND)
    written.seal()
    return checked(written.lines())


def test_a_leaf_dated_long_before_the_head_ahead_of_it_is_back_dated() -> None:
    report = backdated(601)
    assert "it is back-dated" in said(report)
    assert report.findings_count == 1


def test_a_leaf_a_little_late_is_not_back_dated() -> None:
    assert backdated(600).verified


def test_a_leaf_dated_before_a_kept_head_is_back_dated_though_its_head_is_gone() -> None:
    late = honest()
    late.at += 3600 * SECOND
    kept = late.seal()
    late.write("prc_new", at=START)
    late.seal()
    late.heads = [late.heads[-1]]
    assert checked(late.lines()).verified, "with its heads gone, nothing here says when"
    assert "it is back-dated" in said(checked(late.lines(), since=kept))


def test_a_writers_time_never_goes_back() -> None:
    written = honest()
    written.write("prc_a", at=START)
    written.seal()
    assert "is older than its writer's leaf before it" in said(checked(written.lines()))


def test_a_head_is_not_older_than_what_it_covers() -> None:
    written = honest()
    written.write("prc_a")
    written.seal(at=written.at - 1)
    assert "is older than what it covers" in said(checked(written.lines()))


# --- unusable input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"hello\n"],
        LINES[1:],
        [LINES[0].replace(b'"v":1', b'"v":2')],
        [LINES[0].replace(b'"v":1', b'"v":true')],
        [LINES[0].replace(b"+", b"-")],
    ],
)
def test_what_is_no_export_is_unusable(lines: list[bytes]) -> None:
    with pytest.raises(Unusable):
        checked(lines, key=None)


SMALL_ORDER = (1).to_bytes(32, "little")
NOT_A_POINT = (2).to_bytes(32, "little")


@pytest.mark.parametrize("key", ["", "x", KEY[:-4], KEY.replace("fleet", "float"), KEY + "\n"])
def test_what_is_no_key_is_unusable(key: str) -> None:
    with pytest.raises(Unusable):
        verify(LINES, public_key=key or "+")


@pytest.mark.parametrize("raw", [SMALL_ORDER, NOT_A_POINT, b"\xff" * 32])
def test_a_key_that_is_no_point_or_signs_anything_is_unusable(raw: bytes) -> None:
    with pytest.raises(Unusable, match="not an Ed25519 key"):
        checked(LINES, key=str(VerifierKey(name=ORIGIN, public_key=raw)))


def test_a_kept_head_that_is_none_or_not_of_the_given_key_is_unusable() -> None:
    with pytest.raises(Unusable, match="is not a signed note"):
        checked(LINES, since="a shopping list")
    with pytest.raises(Unusable, match="the key you gave"):
        checked(LINES, since=honest(seed=2).heads[0][1])


def test_what_the_report_quotes_cannot_drive_a_terminal() -> None:
    written = Written(origin="example.com/\u202efleet" + "x" * 200)
    with pytest.raises(Exception, match="cannot name a ledger"):
        written.seal()
    lines = changed(SPANS[0], lambda record: record.update(writer="\x1b[2J" + "x" * 200))
    text = checked(lines).text()
    assert "\x1b" not in text
    assert "x" * 100 not in text


# --- Ed25519 --------------------------------------------------------------------------------------

RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
        "cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
        "0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
        "84dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66"
        "431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_signatures_of_rfc_8032_hold(public: str, message: str, signature: str) -> None:
    verifies = ed25519_verifier(bytes.fromhex(public))
    text, signed = bytes.fromhex(message), bytes.fromhex(signature)
    assert verifies(signed, text)
    assert not verifies(signed, text + b"x")
    assert not verifies(signed[:-1], text)
    for bit in range(0, 512, 37):
        flipped = (int.from_bytes(signed, "big") ^ 1 << bit).to_bytes(64, "big")
        assert not verifies(flipped, text)


def test_a_signature_has_one_form_only() -> None:
    """Goal: adding the group's order to a signature, which the equation allows, is refused."""
    private = private_key(3)
    signature = private.sign(b"text")
    scalar = int.from_bytes(signature[32:], "little") + verifier.ORDER
    verifies = ed25519_verifier(private.public_key().public_bytes_raw())
    assert verifies(signature, b"text")
    assert not verifies(signature[:32] + scalar.to_bytes(32, "little"), b"text")


@given(st.integers(0, 255), st.binary(max_size=200), st.none() | st.integers(0, 95 * 8))
def test_our_ed25519_agrees_with_a_known_library(
    seed: int, message: bytes, flip: int | None
) -> None:
    private = private_key(seed)
    public = private.public_key().public_bytes_raw()
    whole = bytearray(private.sign(message) + public)
    if flip is not None:
        whole[flip // 8] ^= 1 << flip % 8
    signature, public = bytes(whole[:64]), bytes(whole[64:])
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        known = True
    except (InvalidSignature, ValueError):
        known = False
    try:
        ours = ed25519_verifier(public)(signature, message)
    except Unusable:
        ours = False
    assert ours == known == (flip is None)


# --- the command, alone ---------------------------------------------------------------------------

SOURCE = Path(verifier.__file__)


def test_the_verifier_imports_the_standard_library_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert imported <= sys.stdlib_module_names


def ran(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The copied file, isolated from this environment."""
    copied = shutil.copy(SOURCE, folder / "check.py")
    command = [sys.executable, "-I", str(copied), *arguments]
    return subprocess.run(
        command, cwd=folder, env={}, input=stdin, capture_output=True, timeout=60, check=False
    )


def test_one_copied_file_verifies_an_export_anywhere(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(LINES))
    (tmp_path / "kept.note").write_text(honest().heads[1][1], encoding="utf-8")
    done = ran(tmp_path, "ledger.jsonl", "--public-key", KEY, "--since", "kept.note", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)
    assert report["verified"]
    assert (report["leaves"], report["kept_sizes"]) == (24, [16])


def test_the_command_says_what_was_tampered_with_and_where(tmp_path: Path) -> None:
    lines = changed(LEAVES[5], lambda record: record.update(body="{}"))
    done = ran(tmp_path, "-", stdin=b"".join(lines))
    assert done.returncode == 1
    assert f"line {LEAVES[5] + 1}: the body of leaf 5".encode() in done.stdout
    assert b"TAMPERED" in done.stdout


def test_the_command_says_what_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(LINES))
    for arguments in (
        ["missing.jsonl"],
        ["binary"],
        ["ledger.jsonl", "--public-key", "x"],
        ["ledger.jsonl", "--since", "missing.note"],
        ["ledger.jsonl", "--since", "binary"],
        ["ledger.jsonl", "--unknown"],
        [],
    ):
        done = ran(tmp_path, *arguments)
        assert done.returncode == 2, arguments
        assert done.stderr
        assert b"Traceback" not in done.stderr


def test_memory_is_a_fraction_of_a_long_export(tmp_path: Path) -> None:
    """Goal: an export is read and forgotten line by line.

    Method: read ten thousand leaves from disk and look at the most that was held at once.
    """
    written = Written()
    for _ in range(10):
        for number in range(1000):
            written.write(f"prc_{number % 4}")
        written.seal()
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(written.lines()))
    with path.open("rb") as file:
        tracemalloc.start()
        report = verify(file, public_key=KEY)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert report.verified
    assert path.stat().st_size > 4_000_000
    assert peak_bytes < 1_000_000
