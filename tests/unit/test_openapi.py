"""OpenAPI files become contracts that load, whatever is in them; the rest is said, not guessed."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.domain.errors import Invalid, NotFound, QuarterdeckError
from quarterdeck.domain.limits import (
    JSON_DEPTH_MAX,
    OPENAPI_JSON_BYTES_MAX,
    OPENAPI_OPERATIONS_MAX,
    OPENAPI_SCHEMA_PARTS_MAX,
    OPENAPI_YAML_BYTES_MAX,
)
from quarterdeck.domain.tools import HttpBackend, Tool
from quarterdeck.fleet import documents
from quarterdeck.fleet.contracts import fit
from quarterdeck.fleet.load import load
from quarterdeck.fleet.openapi_import import Imported, Wanted, imported
from quarterdeck.fleet.problems import Findings
from quarterdeck.fleet.writing import yaml_text
from tests.fleets import files

URL = "https://api.example.com/v1"
SHOP: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Shop API", "version": "1"},
    "servers": [
        {"url": "https://{host}/v1", "variables": {"host": {"default": "api.example.com"}}}
    ],
    "security": [{"token": []}],
    "paths": {
        "/orders/{orderId}": {
            "parameters": [
                {"name": "orderId", "in": "path", "required": True, "schema": {"type": "string"}}
            ],
            "get": {
                "operationId": "getOrder",
                "summary": "Get an order.",
                "parameters": [
                    {
                        "name": "expand",
                        "in": "query",
                        "schema": {"type": "array", "items": {"type": "string"}},
                    }
                ],
                "responses": {
                    "200": {
                        "description": "It.",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                        },
                    },
                    "404": {"description": "None."},
                },
            },
            "delete": {
                "operationId": "deleteOrder",
                "responses": {"204": {"description": "Gone."}},
            },
        },
        "/orders": {
            "post": {
                "operationId": "createOrder",
                "parameters": [
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string"},
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                    },
                },
                "responses": {"default": {"description": "It."}},
            }
        },
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["id", "amount", "lines"],
                "properties": {
                    "id": {"type": "string", "readOnly": True},
                    "amount": {
                        "type": "number",
                        "minimum": 0,
                        "exclusiveMinimum": True,
                        "maximum": 1e300,
                    },
                    "note": {"type": "string", "nullable": True, "enum": ["a", "b"]},
                    "parent": {
                        "nullable": True,
                        "allOf": [{"$ref": "#/components/schemas/Order"}],
                    },
                    "lines": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Line"},
                        "example": ["x"],
                    },
                },
                "xml": {"name": "order"},
            },
            "Line": {
                "type": "object",
                "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{2}$", "title": "SKU"}},
            },
        },
    },
}


def made(document: Mapping[str, Any], **wanted: Any) -> Imported:
    return imported(orjson.dumps(document), Wanted(**wanted))


def loaded(found: Imported) -> dict[str, Tool]:
    """The tools of a folder with what was imported in it: every file must load as it stands."""
    folder = dict(files()) | {path: text.encode() for path, text in found.files.items()}
    fleet = load(folder)
    return {
        name: tool for name, tool in fleet.tools.items() if isinstance(tool.backend, HttpBackend)
    }


def one(operation: Mapping[str, Any], path: str = "/x", method: str = "post", **more: Any) -> Any:
    """A document with one operation."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "x"},
        "servers": [{"url": URL}],
        "paths": {path: {method: {"operationId": "op", "responses": {}, **operation}}},
        **more,
    }


def body(schema: Any, *, required: bool = True) -> dict[str, Any]:
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}
    }


