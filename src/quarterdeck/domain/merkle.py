"""The ledger's tree: RFC 6962 hashing, a frontier that grows, proofs and their checks.

A tree of n leaves is split at the largest power of two below n, so every left part is a complete
subtree of 2**level leaves. Such a subtree never changes once it is full: proofs are built from
complete subtrees only, and every `TILE_LEVELS`-th level of them is worth storing.
Deliberately absent: storage. Reading is a callable; one read answers one node of a proof.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from quarterdeck.domain.errors import Corrupt, Invalid

HASH_BYTES: Final = 32
TILE_LEVELS: Final = 8  # stored levels are 0 (leaves), 8, 16, …: at most 128 hashes per node read
EMPTY_ROOT: Final = sha256(b"").digest()

NodeHash: TypeAlias = Callable[[int, int], bytes]  # (level, index) of a complete subtree
ReadHashes: TypeAlias = Callable[[int, int, int], Sequence[bytes]]  # (stored level, start, end)


def hash_leaf(data: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees. The prefix keeps a node from passing for a leaf."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A complete subtree worth storing: `level` is a multiple of `TILE_LEVELS`, above 0."""

    level: int
    index: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A frontier after more leaves, and the tiles those leaves completed, lowest level first."""

    frontier: "Frontier"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """All a tree must remember to grow: its size and its complete subtrees, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.hashes) == self.size.bit_count(), "one hash for each bit of the size"

    def append(self, leaf_hashes: Iterable[bytes]) -> "Frontier":
        """The frontier with more leaves."""
        return self.grow(leaf_hashes).frontier

    def grow(self, leaf_hashes: Iterable[bytes]) -> Growth:
        """The frontier with more leaves, and the tiles that became complete."""
        size, stack, tiles = self.size, list(self.hashes), []
        for leaf_hash in leaf_hashes:
            node, rest, level = leaf_hash, size, 0
            while rest & 1:
                node = sha256(b"\x01" + stack.pop() + node).digest()
                rest >>= 1
                level += 1
                if not level % TILE_LEVELS:
                    tiles.append(Tile(level=level, index=rest, hash=node))
            stack.append(node)
            size += 1
        return Growth(frontier=Frontier(size=size, hashes=tuple(stack)), tiles=tuple(tiles))

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        return _folded(self.hashes) if self.hashes else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """The stored form: eight bytes of size, then the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Frontier":
        """The frontier from its stored form."""
        size, rest = int.from_bytes(stored[:8], "big"), stored[8:]
        if len(stored) < 8 or len(rest) != size.bit_count() * HASH_BYTES:
            raise Corrupt(
                f"the ledger's frontier of size {size} has {len(stored)} bytes",
                hint="rebuild it from the leaf hashes, then verify the ledger against a kept head",
            )
        parts = (rest[at : at + HASH_BYTES] for at in range(0, len(rest), HASH_BYTES))
        return cls(size=size, hashes=tuple(parts))


def _folded(hashes: Sequence[bytes]) -> bytes:
    """One hash of subtrees that stand side by side, joined from the right, smallest first."""
    node = hashes[-1]
    for left in hashes[-2::-1]:
        node = hash_node(left, node)
    return node


def nodes_from(read: ReadHashes) -> NodeHash:
    """Node hashes from stored levels: `read(level, start, end)`, level a multiple of TILE_LEVELS.

    A node between two stored levels is folded from at most 128 hashes of the level below it.
    """

    def node_hash(level: int, index: int) -> bytes:
        stored = level - level % TILE_LEVELS
        width = 1 << (level - stored)
        hashes = list(read(stored, index * width, (index + 1) * width))
        if len(hashes) != width:
            raise Corrupt(
                f"the ledger's level {stored} lacks hashes at {index * width}",
                hint="rebuild the tiles from the leaf hashes, then verify the ledger",
            )
        while len(hashes) > 1:
            hashes = [hash_node(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
        return hashes[0]

    return node_hash


def root_of(size: int, node_hash: NodeHash) -> bytes:
    """The root of the first `size` leaves."""
    return _range_hash(0, size, node_hash) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node_hash: NodeHash) -> tuple[bytes, ...]:
    """The hashes that lead from leaf `index` to the root of `size` leaves, lowest first."""
    if not 0 <= index < size:
        raise Invalid(
            f"leaf `{index}` is not below size `{size}`",
            hint="ask for a leaf that the head covers: count from 0",
        )
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_size(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, node_hash))
            end = middle
        else:
            path.append(_range_hash(start, middle, node_hash))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, node_hash: NodeHash) -> tuple[bytes, ...]:
    """The hashes that show the tree of `old` leaves to be the beginning of that of `new`."""
    if not 0 <= old <= new:
        raise Invalid(
            f"size `{old}` is not below size `{new}`",
            hint="give the older, smaller head first",
        )
    path: list[bytes] = []
    if old == 0:
        return ()
    start, end = 0, new
    while end != old:
        middle = start + _left_size(end - start)
        if old <= middle:
            path.append(_range_hash(middle, end, node_hash))
            end = middle
        else:
            path.append(_range_hash(start, middle, node_hash))
            start = middle
    if start:  # else what is left is the whole old tree, whose root the verifier already has
        path.append(_range_hash(start, end, node_hash))
    return tuple(reversed(path))


def _left_size(size: int) -> int:
    """The size of the left part of a tree: the largest power of two below `size`."""
    return int(1 << ((size - 1).bit_length() - 1))


def _range_hash(start: int, end: int, node_hash: NodeHash) -> bytes:
    """The hash over leaves start..end, where start is where a subtree of the tree begins."""
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append(node_hash(level, start >> level))
        start += 1 << level
    return _folded(parts)


def verify_inclusion(
    leaf_hash: bytes, index: int, *, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof leads from this leaf at this index to this root."""
    if not 0 <= index < size:
        return False
    node, at, last = leaf_hash, index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = hash_node(sibling, node)
            while not at & 1 and at:  # on the right edge, levels without a sibling are skipped
                at >>= 1
                last >>= 1
        else:
            node = hash_node(node, sibling)
        at >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(
    old: int, new: int, *, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows the old tree to be the beginning of the new one."""
    if old == 0 or old == new:
        # An empty tree begins every tree; two trees of one size are the same tree or a fork.
        roots_agree = old_root == (EMPTY_ROOT if old == 0 else new_root)
        return 0 <= old <= new and not proof and roots_agree
    if not 0 < old < new:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    return _rebuilt_roots(old - 1, new - 1, path) == (old_root, new_root)


def _rebuilt_roots(at: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Both roots, rebuilt along a consistency path; `None` if its length does not fit."""
    while at & 1:
        at >>= 1
        last >>= 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old_node, new_node = hash_node(sibling, old_node), hash_node(sibling, new_node)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new_node = hash_node(new_node, sibling)
        at >>= 1
        last >>= 1
    return (old_node, new_node) if last == 0 else None
