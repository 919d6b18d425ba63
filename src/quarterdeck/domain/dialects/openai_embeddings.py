"""OpenAI's embeddings: text in, vectors out. Nothing is generated, so only input is bounded."""

from typing import Final

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.dialects.request import (
    IN_BODY,
    LIST,
    REQUEST_TOKENS,
    TEXT,
    ModelRequest,
    check,
    items,
    kind_of,
    members,
    model_of,
    remaining,
    words,
)
from quarterdeck.domain.errors import Invalid

KNOWN: Final = words("dimensions encoding_format input model user")


def peek(body: bytes, allow: frozenset[str], at: Address = IN_BODY) -> ModelRequest:
    """What a request asks for; raises Invalid for unusable bytes. There is nothing to refuse."""
    fields = members(body, "the request")
    check(body, fields, ())
    raw = fields.get("input")
    if raw is None or kind_of(raw) not in (TEXT, LIST):
        raise Invalid("the request has no `input`", hint="send a text, or a list of texts")
    # Each text is an input of its own, with marks at its ends; tokens given by number take no
    # fewer bytes than tokens.
    inputs = 1 if kind_of(raw) == TEXT else len(items(raw, "`input`"))
    return ModelRequest(
        model=at.model or model_of(fields),
        stream=False,
        content=Content(rest=remaining(fields, ())),
        tokens=Tokens(input_max=len(body) + REQUEST_TOKENS * inputs, output_max=0),
        findings=(),
        unknown=tuple(name for name in fields if name not in KNOWN),
        forward=body,
    )
