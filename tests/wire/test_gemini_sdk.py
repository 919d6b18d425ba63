"""The official Gemini SDK against the gateway, over real sockets: base URL and credential only."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx2
import orjson
import pytest
from google import genai
from google.genai import errors, types

from quarterdeck.services.runs import StartedRun
from tests.serving import Running
from tests.unit.wires import GEMINI, events
from tests.wire.vendors import Reply, Vendor, said, stage

# The SDK makes its own class of aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
MODEL = "gemini-2.5-flash-001"
CALL = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Looking."},
                    {"functionCall": {"name": "look_up", "args": {"order": 7}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 20,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 29,
    },
    "modelVersion": MODEL,
}
LISTED = b"[" + b",\r\n".join(map(orjson.dumps, GEMINI)) + b"]"
REPLIES = {
    ":generateContent": said(CALL),
    ":streamGenerateContent": Reply(
        pieces=[events(piece) for piece in GEMINI], content_type="text/event-stream"
    ),
    ":countTokens": said({"totalTokens": 31}),
}


def gemini(
    folder: Path, replies: dict[str, Reply] = REPLIES
) -> AbstractAsyncContextManager[tuple[Running, Vendor, StartedRun]]:
    """A gateway in front of a vendor of this dialect."""
    return stage(folder, {"gemini": [MODEL]}, replies)


def client_of(server: Running, credential: str) -> genai.Client:
    """The SDK as an agent would make it."""
    options = types.HttpOptions(base_url=f"{server.url}/gemini")
    return genai.Client(api_key=credential, http_options=options)


async def test_a_call_with_tools_passes_and_is_charged_by_what_was_reported(
    tmp_path: Path,
) -> None:
    async with gemini(tmp_path) as (server, vendor, run):
        declared = types.FunctionDeclaration(name="look_up", description="Looks up an order.")
        answer = await client_of(server, run.credential).aio.models.generate_content(
            model=MODEL,
            contents="Where is order 7?",
            config=types.GenerateContentConfig(
                system_instruction="Be brief.",
                tools=[types.Tool(function_declarations=[declared])],
                max_output_tokens=100,
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            ),
        )
        assert answer.function_calls is not None
        assert answer.function_calls[0].args == {"order": 7}
        [asked] = vendor.asked
        assert asked.path == f"/v1/models/{MODEL}:generateContent"
        assert "x-goog-api-key" not in asked.headers, "the run's credential stops here"
        assert "maxOutputTokens" in asked.json["generationConfig"]
        [action] = await server.actions(run.id)
        assert action["target"] == f"gemini/{MODEL}"
        assert action["usage_source"] == "reported"
        assert action["usage"] == {"input": 20, "output": 6, "reasoning": 3}
        assert action["cost_nanousd"] == 20 * 150 + 9 * 600


def test_the_synchronous_client_works_unchanged(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gemini(tmp_path) as (server, _, run):

            def ask() -> tuple[str | None, str]:
                client = client_of(server, run.credential)
                whole = client.models.generate_content(model=MODEL, contents="Hi")
                stream = client.models.generate_content_stream(model=MODEL, contents="Hi")
                return whole.text, "".join(piece.text or "" for piece in stream)

            whole, streamed = await asyncio.to_thread(ask)
            assert (whole, streamed) == ("Looking.", "H\u00e9llo")

    asyncio.run(scenario())


async def test_a_stream_passes_and_its_usage_is_read(tmp_path: Path) -> None:
    async with gemini(tmp_path) as (server, vendor, run):
        stream = await client_of(server, run.credential).aio.models.generate_content_stream(
            model=MODEL, contents="Hi"
        )
        text = "".join([piece.text or "" async for piece in stream])
        assert text == "H\u00e9llo"
        [asked] = vendor.asked
        assert (asked.path.split(":")[-1], asked.query) == ("streamGenerateContent", "alt=sse")
        assert asked.json["generationConfig"]["maxOutputTokens"] == 4096, "capped where it was not"
        [action] = await server.actions(run.id)
        expected = {"input": 5, "cache_read": 4, "output": 5, "reasoning": 2}
        assert (action["usage_source"], action["usage"]) == ("reported", expected)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_a_stream_as_one_list_passes_and_its_usage_is_read(
    tmp_path: Path, version: str
) -> None:
    reply = Reply(pieces=[LISTED[i : i + 11] for i in range(0, len(LISTED), 11)])
    async with gemini(tmp_path, {":streamGenerateContent": reply}) as (server, vendor, run):
        body = b'{"contents":[{"parts":[{"text":"Hi"}]}],"generation_config":{"top_k":3}}'
        async with httpx2.AsyncClient(base_url=server.url) as client:
            answer = await client.post(
                f"/gemini/{version}/models/{MODEL}:streamGenerateContent?key={run.credential}",
                content=body,
            )
        assert answer.content == LISTED
        [asked] = vendor.asked
        assert asked.path == f"/{version}/models/{MODEL}:streamGenerateContent"
        assert asked.query == "", "the key is not forwarded"
        sent = body.replace(b'{"top_k"', b'{"maxOutputTokens":4096,"top_k"')
        assert asked.body == sent, "and nothing else changed"
        [action] = await server.actions(run.id)
        assert action["usage"] == {"input": 5, "cache_read": 4, "output": 5, "reasoning": 2}


async def test_a_stream_the_vendor_breaks_off_is_an_estimate(tmp_path: Path) -> None:
    reply = Reply(pieces=[events(GEMINI[0])], content_type="text/event-stream", ends="cut")
    async with gemini(tmp_path, {":streamGenerateContent": reply}) as (server, _, run):
        stream = await client_of(server, run.credential).aio.models.generate_content_stream(
            model=MODEL, contents="Hi"
        )
        with pytest.raises(Exception, match=r".*"):
            [piece async for piece in stream]
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage_source"]) == ("failed", "estimated")
        assert action["usage"]["input"] == 9, "as far as it was reported"


async def test_a_client_that_hangs_up_cancels_the_vendor_and_is_charged(tmp_path: Path) -> None:
    reply = Reply(pieces=[events(GEMINI[0])], content_type="text/event-stream", ends="never")
    async with gemini(tmp_path, {":streamGenerateContent": reply}) as (server, vendor, run):
        url = f"/gemini/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
        headers = {"x-goog-api-key": run.credential}
        body = {"contents": [{"parts": [{"text": "Hi"}]}]}
        async with (
            httpx2.AsyncClient(base_url=server.url) as client,
            client.stream("POST", url, json=body, headers=headers) as answer,
        ):
            assert await anext(answer.aiter_raw())
        await vendor.hung_up.wait()
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage_source"]) == ("failed", "estimated")


async def test_counting_tokens_costs_none_and_is_recorded(tmp_path: Path) -> None:
    async with gemini(tmp_path) as (server, _, run):
        counted = await client_of(server, run.credential).aio.models.count_tokens(
            model=MODEL, contents="Hi"
        )
        assert counted.total_tokens == 31
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage"], action["cost_nanousd"]) == ("done", None, 0)


async def test_the_models_listed_are_the_agents(tmp_path: Path) -> None:
    async with gemini(tmp_path) as (server, _, run):
        client = client_of(server, run.credential)
        assert [m.name async for m in await client.aio.models.list()] == [f"models/{MODEL}"]
        assert (await client.aio.models.get(model=MODEL)).name == f"models/{MODEL}"


async def test_what_the_vendor_would_do_by_itself_is_refused(tmp_path: Path) -> None:
    async with gemini(tmp_path) as (server, vendor, run):
        models = client_of(server, run.credential).aio.models
        search = types.Tool(google_search=types.GoogleSearch())
        with pytest.raises(errors.ClientError, match="wire:web-search") as caught:
            await models.generate_content(
                model=MODEL, contents="Hi", config=types.GenerateContentConfig(tools=[search])
            )
        assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")
        file = types.Part.from_uri(file_uri="https://x.org/a.pdf", mime_type="application/pdf")
        with pytest.raises(errors.ClientError, match="wire:fetched-content"):
            await models.generate_content(model=MODEL, contents=[file, "Read it."])
        with pytest.raises(errors.ClientError, match="may not use the model"):
            await models.generate_content(model="gemini-9", contents="Hi")
        assert vendor.asked == []


async def test_an_unknown_credential_is_a_401_and_another_route_a_404(tmp_path: Path) -> None:
    async with gemini(tmp_path) as (server, _, run):
        with pytest.raises(errors.ClientError) as caught:
            await client_of(server, "wrong").aio.models.generate_content(model=MODEL, contents="Hi")
        assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
        with pytest.raises(errors.ClientError) as caught:
            await client_of(server, run.credential).aio.files.get(name="files/abc")
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
