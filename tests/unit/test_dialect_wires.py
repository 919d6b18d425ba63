"""What is particular to the newer wires: paths, bounds, edits, refusals, the runner's requests."""

from typing import Any

import orjson
import pytest

from quarterdeck.domain.actions import Address, Tokens
from quarterdeck.domain.dialects import (
    SPOKEN,
    WIRES,
    AssistantTurn,
    ModelRequest,
    ToolDefinition,
    ToolTurn,
    UserTurn,
    path_of,
)
from quarterdeck.domain.dialects.gemini import WINDOW_TOKENS
from quarterdeck.domain.dialects.refusals import TOOL_LIST_BYTES_KNOWN
from quarterdeck.domain.errors import Invalid
from quarterdeck.domain.fleets import Dialect

ARN = "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.amazon.nova-pro-v1:0"


def at(wire: str, model: str = "m-1", **more: Any) -> Address:
    return Address(wire=wire, model=model, **more)


def peek(wire: str, body: Any, allow: tuple[str, ...] = (), **more: Any) -> ModelRequest:
    source = body if isinstance(body, bytes) else orjson.dumps(body)
    return WIRES[wire].peek(source, frozenset(allow), at(wire, **more))


def rules(request: ModelRequest) -> list[str]:
    return [reason.rule for verdict in request.findings for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("vendor", "address", "path"),
    [
        ("openai", at("openai-chat"), "/chat/completions"),
        ("openai", at("openai-chat", query="api-version=x"), "/chat/completions"),
        ("azure", at("openai-chat"), "/openai/v1/chat/completions"),
        ("azure", at("openai-responses"), "/openai/v1/responses"),
        (
            "azure",
            at("azure-chat", "my deployment", query="api-version=2024-10-21"),
            "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21",
        ),
        ("anthropic", at("anthropic-messages", query="beta=true"), "/v1/messages?beta=true"),
        ("anthropic", at("anthropic-count-tokens"), "/v1/messages/count_tokens"),
        ("gemini", at("gemini-generate", version="v1"), "/v1/models/m-1:generateContent"),
        (
            "gemini",
            at("gemini-generate", streamed=True, query="alt=sse"),
            "/v1beta/models/m-1:streamGenerateContent?alt=sse",
        ),
        ("bedrock", at("bedrock-converse", "a:0"), "/model/a%3A0/converse"),
        (
            "bedrock",
            at("bedrock-invoke", ARN, streamed=True),
            "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2F"
            "eu.amazon.nova-pro-v1%3A0/invoke-with-response-stream",
        ),
        ("bedrock", at("bedrock-converse", "../../x?y#z"), "/model/..%2F..%2Fx%3Fy%23z/converse"),
    ],
)
def test_a_wire_says_where_a_call_goes(vendor: Dialect, address: Address, path: str) -> None:
    assert path_of(vendor, address) == path


