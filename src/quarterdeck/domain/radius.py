"""A declared radius: the most an agent may be able to do in one hour, as its file says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quarterdeck.domain.tools import DataClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Radius:
    """An hour's worst: money moved by currency (decimal text), records, messages, data classes.

    What is left out is nothing: zero, or no such data.
    """

    money: Mapping[str, str] = field(default_factory=dict)
    written: int = 0
    deleted: int = 0
    messages: int = 0
    data: frozenset[DataClass] = frozenset()
