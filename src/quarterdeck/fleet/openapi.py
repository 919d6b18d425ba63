"""OpenAPI 3.0 and 3.1 documents: the operations that can be tools, each with where its parts go.

A document is material by others: whatever it holds is checked, and what does not fit costs that
one operation, with a reason. Nothing is ever fetched.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quarterdeck.domain.errors import Invalid, NotFound
from quarterdeck.domain.limits import OPENAPI_OPERATIONS_MAX
from quarterdeck.domain.tools import RESERVED_HEADERS, EffectClass
from quarterdeck.fleet.fields import HEADER_PATTERN, HTTP_PATH_PATTERN
from quarterdeck.fleet.openapi_schemas import DOCUMENTING, Schemas, Unfit, resolved, shown
from quarterdeck.fleet.problems import instead, quoted

METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
REST: Final = "*"
_IN_PATH: Final = re.compile(r"\{([^{}]*)\}")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]{1,120}")
#: Parameters of headers that say how a message is sent; OpenAPI ignores three of them too.
_NOT_ARGUMENTS: Final = RESERVED_HEADERS | {"accept"}


@dataclass(slots=True, kw_only=True)
class Operation:
    """One operation as a tool: its arguments, and the place of each in the request."""

    id: str
    method: str
    path: str
    description: str
    properties: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    #: The header that carries the key of a repeat, where the API has one.
    key: str | None = None
    results: dict[str, Any] | None = None
    definitions: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def effect(self) -> EffectClass:
        """What the method means: reading is safe (RFC 9110 §9.2.1), all else is not."""
        return "read" if self.method in ("get", "head") else "write"

    @property
    def arguments(self) -> dict[str, Any]:
        """The schema of all arguments."""
        schema = {"type": "object", "properties": self.properties}
        if self.required:
            schema["required"] = self.required
        return schema | {"additionalProperties": False} | self.definitions


@dataclass(frozen=True, slots=True)
class Skipped:
    """An operation that is no tool, and why."""

    id: str
    because: str


def check_version(document: Mapping[str, Any]) -> None:
    """Refuse what is not OpenAPI 3.0 or 3.1."""
    version = document.get("openapi")
    if isinstance(version, str) and re.fullmatch(r"3\.[01](\.\d{1,3})?(-.{1,20})?", version):
        return
    if str(document.get("swagger", "")).startswith("2"):
        hint = "convert it to OpenAPI 3 first: many editors of such files do"
        raise Invalid("the file is OpenAPI 2.0 (Swagger), which is not read", hint=hint)
    said = "says no version" if version is None else f"is of version {quoted(version)}"
    raise Invalid(f"the file {said}; OpenAPI 3.0 and 3.1 are read", hint="look for `openapi: 3…`")


def operations(
    document: Mapping[str, Any], wanted: tuple[str, ...] = ()
) -> tuple[list[Operation], list[Skipped]]:
    """The operations by their ids, all of them or those wanted, and those that are no tools."""
    check_version(document)
    found = list(_listed(document))
    if wanted:
        known = [name for name, *_ in found]
        for name in wanted:
            if name not in known:
                raise NotFound(f"no operation {quoted(name)}", hint=instead(name, known))
        found = [entry for entry in found if entry[0] in wanted]
    if len(found) > OPENAPI_OPERATIONS_MAX:
        raise Invalid(
            f"the file has {len(found)} operations; {OPENAPI_OPERATIONS_MAX} are read at once",
            hint="name those an agent needs: --operation ID",
        )
    made, skipped = [], []
    for name, method, path, item in found:
        try:
            made.append(_operation(document, name, method, path, item))
        except Unfit as error:
            skipped.append(Skipped(name, str(error)))
    return made, skipped


def _listed(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Each operation's id, method and path, with the item of paths it is in."""
    paths = document.get("paths")
    if not isinstance(paths, dict):
        raise Invalid("the file has no `paths`", hint="it describes no operation")
    for path, item in sorted(paths.items()):
        if not isinstance(item, dict) or path.startswith("x-"):
            continue
        for method in METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                name = operation.get("operationId")
                known = name if isinstance(name, str) and name else f"{method} {path}"
                yield known, method, path, item


def _operation(
    document: Mapping[str, Any], name: str, method: str, path: str, item: Mapping[str, Any]
) -> Operation:
    said = item[method]
    if not re.fullmatch(HTTP_PATH_PATTERN, path) or len(path) > 1000:
        raise Unfit("its path is not one of a URL")
    if "servers" in said or "servers" in item:
        raise Unfit("it lives at another server than the rest: write its contract by hand")
    words = [shown(said.get(field)) for field in ("summary", "description")]
    made = Operation(
        id=name,
        method=method,
        path=path,
        description=" ".join(dict.fromkeys(w for w in words if w)) or f"{method.upper()} {path}",
    )
    schemas = Schemas(document, "request", notes=made.notes)
    for parameter in _parameters(document, item, said):
        _add_parameter(made, schemas, document, parameter)
    named = _IN_PATH.findall(made.path)
    if len(set(named)) < len(named):
        raise Unfit("its path names one parameter twice")
    for argument in named:
        if argument not in made.required:
            raise Unfit(f"its path names {quoted(argument)}, and no parameter does")
    _add_body(made, schemas, document, said.get("requestBody"))
    made.definitions = schemas.definitions()
    _add_results(made, document, said.get("responses"))
    return made


