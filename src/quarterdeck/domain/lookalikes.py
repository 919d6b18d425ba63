"""Names that people and models take for one another.

A skeleton is what is left of a name when all that the eye skips is taken away: the script of a
letter, accents, case, what is invisible, how words are joined. The table holds the letters and
digits that pass for Latin ones; Unicode's own holds thousands more that no tool's name may have.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

#: In shorter names one letter is all the difference there is: `get` and `set`.
NEAR_CHARACTERS_MIN: Final = 6
_JOINS: Final = str.maketrans("", "", "_-. /")
_PASSES_FOR: Final = str.maketrans(
    {
        **dict(zip("абвгԁеѕһіјкӏмнорԛгсԝтухуԀԐʏ", "abbrdeshijklmhopqrcwtyxyd3y", strict=True)),
        **dict(zip("αβγεζηικνορτυχωϲϳ", "abyeznikvoptuxwcj", strict=True)),
        **dict(zip("ıɩɪǀɡɑʟοօսոհցԁǃ", "iiiigalOoush9di", strict=True)),
        **dict(zip("01345789|!$@", "oleasbggllsa", strict=True)),
        "l": "l",
        "i": "l",
    }
)
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"))


@lru_cache(maxsize=16_384)
def skeleton(name: str) -> str:
    """What the eye sees of a name."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    seen = "".join(c for c in folded if unicodedata.category(c)[0] not in "CM")
    seen = seen.translate(_JOINS).translate(_PASSES_FOR).casefold()
    seen = seen.replace("i", "l")
    for pair, one in _PAIRS:
        seen = seen.replace(pair, one)
    return seen


def resembled(name: str, others: Iterable[str]) -> str | None:
    """The first of the other names that this one could be taken for; itself is no other."""
    seen = skeleton(name)
    for other in others:
        if other != name and (seen == skeleton(other) or _is_near(name.casefold(), other)):
            return other
    return None


def _is_near(name: str, other: str) -> bool:
    """Whether one edit (a letter more, less, other, or two swapped) makes one of the other."""
    other = other.casefold()
    if min(len(name), len(other)) < NEAR_CHARACTERS_MIN or abs(len(name) - len(other)) > 1:
        return False
    if name == other:
        return True
    start = 0
    while start < min(len(name), len(other)) and name[start] == other[start]:
        start += 1
    left, right = name[start:], other[start:]
    return (
        left[1:] == right[1:]
        or left[1:] == right
        or left == right[1:]
        or (left[:2] == right[1::-1] and left[2:] == right[2:])
    )