@pytest.mark.parametrize(
    ("wire", "body", "forward"),
    [
        (
            "openai-responses",
            b'{"model":"m-1", "input":"x"}',
            b'{"max_output_tokens":4096,"model":"m-1", "input":"x"}',
        ),
        (
            "openai-responses",
            b'{"model":"m-1","max_output_tokens": null,"input":"x"}',
            b'{"model":"m-1","max_output_tokens": 4096,"input":"x"}',
        ),
        (
            "gemini-generate",
            b'{"contents":[]}',
            b'{"generationConfig":{"maxOutputTokens":4096},"contents":[]}',
        ),
        (
            "gemini-generate",
            b'{"contents":[],"generation_config": {"temperature": 1.0}}',
            b'{"contents":[],"generation_config": {"maxOutputTokens":4096,"temperature": 1.0}}',
        ),
        (
            "gemini-generate",
            b'{"contents":[],"generationConfig":{}}',
            b'{"contents":[],"generationConfig":{"maxOutputTokens":4096}}',
        ),
        (
            "gemini-generate",
            b'{"contents":[],"generationConfig":null}',
            b'{"contents":[],"generationConfig":{"maxOutputTokens":4096}}',
        ),
        (
            "bedrock-converse",
            b'{"messages":[],"inferenceConfig":{"maxTokens": null}}',
            b'{"messages":[],"inferenceConfig":{"maxTokens": 4096}}',
        ),
    ],
)
def test_output_is_capped_where_no_cap_was_given(wire: str, body: bytes, forward: bytes) -> None:
    request = peek(wire, body)
    assert request.forward == forward
    assert request.edits
    assert request.tokens.output_max == 4096


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("openai-responses", {"model": "m-1", "input": "x", "max_output_tokens": 7}),
        ("gemini-generate", {"contents": [], "generationConfig": {"maxOutputTokens": 7}}),
        ("gemini-generate", {"contents": [], "generation_config": {"max_output_tokens": 7}}),
        ("bedrock-converse", {"messages": [], "inferenceConfig": {"maxTokens": 7}}),
        ("bedrock-invoke", {"anthropic_version": "b", "messages": [], "max_tokens": 7}),
    ],
)
def test_a_request_with_a_cap_is_not_changed(wire: str, body: Any) -> None:
    source = orjson.dumps(body)
    request = peek(wire, source)
    assert request.forward is source
    assert request.tokens.output_max == 7


def test_each_candidate_may_use_the_whole_cap() -> None:
    config = {"maxOutputTokens": 7, "candidateCount": 3}
    request = peek("gemini-generate", {"contents": [], "generationConfig": config})
    assert request.tokens.output_max == 21


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"prompt": "x"}, 16),
        ({"prompt": ["x", "y"], "max_tokens": 5}, 10),
        ({"prompt": [1, 2, 3], "max_tokens": 5}, 5),
        ({"prompt": [[1, 2], [3]], "max_tokens": 5, "n": 2}, 20),
        ({"prompt": "x", "max_tokens": 5, "n": 2, "best_of": 4}, 20),
        ({"prompt": "x", "max_tokens": 0}, 0),
    ],
)
def test_an_older_completion_is_bounded_by_its_texts(body: Any, tokens: int) -> None:
    assert peek("openai-completions", {"model": "m-1"} | body).tokens.output_max == tokens


@pytest.mark.parametrize("given", ["text", ["a", "b"], [1, 2, 3], [[1], [2]]])
def test_embeddings_are_bounded_by_their_bytes_and_generate_nothing(given: Any) -> None:
    body = orjson.dumps({"model": "m-1", "input": given})
    tokens = peek("openai-embeddings", body).tokens
    assert tokens.output_max == 0
    assert len(body) < tokens.input_max < len(body) + 64 * 4


@pytest.mark.parametrize("name", ["anthropic-count-tokens", "gemini-count-tokens"])
def test_counting_is_free_and_judged_alike(name: str) -> None:
    body: Any = {"messages": [], "mcp_servers": [{"url": "x"}], "model": "m-1"}
    if name.startswith("gemini"):
        inner = {"contents": [], "tools": [{"googleSearch": {}}]}
        body = {"generateContentRequest": inner}
    request = peek(name, body)
    assert WIRES[name].free
    assert request.tokens == Tokens(input_max=0, output_max=0)
    assert request.findings
    assert not request.edits


