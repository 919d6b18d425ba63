"""Destinations: where an argument may send something, compared in one spelling only.

Whoever receives an address reads it by rules of their own: a mail client takes a display name, a
browser a backslash, a resolver a trailing dot. So a value is read as the strictest of them would,
and what could be read in two ways is no destination at all.

A pattern says by its form how values are read: with `://` as a URL, with `@` as a mail address,
with `/` in front as a path, else as a word. `*` stands for one or more characters, but for a
separator only in a path; alone it stands for anything.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, TypeAlias

Form: TypeAlias = Literal["anything", "url", "mail", "path", "word"]
Spelling: TypeAlias = tuple[str, ...]

VALUE_CHARACTERS_MAX: Final = 2000
_URL: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([A-Za-z0-9._*-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?"
    r"([/?][!$-;=?-Z_a-z~]*)?"
)
_HOST: Final = re.compile(r"[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)*|\[[0-9a-f:.]+\]")
# No `%`, `!` or `/`: they have routed mail to another host than the one behind the `@`.
_LOCAL: Final = re.compile(r"[A-Za-z0-9_+*][A-Za-z0-9_+.&'=~*-]*")
_PATH: Final = re.compile(r"/[ -\[\]-~]*")
_ENCODED: Final = re.compile(r"%(?:2e|2f|5c|00|25)", re.IGNORECASE)
_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_NOUNS: Final[dict[Form, str]] = {"url": "URL", "mail": "mail address", "path": "path"}
#: What `*` stands for, by the form and the part of the spelling it is in.
_HOST_STAR, _PATH_STAR, _WORD_STAR = "[a-z0-9._-]+", ".+", "[A-Za-z0-9._+=~#-]+"
_STARS: Final[dict[Form, tuple[str, ...]]] = {
    "url": ("", _HOST_STAR, "", _PATH_STAR),
    "mail": (r"[A-Za-z0-9_+][A-Za-z0-9_+.&'=~-]*", _HOST_STAR),
    "path": (_PATH_STAR,),
    "word": (_WORD_STAR,),
}


def allowed(value: object, patterns: Sequence[str]) -> bool:
    """Whether an argument names only destinations that a pattern covers.

    A list does if each of its items does; what is neither text nor a whole number never does.
    """
    if isinstance(value, list):
        return all(not isinstance(item, list) and allowed(item, patterns) for item in value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return any(covers(pattern, str(value)) for pattern in patterns)


def covers(pattern: str, value: str) -> bool:
    """Whether a pattern covers one value."""
    form = form_of(pattern)
    if form == "anything" or (value == pattern and "*" not in pattern):
        return True
    if len(value) > VALUE_CHARACTERS_MAX or not value.isascii():
        return False
    spelling = spelt(form, value)
    if spelling is None or "*" in spelling[:-1]:
        return False
    return all(
        expression.fullmatch(part) is not None
        for expression, part in zip(_expressions(pattern), spelling, strict=True)
    )


def form_of(pattern: str) -> Form:
    """How the values that a pattern is compared with are read."""
    if pattern == "*":
        return "anything"
    if "://" in pattern:
        return "url"
    if "@" in pattern:
        return "mail"
    return "path" if pattern.startswith("/") else "word"


def fault_of(pattern: str) -> str | None:
    """Why a pattern covers nothing, or more than its writer may mean; nothing if it is sound."""
    form = form_of(pattern)
    if form == "anything":
        return None
    if "*" not in pattern and form == "word":
        return None
    spelling = spelt(form, pattern)
    if spelling is None or not pattern.isascii():
        return f"it is no {_NOUNS[form]} in its one spelling"
    host = spelling[1] if form in ("url", "mail") else spelling[0] if form == "word" else ""
    if re.search(r"\*[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+$", host):
        return "`*` also stands for the beginning of another name, as `evil-` does"
    return None


def spelt(form: Form, value: str) -> Spelling | None:
    """The parts of a value or a pattern in their one spelling; nothing where it has several."""
    match form:
        case "url":
            return _url(value)
        case "mail":
            local, _, host = value.partition("@")
            domain = _host(host)
            if _LOCAL.fullmatch(local) is None or ".." in local or domain is None:
                return None
            return (local.lower(), domain)
        case "path":
            return (value,) if _PATH.fullmatch(value) and _is_plain(value) else None
        case _:
            return (value,)


def _url(value: str) -> Spelling | None:
    found = _URL.fullmatch(value)
    if found is None:
        return None
    scheme, port, rest = found[1].lower(), found[3], found[4] or "/"
    host = _host(found[2])
    path = rest.partition("?")[0]
    if host is None or not _is_plain(path):
        return None
    port = "" if port == _PORTS.get(scheme) else (port or "")
    return (scheme, host, port, rest if path else f"/{rest}")


def _host(value: str) -> str | None:
    """A host in lower case without its trailing dot; names in other letters are written `xn--`."""
    host = value.lower().removesuffix(".")
    return host if _HOST.fullmatch(host) else None


def _is_plain(path: str) -> bool:
    """Whether every reader finds the same steps in a path."""
    steps = path.split("/")[1:]
    return (
        not any(step in (".", "..") for step in steps)
        and "" not in steps[:-1]
        and _ENCODED.search(path) is None
    )


@lru_cache(maxsize=1024)
def _expressions(pattern: str) -> tuple[re.Pattern[str], ...]:
    """What each part of a spelling must be; a pattern that cannot be spelt covers nothing."""
    form = form_of(pattern)
    spelling = spelt(form, pattern)
    if spelling is None:
        return (re.compile(r"(?!)"),) * len(_STARS[form])
    return tuple(
        re.compile(star.join(re.escape(literal) for literal in part.split("*")))
        for part, star in zip(spelling, _STARS[form], strict=True)
    )
