"""Rows of the ledger: leaves, the spans that order them, tree nodes and signed heads."""

from typing import Final

from quarterdeck.domain.ledger import Entry, make_leaf
from quarterdeck.store.database import Transaction

_APPEND: Final = """
insert into leaves (writer, number, data, hash, body, nonce)
values (:writer, :number, :data, :hash, :body, :nonce)
"""


def append(tx: Transaction, entry: Entry, nonce: bytes, *, keep_body: bool = True) -> None:
    """Write one leaf in the transaction of the change it records (I-4).

    Where the body is made of columns of the row the leaf is about, it is not kept twice: an export
    makes it again from the row, so a changed row no longer fits its leaf.
    """
    chain = tx.chain
    leaf = make_leaf(
        entry,
        writer=chain.writer,
        number=chain.number + 1,
        previous=chain.previous,
        at=tx.now,
        nonce=nonce,
    )
    tx.execute(
        _APPEND,
        {
            "writer": leaf.writer,
            "number": leaf.number,
            "data": leaf.data.decode("ascii"),
            "hash": leaf.hash,
            "body": leaf.body.decode("utf-8") if keep_body else None,
            "nonce": nonce,
        },
    )
    chain.number, chain.previous = leaf.number, leaf.hash
