"""`quarterdeck up` as a real process: its start, its neighbours, its end."""

import json
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from tests.cli.commands import command, up, write_fleet
from tests.postgresql import server as postgresql


def test_up_serves_everything_and_drains_at_a_signal(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    with up(tmp_path, "--fleet", str(fleet)) as server:
        note = tmp_path / ".quarterdeck" / "server.json"
        assert note.stat().st_mode & 0o777 == 0o600
        said = json.loads(note.read_text())
        assert (said["url"], said["pid"]) == (server.url, server.process.pid)
        with httpx2.Client(base_url=server.url) as nobody:
            assert nobody.get("/v1/healthz").json() == {"status": "ok", "circuits": {}}
            assert nobody.get("/v1/agents").status_code == 401
            assert nobody.get("/openai/v1/models").status_code == 401
            assert nobody.get(server.sign_in).status_code == 200
            shown = {"authorization": f"Bearer {server.token}"}
            assert nobody.get("/v1/agents", headers=shown).json()["items"][0]["name"] == "clerk"
        listed = command("agents", "list", "--json", folder=tmp_path)
        assert [agent["name"] for agent in listed.json["items"]] == ["clerk"]
        assert server.stop() == 0
        assert not note.exists()
    assert "Traceback" not in (tmp_path / "up.log").read_text()


def test_ctrl_c_stops_it_too_and_the_next_one_starts(tmp_path: Path) -> None:
    with up(tmp_path) as server:
        assert server.stop(signal.SIGINT) == 0
    with up(tmp_path) as server:
        assert command("runs", "list", folder=tmp_path).status == 0
        assert server.stop() == 0


def test_after_a_kill_the_next_one_starts(tmp_path: Path) -> None:
    with up(tmp_path) as server:
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    listed = command("runs", "list", "--json", folder=tmp_path)
    assert listed.json == {"items": [], "next": None}, "in process: nobody holds the folder"
    with up(tmp_path) as server:
        assert server.stop() == 0


def test_a_second_one_on_the_same_folder_names_the_first(tmp_path: Path) -> None:
    with up(tmp_path) as server:
        second = command("up", "--port", "0", folder=tmp_path)
        assert second.status == 6
        assert second.err.startswith("error: the data folder `.quarterdeck` is used by process ")
        assert f"{server.process.pid}, serving {server.url}" in second.err
        assert "hint: " in second.err
        restored = command("restore", "x.db", folder=tmp_path)
        assert restored.status == 6
        assert server.process.poll() is None


def test_a_used_port_is_explained(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = command("up", "--port", str(port), "--json", folder=tmp_path)
    assert refused.status == 3
    error = refused.json["error"]
    assert f"port {port} on 127.0.0.1 is used" in error["message"]
    assert "--port" in error["hint"]


def test_a_fleet_with_problems_is_not_served(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    agent = fleet / "agents" / "clerk.yaml"
    agent.write_text(agent.read_text().replace("owner: ann", "owner: nobody"))
    refused = command("up", "--fleet", str(fleet), folder=tmp_path)
    assert refused.status == 1
    assert "agents/clerk.yaml:3: owner: " in refused.out
    assert not (tmp_path / ".quarterdeck").exists()


def test_it_greets_people_with_where_to_go(tmp_path: Path) -> None:
    import subprocess

    from tests.cli.commands import QUARTERDECK, environment

    process = subprocess.Popen(
        [QUARTERDECK, "up", "--port", "0"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(7)]
    process.send_signal(signal.SIGTERM)
    rest, err = process.communicate(timeout=30)
    text = "".join(lines) + rest
    assert " is up at http://127.0.0.1:" in lines[0]
    assert "/console/sign-in?token=" in text
    assert "quarterdeck init my-fleet" in text, "without a fleet it says how to get one"
    assert "Ctrl-C" in text
    assert err.strip().startswith("Stopping: ")


def test_serve_without_a_shared_database_says_what_to_do(tmp_path: Path) -> None:
    refused = command("serve", "--role", "gateway", folder=tmp_path)
    assert refused.status == 2
    assert "QUARTERDECK_DATABASE_URL" in refused.err
    assert "quarterdeck up" in refused.err
    other = command("serve", "--role", "captain", folder=tmp_path)
    assert other.status == 2
    assert "gateway, worker, console" in other.err


@pytest.mark.parametrize("role", ["gateway", "worker", "console"])
def test_each_role_runs_on_postgresql_and_stops_at_a_signal(tmp_path: Path, role: str) -> None:
    import subprocess

    from tests.cli.commands import QUARTERDECK, environment

    key = tmp_path / "master.key"
    key.write_text("cd" * 32 + "\n")
    key.chmod(0o600)
    with postgresql().fresh_database() as url:
        process = subprocess.Popen(
            [QUARTERDECK, "serve", "--role", role, "--port", "0", "--json"],
            cwd=tmp_path,
            env=environment(QUARTERDECK_DATABASE_URL=url, QUARTERDECK_KEY_FILE=str(key)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            text += line
        said = json.loads(text)
        if role == "gateway":
            assert httpx2.get(f"{said['url']}/openai/v1/models").status_code == 401
        if role == "console":
            assert httpx2.get(f"{said['url']}/v1/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err


def test_a_console_on_postgresql_greets_with_the_agents_that_are_in_force(tmp_path: Path) -> None:
    import subprocess

    from tests.cli.commands import QUARTERDECK, environment, write_fleet

    key = tmp_path / "master.key"
    key.write_text("cd" * 32 + "\n")
    key.chmod(0o600)
    fleet = write_fleet(tmp_path)
    with postgresql().fresh_database() as url:
        named = {"QUARTERDECK_DATABASE_URL": url, "QUARTERDECK_KEY_FILE": str(key)}
        applied = command("apply", fleet, folder=tmp_path, env=named)
        assert applied.status == 0, applied.err
        process = subprocess.Popen(
            [QUARTERDECK, "serve", "--role", "console", "--port", "0"],
            cwd=tmp_path,
            env=environment(**named),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            text = ""
            while "Ctrl-C" not in text:
                line = process.stdout.readline()
                assert line, process.communicate()
                text += line
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert "none yet" not in text
        assert [w for w in text.splitlines() if w.split()[:2] == ["agents", "clerk"]], text
