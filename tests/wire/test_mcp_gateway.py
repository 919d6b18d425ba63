"""The MCP gateway over real sockets: who is let in, what is listed, and what calling does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from quarterdeck.gateways.mcp.routes import endpoints
from quarterdeck.gateways.mcp.sessions import McpSessions
from quarterdeck.store import standing
from tests.fleets import files
from tests.serving import OWNER, Running, running
from tests.wire.mcp_clients import LEGACY, MODERN, Client, connections
from tests.wire.mcp_servers import (
    HANDSHAKE,
    Asked,
    McpServer,
    fleet_of,
    http,
    listening,
    text,
    tool,
)

ERAS = (MODERN, LEGACY)
Writer = asyncio.StreamWriter
OUTCOME = "dev.quarterdeck/outcome"


@asynccontextmanager
async def client_of(
    server: Running, era: str = MODERN, path: str = "/mcp", agent: str = "clerk", **more: Any
) -> AsyncIterator[Client]:
    """A client in a run of its own, greeted."""
    run = await server.start_run(agent)
    async with connections() as sending:
        client = Client(sending, server.url + path, run.credential, era, **more)
        yield await client.greet()


@asynccontextmanager
async def before(mcp: McpServer, folder: Path) -> AsyncIterator[Running]:
    """A gateway before one server, all of whose tools are granted."""
    async with listening(mcp), running(folder, fleet_of(("a", mcp))) as server:
        yield server


def changed(fleet: dict[str, bytes], path: str, **fields: Any) -> dict[str, bytes]:
    """A fleet with some fields of one file set."""
    said = yaml.safe_load(fleet[path]) | fields
    return fleet | {path: yaml.safe_dump(said).encode()}


# --- who is let in ---------------------------------------------------------------------------


async def test_nobody_is_served_without_a_credential(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        for credential in ("none", "no-such-credential"):
            client.credential = credential
            for path in ("/mcp", "/mcp/shop"):
                client.url = server.url + path
                headers = client.headers("tools/list", {})
                if credential == "none":
                    del headers["authorization"]
                message = client.message("tools/list", {})
                answer = await client.http.post(client.url, json=message, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json()["error"]["code"] == -31004


async def test_a_credential_may_be_shown_as_an_api_key(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        message = client.message("tools/list", {})
        headers = client.headers("tools/list", {})
        headers["x-api-key"] = headers.pop("authorization").removeprefix("Bearer ")
        answer = await client.http.post(client.url, json=message, headers=headers)
        assert answer.status_code == 200


@pytest.mark.parametrize("era", ERAS)
async def test_a_run_that_has_ended_is_served_nothing(tmp_path: Path, era: str) -> None:
    async with running(tmp_path, files()) as server:
        run = await server.start_run()
        async with connections() as sending:
            client = await Client(sending, server.url + "/mcp", run.credential, era).greet()
            await server.house.db.write(
                lambda tx: tx.execute("update runs set state = 'succeeded'", {})
            )
            for method in ("tools/list", "tools/call"):
                answer = await client.post(method, name="look_up", arguments={})
                assert answer.status_code == 401, method


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example.com"}, 403),
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:9", "origin": "http://localhost:9"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"accept": "text/html"}, 406),
    ],
)
async def test_where_a_request_comes_from_is_checked(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        sent = client.headers("tools/list", {}) | headers
        message = client.message("tools/list", {})
        answer = await client.http.post(client.url, json=message, headers=sent)
        assert answer.status_code == status


async def test_the_stateless_era_has_no_streams_and_no_sessions(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        for method in ("GET", "DELETE"):
            headers = client.headers("", {})
            answer = await client.http.request(method, client.url, headers=headers)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        listed = await client.post("tools/list")
        assert "mcp-session-id" not in listed.headers


# --- what is listed and what can be called ----------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("autonomy", ["L1", "L2"])
async def test_what_is_listed_is_what_a_call_would_look_at(
    tmp_path: Path, era: str, autonomy: str
) -> None:
    fleet = changed(dict(files()), "agents/clerk.yaml", autonomy=autonomy)
    async with running(tmp_path, fleet) as server, client_of(server, era) as client:
        await server.house.db.write(lambda tx: standing.freeze(tx, "tool:file_note", "a test"))
        server.house.checkpoint.watch.noticed = await server.house.db.read(standing.get)
        listed = await client.names()
        assert listed == sorted(listed)
        for name in ("look_up", "file_note", "pay", "wipe", "escalate", "nothing"):
            answer = await client.asked("tools/call", name=name, arguments={"n": 1})
            told = answer.get("result", {}).get("_meta", {}).get(OUTCOME, {})
            refused = "error" in answer or told.get("answer") == "refused"
            assert refused == (name not in listed), (name, answer)


async def test_unknown_and_not_granted_and_not_pinned_read_the_same(tmp_path: Path) -> None:
    mcp = McpServer(tools=[tool("echo"), tool("drifts"), tool("other")])
    async with listening(mcp):
        granted = {"echo": ("a", tool("echo")), "drifts": ("a", tool("drifts", "Other words."))}
        fleet = fleet_of(("a", mcp), tools=granted)
        async with running(tmp_path, fleet) as server:
            for path in ("/mcp", "/mcp/a"):
                async with client_of(server, path=path) as client:
                    assert await client.names() == ["echo"]
                    said = []
                    for name in ("drifts", "other", "nowhere"):
                        answer = await client.post("tools/call", name=name, arguments={})
                        said.append((answer.status_code, answer.text.replace(name, "NAME")))
                    assert len({text.replace(f'"id":{i}', "") for i, (_, text) in enumerate(said)})
                    assert {json.loads(text)["error"]["message"] for _, text in said} == {
                        "Unknown tool: NAME"
                    }
                    assert {status for status, _ in said} == {400}
    assert not mcp.calls("drifts")
    assert not mcp.calls("other")


async def test_a_server_an_agent_has_nothing_of_does_not_exist(tmp_path: Path) -> None:
    async with listening(McpServer()) as mcp:
        fleet = fleet_of(("a", mcp))
        fleet["servers/b.yaml"] = fleet["servers/a.yaml"].replace(b"name: a", b"name: b")
        async with running(tmp_path, fleet) as server, client_of(server) as client:
            said = []
            for name in ("b", "nowhere"):
                client.url = f"{server.url}/mcp/{name}"
                answer = await client.post("tools/list")
                said.append((answer.status_code, answer.text))
            assert said[0] == said[1]
            assert said[0][0] == 404


async def test_definitions_are_a_servers_own_there_and_the_contracts_here(tmp_path: Path) -> None:
    said = tool("echo", "Says it again.", title="Echo", annotations={"readOnlyHint": False})
    async with listening(McpServer(tools=[said])) as mcp:
        fleet = fleet_of(("a", mcp), tools={"shop_echo": ("a", said)})
        async with running(tmp_path, fleet) as server:
            async with client_of(server, path="/mcp/a") as client:
                assert (await client.result("tools/list"))["tools"] == [said]
                assert "result" in await client.asked("tools/call", name="echo", arguments={})
                await client.error("tools/call", name="shop_echo", arguments={})
            async with client_of(server) as client:
                [here] = (await client.result("tools/list"))["tools"]
                assert here["name"] == "shop_echo"
                assert here["description"] == "A tool of the tests."
                assert here["annotations"]["readOnlyHint"] is True
                assert "result" in await client.asked("tools/call", name="shop_echo", arguments={})
                await client.error("tools/call", name="echo", arguments={})


async def test_lists_are_private_and_old_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server:
        async with client_of(server) as client:
            found = await client.result("tools/list")
            assert (found["ttlMs"], found["cacheScope"]) == (0, "private")
            assert found["resultType"] == "complete"
        async with client_of(server, LEGACY) as client:
            assert set(await client.result("tools/list")) == {"tools"}


# --- calling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_that_is_no_servers_is_called_too(tmp_path: Path, era: str) -> None:
    async with running(tmp_path, files()) as server, client_of(server, era) as client:
        found = await client.call("look_up", {"n": 3})
        assert found["structuredContent"] == {"n": 3, "text": ""}
        assert json.loads(found["content"][0]["text"]) == {"n": 3, "text": ""}
        assert found["isError"] is False
        assert found.get("resultType") == ("complete" if era == MODERN else None)


async def test_a_servers_result_passes_byte_for_byte(tmp_path: Path) -> None:
    raw = (
        b'{ "content" :[ {"type":"text","text":"\\u00e9 \\u202e 1.10"} ] ,'
        b' "x" : 12345678901234567890, "resultType": "complete", "n": 1.0e3 }'
    )

    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        number = str(asked.json["id"]).encode()
        writer.write(http(200, b'{"jsonrpc":"2.0","id":' + number + b',"result":' + raw + b"}"))

    mcp = McpServer(acts={"echo": act})
    async with before(mcp, tmp_path) as server:
        for path in ("/mcp", "/mcp/a"):
            async with client_of(server, path=path) as client:
                answer = await client.post("tools/call", name="echo", arguments={})
                assert raw in answer.content


async def test_arguments_reach_the_server_as_they_were_sent(tmp_path: Path) -> None:
    sent = '{"n" : 7, "text":"\\u00e9", "f":1.50}'
    mcp = McpServer()
    async with before(mcp, tmp_path) as server, client_of(server) as client:
        params = {"name": "echo", "arguments": {}}
        message = json.dumps(client.message("tools/call", params))
        body = message.replace('"arguments": {}', f'"arguments": {sent}')
        headers = client.headers("tools/call", params)
        answer = await client.http.post(client.url, content=body, headers=headers)
        assert answer.status_code == 200
    assert sent.encode() in mcp.calls()[0].body


async def test_an_error_of_a_server_is_passed_on(tmp_path: Path) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        error = {"code": -32050, "message": "no", "data": {"why": [1]}}
        body = json.dumps({"jsonrpc": "2.0", "id": asked.json["id"], "error": error})
        writer.write(http(200, body.encode()))

    mcp = McpServer(acts={"echo": act})
    async with before(mcp, tmp_path) as server, client_of(server) as client:
        error = await client.error("tools/call", name="echo", arguments={})
    assert error == {"code": -32050, "message": "no", "data": {"why": [1]}}


async def test_a_held_call_names_the_approval_it_waits_for(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        held = await client.call("wipe", {"n": 1})
        assert held["isError"] is True
        told = held["_meta"][OUTCOME]
        assert told["answer"] == "held"
        assert told["approval"] in held["content"][0]["text"]


@pytest.mark.parametrize("named", [True, False])
async def test_an_approved_call_is_carried_out_once(tmp_path: Path, named: bool) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        held = await client.call("wipe", {"n": 1})
        approval = held["_meta"][OUTCOME]["approval"]
        again = await client.call("wipe", {"n": 1})
        assert again["_meta"][OUTCOME]["approval"] == approval
        approvals = server.house.services.approvals
        digest = (await approvals.show(OWNER, approval))["digest"]
        await approvals.answer(OWNER, approval, "approve", digest=digest)
        meta = {"_meta": {"dev.quarterdeck/approval": approval}} if named else {}
        assert (await client.call("wipe", {"n": 1}, **meta))["structuredContent"] == {"wiped": 1}
        other = await client.call("wipe", {"n": 2}, **meta)
        assert other["isError"] is True


async def test_a_suggested_call_is_answered_so_that_an_agent_can_finish(tmp_path: Path) -> None:
    fleet = changed(dict(files()), "agents/clerk.yaml", autonomy="L1")
    async with running(tmp_path, fleet) as server, client_of(server) as client:
        suggested = await client.call("pay", {"n": 1})
        assert suggested["_meta"][OUTCOME]["answer"] == "suggested"
        assert "do not try again" in suggested["content"][0]["text"]


async def test_a_denial_a_model_can_act_on_is_a_result(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server) as client:
        found = await client.call("look_up", {"n": "three"})
        assert found["isError"] is True
        reasons = found["_meta"][OUTCOME]["reasons"]
        assert reasons[0]["rule"] == "contract:arguments"


async def test_a_repeat_under_a_key_happens_once(tmp_path: Path) -> None:
    key = {"_meta": {"dev.quarterdeck/idempotency-key": "note-1"}}
    mcp = McpServer()
    async with before(mcp, tmp_path) as server, client_of(server) as client:
        first = await client.call("echo", {"n": 1}, **key)
        assert await client.call("echo", {"n": 1}, **key) == first
        other = await client.call("echo", {"n": 2}, **key)
        assert other["isError"] is True
    assert len(mcp.calls()) == 1


async def test_a_client_that_hangs_up_takes_its_call_with_it(tmp_path: Path) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        await asyncio.Event().wait()

    mcp = McpServer(acts={"echo": act})
    async with before(mcp, tmp_path) as server:
        run = await server.start_run()
        async with connections() as sending:
            client = Client(sending, server.url + "/mcp", run.credential)
            call = asyncio.create_task(client.post("tools/call", name="echo", arguments={}))
            while not mcp.calls():
                await asyncio.sleep(0.01)
            call.cancel()
            await asyncio.wait((call,))
            await asyncio.wait_for(mcp.hung_up.wait(), 10)
        await server.house.mcp.passing.drain()
        [action] = await server.actions(run.id)
    assert action["state"] == "failed"


async def test_progress_and_log_lines_come_before_the_answer_to_who_asked_for_them(
    tmp_path: Path,
) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        token = asked.json["params"]["_meta"].get("progressToken")
        said: list[Any] = [
            {"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}},
            {"method": "notifications/message", "params": {"level": "debug", "data": "a"}},
            {"method": "notifications/message", "params": {"level": "error", "data": "b"}},
            {"method": "notifications/tools/list_changed"},
            {"id": asked.json["id"], "result": text("done")},
        ]
        lines = (json.dumps({"jsonrpc": "2.0", **message}) for message in said)
        body = "".join(f"data: {line}\n\n" for line in lines)
        writer.write(http(200, body.encode(), "text/event-stream"))

    mcp = McpServer(acts={"echo": act})
    async with before(mcp, tmp_path) as server, client_of(server) as client:
        await client.call("echo")
        assert client.before == []
        meta = {"progressToken": "t", "io.modelcontextprotocol/logLevel": "warning"}
        await client.call("echo", _meta=meta)
        progress, line = client.before
        assert progress["params"]["progressToken"] == "t"
        assert line["params"] == {"level": "error", "data": "b"}


class Silent(McpServer):
    """A server that takes everything and answers nothing."""

    async def answer(self, asked: Asked, writer: Writer) -> None:
        """Never."""
        await asyncio.Event().wait()


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_that_hangs_hurts_no_other(tmp_path: Path, era: str) -> None:
    async with listening(McpServer()) as well, listening(Silent(tools=[tool("stuck")])) as sick:
        fleet = fleet_of(("a", well), ("b", sick))
        async with running(tmp_path, fleet) as server, client_of(server, era) as client:
            async with asyncio.timeout(10):
                assert await client.names() == ["echo"]
                assert await client.call("echo", {"n": 1})
                # A look at it is under way: the next list waits for nobody.
                assert await client.names() == ["echo"]


# --- sessions --------------------------------------------------------------------------------


async def test_a_session_is_served_by_any_process_that_has_the_keys(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server, LEGACY) as client:
        house = server.house
        mine = house.mcp.sessions
        house.mcp.sessions = McpSessions(
            db=house.db, keyring=house.keyring, clock=house.clock, dice=house.dice
        )
        assert endpoints(house.mcp)
        assert "look_up" in await client.names()
        ended = await client.http.delete(client.url, headers=client.headers("", {}))
        assert ended.status_code == 204
        # The process that had it before learns of its end within SEEN_SECONDS.
        house.mcp.sessions = mine
        mine._seen.clear()
        assert (await client.post("ping")).status_code == 404


async def test_a_session_of_another_run_is_as_good_as_none(tmp_path: Path) -> None:
    async with running(tmp_path, files()) as server, client_of(server, LEGACY) as client:
        async with client_of(server, LEGACY) as other:
            said = []
            for session in (other.session, client.session[:-4] + "AAAA", "x" * 5000, "é"):
                headers = client.headers("", {}) | {"mcp-session-id": session}
                sent = {n: v.encode("latin-1") for n, v in headers.items()}
                message = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
                answer = await client.http.post(client.url, json=message, headers=sent)
                said.append((answer.status_code, answer.text))
            assert set(said) == {said[0]}
            assert said[0][0] == 404
        assert (await client.post("ping")).status_code == 200


async def test_a_session_belongs_to_one_endpoint(tmp_path: Path) -> None:
    mcp = McpServer(era=HANDSHAKE)
    async with before(mcp, tmp_path) as server, client_of(server, LEGACY) as client:
        client.url += "/a"
        assert (await client.post("ping")).status_code == 404


async def test_an_id_that_is_still_open_is_refused_in_a_session(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        await release.wait()
        body = {"jsonrpc": "2.0", "id": asked.json["id"], "result": text("late")}
        writer.write(http(200, json.dumps(body).encode()))

    mcp = McpServer(acts={"echo": act})
    async with before(mcp, tmp_path) as server, client_of(server, LEGACY) as client:
        params = {"name": "echo", "arguments": {}}
        message = client.message("tools/call", params)
        headers = client.headers("tools/call", params)
        first = asyncio.create_task(client.http.post(client.url, json=message, headers=headers))
        while not mcp.calls():
            await asyncio.sleep(0.01)
        again = await client.http.post(client.url, json=message, headers=headers)
        assert again.status_code == 400
        assert again.json()["error"]["code"] == -32600
        release.set()
        assert (await first).json()["result"]["content"][0]["text"] == "late"
        # Once it is answered, it may be used again.
        last = await client.http.post(client.url, json=message, headers=headers)
        assert last.status_code == 200


async def test_a_session_can_cancel_its_own_request(tmp_path: Path) -> None:
    async def act(server: McpServer, asked: Asked, writer: Writer) -> None:
        await asyncio.Event().wait()

    mcp = McpServer(acts={"echo": act})
    async with (
        before(mcp, tmp_path) as server,
        client_of(server, LEGACY) as client,
        client_of(server, LEGACY) as other,
    ):
        call = asyncio.create_task(client.post("tools/call", name="echo", arguments={}))
        while not mcp.calls():
            await asyncio.sleep(0.01)
        number = client._count
        assert (await other.tell("notifications/cancelled", requestId=number)).is_success
        assert not call.done()
        assert (await client.tell("notifications/cancelled", requestId=number)).is_success
        answer: httpx2.Response = await asyncio.wait_for(call, 10)
        assert answer.text.replace(": still here", "").strip() == ""
        await asyncio.wait_for(mcp.hung_up.wait(), 10)
        assert (await client.post("ping")).status_code == 200
