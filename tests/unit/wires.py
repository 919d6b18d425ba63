"""Small streams of every wire, as their vendors write them, with what they say was used."""

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from quarterdeck.domain.money import Usage


def events(*said: Any, done: bool = False) -> bytes:
    """Server-sent events."""
    written = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in said)
    return written + (b"data: [DONE]\n\n" if done else b"")


def message(kind: str, payload: Any, *, of: str = ":event-type") -> bytes:
    """One message of Amazon's event stream, with its checksums."""
    held = {of: kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(n)]) + n.encode() + b"\x07" + struct.pack(">H", len(v)) + v.encode()
        for n, v in held.items()
    )
    body = orjson.dumps(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    whole = prelude + headers + body
    return whole + struct.pack(">I", zlib.crc32(whole))


def wrapped(*said: Any) -> bytes:
    """Anthropic's events as invoke streams them."""
    return b"".join(
        message("chunk", {"bytes": base64.b64encode(orjson.dumps(event)).decode()})
        for event in said
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A stream and what it says."""

    stream: bytes
    usage: Usage
    text: str = "H\u00e9llo"
    listed: bool = False


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "m-1",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "H\u00e9llo"}],
        }
    ],
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
    },
}
ANTHROPIC = (
    {
        "type": "message_start",
        "message": {"model": "m-1", "role": "assistant", "usage": {"input_tokens": 9}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "H\u00e9llo"},
    },
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 7},
    },
    {"type": "message_stop"},
)
GEMINI = (
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "H\u00e9"}]}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
        "modelVersion": "m-1",
    },
    {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": 'll"{o', "thought": True}]},
                "index": 0,
            }
        ],
    },
    {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "llo"}]},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 9,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 2,
            "totalTokenCount": 16,
        },
        "modelVersion": "m-1",
    },
)
CACHED = Usage(input=5, cache_read=4, output=5, reasoning=2)
CHAT = (
    {"id": "1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": "H\u00e9llo"}}]},
    {"id": "1", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7}},
)
STREAMS: Mapping[str, Sample] = {
    "openai-chat": Sample(stream=events(*CHAT, done=True), usage=Usage(input=9, output=7)),
    "openai-responses": Sample(
        stream=events(
            {"type": "response.created", "response": {"id": "resp_1", "model": "m-1"}},
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "H\u00e9llo"},
            {"type": "response.completed", "response": RESPONSE},
        ),
        usage=CACHED,
    ),
    "openai-completions": Sample(
        stream=events(
            {"id": "1", "model": "m-1", "choices": [{"index": 0, "text": "H\u00e9"}]},
            {
                "id": "1",
                "model": "m-1",
                "choices": [{"index": 0, "text": "llo", "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 7},
            },
            done=True,
        ),
        usage=Usage(input=9, output=7),
    ),
    "anthropic-messages": Sample(stream=events(*ANTHROPIC), usage=Usage(input=9, output=7)),
    "gemini-generate": Sample(stream=events(*GEMINI), usage=CACHED),
    "gemini-generate as a list": Sample(
        stream=b"[" + b"\n,\r\n".join(map(orjson.dumps, GEMINI)) + b"]", usage=CACHED, listed=True
    ),
    "bedrock-converse": Sample(
        stream=message("messageStart", {"role": "assistant"})
        + message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "H\u00e9"}})
        + message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "llo"}})
        + message("contentBlockStop", {"contentBlockIndex": 0})
        + message("messageStop", {"stopReason": "end_turn"})
        + message(
            "metadata",
            {"usage": {"inputTokens": 9, "outputTokens": 7, "totalTokens": 16}, "metrics": {}},
        ),
        usage=Usage(input=9, output=7),
    ),
    "bedrock-invoke": Sample(stream=wrapped(*ANTHROPIC), usage=Usage(input=9, output=7)),
}
