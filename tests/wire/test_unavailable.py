"""What agents and load balancers are told when something this process needs is away."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from quarterdeck.assembly import application, house
from quarterdeck.domain.errors import Unavailable
from quarterdeck.gateways.llm.errors import of_error
from quarterdeck.settings import Settings
from tests.postgresql import Cluster
from tests.wire.recordings import serving

ROUTES = (
    ("/openai/v1/chat/completions", {"authorization": "Bearer x"}),
    ("/anthropic/v1/messages", {"x-api-key": "x"}),
    ("/gemini/v1beta/models/m:generateContent", {"x-goog-api-key": "x"}),
    ("/bedrock/model/m/converse", {"authorization": "Bearer x"}),
    ("/v1/actions", {"authorization": "Bearer x"}),
)
BODY = b'{"model":"m","max_tokens":1,"messages":[],"contents":[]}'
ACTION = b'{"tool":"t","arguments":{}}'


async def test_no_answer_says_where_a_lost_database_was(tmp_path: Path) -> None:
    cluster = await asyncio.to_thread(Cluster.make)
    await asyncio.to_thread(cluster.start)
    key = tmp_path / "master.key"
    key.write_text("ab" * 32 + "\n")
    key.chmod(0o600)
    settings = Settings(folder=tmp_path, database_url=cluster.url, key_file=key)
    try:
        async with AsyncExitStack() as stack:
            built = await stack.enter_async_context(house(settings, role="gateway"))
            roles = ("gateway", "all")
            places = [
                await stack.enter_async_context(serving(application(built, role=role)))
                for role in roles
            ]
            client = await stack.enter_async_context(httpx2.AsyncClient(timeout=30))
            alive = [(await client.get(f"{place}/v1/healthz")).json() for place in places]
            await asyncio.to_thread(cluster.stop)
            answers = [
                await client.post(
                    f"{places[0]}{path}",
                    content=ACTION if path.startswith("/v1") else BODY,
                    headers=headers,
                )
                for path, headers in ROUTES
            ]
            dead = [await client.get(f"{place}/v1/healthz") for place in places]
            await asyncio.to_thread(cluster.start)
    finally:
        await asyncio.to_thread(cluster.stop)
    assert alive == [{"status": "ok", "circuits": {}}] * 2
    assert {answer.status_code for answer in (*answers, *dead)} == {503}
    assert dead[0].json() == dead[1].json()
    for told in (answer.text.lower() for answer in (*answers, *dead)):
        assert not any(word in told for word in ("127.0.0.1", "port", "postgres", "host", "/tmp"))


def test_what_an_operator_must_do_is_still_said() -> None:
    failure = of_error(Unavailable("the secret `k` of vendor `v` is not set", hint="set it"))
    assert (failure.status, failure.message) == (
        503,
        "the secret `k` of vendor `v` is not set (set it)",
    )
