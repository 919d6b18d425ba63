"""The words a run can be found by: whole, lower-case, each once, and not too many of them."""

import re
from collections.abc import Iterator
from typing import Any, Final

from quarterdeck.domain.limits import RUN_WORDS_MAX, WORD_CHARACTERS_MAX

_WORD: Final = re.compile(r"[^\W_]+")


def words_of(value: Any, most: int = RUN_WORDS_MAX) -> tuple[str, ...]:
    """The first words of a text, or of everything written in a JSON value, in order."""
    found: dict[str, None] = {}
    for text in _texts(value):
        for match in _WORD.finditer(text.casefold()):
            if 1 < len(match[0]) <= WORD_CHARACTERS_MAX:
                found[match[0]] = None
                if len(found) == most:
                    return tuple(found)
    return tuple(found)


def _texts(value: Any) -> Iterator[str]:
    """Strings and whole numbers, wherever they are; a name of a field is not content."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += reversed(one.values())
        elif isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, int) and not isinstance(one, bool):
            yield str(one)
