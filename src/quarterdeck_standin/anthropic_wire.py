"""Anthropic's messages on the wire: reading requests, writing answers, streams and errors."""

import secrets
from collections.abc import Iterator
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.conversation import (
    Answer,
    Conversation,
    Failure,
    Finish,
    OfferedTool,
    ToolCall,
    Turn,
    Usage,
)
from quarterdeck_standin.tokens import split_tokens

NAME: Final = "anthropic"
PATH: Final = "/v1/messages"
_ROLES: Final = ("user", "assistant", "system")  # a beta lets the system speak in between
_STOPS: Final[dict[Finish, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
}


def conversation_of(body: dict[str, Any]) -> Conversation:
    """Read a request body."""
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise Invalid("model: field required", hint="set `model`")
    if not isinstance(messages, list) or not messages:
        raise Invalid("messages: at least one message is required", hint="add a message")
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        raise Invalid("max_tokens: field required", hint="set `max_tokens` to 1 or more")
    tools = body.get("tools") or []
    system, _ = _content_of(body.get("system"))
    turns = [Turn(role="system", text=system)] if system else []
    for message in messages:
        turns += _turns_of(message)
    unwanted = (body.get("tool_choice") or {}).get("type") == "none"
    return Conversation(
        model=model,
        turns=tuple(turns),
        tools=() if unwanted else tuple(_tool_of(tool) for tool in tools),
        streamed=bool(body.get("stream")),
        output_tokens_max=body["max_tokens"],
    )


def whole(conversation: Conversation, answer: Answer, usage: Usage) -> bytes:
    """The body of an answer that is not streamed."""
    blocks: list[dict[str, Any]] = []
    if answer.text or not answer.calls:
        blocks.append({"type": "text", "text": answer.text})
    for call in answer.calls:
        blocks.append(_block(call) | {"input": orjson.loads(call.arguments or "{}")})
    ending = {"stop_reason": _STOPS[answer.ending], "content": blocks}
    return orjson.dumps(_opening(conversation) | ending | {"usage": _usage(usage)})


def events(conversation: Conversation, answer: Answer, usage: Usage) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, one by one."""
    before = Usage(input_tokens=usage.input_tokens, output_tokens=1)
    opening = _opening(conversation) | {"usage": _usage(before)}
    yield _event("message_start", message=opening)
    index = 0
    if answer.text or not answer.calls:
        pieces = answer.deltas if answer.deltas is not None else split_tokens(answer.text)
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
        yield from _block_events(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for call in answer.calls:
        partial = ["", *split_tokens(call.arguments)]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in partial]
        yield from _block_events(index, _block(call), deltas)
        index += 1
    ending = {"stop_reason": _STOPS[answer.ending], "stop_sequence": None}
    yield _event("message_delta", delta=ending, usage={"output_tokens": usage.output_tokens})
    yield _event("message_stop")


def error(failure: Failure) -> bytes:
    """The body of an error."""
    about = {"type": failure.kind, "message": failure.message}
    return orjson.dumps({"type": "error", "error": about})


def models(names: tuple[str, ...]) -> bytes:
    """The list of models."""
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
        for name in names
    ]
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
    return orjson.dumps({"data": listed, "has_more": False} | ends)


def request_id() -> tuple[str, str]:
    """A fresh request id, as the header that carries it."""
    return ("request-id", f"req_{secrets.token_hex(12)}")


def _block_events(
    index: int, block: dict[str, Any], deltas: list[dict[str, str]]
) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=block)
    if index == 0:
        yield _event("ping")
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _opening(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": conversation.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(call: ToolCall) -> dict[str, Any]:
    made = call.id or f"toolu_{secrets.token_hex(12)}"
    return {"type": "tool_use", "id": made, "name": call.name, "input": {}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


def _event(name: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps({"type": name} | fields))


def _turns_of(message: Any) -> list[Turn]:
    """One message as turns: its tool results first, each a turn of its own, then what is said."""
    role = message.get("role") if isinstance(message, dict) else None
    if role not in _ROLES:
        raise Invalid("messages: a role must be `user` or `assistant`", hint="use `user`")
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    turns = [
        Turn(
            role="tool",
            text=_content_of(block.get("content"))[0],
            call_id=block["tool_use_id"],
        )
        for block in blocks
        if block.get("type") == "tool_result"
    ]
    calls = tuple(
        ToolCall(
            id=block["id"], name=block["name"], arguments=orjson.dumps(block["input"]).decode()
        )
        for block in blocks
        if block.get("type") == "tool_use"
    )
    text, images = _content_of(content)
    if text or images or calls or not turns:
        turns.append(Turn(role=role, text=text, calls=calls, images=images))
    return turns


def _content_of(content: Any) -> tuple[str, int]:
    """The text of some content and how many images came with it."""
    if content is None or isinstance(content, str):
        return content or "", 0
    texts = [str(block["text"]) for block in content if block.get("type") == "text"]
    return "\n".join(texts), sum(block.get("type") == "image" for block in content)


def _tool_of(tool: dict[str, Any]) -> OfferedTool:
    return OfferedTool(name=tool["name"], definition=orjson.dumps(tool).decode())
