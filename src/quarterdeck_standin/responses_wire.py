"""OpenAI's responses on the wire: reading requests, writing answers, streams and errors."""

import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import orjson

from quarterdeck.domain.errors import Invalid
from quarterdeck_standin.conversation import (
    Answer,
    Conversation,
    OfferedTool,
    Role,
    ToolCall,
    Turn,
    Usage,
)
from quarterdeck_standin.openai_wire import NAME, error, models, request_id
from quarterdeck_standin.tokens import split_tokens

__all__ = ["NAME", "PATH", "conversation_of", "error", "events", "models", "request_id", "whole"]

PATH: Final = "/v1/responses"
_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_TEXTS: Final = ("input_text", "output_text", "text", "refusal")


def conversation_of(body: dict[str, Any]) -> Conversation:
    """Read a request body."""
    model, given = body.get("model"), body.get("input")
    if not isinstance(model, str) or not model:
        raise Invalid("you must provide a model parameter", hint="set `model`")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise Invalid("`input` must be text or a list of items", hint="add an item")
    system = str(body.get("instructions") or "")
    turns = [Turn(role="system", text=system)] if system else []
    for item in given:
        turns += _turns_of(item)
    tools = body.get("tools") or []
    return Conversation(
        model=model,
        turns=tuple(turns),
        tools=() if body.get("tool_choice") == "none" else tuple(_tool_of(tool) for tool in tools),
        streamed=bool(body.get("stream")),
        output_tokens_max=body.get("max_output_tokens"),
    )


def whole(conversation: Conversation, answer: Answer, usage: Usage) -> bytes:
    """The body of an answer that is not streamed."""
    return orjson.dumps(_ended(_opening(conversation), _items(answer), answer, usage))


def events(conversation: Conversation, answer: Answer, usage: Usage) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, one by one."""
    opening, items = _opening(conversation), _items(answer)
    number = 0

    def event(name: str, /, **fields: Any) -> bytes:
        nonlocal number
        kind = f"response.{name}"
        body = {"type": kind, "sequence_number": number} | fields
        number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(body))

    yield event("created", response=opening)
    yield event("in_progress", response=opening)
    for index, item in enumerate(items):
        about = {"item_id": item["id"], "output_index": index}
        empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        begun = item | empty | {"status": "in_progress"}
        yield event("output_item.added", output_index=index, item=begun)
        if item["type"] == "message":
            [part] = item["content"]
            place = about | {"content_index": 0}
            yield event("content_part.added", **place, part=part | {"text": ""})
            pieces = answer.deltas if answer.deltas is not None else split_tokens(answer.text)
            for piece in pieces:
                yield event("output_text.delta", **place, delta=piece, logprobs=[])
            yield event("output_text.done", **place, text=part["text"], logprobs=[])
            yield event("content_part.done", **place, part=part)
        else:
            for piece in split_tokens(item["arguments"]):
                yield event("function_call_arguments.delta", **about, delta=piece)
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield event("function_call_arguments.done", **about, **done)
        yield event("output_item.done", output_index=index, item=item)
    ended = _ended(opening, items, answer, usage)
    yield event(ended["status"], response=ended)


def _items(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    status = "incomplete" if answer.ending == "length" else "completed"
    if answer.text or not answer.calls:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        made = f"msg_{secrets.token_hex(16)}"
        items.append({"id": made, "type": "message", "status": status} | _said([part]))
    for call in answer.calls:
        items.append(
            {
                "id": f"fc_{secrets.token_hex(16)}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.id or f"call_{secrets.token_hex(12)}",
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    return items


def _said(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _opening(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": f"resp_{secrets.token_hex(16)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": conversation.output_tokens_max,
        "metadata": {},
        "model": conversation.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def _ended(
    opening: dict[str, Any], items: list[dict[str, Any]], answer: Answer, usage: Usage
) -> dict[str, Any]:
    cut = answer.ending == "length"
    return opening | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": items,
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


def _turns_of(item: Any) -> list[Turn]:
    match item.get("type", "message"):
        case "message":
            role = _ROLES.get(item.get("role", ""))
            if role is None:
                raise Invalid("an item needs a role the dialect knows", hint="use `user`")
            text, images = _content_of(item.get("content"))
            return [Turn(role=role, text=text, images=images)]
        case "function_call":
            call = ToolCall(id=item["call_id"], name=item["name"], arguments=item["arguments"])
            return [Turn(role="assistant", text="", calls=(call,))]
        case "function_call_output":
            text, images = _content_of(item["output"])
            return [Turn(role="tool", text=text, call_id=item["call_id"], images=images)]
        case "reasoning":
            return []
        case other:
            raise Invalid(f"items of type `{other}` are not read", hint="send messages and calls")


def _content_of(content: Any) -> tuple[str, int]:
    """The text of a message and how many images came with it."""
    if content is None or isinstance(content, str):
        return content or "", 0
    texts = [str(part.get("text", "")) for part in content if part.get("type") in _TEXTS]
    return "\n".join(texts), sum(part.get("type") == "input_image" for part in content)


def _tool_of(tool: dict[str, Any]) -> OfferedTool:
    if tool.get("type") != "function":
        raise Invalid(f"tools of type `{tool.get('type')}` are not offered", hint="send functions")
    return OfferedTool(name=tool["name"], definition=orjson.dumps(tool).decode())