def _parameters(
    document: Mapping[str, Any], item: Mapping[str, Any], said: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The parameters of a path and of its operation, which may say some of them anew."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for holder in (item, said):
        listed = holder.get("parameters", [])
        if not isinstance(listed, list):
            raise Unfit("its `parameters` are no list")
        for entry in listed:
            parameter = resolved(document, entry)
            found[(str(parameter.get("in")), str(parameter.get("name")))] = parameter
    return list(found.values())


def _add_parameter(
    made: Operation, schemas: Schemas, document: Mapping[str, Any], parameter: Mapping[str, Any]
) -> None:
    place, wire = parameter.get("in"), str(parameter.get("name"))
    if place == "header" and wire.lower() in _NOT_ARGUMENTS:
        return
    if place == "header" and wire.lower() == "idempotency-key":
        made.key = wire
        return
    is_required = parameter.get("required") is True or place == "path"
    problem = _unsendable(place, wire, parameter, document)
    if problem is not None:
        if is_required:
            raise Unfit(f"its parameter {quoted(wire)} {problem}")
        made.notes.append(f"the parameter {quoted(wire)} was left out: it {problem}")
        return
    name = _argument(made, wire, str(place))
    described = {"description": shown(parameter.get("description"))}
    schema = schemas.converted(parameter.get("schema", {"type": "string"}))
    made.properties[name] = ({k: v for k, v in described.items() if v}) | schema
    if is_required:
        made.required.append(name)
    if place == "path":
        made.path = made.path.replace(f"{{{wire}}}", f"{{{name}}}")
    else:
        (made.query if place == "query" else made.headers)[wire] = name


def _unsendable(
    place: object, wire: str, parameter: Mapping[str, Any], document: Mapping[str, Any]
) -> str | None:
    """Why a parameter cannot be sent as its document says, if it cannot."""
    if place not in ("path", "query", "header"):
        return "goes into a cookie" if place == "cookie" else "has no place"
    if "content" in parameter or "schema" not in parameter:
        return "is written in a format of its own"
    if place == "header" and not re.fullmatch(HEADER_PATTERN, wire):
        return "is no name of a header"
    if len(wire) > 120 or not wire:
        return "has no name that can be used"
    schema = resolved(document, parameter["schema"])
    kind = schema.get("type")
    is_list = kind == "array" or (isinstance(kind, list) and "array" in kind)
    is_plain = parameter.get("style", "form") == "form" and parameter.get("explode", True) is True
    if is_list and not (place == "query" and is_plain):
        return "is a list written in a way of its own"
    if kind == "object" or "properties" in schema:
        return "is an object"
    return None


def _argument(made: Operation, wire: str, place: str) -> str:
    """A name for an argument that no other has and a path can hold."""
    name = wire if _ARGUMENT.fullmatch(wire) else re.sub(r"[^A-Za-z0-9_.-]+", "_", wire)
    for candidate in (name, f"{place}_{name}", *(f"{name}_{n}" for n in range(2, 100))):
        if candidate not in made.properties:
            return candidate
    raise Unfit("too many of its parameters have one name")


def _add_body(made: Operation, schemas: Schemas, document: Mapping[str, Any], said: Any) -> None:
    if said is None or made.effect == "read":
        return
    body = resolved(document, said)
    is_required = body.get("required") is True
    media = _json_media(body.get("content"))
    if media is None:
        if is_required:
            raise Unfit("its body is not JSON")
        made.notes.append("its body was left out: it is not JSON")
        return
    schema = media.get("schema", {})
    flat = resolved(document, schema) if isinstance(schema, dict) else {}
    if is_required and _is_flat(flat) and not flat["properties"].keys() & made.properties.keys():
        converted = schemas.converted(flat)
        made.properties |= converted["properties"]
        made.required += [n for n in converted.get("required", []) if n in made.properties]
        made.body = REST
        return
    made.body = _argument(made, "body", "request")
    made.properties[made.body] = schemas.converted(schema)
    if is_required:
        made.required.append(made.body)


def _is_flat(schema: Mapping[str, Any]) -> bool:
    """Whether a body is a plain object, whose fields can be arguments of their own."""
    properties = schema.get("properties")
    plain = {"type", "properties", "required", "description", "additionalProperties"}
    others = {k for k in schema if k not in plain | DOCUMENTING and not k.startswith("x-")}
    closed = schema.get("additionalProperties", False) is False
    return (
        isinstance(properties, dict)
        and bool(properties)
        and closed
        and schema.get("type", "object") == "object"
        and not others
        and schema.get("nullable") is not True
        and all(isinstance(n, str) and 0 < len(n) <= 120 for n in properties)
    )


def _json_media(content: Any) -> dict[str, Any] | None:
    """The JSON among the ways a message may be written."""
    if not isinstance(content, dict):
        return None
    for kind, media in content.items():
        plain = str(kind).split(";")[0].strip().lower()
        if (plain in ("application/json", "*/*") or plain.endswith("+json")) and isinstance(
            media, dict
        ):
            return media
    return None


def _add_results(made: Operation, document: Mapping[str, Any], responses: Any) -> None:
    """What is answered where it goes well; left open where that is not one thing."""
    try:
        made.results = _results(made, document, responses)
    except Unfit as error:
        made.notes.append(f"its results are not checked: {error}")


def _results(made: Operation, document: Mapping[str, Any], responses: Any) -> dict[str, Any] | None:
    if not isinstance(responses, dict):
        return None
    good = [v for status, v in responses.items() if re.fullmatch(r"2(\d\d|XX|xx)", str(status))]
    schemas = Schemas(document, "response", notes=[])
    found = []
    for response in good:
        said = resolved(document, response)
        content = said.get("content")
        media = _json_media(content)
        if media is None and content:
            return None  # text, or a file
        schema = None if media is None else media.get("schema")
        if media is not None and schema is None:
            return None
        found.append({"type": "null"} if media is None else schemas.converted(schema))
    if not found:
        return None
    made_schema = found[0] if len(found) == 1 else {"anyOf": found}
    definitions = schemas.definitions()
    made.notes += schemas.notes
    return made_schema | definitions if made_schema else None
