"""Rows of the words by which runs are found."""

from collections.abc import Sequence
from typing import Final

from quarterdeck.store.database import Transaction

_INSERT: Final = """
insert into run_words (word, run) values (:word, :run) on conflict (word, run) do nothing
"""


def put(tx: Transaction, run: str, words: Sequence[str]) -> None:
    """Let a run be found by these words; those it has already stay."""
    if words:
        tx.execute_many(_INSERT, [{"word": word, "run": run} for word in words])
