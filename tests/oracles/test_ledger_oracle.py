"""The ledger against slow and obvious versions of itself: the tree, its proofs, the verifier."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.domain import merkle
from quarterdeck.domain.ledger import commitment
from quarterdeck.domain.merkle import Frontier
from quarterdeck.domain.notes import (
    Head,
    VerifierKey,
    head_text,
    parse_head,
    parse_note,
    sign_head,
    signed_note,
)
from quarterdeck.verifier import verify

# --- the tree, as RFC 6962 section 2.1 writes it: by recursion over lists of leaves ---------------


def slow_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + slow_root(leaves[:k]) + slow_root(leaves[k:])).digest()


def split(size: int) -> int:
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def slow_path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*slow_path(m, leaves[:k]), slow_root(leaves[k:])]
    return [*slow_path(m - k, leaves[k:]), slow_root(leaves[:k])]


def slow_proof(m: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [slow_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*slow_proof(m, leaves[:k], whole=whole), slow_root(leaves[k:])]
    return [*slow_proof(m - k, leaves[k:], whole=False), slow_root(leaves[:k])]


def node_hash(leaves: list[bytes]) -> merkle.NodeHash:
    return lambda level, index: slow_root(leaves[index << level : (index + 1) << level])


LEAVES = st.integers(0, 150).map(lambda count: [bytes([number]) for number in range(count)])


@given(LEAVES, st.lists(st.integers(0, 150), max_size=4))
def test_a_frontier_grown_in_any_portions_has_the_slow_root(
    leaves: list[bytes], cuts: list[int]
) -> None:
    frontier, done = Frontier(), 0
    for cut in [*sorted(cuts), len(leaves)]:
        frontier = frontier.append(merkle.hash_leaf(leaf) for leaf in leaves[done:cut])
        frontier = Frontier.from_bytes(frontier.to_bytes())
        done = max(done, min(cut, len(leaves)))
        assert frontier.root() == slow_root(leaves[:done])
    assert frontier.size == len(leaves)


@given(LEAVES.filter(bool), st.data())
def test_proofs_equal_the_slow_ones_and_hold(leaves: list[bytes], data: st.DataObject) -> None:
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    root, nodes = slow_root(leaves), node_hash(leaves)
    inclusion = merkle.inclusion_proof(index, size, nodes)
    consistency = merkle.consistency_proof(old, size, nodes)
    leaf = merkle.hash_leaf(leaves[index])
    old_root = slow_root(leaves[:old])
    assert list(inclusion) == slow_path(index, leaves)
    assert list(consistency) == slow_proof(old, leaves)
    assert merkle.verify_inclusion(leaf, index, size=size, root=root, proof=inclusion)
    assert merkle.verify_consistency(old, size, old_root=old_root, new_root=root, proof=consistency)


@given(LEAVES.filter(bool), LEAVES.filter(bool), st.data())
def test_no_proof_joins_trees_that_differ(
    one: list[bytes], two: list[bytes], data: st.DataObject
) -> None:
    """Goal: a proof made for one tree never shows a changed, shorter tree to be its beginning."""
    old = data.draw(st.integers(1, len(one)))
    changed = [*one[:old]]
    changed[data.draw(st.integers(0, old - 1))] = b"changed"
    roots = {"old_root": slow_root(changed), "new_root": slow_root(one)}
    for tree in (one, two):
        if old <= len(tree):
            proof = merkle.consistency_proof(old, len(tree), node_hash(tree))
            assert not merkle.verify_consistency(old, len(one), proof=proof, **roots)


# --- the verifier, with everything in memory and every rule spelled out ---------------------------

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey(name="example.com/fleet", public_key=PRIVATE.public_key().public_bytes_raw())
MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """What a writer, who may lie, puts next: a leaf with faults, or a head with faults."""

    writer: str = "a"
    seconds: int = 1
    skip: int = 0
    forget: bool = False
    other_body: bool = False
    purged: bool = False
    head: bool = False
    head_seconds: int = 0
    head_size: int = 0
    head_root: bool = True
    head_key: bool = True


HONEST = st.builds(
    Step,
    writer=st.sampled_from("abc"),
    seconds=st.sampled_from([0, 1, 30, 5000]),
    purged=st.booleans(),
    head=st.booleans(),
    head_seconds=st.sampled_from([0, 60]),
)
FAULTS: list[Callable[[Step], Step]] = [
    lambda step: step,
    lambda step: replace(step, seconds=-2),
    lambda step: replace(step, seconds=-900),
    lambda step: replace(step, skip=1),
    lambda step: replace(step, forget=True),
    lambda step: replace(step, other_body=True, purged=False),
    lambda step: replace(step, other_body=True, purged=True),
    lambda step: replace(step, head=True, head_seconds=-1),
    lambda step: replace(step, head=True, head_size=1),
    lambda step: replace(step, head=True, head_root=False),
    lambda step: replace(step, head=True, head_key=False),
]


def written(steps: list[Step]) -> list[dict[str, object]]:
    """The export of a writer who does exactly as told, one leaf to a span."""
    lines: list[dict[str, object]] = [
        {"kind": "ledger", "v": 1, "origin": KEY.name, "public_key": str(KEY)}
    ]
    leaves: list[bytes] = []
    chains: dict[str, tuple[int, str]] = {}
    at = 1_795_000_000_000_000
    for step in steps:
        at += step.seconds * 1_000_000
        number, previous = chains.get(step.writer, (0, ""))
        number += 1 + step.skip
        body, nonce = f'{{"number":{number}}}', bytes([number % 256]) * 32
        fields = {
            "at": at,
            "commitment": commitment(body.encode(), nonce).hex(),
            "kind": "admitted",
            "number": number,
            "previous": "" if step.forget else previous,
            "subject": "act_1",
            "v": 1,
            "writer": step.writer,
        }
        data = json.dumps(fields, separators=(",", ":"))
        lines.append(
            {
                "kind": "span",
                "first": len(leaves),
                "writer": step.writer,
                "first_number": number,
                "count": 1,
            }
        )
        leaf: dict[str, object] = {"kind": "leaf", "data": data}
        if not step.purged:
            leaf |= {"body": "{}" if step.other_body else body, "nonce": nonce.hex()}
        lines.append(leaf)
        leaves.append(data.encode())
        chains[step.writer] = (number, merkle.hash_leaf(data.encode()).hex())
        if step.head:
            lines.append({"kind": "head", "note": head_of(step, leaves, at)})
    lines.append({"kind": "end", "leaves": len(leaves)})
    return lines


def head_of(step: Step, leaves: list[bytes], at: int) -> str:
    head = Head(
        origin=KEY.name,
        size=len(leaves) + step.head_size,
        root=slow_root(leaves if step.head_root else leaves[:-1]),
        at=at + step.head_seconds * 1_000_000,
    )
    if step.head_key:
        return sign_head(head, KEY, PRIVATE.sign)
    text = head_text(head.origin, head.size, head.root, head.at)
    return signed_note(text, KEY.name, KEY.key_id, bytes(64))


def signature_holds(note: str) -> bool:
    parsed = parse_note(note)
    try:
        PRIVATE.public_key().verify(parsed.signatures[0].signature, parsed.text)
    except InvalidSignature:
        return False
    return True


def slowly_verified(lines: list[dict[str, object]], kept: Head | None) -> bool:
    """Whether every rule of docs/explanation/ledger.md holds, one rule after the other."""
    leaves = [json.loads(str(line["data"])) for line in lines if line["kind"] == "leaf"]
    datas = [str(line["data"]).encode() for line in lines if line["kind"] == "leaf"]
    heads = []
    for at, line in enumerate(lines):
        if line["kind"] == "head":
            before = sum(one["kind"] == "leaf" for one in lines[:at])
            heads.append(
                (before, str(line["note"]), parse_head(parse_note(str(line["note"])).text))
            )
    rules = [
        bool(heads) and heads[-1][2].size == len(leaves),
        all(chain_holds(writer, leaves, datas) for writer in {leaf["writer"] for leaf in leaves}),
        all(body_holds(line) for line in lines if "body" in line),
        all(signature_holds(note) for _, note, _ in heads),
        all(head.size == before for before, _, head in heads),
        all(head.root == slow_root(datas[:before]) for before, _, head in heads),
        all(leaf["at"] <= head.at for before, _, head in heads for leaf in leaves[:before]),
        all(
            leaf["at"] >= head.at - 10 * MINUTE
            for before, _, head in heads
            for leaf in leaves[before:]
        ),
        all(one[2].at <= two[2].at for one, two in pairwise(heads)),
    ]
    if kept is not None:
        rules += [
            len(leaves) >= kept.size and slow_root(datas[: kept.size]) == kept.root,
            all(leaf["at"] >= kept.at - 10 * MINUTE for leaf in leaves[kept.size :]),
        ]
    return all(rules)


def chain_holds(writer: str, leaves: list[dict[str, object]], datas: list[bytes]) -> bool:
    own = [
        (leaf, data) for leaf, data in zip(leaves, datas, strict=True) if leaf["writer"] == writer
    ]
    hashes = ["", *(merkle.hash_leaf(data).hex() for _, data in own)]
    times = [int(str(leaf["at"])) for leaf, _ in own]
    numbers = [leaf["number"] for leaf, _ in own]
    previous = [leaf["previous"] for leaf, _ in own]
    return (
        numbers == list(range(1, len(own) + 1))
        and previous == hashes[:-1]
        and times == sorted(times)
    )


def body_holds(line: dict[str, object]) -> bool:
    digest = sha256(str(line["body"]).encode()).digest()
    committed = sha256(bytes.fromhex(str(line["nonce"])) + digest).hexdigest()
    return bool(json.loads(str(line["data"]))["commitment"] == committed)


@settings(max_examples=200)
@given(st.lists(HONEST, min_size=1, max_size=12), st.data())
def test_the_verifier_answers_as_the_slow_one(steps: list[Step], data: st.DataObject) -> None:
    """Goal: a writer with the true key who breaks any rule is found out, one who does not is not.

    Method: write ledgers with at most one fault, truly signed; let both verifiers judge.
    """
    place = data.draw(st.integers(0, len(steps) - 1))
    fault = data.draw(st.sampled_from(FAULTS))
    steps = [*steps[:place], fault(steps[place]), *steps[place + 1 :]]
    if data.draw(st.sampled_from([True, True, True, False])):
        steps[-1] = replace(steps[-1], head=True)
    lines = written(steps)
    kept = data.draw(st.none() | st.sampled_from(kept_heads(lines)))
    note = [sign_head(kept, KEY, PRIVATE.sign)] if kept else []
    raw = [json.dumps(line, ensure_ascii=False).encode() for line in lines]
    report = verify(raw, public_key=str(KEY), since=note)
    assert report.verified == slowly_verified(lines, kept), report.text()


def kept_heads(lines: list[dict[str, object]]) -> list[Head]:
    """Heads somebody may have kept: of this history, of a longer one, of another one, of later."""
    datas = [str(line["data"]).encode() for line in lines if line["kind"] == "leaf"]
    times = [json.loads(data)["at"] for data in datas]
    half = len(datas) // 2
    true = Head(origin=KEY.name, size=half, root=slow_root(datas[:half]), at=max(times[: half + 1]))
    return [
        true,
        replace(true, at=true.at + 100 * MINUTE),
        replace(true, size=half + 1, root=slow_root([*datas[:half], b"other"])),
        replace(true, size=len(datas) + 1, root=slow_root([*datas, b"more"])),
    ]


def test_a_key_in_an_export_is_written_as_people_hand_it_around() -> None:
    encoded = b64encode(b"\x01" + KEY.public_key).decode()
    assert str(KEY) == f"example.com/fleet+{KEY.key_id.hex()}+{encoded}"
