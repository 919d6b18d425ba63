"""`quarterdeck tools import openapi`: files of a fleet folder that load, and tools that work."""

from pathlib import Path

import orjson
import yaml

from quarterdeck.fleet.folder import read_folder
from tests.cli.commands import command
from tests.fleets import files
from tests.upstream.acting import acting
from tests.upstream.http_api import answer, api

SHOP = {
    "openapi": "3.1.0",
    "info": {"title": "Shop"},
    "servers": [{"url": "https://shop.example.com"}],
    "paths": {
        "/orders/{id}": {
            "get": {
                "operationId": "getOrder",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"type": "object", "required": ["id"]}}
                        }
                    }
                },
            }
        },
        "/broken": {"get": {"operationId": "broken", "parameters": [1]}},
    },
}


def folder_with(folder: Path) -> Path:
    """A fleet folder on disk, and the document beside it."""
    for path, content in files().items():
        target = folder / "fleet" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "shop.json").write_bytes(orjson.dumps(SHOP))
    return folder / "fleet"


def test_an_import_writes_a_server_and_its_tools_and_says_what_it_left_out(tmp_path: Path) -> None:
    fleet = folder_with(tmp_path)
    ended = command("tools", "import", "openapi", "shop.json", "--into", "fleet", folder=tmp_path)
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[:2] == ["servers/shop.yaml", "tools/get_order.yaml"]
    assert "left out: broken: " in ended.out + ended.err
    assert command("check", "fleet", folder=tmp_path).status == 0
    assert (fleet / "tools/get_order.yaml").read_text().startswith("# GET /orders/{id}, ")


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    fleet = folder_with(tmp_path)
    (fleet / "tools/get_order.yaml").write_text("mine: of another server\n")
    words = ("tools", "import", "openapi", "shop.json", "--into", "fleet", "--json")
    first = command(*words, folder=tmp_path)
    assert first.json["files"] == ["servers/shop.yaml", "tools/get_order_2.yaml"]
    assert (fleet / "tools/get_order.yaml").read_text() == "mine: of another server\n"
    (fleet / "servers/shop.yaml").write_text("name: edited\n")
    again = command(*words, folder=tmp_path)
    assert again.status != 0
    assert "`servers/shop.yaml` is there already" in again.out + again.err
    assert (fleet / "servers/shop.yaml").read_text() == "name: edited\n"
    forced = command(*words, "--force", folder=tmp_path)
    assert forced.json["files"] == first.json["files"]
    assert yaml.safe_load((fleet / "servers/shop.yaml").read_text())["name"] == "shop"


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    for name, content in (
        ("no.json", None),
        ("bad.json", b"{"),
        ("old.json", b'{"swagger":"2.0"}'),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        ended = command("tools", "import", "openapi", name, folder=tmp_path)
        assert ended.status != 0
        assert "Traceback" not in ended.err
        assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted(
            path.suffix for path in tmp_path.glob("*.json")
        )


async def test_what_was_imported_works(tmp_path: Path) -> None:
    fleet = folder_with(tmp_path)
    async with api(lambda asked: answer(200, {"id": asked.target})) as shop:
        words = ("tools", "import", "openapi", "shop.json", "--into", "fleet")
        ended = command(*words, "--api-url", shop.url, folder=tmp_path)
        assert ended.status == 0, ended.err
        agent = yaml.safe_load((fleet / "agents/clerk.yaml").read_text())
        agent["tools"].append("get_order")
        agent["radius"] = {"written": 10**9, "deleted": 10**9, "messages": 10**9}
        (fleet / "agents/clerk.yaml").write_text(yaml.safe_dump(agent))
        async with acting(tmp_path / "data", read_folder(fleet)) as act:
            assert await act.result("get_order", id="W 1") == {"id": "/orders/W%201"}
