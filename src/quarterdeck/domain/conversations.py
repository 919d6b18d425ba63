"""A conversation as people read it: messages of blocks, whatever vendor's format they came in.

Vendors differ in names and agree in shapes: somebody's text, a call with arguments, a result, a
picture. Read here by shape, so that a wire that is new shows without a change; what has no shape
known here stays a block of JSON. Nothing is interpreted or executed, and nothing is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import orjson

Kind: TypeAlias = Literal["text", "thinking", "call", "result", "media", "other"]
_ROLES: Final = {"model": "assistant", "developer": "system", "function": "tool"}
_TEXTS: Final = ("text", "input_text", "output_text", "refusal", "summary_text")
_THINKING: Final = (
    "thinking",
    "reasoning",
    "redacted_thinking",
    "reasoning_text",
    "reasoningContent",
)
_MEDIA: Final = (
    "image", "image_url", "input_image", "document", "input_file", "file", "audio", "input_audio",
    "video", "inlineData", "inline_data", "fileData", "file_data",
)  # fmt: skip
_DEPTH_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One thing in a message; `name` is a call's tool or a medium's type, `value` what it holds."""

    kind: Kind
    value: Any
    name: str = ""
    id: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Who said it, and what."""

    role: str
    blocks: tuple[Block, ...]


def message_of(part: Any) -> Message:
    """A part of a request as a message; anything can be read."""
    if isinstance(part, str):
        return Message(role="system", blocks=(Block(kind="text", value=part),))
    if isinstance(part, Sequence):
        return Message(role="system", blocks=_blocks(part))
    if not isinstance(part, Mapping):
        return Message(role="", blocks=(Block(kind="other", value=part),))
    role = str(part.get("role") or "")
    role = _ROLES.get(role, role)
    kind = part.get("type")
    if isinstance(kind, str) and kind not in ("message", "") and "role" not in part:
        return _item(part, kind)
    blocks = _thoughts(part) + _content_of(part) + _calls_of(part)
    if role == "tool":
        blocks = (_result_of(part, blocks),)
    return Message(role=role, blocks=blocks or (Block(kind="other", value=dict(part)),))


def messages_of_answer(answer: Any) -> tuple[Message, ...]:
    """What came back of a model call, as messages; none if it is no such answer."""
    if not isinstance(answer, Mapping):
        return ()
    choices = answer.get("choices")  # OpenAI chat
    if isinstance(choices, Sequence) and choices and not isinstance(choices, str):
        found = [_said_in(c) for c in choices if isinstance(c, Mapping)]
        return tuple(message_of(m) for m in found if isinstance(m, Mapping))
    output = answer.get("output")
    if isinstance(output, Mapping) and isinstance(output.get("message"), Mapping):  # Bedrock
        return (message_of(output["message"]),)
    if isinstance(output, Sequence) and not isinstance(output, str):  # OpenAI responses
        return _merged([message_of(item) for item in output])
    candidates = answer.get("candidates")  # Gemini
    if isinstance(candidates, Sequence) and not isinstance(candidates, str):
        found = [c.get("content") for c in candidates if isinstance(c, Mapping)]
        return tuple(message_of(m) for m in found if isinstance(m, Mapping))
    if isinstance(answer.get("content"), list | str) and ("role" in answer or "type" in answer):
        return (message_of({"role": "assistant", **_only(answer, "content", "tool_calls")}),)
    return ()


def _said_in(choice: Mapping[str, Any]) -> Any:
    """The message of a choice; older completions have a bare text."""
    bare = {"role": "assistant", "content": choice["text"]} if "text" in choice else None
    return choice.get("message") or choice.get("delta") or bare


def ending_of(answer: Any) -> str:
    """Why the model stopped, in its vendor's word; empty if it does not say."""
    if not isinstance(answer, Mapping):
        return ""
    for name in ("stop_reason", "stopReason", "status"):
        if isinstance(answer.get(name), str):
            return str(answer[name])
    for listed, name in (("choices", "finish_reason"), ("candidates", "finishReason")):
        found = answer.get(listed)
        if isinstance(found, list) and found and isinstance(found[0], Mapping):
            return str(found[0].get(name) or "")
    return ""


