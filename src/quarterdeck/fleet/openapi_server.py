"""The server of an OpenAPI document: where it is, and how its secret is shown."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from quarterdeck.domain.addresses import is_public
from quarterdeck.domain.errors import Invalid
from quarterdeck.fleet.fields import HEADER_PATTERN
from quarterdeck.fleet.openapi import METHODS
from quarterdeck.fleet.openapi_schemas import Unfit, resolved, shown
from quarterdeck.fleet.problems import quoted

_VARIABLE: Final = re.compile(r"\{([^{}]+)\}")
_LOCAL: Final = re.compile(r"(^|\.)(localhost|local|internal|home\.arpa|lan)\.?$", re.IGNORECASE)
_HOST: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*)+\.?")


@dataclass(slots=True)
class ApiServer:
    """The entry of `servers/`, as far as the document says it, and what a person must decide."""

    url: str
    entry: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def server_of(document: Mapping[str, Any], url: str | None, secret: str) -> ApiServer:
    """The server; `url` goes before what the document says of it.

    A document cannot name a private address: whoever applies the folder would have named it.
    """
    made = ApiServer(url or _url(document))
    _add_credential(made, document, secret)
    return made


def _url(document: Mapping[str, Any]) -> str:
    hint = "say where the API is: --api-url https://api.example.com"
    listed = document.get("servers")
    first = listed[0] if isinstance(listed, list) and listed else None
    said = first.get("url") if isinstance(first, dict) else None
    if not isinstance(said, str) or not isinstance(first, dict):
        raise Invalid("the file does not say where the API is", hint=hint)
    variables = first.get("variables")
    found = _VARIABLE.sub(lambda m: _default(variables, m[1]), said).rstrip("/")
    if not is_public_url(found):
        raise Invalid(f"{quoted(found)} is no public address of an API", hint=hint)
    return found


def _default(variables: Any, name: str) -> str:
    entry = variables.get(name) if isinstance(variables, dict) else None
    return str(entry.get("default", "")) if isinstance(entry, dict) else ""


def is_public_url(url: str) -> bool:
    """Whether a URL is written as one of a public host. Nothing is looked up."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or parts.username or parts.query or parts.fragment:
        return False
    if port == 0 or not re.fullmatch(r"[!-~]+", url) or "$" in url or "{" in url:
        return False
    if is_public(host):
        return True
    return _HOST.fullmatch(host) is not None and _LOCAL.search(host) is None


def _add_credential(made: ApiServer, document: Mapping[str, Any], secret: str) -> None:
    """The scheme that most operations ask for, where it is one of those that can be shown."""
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    if not isinstance(schemes, dict):
        return
    for name, scopes in _asked(document):
        try:
            scheme = resolved(document, schemes.get(name))
        except Unfit:
            continue
        shown_as = _shown_as(scheme, scopes)
        if shown_as is not None:
            made.entry |= {"secret": secret} | shown_as
            if "oauth" in shown_as:
                made.notes.append("put your own client's id into `oauth.client_id`")
            return
        made.notes.append(f"the security scheme {quoted(name)} cannot be shown by the platform")


def _asked(document: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Security schemes with their scopes, those asked for most often first."""
    count: Counter[str] = Counter()
    scopes: dict[str, set[str]] = {}
    for requirement in _requirements(document):
        for name, asked in requirement.items():
            count[str(name)] += 1
            words = asked if isinstance(asked, list) else []
            scopes.setdefault(str(name), set()).update(w for w in words if isinstance(w, str))
    return [(name, tuple(sorted(scopes[name]))) for name, _ in count.most_common()]


def _requirements(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usual = document.get("security")
    paths = document.get("paths")
    for item in paths.values() if isinstance(paths, dict) else ():
        for method in METHODS:
            said = item.get(method) if isinstance(item, dict) else None
            if isinstance(said, dict):
                listed = said.get("security", usual)
                found = listed if isinstance(listed, list) else []
                yield from (entry for entry in found if isinstance(entry, dict))


def _shown_as(scheme: Mapping[str, Any], scopes: tuple[str, ...]) -> dict[str, Any] | None:
    kind = scheme.get("type")
    if kind == "http" and str(scheme.get("scheme")).lower() == "bearer":
        return {"auth": "bearer"}
    if kind == "apiKey" and scheme.get("in") == "header":
        name = str(scheme.get("name"))
        if re.fullmatch(HEADER_PATTERN, name) and name.lower() != "authorization":
            return {"auth": name}
    if kind == "oauth2":
        return _oauth(scheme.get("flows"), scopes)
    return None


def _oauth(flows: Any, scopes: tuple[str, ...]) -> dict[str, Any] | None:
    flow = flows.get("clientCredentials") if isinstance(flows, dict) else None
    url = flow.get("tokenUrl") if isinstance(flow, dict) else None
    if not isinstance(url, str) or not is_public_url(url):
        return None
    oauth = {"token_url": url, "client_id": "quarterdeck"}
    words = [w for w in scopes if re.fullmatch(r"[!#-[\]-~]{1,100}", w)]
    return {"oauth": oauth | ({"scope": shown(" ".join(words))} if words else {})}
