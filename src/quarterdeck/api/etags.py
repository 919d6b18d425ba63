"""ETags: which state an edit is about, so that nobody overwrites what they have not seen."""

from typing import Annotated, Final, Literal, TypeAlias

from fastapi import Header

from quarterdeck.domain.errors import Overtaken, Unconditioned

ANY: Final = "*"
IfMatch: TypeAlias = Annotated[
    str | None,
    Header(
        alias="If-Match",
        examples=['"1763731234567890"'],
        description="The `ETag` you have seen: if it was changed since, the answer is 412 and says"
        " who did. `*` takes whatever is there.",
    ),
]
IfNoneMatch: TypeAlias = Annotated[
    Literal["*"] | None,
    Header(
        alias="If-None-Match",
        description="`*`: only if there is none yet.",
    ),
]


def written(state: str | int) -> str:
    """A state as an ETag."""
    return f'"{state}"'


def seen(if_match: str | None, if_none_match: str | None) -> frozenset[str] | None:
    """The states an edit is about; empty for `there is none yet`, `None` for any."""
    if if_none_match is not None:
        if if_match is not None:
            raise Overtaken(
                "`If-Match` and `If-None-Match` cannot both hold", hint="send one of them"
            )
        return frozenset()
    if if_match is None or if_match == ANY:
        return None
    # What is no ETag of ours fits no state: the answer is 412, and says which one there is.
    return frozenset(tag.strip().strip('"') for tag in if_match.split(","))


def required(if_match: str | None, if_none_match: str | None) -> frozenset[str] | None:
    """The same, for edits that must say which state they are about."""
    if if_match is None and if_none_match is None:
        raise Unconditioned(
            "this edit does not say which state it is about",
            hint="send the `ETag` you have seen as `If-Match`; `*` for whatever is there, or"
            " `If-None-Match: *` if there is none yet",
        )
    return seen(if_match, if_none_match)