def _merged(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Neighbours of one role as one message: an answer's items are one turn."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            both = merged[-1].blocks + message.blocks
            merged[-1] = Message(role=message.role, blocks=both)
        else:
            merged.append(message)
    return tuple(merged)


def _only(whole: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: whole[name] for name in names if name in whole}


def _item(item: Mapping[str, Any], kind: str) -> Message:
    """An item without a role (OpenAI responses): a call, a result, a thought."""
    block = _block(item)
    role = "tool" if block.kind == "result" else "assistant"
    if block.kind in ("text", "media"):
        role = "user" if kind.startswith("input") else "assistant"
    return Message(role=role, blocks=(block,))


def _thoughts(part: Mapping[str, Any]) -> tuple[Block, ...]:
    """Reasoning beside the content, as some OpenAI-compatible servers send it."""
    said = part.get("reasoning_content") or part.get("reasoning")
    return (Block(kind="thinking", value=said),) if isinstance(said, str) and said else ()


def _content_of(part: Mapping[str, Any]) -> tuple[Block, ...]:
    for name in ("content", "parts", "text"):  # Gemini says parts
        held = part.get(name)
        if isinstance(held, str):
            return (Block(kind="text", value=held),) if held else ()
        if isinstance(held, Sequence):
            return _blocks(held)
    refusal = part.get("refusal")
    return (Block(kind="text", value=refusal),) if isinstance(refusal, str) and refusal else ()


def _blocks(held: Sequence[Any]) -> tuple[Block, ...]:
    return tuple(_block(one) for one in held)


def _block(one: Any, depth: int = 0) -> Block:
    """One content block of any vendor."""
    if isinstance(one, str):
        return Block(kind="text", value=one)
    if not isinstance(one, Mapping) or depth > _DEPTH_MAX:
        return Block(kind="other", value=one)
    kind = str(one.get("type") or "")
    for read in (_as_call, _as_result, _as_thinking, _as_media):
        found = read(one, kind)
        if found is not None:
            return found
    text = one.get("text", one.get("refusal"))
    if (kind in _TEXTS or (not kind and set(one) == {"text"})) and isinstance(text, str):
        return Block(kind="text", value=text)
    return Block(kind="other", value=dict(one), name=kind)


def _as_call(one: Mapping[str, Any], kind: str) -> Block | None:
    """Anthropic `tool_use`, Bedrock `toolUse`, Gemini `functionCall`, OpenAI `function_call`."""
    nested = one.get("toolUse") or one.get("functionCall") or one.get("function_call")
    if isinstance(nested, Mapping):
        held = nested.get("input", nested.get("args"))
        named = str(nested.get("toolUseId") or nested.get("id") or "")
        return Block(kind="call", name=str(nested.get("name") or ""), id=named, value=held)
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return Block(
            kind="call", name=str(one.get("name") or ""), id=str(one.get("id") or ""),
            value=one.get("input"),
        )  # fmt: skip
    if kind in ("function_call", "custom_tool_call"):
        held = one.get("arguments", one.get("input"))
        named = str(one.get("call_id") or one.get("id") or "")
        return Block(kind="call", name=str(one.get("name") or ""), id=named, value=_json(held))
    return None


def _as_result(one: Mapping[str, Any], kind: str) -> Block | None:
    nested = one.get("toolResult") or one.get("functionResponse") or one.get("function_response")
    if isinstance(nested, Mapping):
        held = nested.get("content", nested.get("response"))
        return Block(
            kind="result", name=str(nested.get("name") or ""), value=_plain(held),
            id=str(nested.get("toolUseId") or nested.get("id") or ""),
            failed=nested.get("status") == "error",
        )  # fmt: skip
    if kind == "tool_result" or kind.endswith("_tool_result"):
        return Block(
            kind="result", id=str(one.get("tool_use_id") or ""), value=_plain(one.get("content")),
            failed=bool(one.get("is_error")),
        )  # fmt: skip
    if kind in ("function_call_output", "custom_tool_call_output"):
        return Block(
            kind="result", id=str(one.get("call_id") or ""), value=_plain(one.get("output"))
        )
    return None


def _as_thinking(one: Mapping[str, Any], kind: str) -> Block | None:
    if kind not in _THINKING and "reasoningContent" not in one:
        return None
    held = one.get("thinking") or one.get("summary") or one.get("text")
    nested = one.get("reasoningContent")
    if isinstance(nested, Mapping):
        held = (nested.get("reasoningText") or {}).get("text")
    return Block(kind="thinking", value=_plain(held) or "(not readable: kept by the vendor)")


def _as_media(one: Mapping[str, Any], kind: str) -> Block | None:
    named = kind if kind in _MEDIA else next((n for n in _MEDIA if n in one), "")
    if not named:
        return None
    return Block(kind="media", name=_media_type(one) or named, value=len(orjson.dumps(dict(one))))


def _media_type(one: Mapping[str, Any], depth: int = 0) -> str:
    """The medium's type, wherever its vendor puts it."""
    for name in ("media_type", "mimeType", "mime_type", "format"):
        if isinstance(one.get(name), str):
            return str(one[name])[:60]
    for held in one.values():
        if (
            isinstance(held, Mapping)
            and depth < _DEPTH_MAX
            and (found := _media_type(held, depth + 1))
        ):
            return found
        if isinstance(held, str) and held.startswith("data:"):
            return held[5:60].partition(";")[0]
    return ""


def _calls_of(part: Mapping[str, Any]) -> tuple[Block, ...]:
    """OpenAI's `tool_calls` and its older `function_call`."""
    found = []
    calls = part.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, Mapping):
            asked = call.get("function") or call.get("custom") or {}
            if isinstance(asked, Mapping):
                held = asked.get("arguments", asked.get("input"))
                found.append(
                    Block(
                        kind="call",
                        name=str(asked.get("name") or ""),
                        id=str(call.get("id") or ""),
                        value=_json(held),
                    )
                )
    older = part.get("function_call")
    if isinstance(older, Mapping):
        held = _json(older.get("arguments"))
        found.append(Block(kind="call", name=str(older.get("name") or ""), value=held))
    return tuple(found)


def _result_of(part: Mapping[str, Any], blocks: Sequence[Block]) -> Block:
    """A tool's message (OpenAI chat): what the agent says came of a call."""
    texts = [b.value for b in blocks]
    held: Any = texts[0] if len(texts) == 1 else texts
    named = str(part.get("tool_call_id") or "")
    return Block(kind="result", name=str(part.get("name") or ""), id=named, value=_json(held))


def _plain(held: Any) -> Any:
    """Text alone as text: a list of one text block is that text."""
    if isinstance(held, str):
        return _json(held)
    if isinstance(held, Sequence) and held:
        blocks = [_block(one, 1) for one in held]
        if all(block.kind == "text" for block in blocks):
            return _json("\n".join(str(block.value) for block in blocks))
        if len(held) == 1 and isinstance(held[0], Mapping) and set(held[0]) == {"json"}:
            return held[0]["json"]  # Bedrock
    return held


def _json(held: Any) -> Any:
    """Text that is an object or a list, as that; any other text as it is."""
    if isinstance(held, str) and held[:1] in ("{", "["):
        try:
            return orjson.loads(held)
        except orjson.JSONDecodeError:
            return held
    return held
