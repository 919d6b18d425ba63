"""OpenAI's chat completions on the wire: reading requests, writing answers, streams and errors."""

import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.conversation import (
    Answer,
    Conversation,
    Failure,
    OfferedTool,
    Role,
    ToolCall,
    Turn,
    Usage,
)
from quarterdeck_standin.tokens import split_tokens

NAME: Final = "openai"
PATH: Final = "/v1/chat/completions"
_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def conversation_of(body: dict[str, Any]) -> Conversation:
    """Read a request body."""
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise Invalid("you must provide a model parameter", hint="set `model`")
    if not isinstance(messages, list) or not messages:
        raise Invalid("`messages` must be a list of at least one message", hint="add a message")
    if body.get("n") not in (None, 1):
        raise Invalid("`n` above 1 is not offered", hint="send one request per answer")
    tools = body.get("tools") or []
    return Conversation(
        model=model,
        turns=tuple(_turn_of(message) for message in messages),
        tools=() if body.get("tool_choice") == "none" else tuple(_tool_of(tool) for tool in tools),
        streamed=bool(body.get("stream")),
        usage_wanted=bool((body.get("stream_options") or {}).get("include_usage")),
        output_tokens_max=body.get("max_completion_tokens") or body.get("max_tokens"),
    )


def whole(conversation: Conversation, answer: Answer, usage: Usage) -> bytes:
    """The body of an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = [_call(call) for call in answer.calls]
    else:
        message["content"] = answer.text
    message |= {"refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.ending}
    opening = _opening(conversation, "chat.completion")
    return orjson.dumps(opening | {"choices": [choice], "usage": _usage(usage)})


def events(conversation: Conversation, answer: Answer, usage: Usage) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, one by one."""
    opening = _opening(conversation, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        tail = {"usage": None} if conversation.usage_wanted else {}
        return _event(opening | {"choices": [choice]} | tail)

    content = None if answer.calls and not answer.text else ""
    yield chunk({"role": "assistant", "content": content, "refusal": None})
    pieces = answer.deltas if answer.deltas is not None else split_tokens(answer.text)
    for piece in pieces:
        yield chunk({"content": piece})
    for index, call in enumerate(answer.calls):
        first = _call(call)
        first["function"]["arguments"] = ""
        yield chunk({"tool_calls": [{"index": index} | first]})
        for piece in split_tokens(call.arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer.ending)
    if conversation.usage_wanted:
        yield _event(opening | {"choices": [], "usage": _usage(usage)})
    yield b"data: [DONE]\n\n"


def error(failure: Failure) -> bytes:
    """The body of an error."""
    about = {"message": failure.message, "type": failure.kind, "param": None, "code": None}
    return orjson.dumps({"error": about})


def models(names: tuple[str, ...]) -> bytes:
    """The list of models."""
    listed = [
        {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "quarterdeck-standin"}
        for name in names
    ]
    return orjson.dumps({"object": "list", "data": listed})


def request_id() -> tuple[str, str]:
    """A fresh request id, as the header that carries it."""
    return ("x-request-id", f"req_{secrets.token_hex(16)}")


def _opening(conversation: Conversation, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(14)}",
        "object": kind,
        "created": int(time.time()),
        "model": conversation.model,
        "service_tier": "default",
        "system_fingerprint": "fp_quarterdeck",
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id or f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _turn_of(message: Any) -> Turn:
    role = _ROLES.get(message.get("role", "")) if isinstance(message, dict) else None
    if role is None:
        raise Invalid("a message needs a role the dialect knows", hint="use `user`")
    text, images = _content_of(message.get("content"))
    calls = tuple(
        ToolCall(
            id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"]
        )
        for call in message.get("tool_calls") or ()
    )
    call_id = str(message.get("tool_call_id", ""))
    return Turn(role=role, text=text, calls=calls, call_id=call_id, images=images)


def _content_of(content: Any) -> tuple[str, int]:
    """The text of a message and how many images came with it."""
    if content is None or isinstance(content, str):
        return content or "", 0
    texts = [str(part["text"]) for part in content if part.get("type") == "text"]
    return "\n".join(texts), sum(part.get("type") == "image_url" for part in content)


def _tool_of(tool: dict[str, Any]) -> OfferedTool:
    function = tool["function"]
    return OfferedTool(name=function["name"], definition=orjson.dumps(function).decode())