def test_operations_become_contracts_that_load() -> None:
    found = made(SHOP)
    assert found.server == "shop_api"
    assert found.skipped == ()
    server = yaml.safe_load(found.files["servers/shop_api.yaml"])
    assert server == {
        "name": "shop_api",
        "protocol": "http",
        "url": URL,
        "secret": "SHOP_API_KEY",
        "auth": "bearer",
    }
    tools = loaded(found)
    assert sorted(tools) == ["create_order", "delete_order", "get_order"]
    get, create, delete = tools["get_order"], tools["create_order"], tools["delete_order"]
    assert get.effect == "read"
    assert create.effect == delete.effect == "write"
    assert (create.records.written, create.records.deleted) == (1, 0)
    assert (delete.records.written, delete.records.deleted) == (0, 1)
    assert get.description == "Get an order."
    assert isinstance(get.backend, HttpBackend)
    assert get.backend.path == "/orders/{orderId}"
    assert get.backend.query == {"expand": "expand"}
    assert isinstance(create.backend, HttpBackend)
    assert create.backend.body == "*"
    assert create.key is not None
    assert (create.key.place, create.key.name) == ("header", "Idempotency-Key")
    assert create.idempotent
    assert not delete.idempotent
    assert {tool.trust for tool in tools.values()} == {"untrusted"}


def test_schemas_of_3_0_are_written_as_the_standard_writes_them() -> None:
    tools = loaded(made(SHOP))
    arguments = tools["create_order"].arguments
    assert arguments["required"] == ["amount", "lines"]
    properties = arguments["properties"]
    assert "id" not in properties, "what is only read is not sent"
    assert properties["amount"] == {"type": "number", "exclusiveMinimum": 0}
    assert properties["note"] == {"type": ["string", "null"], "enum": ["a", "b", None]}
    assert properties["parent"] == {
        "anyOf": [{"allOf": [{"$ref": "#/$defs/Order"}]}, {"type": "null"}]
    }
    assert arguments["$defs"]["Line"] == {
        "type": "object",
        "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{2}$"}},
    }
    results = tools["get_order"].results
    assert results is not None
    assert results["$ref"] == "#/$defs/Order"
    assert "id" in results["$defs"]["Order"]["required"]
    checked = fit(results)
    assert checked.misfit({"id": "1", "amount": 1, "lines": [{"sku": "AB"}]}, b"{}") is None
    assert checked.misfit({"id": "1", "amount": 0, "lines": []}, b"{}") is not None


def test_what_a_person_must_decide_is_said_in_the_file() -> None:
    found = made(SHOP)
    text = found.files["tools/create_order.yaml"]
    for word in ("decide: what its results are worth", "`moves`", "`reversible`", "`control`"):
        assert word in text
    assert "`idempotent: true`" in found.files["tools/delete_order.yaml"]
    assert "quarterdeck secrets set SHOP_API_KEY" in found.files["servers/shop_api.yaml"]


def test_yaml_is_read_as_others_write_it() -> None:
    text = """
openapi: 3.1.0
info: {title: Yes, version: 2024-01-01}
servers: [{url: https://api.example.com}]
paths:
  /on/{no}:
    get:
      operationId: off
      parameters: [{name: no, in: path, required: true, schema: {type: string}}]
      responses:
        200: {description: ok, content: {application/json: {schema: {const: 2020-01-01}}}}
"""
    tools = loaded(imported(text.encode(), Wanted()))
    assert tools["off"].results == {"const": "2020-01-01"}


def test_a_body_that_is_no_plain_object_is_one_argument() -> None:
    for schema in ({"type": "array", "items": {}}, {"oneOf": [{"type": "object"}]}, True):
        [tool] = loaded(made(one(body(schema)))).values()
        assert isinstance(tool.backend, HttpBackend)
        assert tool.backend.body == "body"
        assert tool.arguments["required"] == ["body"]


def test_a_body_whose_fields_are_parameters_too_is_one_argument() -> None:
    schema = {"type": "object", "properties": {"id": {}, "body": {}}}
    parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    document = one({"parameters": [parameter], **body(schema)}, path="/x/{id}")
    [tool] = loaded(made(document)).values()
    assert isinstance(tool.backend, HttpBackend)
    assert tool.backend.body == "body"


