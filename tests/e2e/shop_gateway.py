"""The shop-service fleet under Quarterdeck: real processes, and an agent at its MCP gateway."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.e2e.processes import Launcher
from tests.e2e.shop_tasks import FLEET, Refused

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "shop-tests", "version": "1"},
}


@dataclass(slots=True)
class Agent:
    """A program that was given a run's credential and nothing else."""

    run: str
    credential: str
    wire: httpx2.Client
    ids: Iterator[int] = field(default_factory=count)

    def ask(self, method: str, params: dict[str, Any], server: str = "shop") -> dict[str, Any]:
        """The whole answer to one request, in the stateless era of the protocol."""
        message = {
            "jsonrpc": "2.0",
            "id": next(self.ids),
            "method": method,
            "params": {**params, "_meta": META},
        }
        headers = {
            "authorization": f"Bearer {self.credential}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
        }
        if "name" in params:
            headers["mcp-name"] = params["name"]
        answered = self.wire.post(f"/mcp/{server}", json=message, headers=headers)
        return dict(answered.json())

    def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """What a tool answers; raises `Refused` where it is an error that a model can read."""
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert "result" in answer, answer
        result = answer["result"]
        if result.get("isError"):
            raise Refused(" ".join(part.get("text", "") for part in result["content"]))
        return result["structuredContent"]


@dataclass(frozen=True, slots=True)
class Service:
    """Quarterdeck with the shop behind it, and the shop's database."""

    owner: httpx2.Client
    wire: httpx2.Client
    database: Path

    @contextmanager
    def agent(self, name: str = "service") -> Iterator[Agent]:
        """An agent at work, in a run of its own."""
        body = {"agent": name, "input": {"customer": "one"}, "kind": "external"}
        started = self.owner.post("/v1/runs", json=body)
        assert started.is_success, started.text
        run = started.json()
        yield Agent(run["id"], run["credential"], self.wire)
        ended = self.owner.post(f"/v1/runs/{run['id']}/end", json={"state": "succeeded"})
        assert ended.is_success, ended.text

    def get(self, path: str, **parameters: Any) -> Any:
        """What the owner reads of the API."""
        answered = self.owner.get(path, params=parameters)
        assert answered.is_success, answered.text
        return answered.json()


@contextmanager
def serving(
    launcher: Launcher,
    data: Path | None = None,
    *,
    url: str | None = None,
    edit: tuple[Path, str, str] | None = None,
) -> Iterator[Service]:
    """`quarterdeck up` with the example fleet, told where the shop or its database is.

    By default the fleet's own command starts the shop; with `url` it listens there already.
    `edit` changes a file of the folder before it is applied: what is replaced, and by what.
    """
    database = launcher.effects / "shop.sqlite"
    where = {"SHOP_DATABASE": str(database)} | ({} if data is None else {"SHOP_DATA": str(data)})
    fleet = _fleet(launcher.folder / "fleet", where, url)
    if edit is not None:
        path, before, after = fleet / edit[0], *edit[1:]
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1
        path.write_text(text.replace(before, after), encoding="utf-8")
    process = launcher.up("--fleet", str(fleet))
    headers = {"authorization": f"Bearer {launcher.token()}"}
    with (
        httpx2.Client(base_url=process.url, headers=headers, trust_env=False, timeout=30) as owner,
        httpx2.Client(base_url=process.url, trust_env=False, timeout=30) as wire,
    ):
        yield Service(owner, wire, database)


def _fleet(folder: Path, where: dict[str, str], url: str | None) -> Path:
    shutil.copytree(FLEET, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "servers" / "shop.yaml"
    entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    if url is None:
        entry["environment"] |= where
    else:
        del entry["command"], entry["environment"]
        entry |= {"url": url, "secret": "SHOP_TOKEN"}
    path.write_text(json.dumps(entry), encoding="utf-8")
    return folder
