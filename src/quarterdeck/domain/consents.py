"""Consents: a person lets us act for them at an MCP server, once, in a browser (OAuth 2.1).

What is asked, of whom, and what counts as an answer: the server's refusal names its metadata
(RFC 9728), that names an issuer, whose metadata (RFC 8414) names the rest. Pure; who fetches what
is in `upstream/consents.py`.

INVARIANT: a client's id and secret are shown to the issuer that gave them and to no other.
INVARIANT: an answer counts if it carries the state we made and, where the issuer says it sends it,
its own name, character by character (RFC 9207).
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit, urlunsplit

import msgspec

from quarterdeck.domain.errors import Invalid, Unavailable

Method: TypeAlias = Literal["client_secret_basic", "client_secret_post", "none"]
#: `refused`: the issuer does not renew it any more.
ConsentState: TypeAlias = Literal["granted", "ended", "refused", "nobody"]
NAME: Final = "Quarterdeck"
OFFLINE: Final = "offline_access"  # the scope that OpenID Connect gives refresh tokens for
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Why a server refused: who are you, or you may not do that."""

    is_insufficient: bool = False
    metadata_url: str | None = None
    scopes: tuple[str, ...] = ()


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What a protected resource says of itself (RFC 9728)."""

    resource: str
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """What an authorization server says of itself (RFC 8414)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    scopes_supported: tuple[str, ...] = ()
    code_challenge_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    client_id_metadata_document_supported: bool = False
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who we are to one issuer."""

    issuer: str
    id: str
    secret: str | None = field(default=None, repr=False)
    method: Method | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person was asked, and what their answer must carry."""

    issuer: Issuer
    client: Client
    resource: str
    scopes: tuple[str, ...]
    redirect_uri: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where the person answers."""
        query = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": code_challenge(self.verifier),
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        query |= {"scope": " ".join(self.scopes)} if self.scopes else {}
        if OFFLINE in self.scopes:
            query["prompt"] = "consent"  # else OpenID providers leave the refresh token out
        joint = "&" if urlsplit(self.issuer.authorization_endpoint).query else "?"
        return self.issuer.authorization_endpoint + joint + urlencode(query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a person granted: tokens, of whom, for what, until when (seconds since the epoch)."""

    issuer: Issuer
    client: Client
    resource: str
    scopes: tuple[str, ...]
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    until: float | None
    #: Who granted it and when (microseconds); a refresh leaves both as they are.
    by: str = ""
    at: int = 0

    def kept(self) -> str:
        """As it is kept: as the value of a secret."""
        return msgspec.json.encode(self).decode()


def granted_of(secret: str) -> Granted | None:
    """What was kept as a secret; nothing if that is something else."""
    try:
        return msgspec.json.decode(secret, type=Granted)
    except (msgspec.DecodeError, ValueError):
        return None


def state_of(granted: Granted | None, *, is_refused: bool, now_seconds: float) -> ConsentState:
    """Whether what was granted can be used: a token that ended counts while it can be renewed."""
    if granted is None:
        return "nobody"
    if is_refused:
        return "refused"
    if granted.refresh_token is None and granted.until is not None:
        return "granted" if granted.until > now_seconds else "ended"
    return "granted"


def challenge_of(status: int, said: Sequence[str]) -> Challenge | None:
    """What a refusal asks for, out of its `WWW-Authenticate`; nothing if it asks for nothing.

    A 401 always asks who we are; a 403 asks for more only where it says `insufficient_scope`.
    """
    bearer = next((value for value in said if value.lower().startswith("bearer")), "")
    found = {
        match[1].lower(): match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        for match in _PARAMETER.finditer(bearer[6:])
    }
    is_insufficient = status == 403 and found.get("error") == "insufficient_scope"
    if status != 401 and not is_insufficient:
        return None
    return Challenge(
        is_insufficient=is_insufficient,
        metadata_url=found.get("resource_metadata"),
        scopes=tuple(found.get("scope", "").split()),
    )


def resource_urls(server_url: str, challenge: Challenge) -> tuple[str, ...]:
    """Where a server's metadata may be: where it says, else by its path, else at its root."""
    if challenge.metadata_url is not None:
        return (challenge.metadata_url,)
    return _well_known(server_url, "oauth-protected-resource", ("path", "root"))


def issuer_urls(issuer: str) -> tuple[str, ...]:
    """Where an issuer's metadata may be, in the order to look."""
    if not urlsplit(issuer).path.strip("/"):
        places = [("oauth-authorization-server", "root"), ("openid-configuration", "root")]
    else:
        places = [
            ("oauth-authorization-server", "path"),
            ("openid-configuration", "path"),
            ("openid-configuration", "end"),
        ]
    return tuple(url for name, place in places for url in _well_known(issuer, name, (place,)))