@pytest.mark.parametrize(
    ("operation", "because"),
    [
        (body({"$ref": "https://evil.example.com/s.json"}), "outside this file"),
        (body({"$ref": "other.yaml#/x"}), "outside this file"),
        (body({"$ref": "file:///etc/passwd"}), "outside this file"),
        (body({"$ref": "#/components/schemas/No"}), "leads nowhere"),
        (body({"$ref": 1}), "outside this file"),
        (body({"type": "object", "properties": []}), "not an object"),
        (body({"properties": {"a": "text"}}), "neither an object"),
        (body({"allOf": {}}), "not a list"),
        (body({"enum": [2**60]}), "beyond 2^53"),
        (body({"type": "text"}), "its arguments"),
        (body({"$dynamicRef": "#x"}), "$dynamicRef"),
        ({"requestBody": {"required": True, "content": {"text/csv": {}}}}, "not JSON"),
        ({"requestBody": {"$ref": "#/paths"}}, ""),
        ({"requestBody": []}, "not an object"),
        ({"parameters": {}}, "no list"),
        ({"parameters": [1]}, "not an object"),
        ({"parameters": [{"name": "a", "in": "cookie", "required": True}]}, "cookie"),
        ({"parameters": [{"name": "a b\r\n", "in": "header", "required": True, "schema": {}}]}, ""),
        ({"servers": [{"url": "https://other.example.com"}]}, "another server"),
    ],
)
def test_an_operation_that_does_not_fit_is_left_out_and_says_why(
    operation: dict[str, Any], because: str
) -> None:
    document = one(operation)
    document["paths"]["/good"] = {"get": {"operationId": "good"}}
    found = made(document)
    assert "tools/good.yaml" in found.files
    assert [skipped.id for skipped in found.skipped] in (["op"], [])
    if because:
        assert because in found.skipped[0].because
    loaded(found)


def test_a_path_without_its_parameter_is_left_out() -> None:
    for path in ("/x/{id}", "/x/{", "/x?a=1", "/x y", "x", "/x/{}", "/{a}{b"):
        found = made(one({}, path=path))
        loaded(found)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"swagger": "2.0"}, "Swagger"),
        ({}, "no version"),
        ({"openapi": "4.0.0"}, "version"),
        ({"openapi": "3.2.0"}, "version"),
        ({"openapi": 3.1}, "version"),
        ({"openapi": "3.1.0"}, "`paths`"),
        ({"openapi": "3.1.0", "paths": []}, "`paths`"),
        ({"openapi": "3.1.0", "paths": {}}, "where the API is"),
    ],
)
def test_a_file_that_is_not_read_says_so(document: dict[str, Any], word: str) -> None:
    with pytest.raises(Invalid) as refused:
        made(document)
    assert word in f"{refused.value.message} {refused.value.hint}"
    assert refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8080",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://intranet/",
        "http://db.internal/",
        "/v1",
        "ftp://example.com",
        "http://user:pw@example.com",
        "https://example.com/?a=1",
        "https://{unknown}/",
        "javascript:alert(1)",
        "",
        "https://exa mple.com",
        "https://example.com:99999",
    ],
)
def test_a_document_names_no_private_address(url: str) -> None:
    document = SHOP | {"servers": [{"url": url}]}
    with pytest.raises(Invalid, match="public address"):
        made(document)
    found = made(document, url="http://10.0.0.7:8080/v1")  # whoever imports it may name one
    assert "http://10.0.0.7:8080/v1" in found.files["servers/shop_api.yaml"]


@pytest.mark.parametrize(
    ("scheme", "shown"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, {"auth": "X-Key"}),
        ({"type": "apiKey", "in": "query", "name": "key"}, {}),
        ({"type": "http", "scheme": "basic"}, {}),
        ({"type": "apiKey", "in": "header", "name": "X\r\nY"}, {}),
        (
            {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "https://login.example.com/t"}},
            },
            {"oauth": {"token_url": "https://login.example.com/t", "client_id": "quarterdeck"}},
        ),
        (
            {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "http://127.0.0.1/t"}}},
            {},
        ),
        ("text", {}),
        (None, {}),
    ],
)
def test_how_a_secret_is_shown_is_read_where_it_can_be(scheme: Any, shown: dict[str, Any]) -> None:
    document = one({"security": [{"s": []}]}, components={"securitySchemes": {"s": scheme}})
    found = made(document)
    server = yaml.safe_load(found.files["servers/x.yaml"])
    assert {k: v for k, v in server.items() if k in ("auth", "oauth")} == shown
    assert ("secret" in server) == bool(shown)
    loaded(found)


