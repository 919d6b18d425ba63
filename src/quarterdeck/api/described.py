"""The API described for programs: OpenAPI 3.1, with who may call each route and what can go wrong.

What every route shares (its errors, its limits, its headers) is added here, from what the route
itself declares. Deliberately absent: anything a route decides.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from quarterdeck.api.errors import STATUS
from quarterdeck.domain.people import Deed, roles_with

_DESCRIPTION: Final = """
The control plane for fleets of AI agents, over HTTP.

Every request carries `Authorization: Bearer TOKEN`, but `GET /v1/healthz` and this description.
`x-roles` of a route says whose token is good for it (`run`: the credential of a run, with which
agents ask for actions and plans); somebody of one team sees that team only.
Money is an integer in nano-USD with the same amount in USD as a decimal string beside it; times are
ISO 8601 in UTC. Whatever goes wrong, the body is `{"error": {"code", "message", "hint"}}`.
""".strip()
_TAGS: Final[Mapping[str, str]] = {
    "agents": "Who is in the fleet, and what each may do.",
    "keys": "Long-lived keys with which agents start their own runs.",
    "runs": "Tasks from their trigger to their outcome.",
    "actions": "What runs did, and which rule let them.",
    "approvals": "Calls that wait for a person's answer.",
    "suggestions": "Writes that agents did not make, for people to carry out.",
    "plans": "Lists of calls that agents mean to make, judged before the first.",
    "costs": "What was charged, and what budgets have left.",
    "fleet": "The folder in force.",
    "ledger": "The tamper-evident record: its head, a check, proofs, an export.",
    "secrets": "Keys of vendors and back ends. A value goes in and never comes out.",
    "tools": "Contracts in force, and the definitions that wait in quarantine.",
    "servers": "Where tools live, and what each server offers.",
    "health": "What `doctor` looks at.",
    "backups": "Copies of the database.",
    "sign-in": "Links into the console.",
}
#: Security schemes: of people and agents' keys, and of runs.
HOLDER: Final = "token"
RUN: Final = "run"
_RUN_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "The credential of a run, `qdr_…`, as `POST /v1/runs` answers it.",
}
_FAILURE: Final = {"$ref": "#/components/schemas/FailureShown"}
_SAID: Final[Mapping[str, tuple[str, str, str]]] = {
    "invalid": ("What was sent does not fit.", "`limit`: input should be less…", "see the route"),
    "unidentified": ("Nobody we know sent this.", "this token is not known", "send a token"),
    "forbidden": (
        "The sender is known and may not.",
        "`agent:triage` may not do this",
        "ask an owner",
    ),
    "not_found": ("No such thing.", "no run `run_x`", "see `quarterdeck runs list`"),
    "conflict": ("It contradicts something recorded.", "run `run_x` has ended before", ""),
    "precondition_failed": (
        "Somebody changed it since you looked; the message says who, and what.",
        "`local:ann` has put version 4f0c… in force: agent triage changed",
        "look at it, change your folder to fit, and apply it again",
    ),
    "body_too_large": (
        "The body is larger than 32 MiB.",
        "the request body is larger than 32 MiB",
        "",
    ),
    "unsupported_media_type": ("The body is not JSON.", "the request body is not JSON", ""),
    "precondition_required": (
        "An edit must say which state it is about.",
        "this edit does not say which state it is about",
        "send the `ETag` you have seen as `If-Match`",
    ),
    "limit_exceeded": (
        "A limit would be passed; slow down.",
        "too many requests wait",
        "try again",
    ),
    "internal": ("A mistake of ours.", "something went wrong that should not have", "see the log"),
    "unavailable": ("Something needed is away.", "the database cannot be reached", "try again"),
}
# Where to go on from an answer: by an id in its body to another operation's path.
_LINKS: Final[tuple[tuple[str, str, str, str, str], ...]] = tuple(
    (source, status, f"$response.body#{place}", target, parameter)
    for source, status, place, parameter, targets in (
        ("start_run", "201", "/id", "run", ("show_run", "list_run_actions", "end_run")),
        ("start_run", "202", "/id", "run", ("show_run", "list_run_actions", "end_run")),
        ("list_runs", "200", "/items/0/id", "run", ("show_run", "list_run_actions", "end_run")),
        ("list_run_actions", "200", "/items/0/id", "action", ("show_action",)),
        ("list_actions", "200", "/items/0/id", "action", ("show_action",)),
        (
            *("list_approvals", "200", "/items/0/id", "approval"),
            ("show_approval", "answer_approval", "reveal_approval"),
        ),
        (
            *("list_suggestions", "200", "/items/0/id", "suggestion"),
            ("show_suggestion", "carry_out_suggestion", "dismiss_suggestion", "reveal_suggestion"),
        ),
        ("list_plans", "200", "/items/0/id", "plan", ("show_plan",)),
        ("admit_action", "201", "/action", "action", ("settle_action", "show_action")),
        ("judge_plan", "201", "/plan", "plan", ("carry_out_plan", "show_plan")),
        ("list_agents", "200", "/items/0/name", "name", ("show_agent",)),
        ("issue_key", "201", "/id", "key", ("rotate_key", "revoke_key")),
        ("list_keys", "200", "/items/0/id", "key", ("rotate_key", "revoke_key")),
        (
            "list_secrets",
            "200",
            "/items/0/name",
            "name",
            ("set_secret", "rotate_secret", "remove_secret"),
        ),
    )
    for target in targets
)


def who(deed: Deed, *extra: str) -> dict[str, Any]:
    """For a route's description: the roles that may call it."""
    return {"x-roles": [*roles_with(deed), *extra]}


