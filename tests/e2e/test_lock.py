"""One process holds a data folder: whoever else wants it is told who, or talks to that one."""

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx2

from quarterdeck.cli.failures import STATUS
from tests.e2e.books import check_books
from tests.e2e.processes import Launcher, Process, run_as_a_program
from tests.e2e.traffic import CHAT, MESSAGES, fleet_files, script

AWAY, TAKEN = STATUS["unavailable"], STATUS["conflict"]


def _up_with_fleet(launcher: Launcher) -> tuple[Process, Process]:
    standin = launcher.standin(script())
    fleet = launcher.write(fleet_files(standin.url, launcher.effects))
    return launcher.up("--fleet", str(fleet)), standin


def test_a_second_server_on_the_same_folder_is_told_who_has_it(launcher: Launcher) -> None:
    first = launcher.up()
    refused = launcher.run("up", "--port", "0", status=TAKEN).said["error"]
    assert f"process {first.pid}, serving {first.url}" in refused["message"]
    assert f"kill {first.pid}" in refused["hint"]
    assert httpx2.get(f"{first.url}/v1/openapi.json").status_code == 200, "the first one goes on"
    assert first.stop() == 0
    assert launcher.up().stop() == 0


def test_commands_talk_to_the_server_and_do_without_one(launcher: Launcher) -> None:
    server, _ = _up_with_fleet(launcher)
    run = launcher.run("runs", "start", "clerk", "--external").said
    assert run["environment"]["QUARTERDECK_URL"] == server.url
    alive = {c["name"]: c["found"] for c in launcher.run("doctor", status=None).said["checks"]}
    assert alive["processes"] == f"1 alive: all on {socket.gethostname()} (pid {server.pid})"
    assert server.stop() == 0
    assert not (launcher.data / "server.json").exists()
    assert [r["id"] for r in launcher.run("runs", "list").said["items"]] == [run["id"]]
    refused = launcher.run("runs", "start", "clerk", "--external", status=AWAY).said["error"]
    assert "no server is running" in refused["message"]
    assert "quarterdeck up" in refused["hint"]


def test_the_note_of_a_killed_server_leads_nobody_astray(launcher: Launcher) -> None:
    """Its port may be somebody else's by now: no token may be sent there."""
    server = launcher.up()
    port = int(server.url.rpartition(":")[2])
    server.kill()
    assert (launcher.data / "server.json").exists()
    with closing(socket.create_server(("127.0.0.1", port))) as stranger:
        assert launcher.run("runs", "list").said["items"] == []
        stranger.settimeout(0.2)
        try:
            stranger.accept()[0].close()
        except TimeoutError:
            pass
        else:
            raise AssertionError("a command talked to whoever has the port now")
    assert not (launcher.data / "server.json").exists()
    again = launcher.up()
    assert launcher.token()
    assert again.stop() == 0


def test_a_port_in_use_is_explained(launcher: Launcher) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        refused = launcher.run("up", "--port", port, status=AWAY).said["error"]
    assert f"port {port}" in refused["message"]
    assert "--port 0" in refused["hint"]


@contextmanager
def _locked(launcher: Launcher) -> Iterator[None]:
    """Another program has the database file to itself."""
    path = launcher.data / "quarterdeck.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as other:
        other.execute("begin exclusive")
        yield
        other.execute("rollback")


async def test_a_locked_database_is_a_503_until_it_is_free_again(launcher: Launcher) -> None:
    server, standin = _up_with_fleet(launcher)
    run = run_as_a_program(server.url, launcher.token())
    headers = {"authorization": f"Bearer {run['credential']}"}
    said = {"max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        with _locked(launcher):
            chat, message = await asyncio.gather(
                client.post(CHAT, json={**said, "model": "small-2"}),
                client.post(MESSAGES, json={**said, "model": "other-1"}),
            )
        again = await client.post(CHAT, json={**said, "model": "small-2"})
    assert again.status_code == 200
    assert (chat.status_code, message.status_code) == (503, 503)
    assert chat.json()["error"]["code"] == "unavailable"
    assert message.json()["type"] == "error"
    for answer in (chat, message):
        assert "quarterdeck doctor" in answer.json()["error"]["message"], "there is a hint"
    assert httpx2.get(f"{standin.url}/standin/usage").json()["requests"] == 1
    assert server.stop() == 0
    with _locked(launcher):
        refused = launcher.run("up", "--port", "0", status=AWAY).said["error"]
        assert "locked" in refused["message"]
    (row,) = await check_books(launcher)
    assert row["state"] == "done"
