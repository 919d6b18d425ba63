"""The tree: known values of RFC 6962's reference implementation, growth, tiles and proofs."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.domain.errors import Corrupt, Invalid
from quarterdeck.domain.merkle import (
    EMPTY_ROOT,
    Frontier,
    NodeHash,
    Tile,
    consistency_proof,
    hash_leaf,
    hash_node,
    inclusion_proof,
    nodes_from,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The eight entries that Certificate Transparency implementations test with, and their roots.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
N01 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
N23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N03 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
N47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
LEAF0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
LEAF1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
INCLUSION = [
    (0, 1, []),
    (0, 8, [LEAF1, N23, N47]),
    (5, 8, [LEAF4, N67, N03]),
    (2, 3, [N01]),
    (1, 5, [LEAF0, N23, LEAF4]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [LEAF1, N23, N47]),
    (6, 8, [N45, N67, N03]),
    (2, 5, [N23, LEAF4]),
]


def nodes(hashes: Sequence[bytes]) -> NodeHash:
    """Node hashes of a tree whose leaf hashes are all in memory: only level 0 is stored."""

    def node_hash(level: int, index: int) -> bytes:
        if level == 0:
            return hashes[index]
        return hash_node(node_hash(level - 1, 2 * index), node_hash(level - 1, 2 * index + 1))

    return node_hash


HASHES = [hash_leaf(entry) for entry in ENTRIES]


def many(count: int) -> list[bytes]:
    return [hash_leaf(number.to_bytes(4, "big")) for number in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert Frontier().append(HASHES[:size]).root().hex() == ROOTS[size]
    assert root_of(size, nodes(HASHES)).hex() == ROOTS[size]


def test_an_empty_leaf_and_an_empty_tree_have_the_known_hashes() -> None:
    assert hash_leaf(b"").hex() == LEAF0
    assert sha256(b"").digest() == EMPTY_ROOT == Frontier().root()


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_the_known_ones(index: int, size: int, path: list[str]) -> None:
    proof = inclusion_proof(index, size, nodes(HASHES))
    assert [node.hex() for node in proof] == path
    root = bytes.fromhex(ROOTS[size])
    assert verify_inclusion(HASHES[index], index, size=size, root=root, proof=proof)


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_consistency_proofs_are_the_known_ones(old: int, new: int, path: list[str]) -> None:
    proof = consistency_proof(old, new, nodes(HASHES))
    assert [node.hex() for node in proof] == path
    old_root, new_root = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
    assert verify_consistency(old, new, old_root=old_root, new_root=new_root, proof=proof)


@given(st.integers(1, 70), st.data())
def test_an_inclusion_proof_holds_for_nothing_else(size: int, data: st.DataObject) -> None:
    hashes = many(size)
    index = data.draw(st.integers(0, size - 1))
    proof = list(inclusion_proof(index, size, nodes(hashes)))
    root = Frontier().append(hashes).root()
    leaf = hashes[index]
    assert not verify_inclusion(hash_leaf(b"x"), index, size=size, root=root, proof=proof)
    assert not verify_inclusion(leaf, index, size=size, root=hash_leaf(b"x"), proof=proof)
    assert not verify_inclusion(leaf, index, size=size, root=root, proof=[*proof, root])
    assert not verify_inclusion(leaf, index, size=index, root=root, proof=proof)
    if proof:
        assert not verify_inclusion(leaf, index, size=size, root=root, proof=proof[:-1])
        assert not verify_inclusion(leaf, index ^ 1, size=size, root=root, proof=proof)
        changed = data.draw(st.integers(0, len(proof) - 1))
        proof[changed] = hash_leaf(proof[changed])
        assert not verify_inclusion(leaf, index, size=size, root=root, proof=proof)


@given(st.integers(1, 70), st.data())
def test_a_consistency_proof_holds_for_nothing_else(new: int, data: st.DataObject) -> None:
    hashes = many(new)
    old = data.draw(st.integers(1, new))
    proof = list(consistency_proof(old, new, nodes(hashes)))
    old_root, new_root = (Frontier().append(hashes[:size]).root() for size in (old, new))
    other = hash_leaf(b"x")
    assert verify_consistency(old, new, old_root=old_root, new_root=new_root, proof=proof)
    assert not verify_consistency(old, new, old_root=other, new_root=new_root, proof=proof)
    assert not verify_consistency(old, new, old_root=old_root, new_root=other, proof=proof)
    longer = [*proof, other]
    assert not verify_consistency(old, new, old_root=old_root, new_root=new_root, proof=longer)
    if proof:
        short = proof[:-1]
        assert not verify_consistency(old, new, old_root=old_root, new_root=new_root, proof=short)


def test_an_empty_tree_is_the_beginning_of_every_tree() -> None:
    root = Frontier().append(HASHES).root()
    assert consistency_proof(0, 8, nodes(HASHES)) == ()
    assert verify_consistency(0, 8, old_root=EMPTY_ROOT, new_root=root, proof=())
    assert not verify_consistency(0, 8, old_root=root, new_root=root, proof=())
    assert not verify_consistency(9, 8, old_root=root, new_root=root, proof=())


def test_a_frontier_survives_its_stored_form() -> None:
    frontier = Frontier().append(many(1000))
    again = Frontier.from_bytes(frontier.to_bytes())
    assert again == frontier
    assert again.append(HASHES).root() == Frontier().append(many(1000) + HASHES).root()
    assert Frontier.from_bytes(Frontier().to_bytes()) == Frontier()


@pytest.mark.parametrize("stored", [b"", bytes(7), bytes(7) + b"\x01", bytes(8) + b"x"])
def test_a_damaged_frontier_is_refused(stored: bytes) -> None:
    with pytest.raises(Corrupt, match="frontier"):
        Frontier.from_bytes(stored)


def test_growth_names_each_tile_once_however_the_leaves_arrive() -> None:
    hashes = many(700)
    whole = Frontier().grow(hashes)
    first = Frontier().grow(hashes[:300])
    second = first.frontier.grow(hashes[300:])
    assert whole.tiles == first.tiles + second.tiles
    assert whole.frontier == second.frontier
    expected = [
        Tile(level=8, index=at, hash=root_of(256, nodes(hashes[at * 256 :]))) for at in (0, 1)
    ]
    assert list(whole.tiles) == expected


def test_proofs_from_tiles_read_few_hashes_and_equal_those_from_leaves() -> None:
    """Goal: 65,536 + 300 leaves are proved from stored levels 0, 8 and 16, 128 hashes a read.

    Method: store what `grow` names, count what `nodes_from` reads, verify the proofs.
    """
    hashes = many(65_836)
    growth = Frontier().grow(hashes)
    stored: dict[int, list[bytes]] = {0: hashes}
    for tile in growth.tiles:
        level = stored.setdefault(tile.level, [])
        assert tile.index == len(level)
        level.append(tile.hash)
    reads: list[int] = []

    def read(level: int, start: int, end: int) -> list[bytes]:
        reads.append(end - start)
        return stored[level][start:end]

    node_hash = nodes_from(read)
    root = growth.frontier.root()
    assert sorted(stored) == [0, 8, 16]
    assert root_of(65_836, node_hash) == root
    for index in (0, 255, 256, 40_000, 65_535, 65_536, 65_835):
        proof = inclusion_proof(index, 65_836, node_hash)
        assert verify_inclusion(hashes[index], index, size=65_836, root=root, proof=proof)
    for old in (1, 256, 65_535, 65_536, 65_800):
        proof = consistency_proof(old, 65_836, node_hash)
        old_root = root_of(old, node_hash)
        assert verify_consistency(old, 65_836, old_root=old_root, new_root=root, proof=proof)
    assert max(reads) == 128


def test_a_missing_tile_is_corrupt_and_not_a_wrong_proof() -> None:
    node_hash = nodes_from(lambda _level, _start, _end: [])
    with pytest.raises(Corrupt, match="lacks hashes"):
        inclusion_proof(0, 2, node_hash)


def test_proofs_of_what_is_not_there_are_refused() -> None:
    with pytest.raises(Invalid, match="not below size `8`"):
        inclusion_proof(8, 8, nodes(HASHES))
    with pytest.raises(Invalid, match="not below size `7`"):
        consistency_proof(8, 7, nodes(HASHES))
