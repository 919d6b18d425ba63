"""Access tokens of people: JWTs (RFC 9068) of the one issuer that the fleet names, and for us.

INVARIANT: a token is good only if everything about it is: signature by a key of the issuer's set
with an asymmetric algorithm, issuer, audience (RFC 8707), time, scopes. What is missing or not
understood is not good.
Deliberately absent: opaque tokens (nobody could be asked without a credential at the issuer) and
tokens bound to a key (RFC 9449), which would be taken here without the proof they are bound to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from quarterdeck.domain.fleets import SignIn
from quarterdeck.domain.limits import JWT_BYTES_MAX, JWT_SKEW_SECONDS

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_TYPES: Final = frozenset(("at+jwt", "application/at+jwt", "jwt", ""))
_CLIENT_CHARACTERS_MAX: Final = 200
_KEYS_MAX: Final = 64
_PRIVATE: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class NotGood(Exception):
    """A token that is not taken, and why: for whoever runs the issuer, never for who sent it."""


class ScopeMissing(Exception):
    """A good token that lacks a scope."""


class KeyUnknown(Exception):
    """No key of the set has signed it; a newer set may hold one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Who a good token speaks for: a person by their id, through a client."""

    person: str
    client: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """A token as it says it is: nothing in it is trusted yet."""

    text: str
    algorithm: str
    kid: str | None


def opened(token: str) -> Unverified:
    """A token's header, checked for what would never be taken."""
    if len(token) > JWT_BYTES_MAX:
        raise NotGood("it is too long")
    try:
        header = jws.extract_compact(token.encode("ascii")).headers()
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise NotGood("it is no JWT") from error
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        raise NotGood("its header asks for what is not understood")
    if str(header.get("typ", "")).lower() not in _TYPES:
        raise NotGood("it is a JWT of another type")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise NotGood("its algorithm is not taken")
    if kid is not None and not isinstance(kid, str):
        raise NotGood("its key has no name")
    return Unverified(text=token, algorithm=str(algorithm), kid=kid)


def verified(token: Unverified, keys: KeySet, sign_in: SignIn, *, now: float) -> Bearer:
    """Who a token speaks for. Raises NotGood, ScopeMissing or KeyUnknown."""
    claims = _claims(token, keys)
    if claims.get("iss") != sign_in.issuer:
        raise NotGood("another issuer made it")
    audience = claims.get("aud")
    if sign_in.audience not in (audience if isinstance(audience, list) else [audience]):
        raise NotGood("it is for another audience")
    if "cnf" in claims:
        raise NotGood("it is bound to a key, and no proof is asked for here")
    _check_time(claims, now)
    person = claims.get(sign_in.person)
    if not isinstance(person, str) or not person:
        raise NotGood(f"its claim `{sign_in.person}` names nobody")
    if set(sign_in.scopes) - _scopes(claims):
        raise ScopeMissing
    client = claims.get("client_id", claims.get("azp"))
    named = client if isinstance(client, str) and client.isprintable() else ""
    return Bearer(person=person, client=named[:_CLIENT_CHARACTERS_MAX])


def usable(keys: Any) -> KeySet | None:
    """The keys of a set (RFC 7517) that may verify a signature; nothing if it is no set."""
    listed = keys.get("keys") if isinstance(keys, Mapping) else None
    if not isinstance(listed, list):
        return None
    good = []
    for entry in listed[:_KEYS_MAX]:
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if entry.get("use") not in (None, "sig"):
            continue
        public = {name: value for name, value in entry.items() if name not in _PRIVATE}
        try:
            good += KeySet.import_key_set({"keys": [public]}).keys
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # a key of a kind we do not know signs nothing we take
    return KeySet(good)


def _claims(token: Unverified, keys: KeySet) -> dict[str, Any]:
    fitting = [
        key
        for key in keys.keys
        if (token.kid is None or key.kid == token.kid)
        and key.key_type == _KEY_TYPES[token.algorithm[:2]]
        and key.get("alg") in (None, token.algorithm)
    ]
    if not fitting or (token.kid is None and len(fitting) > 1):
        raise KeyUnknown
    try:
        found = jws.deserialize_compact(
            token.text.encode(), fitting[0], algorithms=[token.algorithm]
        )
        claims = orjson.loads(found.payload)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise NotGood("its signature is not right") from error
    if not isinstance(claims, dict):
        raise NotGood("it holds no claims")
    return claims


def _check_time(claims: Mapping[str, Any], now: float) -> None:
    ends = claims.get("exp")
    if ends is None or not _is_time(ends) or now >= ends + JWT_SKEW_SECONDS:
        raise NotGood("it has expired")
    for name in ("nbf", "iat"):
        begins = claims.get(name)
        if begins is not None and (not _is_time(begins) or now < begins - JWT_SKEW_SECONDS):
            raise NotGood("it is not good yet")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of a token: `scope`, as words, or `scp`, as some issuers write it."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        said = claims.get(name)
        if isinstance(said, str):
            found |= set(said.split())
        elif isinstance(said, list):
            found |= {word for word in said if isinstance(word, str)}
    return frozenset(found)
