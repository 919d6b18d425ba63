"""The official OpenAI SDK against the gateway, over real sockets, the stand-in as its vendor."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from quarterdeck.domain.runs import RunOutcome
from tests.fleets import files
from tests.serving import OWNER, Running, running, upstream

PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
).decode()
ASK: Any = [{"role": "user", "content": "Where is my order?"}]


def client_of(server: Running, credential: str, **more: Any) -> openai.AsyncOpenAI:
    """The SDK as an agent would make it: base URL and credential only."""
    return openai.AsyncOpenAI(base_url=f"{server.url}/openai/v1", api_key=credential, **more)


def rule(**fields: Any) -> dict[str, Any]:
    """A script of one rule."""
    return {"models": ["small-1"], "rules": [fields]}


async def test_a_chat_call_is_answered_recorded_and_charged(tmp_path: Path) -> None:
    script = rule(answer={"text": "It left on Monday."})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            raw = await client.chat.completions.with_raw_response.create(
                model="small-1", messages=ASK, max_tokens=50
            )
        answer = raw.parse()
        assert answer.choices[0].message.content == "It left on Monday."
        [action] = await server.actions(run.id)
        assert raw.headers["x-quarterdeck-action-id"] == action["id"]
        assert float(raw.headers["x-quarterdeck-overhead-ms"]) > 0
        assert action["state"] == "done"
        assert action["answer"] == "allow"
        assert action["reasons"][0]["rule"] == "grant:model:main"
        assert action["usage_source"] == "reported"
        counted = vendor.tally.totals()
        assert action["usage"]["input"] == counted["input_tokens"]
        assert action["usage"]["output"] == counted["output_tokens"]
        cost = counted["input_tokens"] * 150 + counted["output_tokens"] * 600
        assert action["cost_nanousd"] == cost


def test_the_synchronous_client_works_unchanged(tmp_path: Path) -> None:
    async def scenario() -> None:
        script = rule(answer={"text": "yes"})
        async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
            run = await server.start_run()

            def ask() -> tuple[str | None, str]:
                client = openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=run.credential)
                with client:
                    whole = client.chat.completions.create(model="small-1", messages=ASK)
                    stream = client.chat.completions.create(
                        model="small-1", messages=ASK, stream=True
                    )
                    said = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
                return whole.choices[0].message.content, said

            assert await asyncio.to_thread(ask) == ("yes", "yes")
            assert len(await server.actions(run.id)) == 2

    asyncio.run(scenario())


async def test_usage_is_asked_for_without_the_client_noticing(tmp_path: Path) -> None:
    script = rule(answer={"text": "one two three"})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            stream = await client.chat.completions.create(
                model="small-1", messages=ASK, stream=True
            )
            chunks = [chunk async for chunk in stream]
        assert all(chunk.choices for chunk in chunks), "the usage-only event stayed with us"
        assert all(chunk.usage is None for chunk in chunks)
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "reported"
        assert action["usage"]["output"] == vendor.tally.totals()["output_tokens"]


async def test_a_client_that_asks_for_usage_gets_it(tmp_path: Path) -> None:
    script = rule(answer={"text": "one two three"})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            stream = await client.chat.completions.create(
                model="small-1",
                messages=ASK,
                stream=True,
                stream_options={"include_usage": True},
                max_completion_tokens=99,
            )
            chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage is not None


@pytest.mark.parametrize("streamed", [False, True])
async def test_parallel_tool_calls_pass(tmp_path: Path, streamed: bool) -> None:
    calls = [
        {"name": "look_up", "arguments": {"order": 7}},
        {"name": "look_up", "arguments": {"order": 8}},
    ]
    tools: Any = [
        {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    ]
    script = rule(answer={"text": "Two calls.", "tool_calls": calls})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            if streamed:
                async with client.chat.completions.stream(
                    model="small-1", messages=ASK, tools=tools
                ) as stream:
                    answer: Any = await stream.get_final_completion()
            else:
                answer = await client.chat.completions.create(
                    model="small-1", messages=ASK, tools=tools
                )
        said = answer.choices[0].message.tool_calls
        assert [call.function.name for call in said] == ["look_up", "look_up"]
        [action] = await server.actions(run.id)
        shown = await server.house.services.actions.show(OWNER, action["id"])
        assert "look_up" in str(shown["response"]), "the record holds the calls, put together"


async def test_images_and_structured_output_pass(tmp_path: Path) -> None:
    class Verdict(BaseModel):
        fits: bool

    messages: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Does it fit?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        }
    ]
    script = rule(answer={"json": {"fits": True}})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            answer = await client.chat.completions.parse(
                model="small-1", messages=messages, response_format=Verdict
            )
        assert answer.choices[0].message.parsed == Verdict(fits=True)


async def test_a_stream_of_a_thousand_chunks_arrives_whole(tmp_path: Path) -> None:
    script = rule(generate={"chunks": 1000})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            stream = await client.chat.completions.create(
                model="small-1", messages=ASK, stream=True, max_tokens=5000
            )
            said = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert said == "word " * 1000
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "reported"


async def test_a_stream_cut_in_the_middle_of_an_event_is_settled_as_an_estimate(
    tmp_path: Path,
) -> None:
    script = rule(answer={"text": "one two three four five six"}, cut_after_bytes=700)
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential, max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="small-1", messages=ASK, stream=True, max_tokens=50
            )
            with pytest.raises((openai.APIError, httpx2.HTTPError)):
                _ = [chunk async for chunk in stream]
        [action] = await server.actions(run.id)
        assert action["state"] == "failed"
        assert action["usage_source"] == "estimated"
        assert action["cost_nanousd"] > 0


async def test_a_client_that_hangs_up_cancels_the_vendor_and_is_charged(tmp_path: Path) -> None:
    script = rule(generate={"chunks": 2000, "delay_seconds": 0.01})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            stream = await client.chat.completions.create(
                model="small-1", messages=ASK, stream=True, max_tokens=5000
            )
            async for _ in stream:
                break
            await stream.close()
        for _ in range(200):
            if vendor.tally.totals()["cancelled"]:
                break
            await asyncio.sleep(0.02)
        assert vendor.tally.totals()["cancelled"] == 1, "the vendor stopped generating"
        [action] = await server.actions(run.id)
        assert action["state"] == "failed"
        assert action["usage_source"] == "estimated"
        assert action["detail"]["error"] == "the client hung up"


async def test_a_model_nobody_granted_is_refused_with_its_rule(tmp_path: Path) -> None:
    async with (
        upstream(rule(answer={"text": "no"})) as (url, vendor),
        running(tmp_path, files(base_url=url)) as server,
    ):
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            with pytest.raises(openai.PermissionDeniedError, match="default:model"):
                await client.chat.completions.create(model="gpt-9", messages=ASK)
        [action] = await server.actions(run.id)
        assert action["state"] == "refused"
        assert vendor.tally.totals()["requests"] == 0, "nothing left the house"


async def test_what_a_vendor_would_do_by_itself_is_refused(tmp_path: Path) -> None:
    async with (
        upstream(rule(answer={"text": "no"})) as (url, vendor),
        running(tmp_path, files(base_url=url)) as server,
    ):
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            with pytest.raises(openai.PermissionDeniedError, match="web_search_options"):
                await client.chat.completions.create(
                    model="small-1", messages=ASK, web_search_options={}
                )
            with pytest.raises(openai.PermissionDeniedError, match="store"):
                await client.chat.completions.create(model="small-1", messages=ASK, store=True)
        assert vendor.tally.totals()["requests"] == 0


async def test_a_spent_budget_is_a_429_the_sdk_does_not_retry(tmp_path: Path) -> None:
    async with (
        upstream(rule(answer={"text": "no"})) as (url, vendor),
        running(tmp_path, files(base_url=url, agent_cap="0.000001")) as server,
    ):
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            with pytest.raises(openai.RateLimitError, match="budget:agent:clerk") as caught:
                await client.chat.completions.create(model="small-1", messages=ASK)
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert len(await server.actions(run.id)) == 1, "asked once, not three times"
        assert vendor.tally.totals()["requests"] == 0


@pytest.mark.parametrize("credential", ["x", "nonsense", "qdr_" + "x" * 43])
async def test_a_wrong_credential_is_a_401(tmp_path: Path, credential: str) -> None:
    async with running(tmp_path, files()) as server, client_of(server, credential) as client:
        with pytest.raises(openai.AuthenticationError, match="not known"):
            await client.chat.completions.create(model="small-1", messages=ASK)


async def test_the_credential_of_an_ended_run_is_dead(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        outcome = RunOutcome(state="succeeded", because="done")
        await server.house.services.runs.end(OWNER, run.id, outcome)
        async with client_of(server, run.credential) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="small-1", messages=ASK)


async def test_a_vendors_own_error_passes_with_its_words_and_costs_nothing(tmp_path: Path) -> None:
    error = {
        "status": 429,
        "kind": "rate_limit_error",
        "message": "slow down",
        "headers": {"retry-after": "7"},
    }
    async with (
        upstream(rule(error=error)) as (url, _),
        running(tmp_path, files(base_url=url)) as server,
    ):
        run = await server.start_run()
        async with client_of(server, run.credential, max_retries=0) as client:
            with pytest.raises(openai.RateLimitError, match="slow down") as caught:
                await client.chat.completions.create(model="small-1", messages=ASK)
        assert caught.value.response.headers["retry-after"] == "7"
        [action] = await server.actions(run.id)
        assert (action["state"], action["cost_nanousd"]) == ("failed", 0)


async def test_a_vendor_that_answers_garbage_is_passed_on_and_charged_as_an_estimate(
    tmp_path: Path,
) -> None:
    script = rule(raw={"status": 200, "headers": {"content-type": "text/html"}, "body": "<p>no"})
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential, max_retries=0) as client:
            answer: Any = await client.chat.completions.create(model="small-1", messages=ASK)
        assert answer == "<p>no"
        [action] = await server.actions(run.id)
        assert action["usage_source"] == "estimated"
        assert action["cost_nanousd"] > 0


async def test_a_vendor_that_is_not_there_is_a_502_and_nothing_is_held(tmp_path: Path) -> None:
    async with running(tmp_path, files(base_url="http://127.0.0.1:9")) as server:
        run = await server.start_run()
        async with client_of(server, run.credential, max_retries=0) as client:
            with pytest.raises(openai.InternalServerError, match="cannot reach vendor"):
                await client.chat.completions.create(model="small-1", messages=ASK)
        [action] = await server.actions(run.id)
        assert (action["state"], action["cost_nanousd"]) == ("not_attempted", 0)
        [budget] = await server.house.services.costs.budgets_of(OWNER, "agent:clerk")
        assert (budget["held"], budget["charged"]) == (0, 0)


async def test_the_same_idempotency_key_is_answered_with_the_same_bytes_and_called_once(
    tmp_path: Path,
) -> None:
    script = rule(answer={"text": "It left on Monday."})
    async with upstream(script) as (url, vendor), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            answers = []
            for _ in range(2):
                raw = await client.chat.completions.with_raw_response.create(
                    model="small-1", messages=ASK, extra_headers={"Idempotency-Key": "k1"}
                )
                answers.append(raw.content)
                await server.house.settling.drain()
            with pytest.raises(openai.ConflictError, match="other arguments"):
                await client.with_options(max_retries=0).chat.completions.create(
                    model="small-1",
                    messages=[{"role": "user", "content": "else"}],
                    extra_headers={"Idempotency-Key": "k1"},
                )
        assert answers[0] == answers[1]
        assert vendor.tally.totals()["requests"] == 1


async def test_models_lists_what_the_agent_may_use(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        async with client_of(server, run.credential) as client:
            assert [m.id async for m in client.models.list()] == ["small-1"]
            assert (await client.models.retrieve("small-1")).id == "small-1"
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("other-1")