def describe(app: FastAPI, beside: Mapping[str, Any]) -> None:
    """Let the application publish its description, and `beside` it that of others' routes."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(_described(app, beside))
        return made

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


def _described(app: FastAPI, beside: Mapping[str, Any]) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary="The control plane for fleets of AI agents.",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "this server"}],
    )
    for operations in found["paths"].values():
        for operation in operations.values():
            _tidy(operation)
    _add(found, beside)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            for code in _codes(path, method, operation):
                responses.setdefault(str(STATUS[code]), _response(code))
            operation["responses"] = dict(sorted(responses.items()))
    _link(found["paths"])
    schemas = found["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Failure"]["properties"]["code"]["enum"] = sorted(STATUS)
    return found


def _tidy(operation: dict[str, Any]) -> None:
    """What the library says otherwise than we do."""
    operation["operationId"] = operation["operationId"].split("_v1_")[0]
    if "security" in operation:
        also: list[dict[str, list[str]]] = [{RUN: []}] if RUN in operation["x-roles"] else []
        operation["security"] = [{HOLDER: []}, *also]
    for parameter in operation.get("parameters", ()):
        _without_null(parameter)
    for status in ("400", "422"):  # of every route, and of those that validate
        operation["responses"].pop(status, None)


def _add(found: dict[str, Any], beside: Mapping[str, Any]) -> None:
    """The routes of agents, which the data plane serves."""
    found["components"]["securitySchemes"][RUN] = _RUN_SCHEME
    for path, operations in beside.get("paths", {}).items():
        found["paths"].setdefault(path, {}).update(copy.deepcopy(operations))
    for kind, parts in beside.get("components", {}).items():
        found["components"].setdefault(kind, {}).update(parts)


def _link(paths: Mapping[str, Any]) -> None:
    operations = {o["operationId"]: o for methods in paths.values() for o in methods.values()}
    for source, status, place, target, parameter in _LINKS:
        if source not in operations:
            continue  # a route of agents, and no gateway is known here
        links = operations[source]["responses"][status].setdefault("links", {})
        links[target] = {"operationId": target, "parameters": {parameter: place}}


def _without_null(parameter: dict[str, Any]) -> None:
    """What may be left out is left out: there is no way to write a null in a header or a query."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    if kinds:
        assert len(kinds) == 1, "a parameter is of one kind"
        schema.update(kinds[0])


def _codes(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """What can go wrong, from what the route takes."""
    headers = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "header"}
    yield from ("invalid", "internal", "unavailable", "body_too_large")
    if operation.get("security"):
        yield from ("unidentified", "forbidden", "limit_exceeded")
    if "{" in path or "requestBody" in operation or method != "post":
        yield "not_found"
    if "requestBody" in operation and operation["x-roles"] != [RUN]:
        yield "unsupported_media_type"  # the data plane reads JSON whatever it is called
    if method != "get":
        yield "conflict"
    if "If-Match" in headers:
        yield "precondition_failed"
    if path == "/v1/fleet" and method == "post":
        yield "precondition_required"


def _response(code: str) -> dict[str, Any]:
    meaning, message, hint = _SAID[code]
    example = {"error": {"code": code, "message": message, "hint": hint}}
    return {
        "description": meaning,
        "content": {"application/json": {"schema": _FAILURE, "example": example}},
    }