@pytest.mark.parametrize(
    ("allow", "body"),
    [
        ("web-search", {"tools": [{"googleSearch": {}}]}),
        ("web-search", {"tools": [{"google_search_retrieval": {}}]}),
        ("hosted-tools", {"tools": [{"functionDeclarations": []}, {"code_execution": {}}]}),
        ("fetched-content", {"tools": [{"urlContext": {}}]}),
        ("fetched-content", {"contents": [{"parts": [{"file_data": {"file_uri": "gs://b/a"}}]}]}),
        (
            "vendor-files",
            {
                "contents": [
                    {
                        "parts": [
                            {
                                "fileData": {
                                    "fileUri": "https://generativelanguage.googleapis.com"
                                    "/v1beta/files/abc-1"
                                }
                            }
                        ]
                    }
                ]
            },
        ),
        ("vendor-state", {"cachedContent": "cachedContents/1"}),
        ("hosted-tools", {"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]}),
        ("audio-output", {"generationConfig": {"responseModalities": ["TEXT", "AUDIO"]}}),
        ("remote-mcp", {"tools": [{"mcpServers": [{"name": "x"}]}]}),
        ("fetched-content", {"system_instruction": {"parts": [{"fileData": {"fileUri": "h"}}]}}),
    ],
)
def test_what_gemini_would_do_by_itself_is_refused_unless_allowed(allow: str, body: Any) -> None:
    whole = {"contents": []} | body
    assert rules(peek("gemini-generate", whole)) == [f"wire:{allow}"]
    assert rules(peek("gemini-generate", whole, (allow,))) == []


def test_two_spellings_of_one_field_are_refused() -> None:
    part = {"fileData": {"fileUri": "x"}, "file_data": {"fileUri": "y"}}
    with pytest.raises(Invalid, match="two spellings"):
        peek("gemini-generate", {"contents": [{"parts": [part]}]})


def test_bytes_that_may_cost_more_than_their_length_are_held_at_their_most() -> None:
    video = {"inlineData": {"mimeType": "video/mp4", "data": "AA=="}}
    request = peek("gemini-generate", {"contents": [{"parts": [video]}]})
    assert request.tokens.input_max > WINDOW_TOKENS
    sound = {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}
    request = peek("gemini-generate", {"contents": [{"parts": [sound]}]})
    assert request.tokens.input_max < 1000


def test_the_same_tools_are_judged_the_same_under_every_allowance() -> None:
    body = {"model": "m-1", "input": "x", "tools": [{"type": "web_search"}]}
    for _ in range(2):
        assert rules(peek("openai-responses", body)) == ["wire:hosted-tools"]
        assert rules(peek("openai-responses", body, ("hosted-tools",))) == []
    many = [{"type": "function", "name": "x" * 40}] * (TOOL_LIST_BYTES_KNOWN // 50)
    large = body | {"tools": [*many, {"type": "web_search"}]}
    assert rules(peek("openai-responses", large)) == ["wire:hosted-tools"]


CONVERSATION = [
    UserTurn(text="Where is order 7?"),
    AssistantTurn(message=b""),
    ToolTurn(call_id="", name="look_up", content="found", failed=False),
    ToolTurn(call_id="", name="file", content="no", failed=True),
]
TOOLS = [ToolDefinition(name="look_up", description="Looks up.", arguments={"type": "object"})]


def test_the_runner_speaks_gemini() -> None:
    wire = SPOKEN["gemini"]
    answer = orjson.dumps(
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": "hm", "thought": True},
                            {"text": "Looking."},
                            {"functionCall": {"name": "look_up", "args": {"n": 7}}},
                        ],
                    }
                }
            ]
        }
    )
    [call] = wire.tool_calls(answer)
    assert (call.id, call.name, orjson.loads(call.arguments)) == ("", "look_up", {"n": 7})
    assert wire.text_of(answer) == "Looking."
    turns = [CONVERSATION[0], AssistantTurn(message=wire.message_of(answer)), *CONVERSATION[2:]]
    body = orjson.loads(
        wire.compose("m-1", "Be brief.", messages=turns, tools=TOOLS, parameters={"labels": {}})
    )
    roles = [content["role"] for content in body["contents"]]
    assert roles == ["user", "model", "user"]
    assert body["contents"][2]["parts"] == [
        {"functionResponse": {"name": "look_up", "response": {"output": "found"}}},
        {"functionResponse": {"name": "file", "response": {"error": "no"}}},
    ]
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert peek(wire.name, body).findings == ()


