"""The few edits a request may need before it leaves, each of which keeps every other byte."""

from collections.abc import Mapping

from quarterdeck.domain.dialects.request import Members, is_null, members, spans


def inserted(body: bytes, added: Mapping[str, bytes]) -> bytes:
    """The body with members added right after its opening brace; every other byte unchanged."""
    at = body.index(b"{") + 1
    new = b"".join(b'"%b":%b,' % (name.encode(), value) for name, value in added.items())
    return body[:at] + new + body[at:]


def replaced(body: bytes, span: tuple[int, int], value: bytes) -> bytes:
    """The body with one value replaced; every other byte unchanged."""
    return body[: span[0]] + value + body[span[1] :]


def edited(body: bytes, fields: Members, wanted: dict[str, bytes]) -> tuple[bytes, tuple[str, ...]]:
    """The body as it will be sent, and the names of what was added or set."""
    added = {name: value for name, value in wanted.items() if name not in fields}
    for name, value in wanted.items():
        if name in fields:  # there, but null or lacking what is needed: adding would repeat it
            place = spans(body, members(body, "the request"), "the request")[name]
            body = replaced(body, place, value)
    return inserted(body, added) if added else body, tuple(wanted)


def capped(
    body: bytes, fields: Members, within: tuple[str, ...], *, name: str, cap: int
) -> tuple[bytes, tuple[str, ...]]:
    """The body with an output cap inside the object of this name, which may be spelt in two ways.

    Also what was set. A cap of null is none; where there is no such object it is added.
    """
    value = b"%d" % cap
    outer = next((spelt for spelt in within if not is_null(fields.get(spelt))), within[0])
    raw = fields.get(outer)
    inner = {} if is_null(raw) else members(raw or b"", f"`{outer}`")
    if inner:
        changed = edited(bytes(raw or b""), inner, {name: value})[0]
    else:
        changed = b'{"%b":%b}' % (name.encode(), value)
    return edited(body, fields, {outer: changed})[0], (f"{outer}.{name}",)