def test_names_are_names_and_nobody_elses() -> None:
    hostile = ["../../etc/passwd", "A B", "ÄÖ", "", "a" * 300, "a" * 299, "escalate", "look_up"]
    document = one({})
    document["paths"] = {f"/p{n}": {"get": {"operationId": name}} for n, name in enumerate(hostile)}
    found = made(document, taken=lambda _: ["look_up"])
    assert len(loaded(found)) == len(hostile)
    assert all(path.count("/") == 1 and ".." not in path for path in found.files)
    assert "tools/look_up.yaml" not in found.files
    assert "tools/escalate.yaml" not in found.files


def test_words_of_others_steer_nothing() -> None:
    words = "evil\x1b[2J\u202e\u200bname\r\n# x: y\n---\nname: other"
    document = one({"summary": words, "description": words * 200}, info={"title": words})
    document["paths"]["/x"]["post"]["operationId"] = words
    found = made(document)
    for text in found.files.values():
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "\u200b" not in text
    assert len(loaded(found)) == 1


def test_only_what_is_asked_for_is_imported() -> None:
    found = made(SHOP, operations=("getOrder",))
    assert sorted(found.files) == ["servers/shop_api.yaml", "tools/get_order.yaml"]
    with pytest.raises(NotFound, match="getOrdr") as refused:
        made(SHOP, operations=("getOrdr",))
    assert "getOrder" in refused.value.hint


def test_recursion_ends() -> None:
    schemas = {
        "A": {"$ref": "#/components/schemas/B"},
        "B": {"$ref": "#/components/schemas/A"},
        "Tree": {
            "type": "object",
            "properties": {
                "left": {"$ref": "#/components/schemas/Tree"},
                "right": {"$ref": "#/components/schemas/Tree"},
            },
        },
    }
    for name in schemas:
        reference = {"$ref": f"#/components/schemas/{name}"}
        loaded(made(one(body(reference), components={"schemas": schemas})))
        loaded(
            made(one(body({"type": "array", "items": reference}), components={"schemas": schemas}))
        )
    looped = one({"parameters": [{"$ref": "#/paths/~1x/post/parameters/0"}]})
    assert "back to itself" in made(looped).skipped[0].because


def test_bombs_are_refused_and_never_expanded() -> None:
    bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nopenapi: 3.1.0\n"
    with pytest.raises(Invalid, match="anchor"):
        imported(bomb.encode(), Wanted())
    with pytest.raises(Invalid, match="tag"):
        imported(b"openapi: !!python/object/apply:os.system [id]", Wanted())
    deep: Any = {}
    for _ in range(JSON_DEPTH_MAX + 1):
        deep = {"a": deep}
    for content in (orjson.dumps(one(body(deep))), b"a: " + b"[" * 5000, b"{" * 100_000):
        with pytest.raises(Invalid):
            imported(content, Wanted())
    wide: dict[str, Any] = {
        "properties": {f"p{n}": {} for n in range(OPENAPI_SCHEMA_PARTS_MAX + 1)}
    }
    assert "parts" in made(one(body(wide))).skipped[0].because
    fan = {f"S{n}": {"allOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 9} for n in range(40)}
    fan["S40"] = {}
    found = made(one(body({"$ref": "#/components/schemas/S0"}), components={"schemas": fan}))
    loaded(found)


def test_files_have_a_size_and_a_number_of_operations() -> None:
    with pytest.raises(Invalid, match="larger"):
        imported(b"{" + b" " * OPENAPI_JSON_BYTES_MAX, Wanted())
    with pytest.raises(Invalid, match="larger"):
        imported(b"a: " + b"x" * OPENAPI_YAML_BYTES_MAX, Wanted())
    many = one({})
    many["paths"] = {f"/p{n}": {"get": {}} for n in range(OPENAPI_OPERATIONS_MAX + 1)}
    with pytest.raises(Invalid, match="operations") as refused:
        made(many)
    assert "--operation" in refused.value.hint


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"text", b"{", b"a: b: c", b"a: 1\n---\nb: 2", b"? [a]\n: b", b"\0"],
)
def test_what_is_no_document_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        imported(content, Wanted())
    assert refused.value.message
    assert refused.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
