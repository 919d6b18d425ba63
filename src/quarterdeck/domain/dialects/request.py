"""What a model request says, read without parsing deeper than needed.

One pass splits the body into its top-level fields, kept as the bytes they came in; only fields that
are read here are decoded. Deliberately absent: sampling parameters, which are the client's.

JSON parsers disagree about a repeated name (first wins, last wins) and some ignore letter case, so
the vendor could act on another value than the one judged here: such bodies are refused.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Final, NoReturn, TypeAlias

import msgspec
import orjson
from msgspec import Raw

from quarterdeck.domain.actions import Address, Content, Tokens
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.limits import JSON_DEPTH_MAX
from quarterdeck.domain.verdicts import Verdict

Members: TypeAlias = dict[str, Raw]

TOKENS_MAX: Final = 100_000_000  # no window is near it: above, an output cap is a slip
# What a vendor adds around a request's own text, generously: role markers per message, a preamble,
# the paragraph that explains tool use (Anthropic's longest published one is 530 tokens) where tools
# are offered.
MESSAGE_TOKENS: Final = 16
REQUEST_TOKENS: Final = 64
TOOL_USE_TOKENS: Final = 1024
# A PDF is billed by page, as text and as an image, and its streams are compressed: its bytes bound
# nothing. No more of it can be read than fits the standard window.
DOCUMENT_TOKENS_MAX: Final = 200_000


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set of names."""
    return frozenset(text.split())


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Names that decide something in this package. Beside one of them, another spelling that differs in
# letter case only is refused.
_READ: Final = words(
    "model messages system tools functions stream stream_options include_usage max_tokens "
    "max_completion_tokens n store web_search_options search_parameters enable_search "
    "data_sources modalities previous_response_id conversation background prompt plugins "
    "models fallbacks mcp_servers container thread role content type source url image_url "
    "file file_id file_url file_data audio id tool_changes"
)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_LIST: Final = msgspec.json.Decoder(list[Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_COUNT: Final = msgspec.json.Decoder(int | None)
_FLAG: Final = msgspec.json.Decoder(bool | None)
TEXT: Final = ord('"')
LIST: Final = ord("[")
OBJECT: Final = ord("{")
NULL: Final = ord("n")
_PLAIN_STARTS: Final = (b'{"role":"', b'{"role": "', b'{"content":"', b'{"content": "')
_TEXT_CONTENTS: Final = (
    b'"content":"',
    b'"content": "',
    b'"content":null',
    b'"content": null',
)
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NAME: Final = re.compile(rb'[ \t\r\n]*("(?:[^"\\]++|\\.)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_NEXT: Final = re.compile(rb"[ \t\r\n]*[,}]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP: Final = tuple(1 if c in b"[{" else -1 for c in range(256))
_ONCE: Final = "parsers disagree about it: send each name once, in lower case"


#: Where a request's body says what it asks for, and its URL only who is asked.
IN_BODY: Final = Address(wire="", model="")


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one request to a model asks for, and what in it must be refused."""

    model: str
    stream: bool
    content: Content
    tokens: Tokens
    #: One refusal for each thing the vendor would do by itself.
    findings: tuple[Verdict, ...]
    #: Names of top-level fields nobody here knows: forwarded as they came, and recorded.
    unknown: tuple[str, ...]
    #: The body as it will be sent: the same object that came in, unless `edits` names a change.
    forward: bytes
    #: Names of the fields that were added or set.
    edits: tuple[str, ...] = ()
    #: Usage was asked for on the client's behalf: the event that reports it is not theirs to see.
    withhold_usage: bool = False


class _Message(msgspec.Struct, frozen=True, gc=False):
    """The two fields nearly every message has and no other; absent ones are empty."""

    role: Raw = Raw(b"")
    content: Raw = Raw(b"")


class _TextPart(msgspec.Struct, frozen=True, gc=False):
    """The two fields a part that is text has, and mostly no other; absent ones are empty."""

    type: Raw = Raw(b"")
    text: Raw = Raw(b"")


class _Function(msgspec.Struct, frozen=True, gc=False):
    """The two fields a function offered as a tool has and no other; absent ones are empty."""

    type: Raw = Raw(b"")
    function: Raw = Raw(b"")


_FUNCTION: Final = msgspec.json.Decoder(_Function)
_MESSAGES: Final = msgspec.json.Decoder(list[_Message])
_TEXT_PART: Final = msgspec.json.Decoder(_TextPart)


def members(source: bytes | Raw, where: str) -> Members:
    """The members of an object as raw bytes; raises Invalid where a name is repeated."""
    try:
        found = _OBJECT.decode(source)
    except UNREADABLE as error:
        refuse_json(error, where)
    if not found:
        return found
    names = "".join(found)
    spare = len(source) - 1 - 4 * len(found) - len(names) - sum(map(len, found.values()))
    # Every byte beyond the compact form is white space, an escape in a name, or a member that a
    # later one replaced. The shortest member that repeats a name k is `,"k":0`.
    if spare >= 5 and spare >= 5 + min(map(len, found)):
        spans(bytes(source), found, where)
    if not (names.isascii() and names.islower()):
        _refuse_lookalikes(found, where)
    return found


def spans(source: bytes, found: Members, where: str) -> dict[str, tuple[int, int]]:
    """Where each member's value lies in its object; raises Invalid where a name is repeated.

    A proof by walking: if the source reads as exactly these members and then closes, it holds no
    other. A dictionary keeps a name's first place and its last value, so a repeated name is found
    where the two part.
    """
    at = source.index(b"{") + 1
    places: dict[str, tuple[int, int]] = {}
    for name, raw in found.items():
        spelt, start = _name_at(source, at, name)
        value = bytes(raw)
        end = start + len(value)
        if spelt != name or not source.startswith(value, start):
            raise Invalid(f"{where} names field `{shown(spelt)}` twice", hint=_ONCE)
        places[name] = (start, end)
        if source[end] != 44:
            gap = _NEXT.match(source, end)
            if gap is None:  # a number that only begins like the later one: 12, then 1
                raise Invalid(f"{where} names field `{shown(spelt)}` twice", hint=_ONCE)
            end = gap.end() - 1
        at = end + 1
    if source[at - 1] != 125:
        spelt, _ = _name_at(source, at, "")
        raise Invalid(f"{where} names field `{shown(spelt)}` twice", hint=_ONCE)
    return places


def _name_at(source: bytes, at: int, expected: str) -> tuple[str, int]:
    """The name of the member that begins here, and where its value begins."""
    start = at + (source[at] == 32)
    written = _written(expected)
    if source.startswith(written, start):  # as nearly every writer spells and spaces it
        start += len(written)
        start += source[start] == 32
        if source[start] > 32:
            return expected, start
    key = _NAME.match(source, at)
    assert key is not None, "the source was parsed before"
    return _TEXT.decode(key[1]), key.end()


def items(source: bytes | Raw, where: str) -> list[Raw]:
    """The items of a list as raw bytes; none for null."""
    if is_null(source):
        return []
    try:
        return _LIST.decode(source)
    except UNREADABLE as error:
        raise Invalid(f"{where} is not a list", hint="send a JSON array") from error


def messages_of(fields: Members) -> tuple[tuple[bytes, ...], list[tuple[int, Raw | None]]]:
    """Each message as the bytes it came in, and which of them hold more than a role and a text.

    Of those it gives the content, or None where other members must be read to be sure of it.
    """
    raw = fields.get("messages")
    if raw is None:
        raise Invalid("the request has no `messages`", hint="send the conversation as a list")
    try:
        parts = tuple(map(bytes, _LIST.decode(raw)))
        messages = _MESSAGES.decode(raw)
    except UNREADABLE as error:
        hint = "each message is an object with `role` and `content`"
        raise Invalid("`messages` is not a list of objects", hint=hint) from error
    rich: list[tuple[int, Raw | None]] = []
    for index, (part, message) in enumerate(zip(parts, messages, strict=True)):
        role, content = len(message.role), len(message.content)
        # `{"role":,"content":}` takes 20 bytes, and the shortest further member, `,"":0`, takes 5:
        # with less than 5 to spare there is none, not even a repeated one.
        if not (role and content and len(part) - role - content < 25):
            rich.append((index, None))
        # Of two members the first is a string by how the message begins, the other by how it ends.
        elif part[-2] != 34 or not part.startswith(_PLAIN_STARTS):
            rich.append((index, message.content))
    return parts, rich


def has_text_only(message: bytes, other: bytes | None = None) -> bool:
    """Whether a message's content is a text or nothing, told without reading the message.

    True is certain; False means that it must be read. `other` is a member that must be absent.
    """
    # In a string a quote is escaped, so these bytes are a name, or a string that is just this word.
    # Names may also be written in escapes, or, to some servers, in capitals.
    folded = message.lower()
    at = folded.find(b'"content"')
    if folded.find(b'"content"', at + 1) >= 0 <= at or b"\\u" in folded:
        return False
    if other is not None and other in folded:
        return False
    return at < 0 or message.startswith(_TEXT_CONTENTS, at)


def is_text_part(part: Raw) -> bool:
    """Whether a content part is plain text and nothing else; False means that it must be read."""
    try:
        read = _TEXT_PART.decode(part)
    except UNREADABLE:
        return False
    kind, text = len(read.type), len(read.text)
    # `{"type":,"text":}` takes 17 bytes; a further member would take 5 more.
    return kind == 6 and text > 0 and len(part) - text < 28 and bytes(read.type) == b'"text"'


def is_function(tool: Raw) -> bool:
    """Whether a tool is a function and nothing else; False means that it must be read."""
    try:
        read = _FUNCTION.decode(tool)
    except UNREADABLE:
        return False
    kind, function = len(read.type), len(read.function)
    # `{"type":,"function":}` takes 21 bytes; a further member would take 5 more.
    whole = kind == 10 and function > 0 and len(tool) - function < 36
    return whole and bytes(read.type) == b'"function"'


def model_of(fields: Members) -> str:
    """The model that is asked for."""
    raw = fields.get("model")
    model = None if raw is None else text_of(raw)
    if not model:
        raise Invalid("the request names no `model`", hint="set `model` to a model of the agent")
    return model


def flag(fields: Members, name: str) -> bool:
    """A yes or no; absent and null are no."""
    raw = fields.get(name)
    try:
        return bool(raw is not None and _FLAG.decode(raw))
    except UNREADABLE as error:
        raise Invalid(f"`{name}` is not true or false", hint="send true, false or null") from error


def count(fields: Members, name: str, *, least: int, most: int) -> int | None:
    """A whole number within bounds; absent and null are None."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        number: int | None = _COUNT.decode(raw)
    except UNREADABLE as error:
        raise Invalid(f"`{name}` is not a whole number", hint="send an integer") from error
    if number is not None and not least <= number <= most:
        raise Invalid(f"`{name}` is {number}", hint=f"send a number from {least} to {most}")
    return number


def text_of(raw: Raw | None) -> str | None:
    """The string a value holds, or None if it is anything else."""
    try:
        return None if raw is None else _TEXT.decode(raw)
    except UNREADABLE:
        return None


def is_null(raw: bytes | Raw | None) -> bool:
    """Absent, empty or null."""
    return raw is None or (len(raw) in (0, 4) and bytes(raw) in (b"", b"null"))


def kind_of(raw: Raw) -> int:
    """What kind of value this is, by its first character: TEXT, LIST, OBJECT, NULL or another."""
    return memoryview(raw)[0]


def shown(text: str) -> str:
    """A caller's word as a message may quote it: short, and on one line."""
    return " ".join(text.split())[:64].replace("`", "'")


def remaining(fields: Members, but: Iterable[str]) -> bytes:
    """All other top-level fields as one object, in the order they came."""
    left_out = frozenset(but)
    kept = [_written(name) + bytes(raw) for name, raw in fields.items() if name not in left_out]
    return b"{" + b",".join(kept) + b"}"


def said_by_user(text: Raw) -> bytes:
    """What a request says outside messages, in the form of one: so the record shows it."""
    return b'{"role":"user","content":' + bytes(text) + b"}"


def check(body: bytes, fields: Members, messages: Iterable[bytes]) -> None:
    """Raise Invalid unless the whole body is UTF-8 and nested no deeper than JSON_DEPTH_MAX.

    Of the messages only those that are not plain: the others are known to be flat.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            refuse_json(error, "the request")
    # Brackets in strings count here too: this only spares most requests the exact count.
    if body.count(b"[") + body.count(b"{") <= JSON_DEPTH_MAX:
        return
    for message in messages:
        _check_depth(message, 2)
    for name, raw in fields.items():
        # A level takes two bytes at least, so most values are too short to be deep.
        if len(raw) <= JSON_DEPTH_MAX or name == "messages":
            continue
        if kind_of(raw) == LIST:
            for item in items(raw, name):
                _check_depth(bytes(item), 2)
        else:
            _check_depth(bytes(raw), 1)


def refuse_json(error: Exception, where: str) -> NoReturn:
    """Say in a client's words why bytes could not be read."""
    if isinstance(error, RecursionError):
        hint = f"nest at most {JSON_DEPTH_MAX} deep"
        raise Invalid(f"{where} is nested too deeply", hint=hint) from error
    if isinstance(error, UnicodeDecodeError):
        raise Invalid(f"{where} is not UTF-8", hint="send JSON in UTF-8") from error
    if isinstance(error, msgspec.ValidationError):
        raise Invalid(f"{where} is not a JSON object", hint="send one object") from error
    reason = str(error).removeprefix("JSON is malformed: ").lower()
    raise Invalid(f"{where} is not valid JSON: {reason}", hint="send one JSON object") from error


def _refuse_lookalikes(found: Members, where: str) -> None:
    for name in found:
        folded = name.casefold()
        if folded != name and folded in _READ:
            raise Invalid(f"{where} has a field `{shown(name)}`, not `{folded}`", hint=_ONCE)


@lru_cache(maxsize=256)
def _written(name: str) -> bytes:
    return orjson.dumps(name) + b":"


def _check_depth(piece: bytes, above: int) -> None:
    """Raise Invalid where a piece that lies so deep is nested too deeply."""
    most = JSON_DEPTH_MAX - above
    if len(piece) <= most or piece.count(b"[") + piece.count(b"{") <= most:
        return
    brackets = _STRING.sub(b"", piece).translate(None, _NOT_BRACKETS)
    if max(accumulate(_STEP[b] for b in brackets), default=0) > most:
        refuse_json(RecursionError(), "the request")
