"""The kinds of value that fleet files hold: names, amounts, paths, URLs, names of secrets."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from quarterdeck.domain import limits

NAME_PATTERN: Final = rf"^[a-z][a-z0-9_-]{{0,{limits.NAME_CHARACTERS_MAX - 1}}}$"
SECRET_PATTERN: Final = rf"^[A-Za-z][A-Za-z0-9_.-]{{0,{limits.NAME_CHARACTERS_MAX - 1}}}$"
FUNCTION_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
PROMPT_PATTERN: Final = r"^prompts/[A-Za-z0-9_./-]+\.(md|txt)$"
PYTHON_PATTERN: Final = r"^tools/[A-Za-z0-9_./-]+\.py$"
REGION_PATTERN: Final = r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$"
HEADER_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"
VARIABLE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"
PIN_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"
HTTP_PATH_PATTERN: Final = r"^/[A-Za-z0-9._~!$&'()*+,;=:@%{}/-]*$"
POINTER_PATTERN: Final = r"^(/[^/]*)+$"
SERVER_TOOL_PATTERN: Final = r"^[A-Za-z0-9_./-]{1,128}$"
AMOUNT_PATTERN: Final = r"^[0-9]{1,12}(\.[0-9]{1,12})?$"
AMOUNT_MAX: Final = 10**12
USD_MAX: Final = 10**9  # in nano-USD, nine times this still fits 64 bits
TEXT_CHARACTERS_MAX: Final = 4000

#: What to write where a pattern is not met.
PATTERN_HINTS: Final[Mapping[str, str]] = {
    NAME_PATTERN: "write lower-case letters, digits, `-` and `_`, starting with a letter, "
    f"at most {limits.NAME_CHARACTERS_MAX} characters",
    SECRET_PATTERN: "write the name under which the secret is stored, such as `OPENAI_KEY`",
    FUNCTION_PATTERN: "write the name of a function of that file",
    PROMPT_PATTERN: "write a path such as `prompts/triage.md`",
    PYTHON_PATTERN: "write a path such as `tools/route_ticket.py`",
    REGION_PATTERN: "write an AWS region such as `eu-central-1`",
    HEADER_PATTERN: "write the name of a header, such as `X-Api-Key`",
    VARIABLE_PATTERN: "write the name of a variable, such as `SHOP_TOKEN`",
    CURRENCY_PATTERN: "write an ISO 4217 code, such as `USD`",
    PIN_PATTERN: "write `sha256:` and 64 hexadecimal digits; `quarterdeck tools show` prints it",
    HTTP_PATH_PATTERN: "write a path such as `/orders/{order}`",
    POINTER_PATTERN: "write a JSON pointer such as `/order/id`; `*` stands for any item",
    SERVER_TOOL_PATTERN: "write the tool's name as its server lists it",
}

# A pasted key is never repeated in a message, so what looks like one is told apart first.
_KEY_STARTS: Final = ("sk-", "sk_", "rk_", "gsk_", "xai-", "AIza", "AKIA", "ghp_", "Bearer ")
_KEY_LIKE: Final = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_-]{32,}")


def _amount(value: object) -> object:
    """A decimal written with or without quotes; a float's shortest text is what was written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise PydanticCustomError("amount", "not an amount", {"hint": "write a decimal: `0.25`"})
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= AMOUNT_MAX:
        hint = f"write a decimal from 0 to {AMOUNT_MAX}, such as `0.25`"
        raise PydanticCustomError("amount", "not an amount", {"hint": hint})
    return amount


def _not_a_key(value: object) -> object:
    if isinstance(value, str) and (value.startswith(_KEY_STARTS) or _KEY_LIKE.fullmatch(value)):
        hint = "store the key as a secret, write that secret's name here, and replace the key"
        raise PydanticCustomError("secret", "this looks like a key itself", {"hint": hint})
    return value


def _base_url(value: str) -> str:
    hint = "write a URL such as `https://api.openai.com/v1`"
    try:
        parts = urlsplit(value)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname)
        well_formed = well_formed and (parts.port is None or parts.port > 0)
    except ValueError:
        well_formed = False
    if not well_formed or any(c.isspace() or not c.isprintable() for c in value):
        raise PydanticCustomError("url", "not an http or https URL", {"hint": hint})
    if parts.username is not None or parts.password is not None:
        hint = "remove it from the URL; store it as a secret and name that in `secret`"
        raise PydanticCustomError("secret", "the URL holds a user name or password", {"hint": hint})
    if parts.query or parts.fragment or "$" in value:
        hint = "write scheme, host and path only; fleet files hold no variables"
        raise PydanticCustomError("url", "more than scheme, host and path", {"hint": hint})
    return value.rstrip("/")


def _inside(value: str) -> str:
    if ".." in value.split("/") or "//" in value or "/./" in value:
        hint = "write the plain path from the folder's root"
        raise PydanticCustomError("path", "a path with `..`, `.` or `//`", {"hint": hint})
    return value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
ModelId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^\S+$")]
Count = Annotated[int, Field(ge=1, le=10**12)]
Seconds = Annotated[int, Field(ge=1, le=limits.EFFECT_SECONDS_MAX)]
Region = Annotated[str, StringConstraints(pattern=REGION_PATTERN)]
_AMOUNT_SCHEMA: Final = {
    "anyOf": [{"type": "string", "pattern": AMOUNT_PATTERN}, {"type": "number", "minimum": 0}]
}
Amount = Annotated[Decimal, BeforeValidator(_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
Usd = Annotated[
    Decimal, Field(le=USD_MAX), BeforeValidator(_amount), WithJsonSchema(_AMOUNT_SCHEMA)
]
Secret = Annotated[str, StringConstraints(pattern=SECRET_PATTERN), BeforeValidator(_not_a_key)]
VendorUrl = Annotated[
    str, AfterValidator(_base_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]
PromptFile = Annotated[str, StringConstraints(pattern=PROMPT_PATTERN), AfterValidator(_inside)]
PythonFile = Annotated[str, StringConstraints(pattern=PYTHON_PATTERN), AfterValidator(_inside)]
HeaderName = Annotated[str, StringConstraints(pattern=HEADER_PATTERN)]
Variable = Annotated[str, StringConstraints(pattern=VARIABLE_PATTERN)]
Currency = Annotated[str, StringConstraints(pattern=CURRENCY_PATTERN)]
Pin = Annotated[str, StringConstraints(pattern=PIN_PATTERN)]
HttpPath = Annotated[str, StringConstraints(pattern=HTTP_PATH_PATTERN, max_length=1000)]
Pointer = Annotated[str, StringConstraints(pattern=POINTER_PATTERN, max_length=200)]
ServerTool = Annotated[str, StringConstraints(pattern=SERVER_TOOL_PATTERN)]
Argument = Annotated[
    str, StringConstraints(max_length=TEXT_CHARACTERS_MAX), BeforeValidator(_not_a_key)
]
Property = Annotated[str, StringConstraints(min_length=1, max_length=200)]
FunctionName = Annotated[str, StringConstraints(pattern=FUNCTION_PATTERN)]
JsonObject = dict[str, Any]
