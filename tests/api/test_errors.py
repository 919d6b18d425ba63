"""One error shape, whatever goes wrong; and never a word about our inside."""

import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog.testing

from tests.api.calling import calling, error_of
from tests.fleets import files


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/runs/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/runs/run_x", 404, "not_found"),
        ("GET", "/v1/runs/run_x/actions", 404, "not_found"),
        ("GET", "/v1/actions/act_x", 404, "not_found"),
        ("GET", "/v1/agents/nobody", 404, "not_found"),
        ("POST", "/v1/keys/key_x/rotate", 404, "not_found"),
        ("POST", "/v1/keys/key_x/revoke", 404, "not_found"),
        ("DELETE", "/v1/secrets/none", 404, "not_found"),
        ("GET", "/v1/ledger/proof?subject=nothing", 404, "not_found"),
        ("PATCH", "/v1/runs", 405, "method_not_allowed"),
        ("DELETE", "/v1/runs/run_x/end", 405, "method_not_allowed"),
        ("GET", "/v1/runs?limit=0", 400, "invalid"),
        ("GET", "/v1/runs?limit=501", 400, "invalid"),
        ("GET", "/v1/runs?limit=many", 400, "invalid"),
        ("GET", "/v1/actions?state=lost", 400, "invalid"),
        ("GET", "/v1/runs?colour=red", 400, "invalid"),
        ("GET", "/v1/runs?limit=1&limit=2", 400, "invalid"),
        ("GET", "/v1/runs?cursor=abc", 404, "not_found"),
        ("GET", "/v1/actions?cursor=WyJhIl0", 404, "not_found"),
        ("GET", "/v1/runs?since=yesterday", 400, "invalid"),
        ("GET", "/v1/runs?since=2026-11-21T00:00:00", 400, "invalid"),
        ("GET", "/v1/costs?by=colour", 400, "invalid"),
        ("GET", "/v1/costs?days=0", 400, "invalid"),
        ("GET", "/v1/budgets", 400, "invalid"),
        ("GET", "/v1/ledger/proof", 400, "invalid"),
        ("GET", "/v1/runs/%00", 400, "invalid"),
        ("GET", "/v1/runs?agent=%00", 400, "invalid"),
    ],
)
async def test_what_is_asked_wrongly_is_answered_in_the_one_shape(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async with calling(tmp_path) as api:
        answer = await api.owner.request(method, path)
        assert answer.status_code == status, answer.text
        error = error_of(answer)
        assert error["code"] == code
        assert error["hint"], error


async def test_another_method_is_told_which_ones_there_are(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        answer = await api.owner.patch("/v1/runs")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        assert error_of(answer)["hint"] == "use GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b'{"agent": NaN}', "not JSON"),
        (b'{"agent": "clerk", "input": {"a": "\\ud800"}}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{}", "`agent` is missing"),
        (b'{"agent": 7}', "`agent`"),
        (b'{"agent": "../x"}', "`agent`"),
        (b'{"agent": "clerk", "wiat": true}', "`wiat` is not a field"),
        (b'{"agent": "clerk", "kind": "other"}', "`kind` is not one of its words"),
        (b'{"agent": "clerk", "wait": 1}', "`wait`"),
        (b'{"agent": "clerk", "wait": "yes"}', "`wait`"),
        (b'{"agent": "clerk", "input": []}', "`input`"),
        (b'{"agent": "clerk", "input": {"a":' + b"[" * 200 + b"]" * 200 + b"}}", "128 levels"),
        (b'{"agent": "clerk", "input": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, "not JSON"),
    ],
)
async def test_a_body_that_does_not_fit_is_told_what_to_write(
    tmp_path: Path, body: bytes, says: str
) -> None:
    async with calling(tmp_path) as api:
        answer = await api.owner.post(
            "/v1/runs", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
        error = error_of(answer)
        assert says in error["message"], error
        assert error["code"] == "invalid"
        assert error["hint"]


async def test_json_of_another_content_type_is_not_read(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            answer = await api.owner.post(
                "/v1/runs", content=b'{"agent": "clerk"}', headers={"content-type": kind}
            )
            assert answer.status_code == 415
            assert error_of(answer)["code"] == "unsupported_media_type"
            assert "application/json" in error_of(answer)["hint"]


async def test_numbers_beyond_64_bits_do_not_break_anything(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        body = b'{"agent": "clerk", "kind": "external", "input": {"n": 1' + b"0" * 40 + b"}}"
        answer = await api.owner.post(
            "/v1/runs", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 201


async def test_a_body_beyond_the_limit_is_refused_unread_and_while_it_comes(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:

        async def endless() -> Any:
            for _ in range(40):
                yield b" " * 1024 * 1024

        for content in (b" " * 33 * 1024 * 1024, endless()):
            answer = await api.owner.post(
                "/v1/runs", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 413
            assert error_of(answer)["code"] == "body_too_large"


async def test_a_secret_that_does_not_fit_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    async with calling(tmp_path) as api:
        value = "sk-verysecret" + "x" * 70_000
        answer = await api.owner.put("/v1/secrets/K", json={"value": value})
        assert answer.status_code == 400
        assert "sk-verysecret" not in answer.text
        answer = await api.owner.put("/v1/secrets/K", json={"value": ["sk-verysecret"]})
        assert answer.status_code == 400
        assert "sk-verysecret" not in answer.text


async def test_what_nobody_expected_is_500_without_a_word_about_it(tmp_path: Path) -> None:
    """Goal: a bug is answered in the one shape. Method: a row is made unreadable under the API."""
    async with calling(tmp_path) as api:
        run = await api.external_run()
        database = sqlite3.connect(tmp_path / "quarterdeck.db")
        database.execute("update runs set result = '{' where id = ?", (run.id,))
        database.commit()
        database.close()
        with structlog.testing.capture_logs() as logged:
            answer = await api.owner.get(f"/v1/runs/{run.id}")
        assert answer.status_code == 500
        assert [entry["event"] for entry in logged] == ["request_failed"], "told in the log"
        assert error_of(answer)["code"] == "internal"
        assert "JSON" not in answer.text
        assert "Traceback" not in answer.text
        assert (await api.owner.get("/v1/runs")).status_code == 200, "the next one is served"


WHATEVER = {"if-match": "*"}


async def test_fleet_problems_are_named_by_file_and_line(tmp_path: Path) -> None:
    import base64

    fleet = dict(files())
    fleet["agents/clerk.yaml"] = fleet["agents/clerk.yaml"].replace(
        b"autonomy: L2", b"autonomy: L9"
    )
    body = {"files": {path: base64.b64encode(text).decode() for path, text in fleet.items()}}
    async with calling(tmp_path) as api:
        answer = await api.owner.post("/v1/fleet", json=body, headers=WHATEVER)
        assert answer.status_code == 400
        assert "agents/clerk.yaml:6: autonomy" in error_of(answer)["message"]
        body["files"]["fleet.yaml"] = "not base64!"
        answer = await api.owner.post("/v1/fleet", json=body)
        assert "`fleet.yaml` is not in base64" in error_of(answer)["message"]


async def test_the_description_of_the_api_is_whole(tmp_path: Path) -> None:
    async with calling(tmp_path) as api, api.as_holder_of(None) as nobody:
        described = (await nobody.get("/v1/openapi.json")).json()
        for path, methods in described["paths"].items():
            assert path.startswith("/v1/")
            for method, operation in methods.items():
                assert operation["summary"], f"{method} {path}"
                assert "description" in operation, f"{method} {path} says nothing"
                assert "422" not in operation["responses"], f"{method} {path}"
        assert (await nobody.get("/docs")).status_code == 404
        assert orjson.dumps(described)
