"""What the protocol wants done next, without doing it: the vocabulary of the drivers.

Everything this package says to a server is written once, as generators of steps (`protocol`,
`action`). A driver carries the steps out, blocking or awaiting (`drivers`).
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Post one request, and answer with a Reply or with Lost."""

    url: str
    credential: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait before trying again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Act:
    """Call the user's function, and answer with Returned or Raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A server's answer; `body` is its JSON, an empty object where it was none."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """No answer came. `sent` says whether the request may have arrived all the same."""

    because: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Returned:
    """What the user's function returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What the user's function raised."""

    error: Exception


Step: TypeAlias = Ask | Pause | Act
Heard: TypeAlias = Reply | Lost | Returned | Raised | None
Steps: TypeAlias = Generator[Step, Heard, T]
