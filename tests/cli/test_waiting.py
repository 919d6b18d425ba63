"""What people decide about, at a terminal: approvals, suggestions, plans, in real processes."""

from pathlib import Path
from typing import Any

import httpx2

from tests.cli.commands import command, up, write_fleet


def test_what_waits_is_answered_and_what_was_suggested_is_made(tmp_path: Path) -> None:
    folder, fleet = tmp_path, write_fleet(tmp_path)
    with up(folder, "--fleet", str(fleet)) as server:
        run = _ask(server.url, folder, '{"tool": "wipe", "arguments": {"n": 1}}')
        assert run["answer"] == "held"
        listed = command("approvals", "list", folder=folder)
        assert run["approval"] in listed.out
        shown = command("approvals", "show", run["approval"], "--reveal", "--json", folder=folder)
        assert shown.json["exact_arguments"] == {"n": 1}
        digest = ("--digest", "0" * 64)
        stale = command("approvals", "approve", run["approval"], *digest, folder=folder)
        assert stale.status != 0
        assert "digests differ" in stale.err
        denied = command("approvals", "deny", run["approval"], "--because", "no", folder=folder)
        assert (denied.status, denied.out.split()[0]) == (0, "Denied")
        late = command("approvals", "approve", run["approval"], folder=folder)
        assert (late.status, "has denied" in late.err) == (6, True)
        assert "Nothing waits for you." in command("approvals", "list", folder=folder).out
        text = command("approvals", "show", run["approval"], folder=folder).out
        assert "people can make up for it" in text or "cannot be undone" in text
        agent = fleet / "agents" / "clerk.yaml"
        agent.write_text(agent.read_text().replace("autonomy: L2", "autonomy: L1"))
        assert command("apply", fleet, folder=folder).status == 0
        for number in (1, 2):
            body = f'{{"tool": "pay", "arguments": {{"n": {number}}}}}'
            assert _ask(server.url, folder, body)["answer"] == "suggested"
        second, first = command("suggestions", "list", "--json", folder=folder).json["items"]
        carried = command("suggestions", "carry-out", first["id"], "--json", folder=folder)
        assert (carried.status, carried.json["state"]) == (0, "done"), carried.err
        assert command("suggestions", "carry-out", first["id"], folder=folder).status == 6
        words = ("--because", "too late")
        assert command("suggestions", "dismiss", second["id"], *words, folder=folder).status == 0
        assert "too late" in command("suggestions", "show", second["id"], folder=folder).out
        assert "No suggestions." in command("suggestions", "list", folder=folder).out
        assert "No plans." in command("plans", "list", folder=folder).out


def _ask(url: str, folder: Path, body: str) -> dict[str, Any]:
    started = command(
        "runs", "start", "clerk", "--external", "--input", "{}", "--json", folder=folder
    ).json
    answer = httpx2.post(
        f"{url}/v1/actions",
        content=body,
        headers={"authorization": f"Bearer {started['credential']}"},
    )
    shown: dict[str, Any] = answer.json()
    return shown


def test_what_nobody_knows_says_what_to_do(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    source = fleet / "tools" / "tools.py"
    dying = "def pay(n: int = 0, text: str = '') -> dict:\n    import os\n    os._exit(1)\n"
    source.write_text(source.read_text() + dying)
    with up(tmp_path, "--fleet", str(fleet)) as server:
        started = command(
            "runs", "start", "clerk", "--external", "--input", "{}", "--json", folder=tmp_path
        ).json
        headers = {"authorization": f"Bearer {started['credential']}"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
            asked = {"calls": [{"tool": "pay", "arguments": {"n": 1}}]}
            plan = client.post("/v1/plans", json=asked).json()["plan"]
            client.post(f"/v1/plans/{plan}/carry-out", json={})
        [action] = command("actions", "in-doubt", "--json", folder=tmp_path).json["items"]
        shown = command("actions", "show", action["id"], folder=tmp_path).out
        assert "what to do" in shown
        assert "Nobody knows yet whether it took place" in shown
        whole = command("actions", "show", action["id"], "--json", folder=tmp_path).json
        assert (whole["state"], whole["doubt"]["tries"]) == ("in_doubt", 0)
