"""A request under another model's name: that one value changes, and no other byte."""

import orjson

from quarterdeck.domain.dialects.edits import replaced
from quarterdeck.domain.dialects.request import members, spans, text_of


def renamed(body: bytes, old: str, new: str) -> bytes:
    """The body with its `model` changed; unchanged where it names none, or not this one."""
    if old == new:
        return body
    fields = members(body, "the request")
    if text_of(fields.get("model")) != old:
        return body
    return replaced(body, spans(body, fields, "the request")["model"], orjson.dumps(new))
