"""What servers ask back through the gateway, and resources, prompts, completion and changes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from quarterdeck.keys import make_master
from quarterdeck.settings import Settings
from quarterdeck.sources import SystemDice
from quarterdeck.store import standing
from tests.fleets import files as small_files
from tests.postgresql import server as postgresql
from tests.serving import Running, running
from tests.wire import mcp_servers as raw
from tests.wire.mcp_clients import LEGACY, MODERN, Client, connections
from tests.wire.mcp_fleets import granting_all
from tests.wire.mcp_processes import McpServer, fixture
from tests.wire.test_mcp_gateway import client_of

ERAS = (MODERN, LEGACY)
ANSWERING: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
SECONDS = 15


@asynccontextmanager
async def governed(
    folder: Path, **granted: Any
) -> AsyncIterator[tuple[Running, McpServer, dict[str, bytes]]]:
    """The fixture behind a gateway, with what an agent is granted of it changed."""
    async with fixture(folder) as upstream:
        files = await granting_all(upstream.url)
        agent = yaml.safe_load(files["agents/clerk.yaml"])
        agent["servers"]["fixture"] |= granted
        files |= {"agents/clerk.yaml": yaml.safe_dump(agent).encode()}
        async with running(folder / "data", files) as server:
            yield server, upstream, files


async def answered(client: Client, name: str, reply: Any, **arguments: Any) -> list[Any]:
    """Call a tool on a stream, answer what it asks, and give back all that came."""
    came: list[Any] = []
    params = {"name": name, "arguments": arguments}
    async with client.stream("tools/call", **params) as said:
        async for message in said:
            came.append(message)
            if "method" in message and "id" in message:
                taken = await client.reply(message["id"], **reply)
                assert taken.status_code == 202
    return came


# --- questions on a stream: 2025-11-25 --------------------------------------------------------


async def test_a_question_goes_to_the_client_and_its_answer_back(tmp_path: Path) -> None:
    said = {"action": "accept", "content": {"username": "ann", "email": "a@b"}}
    async with (
        governed(tmp_path) as (server, _, _),
        client_of(server, LEGACY, capabilities=ANSWERING) as client,
    ):
        asked, last = await answered(client, "test_elicitation", {"result": said}, message="Who?")
        assert asked["method"] == "elicitation/create"
        assert asked["params"]["message"].startswith("[fixture] ")
        assert "ann" in last["result"]["content"][0]["text"]
        run = (await server.house.checkpoint.identify(client.credential)).run
        kinds = {a["kind"]: a["target"] for a in await server.actions(run)}
    assert kinds["elicitation"] == "fixture/elicitation"


async def test_at_a_servers_own_endpoint_a_question_is_unchanged(tmp_path: Path) -> None:
    async with (
        governed(tmp_path) as (server, _, _),
        client_of(server, LEGACY, "/mcp/fixture", capabilities=ANSWERING) as client,
    ):
        reply = {"result": {"action": "decline"}}
        asked, _ = await answered(client, "test_elicitation", reply, message="Who?")
        assert asked["params"]["message"] == "Who?"


async def test_a_server_that_may_not_ask_is_not_told_that_it_could(tmp_path: Path) -> None:
    async with (
        governed(tmp_path, elicitation=False) as (server, _, _),
        client_of(server, LEGACY, capabilities=ANSWERING) as client,
    ):
        answer = await client.asked(
            "tools/call", name="test_elicitation", arguments={"message": "?"}
        )
        assert client.before == []
        assert answer.get("error") or answer["result"]["isError"]


async def test_only_the_session_that_is_asked_can_answer(tmp_path: Path) -> None:
    async with (
        governed(tmp_path) as (server, _, _),
        client_of(server, LEGACY, capabilities=ANSWERING) as client,
        client_of(server, LEGACY, capabilities=ANSWERING) as other,
    ):
        params = {"name": "test_elicitation", "arguments": {"message": "Who?"}}
        async with client.stream("tools/call", **params) as said:
            asked = await anext(said)
            for number in (asked["id"], "qd_" + "A" * 80, 7, "x"):
                stolen = await other.reply(number, result={"action": "accept", "content": {}})
                assert stolen.status_code == 400
            assert (await client.reply(asked["id"], result={"action": "cancel"})).is_success
            last = await anext(said)
        assert "action=cancel" in last["result"]["content"][0]["text"]
        # It was answered: once more is an answer to nothing.
        assert (await client.reply(asked["id"], result={"action": "accept"})).status_code == 400


async def test_an_answer_may_come_to_another_process(tmp_path: Path) -> None:
    key = tmp_path / "master.key"
    make_master(key, SystemDice())
    said = {"action": "accept", "content": {"username": "ann", "email": "a@b"}}
    async with fixture(tmp_path) as upstream:
        files = await granting_all(upstream.url)
        with postgresql().fresh_database() as url:
            one, two = (
                Settings(folder=tmp_path / name, database_url=url, key_file=key)
                for name in ("one", "two")
            )
            async with (
                running(tmp_path, files, settings=one) as here,
                running(tmp_path, files, settings=two) as there,
                client_of(here, LEGACY, capabilities=ANSWERING) as client,
                asyncio.timeout(60),
            ):
                elsewhere = replace(client, url=there.url + "/mcp")
                assert "test_elicitation" in await elsewhere.names()
                params = {"name": "test_elicitation", "arguments": {"message": "Who?"}}
                async with client.stream("tools/call", **params) as came:
                    asked = await anext(came)
                    assert (await elsewhere.reply(asked["id"], result=said)).status_code == 202
                    last = await anext(came)
                assert "ann" in last["result"]["content"][0]["text"]
                # What changes after the handshake is everybody's, too.
                ended = await elsewhere.http.delete(
                    elsewhere.url, headers=elsewhere.headers("", {})
                )
                assert ended.status_code == 204
                while (await client.post("ping")).status_code != 404:
                    await asyncio.sleep(0.05)  # it is noticed within SEEN_SECONDS


async def test_a_client_of_the_older_era_can_be_asked_by_a_server_of_the_newer(
    tmp_path: Path,
) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    form = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": schema}}

    async def act(mcp: raw.McpServer, asked: raw.Asked, writer: asyncio.StreamWriter) -> None:
        """It answers that it needs input: the gateway asks its client, and calls again."""
        answers = asked.json["params"].get("inputResponses")
        result: dict[str, Any] = {"resultType": "input_required", "inputRequests": {"who": form}}
        result["requestState"] = "so far"
        if answers is not None:
            assert asked.json["params"]["requestState"] == "so far"
            result = raw.text(f"Hello, {answers['who']['content']['name']}!")
        writer.write(raw.result_of(asked, result))

    said = {"result": {"action": "accept", "content": {"name": "Ann"}}}
    mcp = raw.McpServer(acts={"echo": act})
    async with raw.listening(mcp):
        fleet = raw.fleet_of(("a", mcp), grant={"elicitation": True})
        async with (
            running(tmp_path, fleet) as server,
            client_of(server, LEGACY, capabilities={"elicitation": {}}) as client,
        ):
            asked, last = await answered(client, "echo", said)
            assert asked["params"]["message"] == "[a] ?"
            assert last["result"]["content"][0]["text"] == "Hello, Ann!"


async def test_a_form_that_asks_for_a_secret_is_not_shown(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"apiKey": {"type": "string"}}}
    form = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": schema}}

    async def act(mcp: raw.McpServer, asked: raw.Asked, writer: asyncio.StreamWriter) -> None:
        result = {"resultType": "input_required", "inputRequests": {"who": form}}
        writer.write(raw.result_of(asked, result))

    mcp = raw.McpServer(acts={"echo": act})
    async with raw.listening(mcp):
        fleet = raw.fleet_of(("a", mcp), grant={"elicitation": True})
        async with running(tmp_path, fleet) as server:
            for era in ERAS:
                async with client_of(server, era, capabilities={"elicitation": {}}) as client:
                    error = await client.error("tools/call", name="echo", arguments={})
                    assert "apiKey" in error["message"]
                    assert client.before == []


# --- questions as results: 2026-07-28 ---------------------------------------------------------


async def test_a_result_that_asks_is_answered_by_calling_again(tmp_path: Path) -> None:
    tool = "test_input_required_result_request_state"
    async with (
        governed(tmp_path) as (server, _, _),
        client_of(server, capabilities=ANSWERING) as client,
        client_of(server, capabilities=ANSWERING) as other,
    ):
        first = await client.call(tool)
        assert first["resultType"] == "input_required"
        assert first["inputRequests"]["confirm"]["params"]["message"] == "[fixture] Please confirm"
        more = {
            "inputResponses": {"confirm": {"action": "accept", "content": {"ok": True}}},
            "requestState": first["requestState"],
        }
        # The server knows us all by one credential: its state is good for this run and call only.
        stolen = await other.error("tools/call", name=tool, arguments={}, **more)
        assert stolen["code"] == -32602
        elsewhere = {"name": "test_input_required_result_tampered_state", "arguments": {}}
        assert (await client.error("tools/call", **elsewhere, **more))["code"] == -32602
        changed = more | {"requestState": first["requestState"][:-4] + "AAAA"}
        assert (await client.error("tools/call", name=tool, arguments={}, **changed))["code"]
        last = await client.call(tool, **more)
        assert last["content"][0]["text"] == "state-ok"


async def test_a_result_that_asks_what_it_may_not_is_not_passed_on(tmp_path: Path) -> None:
    async with governed(tmp_path, sampling=False) as (server, _, _):
        async with client_of(server, capabilities=ANSWERING) as client:
            tool = "test_input_required_result_sampling"
            error = await client.error("tools/call", name=tool, arguments={})
            assert error["code"] in (-31000, -32021)
        # Nor what the client did not say that it can answer.
        async with client_of(server) as client:
            tool = "test_input_required_result_elicitation"
            answer = await client.asked("tools/call", name=tool, arguments={})
            assert "inputRequests" not in json.dumps(answer)


# --- resources, prompts, completion ----------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_only_what_is_granted_is_listed_and_served(tmp_path: Path, era: str) -> None:
    granted = {
        "resources": ["test://static-text", "test://template/{id}/data"],
        "prompts": ["test_simple_prompt"],
    }
    async with (
        governed(tmp_path, **granted) as (server, upstream, _),
        client_of(server, era) as client,
    ):
        assert await client.names("resources", "uri") == ["test://static-text"]
        assert await client.names("resources/templates", "uriTemplate") == [
            "test://template/{id}/data"
        ]
        assert await client.names("prompts") == ["test_simple_prompt"]
        read = await client.result("resources/read", uri="test://template/7/data")
        assert '"id": "7"' in read["contents"][0]["text"]
        said = []
        for uri in ("test://static-binary", "test://nowhere", "test://template/../data"):
            error = await client.error("resources/read", uri=uri)
            assert error.pop("data") == {"uri": uri}
            said.append(error)
        assert said == [said[0]] * 3
        assert said[0]["message"] == "Resource not found"
        errors = [
            (await client.error("prompts/get", name=name, arguments={}))["message"]
            for name in ("test_prompt_with_image", "nowhere")
        ]
        assert errors == ["Unknown prompt: test_prompt_with_image", "Unknown prompt: nowhere"]
        got = await client.result("prompts/get", name="test_simple_prompt")
        assert got["messages"]
        run = (await server.house.checkpoint.identify(client.credential)).run
        found = [(a["kind"], a["target"], a["state"]) for a in await server.actions(run)]
    assert ("resource", "fixture/test://template/7/data", "done") in found
    assert ("prompt", "fixture/test_simple_prompt", "done") in found
    assert sum(state == "refused" for _, _, state in found) == 5
    reads = {line["name"] for line in upstream.got("resources/read")}
    assert reads == {"test://template/7/data"}


@pytest.mark.parametrize("era", ERAS)
async def test_completion_is_under_the_grant_of_what_it_completes(tmp_path: Path, era: str) -> None:
    argument = {"name": "arg1", "value": "par"}
    async with (
        governed(tmp_path, prompts=["test_prompt_with_arguments"]) as (server, _, _),
        client_of(server, era) as client,
    ):
        ref = {"type": "ref/prompt", "name": "test_prompt_with_arguments"}
        found = await client.result("completion/complete", ref=ref, argument=argument)
        assert found["completion"]["values"] == ["paris", "park", "party"]
        ref["name"] = "test_simple_prompt"
        error = await client.error("completion/complete", ref=ref, argument=argument)
        assert error["message"].startswith("Unknown prompt")


@pytest.mark.parametrize("era", ERAS)
async def test_who_was_granted_none_has_no_such_method(tmp_path: Path, era: str) -> None:
    async with running(tmp_path, small_files()) as server, client_of(server, era) as client:
        for method in ("resources/list", "prompts/list", "completion/complete", "no/such"):
            assert (await client.error(method))["code"] == -32601


# --- changes ---------------------------------------------------------------------------------


async def frozen(server: Running, scope: str) -> None:
    """Freeze, and let this process notice as its loop would."""
    await server.house.db.write(lambda tx: standing.freeze(tx, scope, "a test"))
    server.house.checkpoint.watch.noticed = await server.house.db.read(standing.get)


async def test_a_freeze_is_told_on_a_subscription(tmp_path: Path) -> None:
    async with (
        running(tmp_path, small_files()) as server,
        client_of(server) as client,
        asyncio.timeout(SECONDS),
    ):
        wanted = {"toolsListChanged": True, "promptsListChanged": True}
        async with client.stream("subscriptions/listen", notifications=wanted) as said:
            first = await anext(said)
            assert first["method"] == "notifications/subscriptions/acknowledged"
            assert first["params"]["notifications"] == {"toolsListChanged": True}
            mark = {"io.modelcontextprotocol/subscriptionId": client._count}
            assert first["params"]["_meta"] == mark
            await frozen(server, "tool:pay")
            told = await anext(said)
            assert told["method"] == "notifications/tools/list_changed"
            assert told["params"]["_meta"] == mark


async def test_a_freeze_is_told_on_a_sessions_stream(tmp_path: Path) -> None:
    async with (
        running(tmp_path, small_files()) as server,
        client_of(server, LEGACY) as client,
        client_of(server, LEGACY) as other,
        asyncio.timeout(SECONDS),
    ):
        headers = client.headers("", {}) | {"mcp-session-id": other.session}
        stolen = await client.http.get(client.url, headers=headers)
        assert stolen.status_code == 404
        async with client.listening() as said:
            await frozen(server, "agent:clerk")
            assert (await anext(said))["method"] == "notifications/tools/list_changed"
            assert await client.names() == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_watched_resource_is_told_of(tmp_path: Path, era: str) -> None:
    uri = "test://watched-resource"
    async with (
        governed(tmp_path) as (server, upstream, _),
        client_of(server, era) as client,
        asyncio.timeout(SECONDS),
        connections() as sending,
    ):
        caller = Client(sending, client.url, client.credential)
        if era == MODERN:
            wanted = {"resourceSubscriptions": [uri, "test://not-granted"]}
            stream = client.stream("subscriptions/listen", notifications=wanted)
        else:
            assert await client.result("resources/subscribe", uri=uri) == {}
            await client.error("resources/subscribe", uri="test://not-granted")
            stream = client.listening()
        async with stream as said:
            if era == MODERN:
                first = await anext(said)
                assert first["params"]["notifications"] == {"resourceSubscriptions": [uri]}
            # A session follows all lists: its server is listened to for those as well.
            streams = 1 if era == MODERN else 2
            while len(upstream.got("subscriptions/listen")) < streams:
                await asyncio.sleep(0.05)
            await caller.call("test_trigger_resource_update")
            told = await anext(said)
            assert told["method"] == "notifications/resources/updated"
            assert told["params"]["uri"] == uri