def test_the_runner_speaks_converse() -> None:
    wire = SPOKEN["bedrock"]
    message = {
        "role": "assistant",
        "content": [
            {"text": "Looking."},
            {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"n": 7}}},
        ],
    }
    answer = orjson.dumps({"output": {"message": message}})
    [call] = wire.tool_calls(answer)
    assert (call.id, call.name, orjson.loads(call.arguments)) == ("t1", "look_up", {"n": 7})
    assert wire.text_of(answer) == "Looking."
    turns = [CONVERSATION[0], AssistantTurn(message=wire.message_of(answer)), *CONVERSATION[2:]]
    body = orjson.loads(
        wire.compose("m-1", "Be brief.", messages=turns, tools=TOOLS, parameters={})
    )
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1] == message
    results = [block["toolResult"] for block in body["messages"][2]["content"]]
    assert [result.get("status") for result in results] == [None, "error"]
    assert peek(wire.name, body).findings == ()


def test_every_known_field_is_one_the_official_clients_can_send() -> None:
    import botocore.session
    from google.genai import types
    from openai.types import completion_create_params, embedding_create_params
    from openai.types.responses import response_create_params

    from quarterdeck.domain.dialects import (
        bedrock,
        gemini,
        openai_completions,
        openai_embeddings,
        openai_responses,
    )

    responses = set(response_create_params.ResponseCreateParamsBase.__annotations__)
    responses |= set(response_create_params.ResponseCreateParamsStreaming.__annotations__)
    assert responses <= openai_responses.KNOWN
    older = set(completion_create_params.CompletionCreateParamsBase.__annotations__)
    older |= set(completion_create_params.CompletionCreateParamsStreaming.__annotations__)
    assert older == openai_completions.KNOWN
    embeddings = set(embedding_create_params.EmbeddingCreateParams.__annotations__)
    assert embeddings == openai_embeddings.KNOWN
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    shape = model.operation_model("Converse").input_shape
    assert shape is not None
    assert set(shape.members) - {"modelId"} == bedrock.KNOWN
    config = {f.alias or n for n, f in types.GenerateContentConfig.model_fields.items()}
    top = {"cachedContent", "labels", "safetySettings", "systemInstruction", "toolConfig", "tools"}
    assert top <= config & gemini.KNOWN
    for name in types.Tool.model_fields:
        spelt = gemini._HUMP.sub(lambda m: m[1].upper(), name)
        assert spelt in gemini._TOOLS, f"{spelt}: judge it"
    for name in types.Part.model_fields:
        spelt = gemini._HUMP.sub(lambda m: m[1].upper(), name)
        known = gemini._BESIDE | gemini._HOSTED_PARTS | set(gemini._PARTS)
        assert spelt in known | {"text", "functionCall"}, f"{spelt}: judge it"
    blocks = model.shape_for("ContentBlock").members
    judged = bedrock._PLAIN_BLOCKS | set(bedrock._BLOCKS)
    assert set(blocks) <= judged, "a new kind of block is to be judged"


def test_what_one_vendor_may_do_opens_nothing_at_another() -> None:
    from quarterdeck.checkpoint.bindings import Binding
    from quarterdeck.fleet.load import load
    from tests.wire.fleets import fleet_of

    files, _ = fleet_of("http://127.0.0.1:9", {"azure": ["m-2"], "openai": ["m-1"]}, allow=())
    fleet = files["fleet.yaml"].replace(b"allow: []", b"allow: [hosted-tools]", 1)
    both = files["agents/agent-0.yaml"].replace(
        b'  main: {vendor: azure, model: "m-2"}\n',
        b'  main: {vendor: azure, model: "m-2"}\n  judge: {vendor: openai, model: "m-1"}\n',
    )
    loaded = load(files | {"fleet.yaml": fleet, "agents/agent-0.yaml": both})
    binding = Binding(agent=next(iter(loaded.agents.values())), fleet=loaded)
    assert binding.allowed("openai") == {"hosted-tools"}
    assert binding.allowed("openai", "m-2") == {"hosted-tools"}
    assert binding.allowed("openai", "m-1") == frozenset()
    assert binding.allowed("azure", "m-1") == frozenset(), "OpenAI's vendor takes no Azure routes"
