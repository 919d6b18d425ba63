"""The fixture server's tools, by the names the official suite calls them.

They answer at once, or ask their client on the stream of the call (2025-11-25); those that answer
"input required" and are called again are in `mcp_fixture_rounds.py`.
"""

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.subscriptions import InMemorySubscriptionBus, ToolsListChanged

Result: TypeAlias = types.CallToolResult | types.InputRequiredResult
Bus: TypeAlias = InMemorySubscriptionBus
PAUSE_SECONDS: Final = 0.05  # the suite wants to see that several messages came one after the other
#: One red dot, and a millisecond of silence.
PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
WAV: Final = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQgAAAAAAAAAAAAAAA=="
ANYTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a tool."""

    ctx: Any
    params: types.CallToolRequestParams
    bus: Bus
    extra: list[types.Tool]

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was given."""
        return self.params.arguments or {}

    @property
    def capabilities(self) -> types.ClientCapabilities:
        """What the client says it can do."""
        return self.ctx.session.client_capabilities or types.ClientCapabilities()


Call: TypeAlias = Callable[[Asked], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A definition, and what is done."""

    definition: types.Tool
    call: Call


TOOLS: dict[str, Tool] = {}


def tool(
    description: str, schema: Mapping[str, Any] = ANYTHING, **more: Any
) -> Callable[[Call], Call]:
    """List the function as a tool of its own name."""

    def listed(call: Call) -> Call:
        definition = types.Tool(
            name=call.__name__, description=description, input_schema=dict(schema), **more
        )
        TOOLS[call.__name__] = Tool(definition, call)
        return call

    return listed


def text_argument(name: str, **more: Any) -> dict[str, Any]:
    """A schema of one needed text."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", **more}},
        "required": [name],
    }


def says(*content: Any, is_error: bool = False, structured: Any = None) -> types.CallToolResult:
    """A result; a plain string is text."""
    blocks = [types.TextContent(text=c) if isinstance(c, str) else c for c in content]
    return types.CallToolResult(content=blocks, is_error=is_error, structured_content=structured)


# --- answered at once ------------------------------------------------------------------------


@tool("Says a sentence.")
async def test_simple_text(asked: Asked) -> Result:
    return says("This is a simple text response for testing.")


@tool("Shows a picture.")
async def test_image_content(asked: Asked) -> Result:
    return says(types.ImageContent(data=PNG, mime_type="image/png"))


@tool("Plays a sound.")
async def test_audio_content(asked: Asked) -> Result:
    return says(types.AudioContent(data=WAV, mime_type="audio/wav"))


def _quoted(uri: str, kind: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        resource=types.TextResourceContents(uri=uri, mime_type=kind, text=text)
    )


@tool("Quotes a resource.")
async def test_embedded_resource(asked: Asked) -> Result:
    text = "This is an embedded resource content."
    return says(_quoted("test://embedded-resource", "text/plain", text))


@tool("Says, shows and quotes.")
async def test_multiple_content_types(asked: Asked) -> Result:
    quoted = json.dumps({"test": "data", "value": 123})
    return says(
        "Multiple content types test:",
        types.ImageContent(data=PNG, mime_type="image/png"),
        _quoted("test://mixed-content-resource", "application/json", quoted),
    )


@tool(
    "Adds two numbers, and answers with structure too.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    output_schema={
        "type": "object",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
    },
)
async def test_structured_content(asked: Asked) -> Result:
    total = asked.arguments["a"] + asked.arguments["b"]
    return says(json.dumps({"sum": total}), structured={"sum": total})


@tool("Fails.")
async def test_error_handling(asked: Asked) -> Result:
    return says("This tool intentionally returns an error for testing", is_error=True)


@tool("Tells how far it is.")
async def test_tool_with_progress(asked: Asked) -> Result:
    for progress in (0, 50, 100):
        await asked.ctx.session.report_progress(progress, 100)
        await asyncio.sleep(PAUSE_SECONDS)
    return says("Done in three steps.")


async def _log(asked: Asked, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await asked.ctx.session.send_log_message(
            level="info", data=text, related_request_id=asked.ctx.request_id
        )


@tool("Logs while it works.")
async def test_tool_with_logging(asked: Asked) -> Result:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await _log(asked, text)
        await asyncio.sleep(PAUSE_SECONDS)
    return says("Logged three times.")


@tool("Logs, if it may.")
async def test_logging_tool(asked: Asked) -> Result:
    await _log(asked, "A line nobody may have asked for")
    return says("Logged, or not.")


@tool(
    "Takes an argument that is told in a header as well.",
    text_argument("region", **{"x-mcp-header": "Region"}),
)
async def test_custom_header(asked: Asked) -> Result:
    return says(f"Region: {asked.arguments['region']}")


@tool(
    "Has a schema that uses much of the vocabulary.",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def json_schema_2020_12_tool(asked: Asked) -> Result:
    return says(json.dumps(asked.arguments))


@tool("Changes the list of tools: one comes, or goes.")
async def test_trigger_tool_change(asked: Asked) -> Result:
    if asked.extra:
        asked.extra.clear()
    else:
        came = types.Tool(
            name="test_sometimes", description="Comes and goes.", input_schema=ANYTHING
        )
        asked.extra.append(came)
    await asked.bus.publish(ToolsListChanged())
    return says("The list of tools changed.")


@tool("Says that the list of prompts changed.")
async def test_trigger_prompt_change(asked: Asked) -> Result:
    return says("The list of prompts changed.")


@tool("Says that the watched resource changed.")
async def test_trigger_resource_update(asked: Asked) -> Result:
    return says("The watched resource changed.")


# --- asking on the stream of the call: 2025-11-25 --------------------------------------------


@tool("Has the client ask its model.", text_argument("prompt"))
async def test_sampling(asked: Asked) -> Result:
    said = types.TextContent(text=asked.arguments["prompt"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = await asked.ctx.session.create_message(
            [types.SamplingMessage(role="user", content=said)],
            max_tokens=100,
            related_request_id=asked.ctx.request_id,
        )
    return says(f"LLM response: {getattr(answer.content, 'text', '')}")


async def _elicit(asked: Asked, message: str, schema: dict[str, Any], word: str) -> Result:
    answer = await asked.ctx.session.elicit_form(
        message, schema, related_request_id=asked.ctx.request_id
    )
    return says(f"{word}: action={answer.action}, content={json.dumps(answer.content)}")


@tool("Asks the client's user.", text_argument("message"))
async def test_elicitation(asked: Asked) -> Result:
    schema = {
        "type": "object",
        "properties": {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
        "required": ["username", "email"],
    }
    return await _elicit(asked, asked.arguments["message"], schema, "User response")


@tool("Asks with defaults of every kind.")
async def test_elicitation_sep1034_defaults(asked: Asked) -> Result:
    states = ["active", "inactive", "pending"]
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": states, "default": "active"},
            "verified": {"type": "boolean", "default": True},
        },
    }
    return await _elicit(asked, "Please check these.", schema, "Elicitation completed")


@tool("Asks to choose, in every way there is.")
async def test_elicitation_sep1330_enums(asked: Asked) -> Result:
    options = ["option1", "option2", "option3"]
    titled = [
        {"const": f"value{n}", "title": f"{word} Option"}
        for n, word in enumerate(("First", "Second", "Third"), start=1)
    ]
    schema = {
        "type": "object",
        "properties": {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        },
    }
    return await _elicit(asked, "Please choose.", schema, "Elicitation completed")