def _well_known(url: str, name: str, places: Sequence[str]) -> tuple[str, ...]:
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    paths = {
        "path": f"/.well-known/{name}{path}",
        "root": f"/.well-known/{name}",
        "end": f"{path}/.well-known/{name}",
    }
    found = (urlunsplit((parts.scheme, parts.netloc, paths[place], "", "")) for place in places)
    return tuple(dict.fromkeys(found))


def check_resource(resource: Resource, server_url: str) -> str:
    """The resource to ask tokens for; another server's metadata is Invalid.

    It is the server itself, or what it is a part of: the same origin, and a path above its own.
    """
    ours, theirs = urlsplit(server_url), urlsplit(resource.resource)
    above, path = theirs.path.rstrip("/") + "/", ours.path.rstrip("/") + "/"
    same = (ours.scheme, ours.netloc.lower()) == (theirs.scheme, theirs.netloc.lower())
    if not same or not path.startswith(above):
        raise Invalid(
            f"the metadata of `{server_url}` are those of `{resource.resource}`",
            hint="its operator must publish metadata whose `resource` is the server's own URL",
        )
    return resource.resource


def issuer_of(resource: Resource, named: str | None) -> str:
    """The issuer to ask, in the words of the resource: the one the fleet names, if it names one."""
    for issuer in resource.authorization_servers:
        if named is None or issuer.rstrip("/") == named.rstrip("/"):
            return issuer
    raise Invalid(
        f"`{resource.resource}` does not name the issuer `{named or 'any'}`",
        hint=f"it names: {', '.join(resource.authorization_servers)[:300] or 'none'}",
    )


def check_issuer(found: Issuer, wanted: str) -> Issuer:
    """An issuer that is the one that was looked for, and that we can ask safely."""
    # The official SDK's servers write a slash after every issuer that has no path.
    if found.issuer not in (wanted, wanted.removesuffix("/")):
        raise Invalid(f"the metadata of the issuer `{wanted}` are those of `{found.issuer}`")
    if "S256" not in found.code_challenge_methods_supported:
        raise Invalid(f"the issuer `{wanted}` does not do PKCE (S256), so a code could be stolen")
    for url in (found.authorization_endpoint, found.token_endpoint, found.registration_endpoint):
        if url is not None and not is_safe(url):
            raise Invalid(f"the issuer `{wanted}` names an endpoint without https")
    return found


def is_safe(url: str) -> bool:
    """Whether what is said there cannot be overheard."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS)


def scopes_to_ask(
    challenge: Challenge, resource: Resource, issuer: Issuer, before: Sequence[str]
) -> tuple[str, ...]:
    """The scopes of a request: those asked for now, and those there were before.

    Without any named, all that the resource supports; a refresh token where the issuer has them.
    """
    named = challenge.scopes or (() if before else resource.scopes_supported)
    offline = (OFFLINE,) if OFFLINE in issuer.scopes_supported else ()
    return tuple(dict.fromkeys((*before, *named, *offline)))


def registration(redirect_uri: str) -> dict[str, object]:
    """What we say of ourselves to an issuer that registers clients (RFC 7591)."""
    return {
        "client_name": NAME,
        "application_type": "native",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }


def code_challenge(verifier: str) -> str:
    """The half of a PKCE pair that may be seen."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def code_of(asked: Asked, answer_url: str) -> str:
    """The code in a person's answer; anything wrong with it is Invalid."""
    parameters = parse_qs(urlsplit(answer_url).query)
    said = {name: values[0] for name, values in parameters.items() if len(values) == 1}
    if said.get("state") != asked.state:
        raise Invalid("the answer is not one to what was asked", hint="begin again")
    issuer = said.get("iss")
    is_expected = asked.issuer.authorization_response_iss_parameter_supported
    if (issuer is None and is_expected) or (issuer is not None and issuer != asked.issuer.issuer):
        raise Invalid(f"the answer does not come from `{asked.issuer.issuer}`", hint="begin again")
    if "error" in said:
        raise Unavailable(f"`{asked.issuer.issuer}` answered `{said['error'][:100]}`")
    if not said.get("code"):
        raise Invalid("the answer has no code", hint="begin again")
    return said["code"]


def token_request(
    issuer: Issuer, client: Client, form: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """A request's form and headers, with the client shown in a way that the issuer knows."""
    if client.issuer != issuer.issuer:
        raise Invalid("a client is shown to the issuer that gave it, and to no other")
    method = client.method or _method(issuer, client)
    if method == "client_secret_basic":
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret or '')}".encode()
        return dict(form), {"authorization": "Basic " + base64.b64encode(pair).decode()}
    shown = {"client_id": client.id}
    if method == "client_secret_post":
        shown["client_secret"] = client.secret or ""
    return {**form, **shown}, {}


def _method(issuer: Issuer, client: Client) -> Method:
    if client.secret is None:
        return "none"
    known = issuer.token_endpoint_auth_methods_supported
    for method in ("client_secret_basic", "client_secret_post"):
        if method in known:
            return method
    return "none"
