"""What comes in broken gets a clear error in the vendor's envelope; nothing is lost or charged."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from tests.fleets import files
from tests.serving import OWNER, Running, running, upstream

CHAT, MESSAGES = "/openai/v1/chat/completions", "/anthropic/v1/messages"
ASK = b'{"model":"small-1","max_tokens":5,"messages":[{"role":"user","content":"x"}]}'


async def post(server: Running, path: str, body: bytes, credential: str) -> httpx2.Response:
    """One raw POST."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
        headers = {"authorization": f"Bearer {credential}", "content-type": "application/json"}
        return await client.post(path, content=body, headers=headers)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b'{"model":7,"messages":[]}',
        b'{"messages":[]}',
        b'{"model":"small-1","messages":{}}',
        b'{"model":"small-1","model":"other-1","messages":[]}',
        b'{"model":"small-1","messages":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b'{"model":"small-1","messages":[],"max_tokens":-5}',
        b"\xff\xfe\x00",
    ],
)
async def test_a_body_that_makes_no_sense_is_a_400_that_says_why(
    tmp_path: Path, path: str, body: bytes
) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        answer = await post(server, path, body, run.credential)
        assert answer.status_code == 400
        assert len(answer.json()["error"]["message"]) > 10
        assert await server.actions(run.id) == []


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_body_of_50_mb_is_a_413_before_it_is_read(tmp_path: Path, path: str) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        answer = await post(server, path, b" " * 50_000_000, run.credential)
        assert answer.status_code == 413
        assert "32 MiB" in answer.json()["error"]["message"]


async def test_a_body_that_lies_about_its_length_is_cut_off(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()

        async def endless() -> object:
            for _ in range(40):
                yield b" " * 1_000_000

        async with httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"authorization": f"Bearer {run.credential}"}
            answer = await client.post(CHAT, content=endless(), headers=headers)
        assert answer.status_code == 413


async def test_a_missing_secret_says_which_and_what_to_do(tmp_path: Path) -> None:
    fleet = dict(files())
    fleet["fleet.yaml"] = fleet["fleet.yaml"].replace(
        b"dialect: openai\n", b"dialect: openai\n    secret: vendor_key\n"
    )
    body = ASK
    async with running(tmp_path, fleet) as server:
        run = await server.start_run()
        answer = await post(server, CHAT, body, run.credential)
        assert answer.status_code == 503
        assert "vendor_key" in answer.json()["error"]["message"]
        assert "secrets set vendor_key" in answer.json()["error"]["message"]
        [action] = await server.actions(run.id)
        assert (action["state"], action["cost_nanousd"]) == ("not_attempted", 0)


async def test_a_secret_is_injected_and_never_comes_back(tmp_path: Path) -> None:
    script = {"models": ["small-1"], "rules": [{"answer": {"text": "ok"}}]}
    async with upstream(script) as (url, _):
        fleet = dict(files(base_url=url))
        fleet["fleet.yaml"] = fleet["fleet.yaml"].replace(
            b"dialect: openai\n", b"dialect: openai\n    secret: vendor_key\n"
        )
        body = ASK
        async with running(tmp_path, fleet) as server:
            await server.house.services.secrets.put(OWNER, "vendor_key", "the-very-secret-value")
            run = await server.start_run()
            answer = await post(server, CHAT, body, run.credential)
            assert answer.status_code == 200
            async with httpx2.AsyncClient() as client:
                seen = (await client.get(f"{url}/standin/requests")).text
            assert "Bearer the-very-secret-value" in seen
            assert run.credential not in seen, "the run's credential stays with us"
            await server.actions(run.id)
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert b"the-very-secret-value" not in path.read_bytes(), path


async def test_half_a_stream_is_not_an_answer(tmp_path: Path) -> None:
    script = {
        "models": ["small-1"],
        "rules": [{"answer": {"text": "one two three four five"}, "cut_after_bytes": 300}],
    }
    body = ASK.replace(b'"max_tokens":5', b'"max_tokens":5,"stream":true')
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        with pytest.raises(httpx2.HTTPError):
            await post(server, CHAT, body, run.credential)
        [action] = await server.actions(run.id)
        assert (action["state"], action["usage_source"]) == ("failed", "estimated")
        [budget] = [
            b
            for b in await server.house.services.costs.budgets_of(OWNER, "agent:clerk")
            if "/nanousd/day/" in b["id"]
        ]
        assert budget["held"] == 0
        assert budget["charged"] == action["cost_nanousd"]


async def test_a_slow_vendor_does_not_delay_anybody_else(tmp_path: Path) -> None:
    script = {
        "models": ["small-1"],
        "rules": [
            {"nth": 1, "answer": {"text": "late"}, "wait_seconds": 3},
            {"answer": {"text": "at once"}},
        ],
    }
    body = ASK
    async with upstream(script) as (url, _), running(tmp_path, files(base_url=url)) as server:
        run = await server.start_run()
        slow = asyncio.create_task(post(server, CHAT, body, run.credential))
        await asyncio.sleep(0.3)
        quick = await asyncio.wait_for(post(server, CHAT, body, run.credential), 2)
        assert quick.json()["choices"][0]["message"]["content"] == "at once"
        assert not slow.done()
        assert (await slow).status_code == 200
