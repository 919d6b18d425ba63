"""Labelled examples: where they are, and which files the stand-in may read.

INVARIANT: only files inside the examples folder are read, and never a test split.
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quarterdeck.domain.errors import Forbidden, Invalid, NotFound

OFF_TOPIC: Final = "none"
PER_QUEUE_MIN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question and the queue it belongs to; `kind` says how clear the question is."""

    text: str
    category: str
    kind: str = "clear"


def training_file(folder: Path, name: str) -> Path:
    """The file of labelled examples that a prompt names."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        hint = "name a file inside the examples folder"
        raise Forbidden(f"labelled examples `{name}` lie outside the examples folder", hint=hint)
    if path.stem.lower().startswith("test"):
        hint = "a model that has seen its test questions proves nothing; name the training split"
        raise Forbidden(f"`{name}` is a test split and is never read for training", hint=hint)
    if not path.is_file():
        hint = "put the file into the folder given with --examples"
        raise NotFound(f"there are no labelled examples `{name}`", hint=hint)
    return path


def read_examples(path: Path) -> tuple[Example, ...]:
    """Read a CSV with the columns `text` and `category`, and perhaps `kind`."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"`{path.name}` cannot be read", hint="save it as CSV in UTF-8") from error
    if not rows or not {"text", "category"} <= set(rows[0]):
        hint = "its first line must be `text,category`"
        raise Invalid(f"`{path.name}` holds no labelled examples", hint=hint)
    return tuple(
        Example(
            text=row["text"] or "", category=row["category"] or "", kind=row.get("kind") or "clear"
        )
        for row in rows
    )


def check_trainable(examples: tuple[Example, ...]) -> None:
    """Refuse examples from which nothing can be learnt and measured."""
    counts = Counter(example.category for example in examples)
    if len(counts) < 2:
        raise Invalid("the examples name fewer than 2 queues", hint="label at least 2 queues")
    queue, count = min(counts.items(), key=lambda item: item[1])
    if count < PER_QUEUE_MIN:
        hint = f"give every queue at least {PER_QUEUE_MIN}, better 25"
        raise Invalid(f"queue `{queue}` has only {count} example", hint=hint)
