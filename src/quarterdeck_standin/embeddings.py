"""OpenAI's embeddings: text as a vector, so that texts which share words lie close together.

Each word, and each run of three letters in it, is hashed to a place and a sign; the vector has
length 1. No meaning is known: `car` and `automobile` are as far apart as any two words.
"""

import base64
import re
import struct
from collections import Counter
from hashlib import blake2b
from math import sqrt
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.tokens import text_tokens

PATH: Final = "/v1/embeddings"
DIMENSIONS_DEFAULT: Final = 256
DIMENSIONS_MAX: Final = 3072
_WORD: Final = re.compile(r"\w+")


def answer_of(body: dict[str, Any]) -> tuple[bytes, int]:
    """The answer to a request, and the tokens it took."""
    model, given = body.get("model"), body.get("input")
    if not isinstance(model, str) or not model:
        raise Invalid("you must provide a model parameter", hint="set `model`")
    texts = [given] if isinstance(given, str) else given
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise Invalid("`input` must be text or a list of texts", hint="send at least one")
    size = body.get("dimensions") or DIMENSIONS_DEFAULT
    if not 1 <= size <= DIMENSIONS_MAX:
        raise Invalid("`dimensions` is out of bounds", hint=f"use 1 to {DIMENSIONS_MAX}")
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector(text, size), packed)}
        for index, text in enumerate(texts)
    ]
    tokens = sum(text_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "model": model, "data": data, "usage": usage}
    return orjson.dumps(answer), tokens


def vector(text: str, size: int) -> list[float]:
    """The vector of a text, of length 1."""
    found = [0.0] * size
    for piece, times in Counter(_pieces(text)).items():
        hashed = int.from_bytes(blake2b(piece.encode(), digest_size=8).digest())
        found[(hashed >> 1) % size] += (1.0 if hashed & 1 else -1.0) * sqrt(times)
    length = sqrt(sum(value * value for value in found)) or 1.0
    return [value / length for value in found]


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for word in _WORD.findall(text.lower()):
        pieces.append(word)
        pieces += [word[at : at + 3] for at in range(len(word) - 2)]
    return pieces


def _written(values: list[float], packed: bool) -> list[float] | str:
    if not packed:
        return values
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