WORDS = st.sampled_from(
    (
        *("$ref", "type", "properties", "items", "allOf", "anyOf", "nullable", "required", "enum"),
        *("minimum", "exclusiveMinimum", "pattern", "format", "additionalProperties", "$defs"),
        *("readOnly", "default", "not", "if", "then", "patternProperties", "prefixItems", "const"),
        *("x-y", "zz"),
    )
)
SCHEMAS = st.recursive(
    JSON
    | st.sampled_from(
        [
            {"$ref": "#/components/schemas/S"},
            {"type": "string"},
            {"type": ["integer", "null"]},
            {"pattern": "(?=x)y"},
            {"pattern": "(a+)+$"},
        ]
    ),
    lambda inner: st.dictionaries(
        WORDS, inner | st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=10,
)
PARAMETERS = JSON | st.fixed_dictionaries(
    {
        "name": st.text(max_size=12),
        "in": st.sampled_from(["path", "query", "header", "cookie", "x"]),
    },
    optional={"required": JSON, "schema": SCHEMAS, "style": JSON, "explode": JSON, "content": JSON},
)
OPERATIONS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "operationId": JSON,
        "summary": JSON,
        "parameters": JSON | st.lists(PARAMETERS, max_size=3),
        "requestBody": JSON
        | SCHEMAS.map(body)
        | st.fixed_dictionaries({"content": JSON, "required": JSON}),
        "responses": JSON
        | SCHEMAS.map(lambda s: {"200": {"content": {"application/json": {"schema": s}}}}),
        "security": JSON | st.just([{"s": ["a b", 1]}]),
        "servers": JSON,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "openapi": st.sampled_from(["3.0.0", "3.1.0"]) | JSON,
        "paths": JSON
        | st.dictionaries(
            st.sampled_from(["/a", "/a/{b}", "/{b}/{c}", "", "{", "x-y"]) | st.text(max_size=8),
            JSON
            | st.dictionaries(
                st.sampled_from(["get", "post", "delete", "head", "parameters", "trace"]),
                OPERATIONS | st.lists(PARAMETERS, max_size=2),
                max_size=3,
            ),
            max_size=3,
        ),
    },
    optional={
        "info": JSON,
        "servers": JSON | st.just([{"url": URL}]),
        "security": JSON,
        "components": JSON
        | st.fixed_dictionaries(
            {"schemas": st.fixed_dictionaries({"S": SCHEMAS}) | JSON},
            optional={"securitySchemes": JSON},
        ),
    },
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(DOCUMENTS)
def test_whatever_a_document_holds_is_loaded_or_refused_in_words(document: dict[str, Any]) -> None:
    try:
        found = imported(json.dumps(document).encode(), Wanted(url=URL, server="api"))
    except QuarterdeckError as error:
        refused: QuarterdeckError | None = error
    else:
        refused = None
    if refused is not None:
        assert refused.message
        assert refused.hint
        return
    assert all(skipped.because for skipped in found.skipped)
    loaded(found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_bytes_are_they_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(Invalid):
        imported(content, Wanted(url=URL))


@given(st.dictionaries(st.text(min_size=1), JSON))
def test_what_is_written_is_read_as_it_was(value: dict[str, Any]) -> None:
    def plain(item: Any) -> Any:
        """Only what fleet files can hold: no control characters, no numbers beyond 2^53."""
        if isinstance(item, dict):
            return {clean(k): plain(v) for k, v in item.items()}
        if isinstance(item, list):
            return [plain(i) for i in item]
        if isinstance(item, str):
            return clean(item)
        if isinstance(item, int | float) and not isinstance(item, bool):
            return item if abs(item) < 2**53 else 1
        return item

    def clean(text: str) -> str:
        return "".join(c for c in text if c.isprintable() and c < "\ud800")

    wanted = plain(value)
    if not wanted:
        return
    found = Findings()
    document = documents.read("x.yaml", yaml_text(wanted).encode(), found)
    assert document is not None, found.problems
    assert document.value == wanted
