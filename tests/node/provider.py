"""A real OAuth provider in a process of its own, and what a test asks of it.

    async with provider(tmp_path) as issuer:
        token = await issuer.token_for("alice", audience="http://127.0.0.1:7700/mcp", scope="tools")

Tokens of people come by the code flow with PKCE, tokens of services by client credentials. The
private key is the test's own, so `sign` makes what the provider would never have said: tokens that
ended an hour ago, that name another issuer, or that lack a claim.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.node.environment import provider_command

START_SECONDS: Final = 30
STEPS_MAX: Final = 12
ALGORITHM: Final = "RS256"
CALLBACK: Final = "http://127.0.0.1/callback"
DESKTOP, SERVICE = "desktop", "service"
SECRET: Final = "the-secret-of-the-service-0123456789"
CLIENTS: Final = (
    {
        "client_id": DESKTOP,
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
    },
    {
        "client_id": SERVICE,
        "client_secret": SECRET,
        "redirect_uris": [],
        "response_types": [],
        "grant_types": ["client_credentials"],
    },
)


class Key:
    """A key pair under an id."""

    def __init__(self, kid: str) -> None:
        """A new one."""
        self.kid = kid
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self) -> dict[str, Any]:
        """The private key as the provider takes it."""
        own = self._key.private_numbers()
        numbers = {
            "n": own.public_numbers.n,
            "e": own.public_numbers.e,
            "d": own.d,
            "p": own.p,
            "q": own.q,
            "dp": own.dmp1,
            "dq": own.dmq1,
            "qi": own.iqmp,
        }
        head = {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": self.kid}
        return head | {name: _number(value) for name, value in numbers.items()}

    def sign(self, claims: Mapping[str, Any], head: Mapping[str, Any]) -> str:
        """A token of these claims."""
        said = ".".join(_base64(json.dumps(part).encode()) for part in (dict(head), dict(claims)))
        signature = self._key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{said}.{_base64(signature)}"


@dataclass(frozen=True, slots=True)
class Issuer:
    """A provider that listens."""

    url: str
    key: Key

    async def token_for(self, subject: str, *, audience: str, scope: str = "") -> str:
        """The access token of a person, by the code flow."""
        verifier = secrets.token_urlsafe(40)
        challenge = _base64(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "client_id": DESKTOP,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "scope": f"openid {scope}".strip(),
            "resource": audience,
            "login_hint": subject,
        }
        async with self._client() as client:
            code = await self._code(client, asked)
            return await self._token(
                client,
                {
                    "grant_type": "authorization_code",
                    "client_id": DESKTOP,
                    "code": code,
                    "code_verifier": verifier,
                    "redirect_uri": CALLBACK,
                    "resource": audience,
                },
            )

    async def service_token(self, *, audience: str, scope: str = "") -> str:
        """The access token of a service; its subject is the service itself."""
        asked = {"grant_type": "client_credentials", "resource": audience, "scope": scope}
        async with self._client() as client:
            return await self._token(client, asked, auth=(SERVICE, SECRET))

    def sign(
        self, subject: str, *, audience: str, scope: str = "", age_seconds: int = 0, **claims: Any
    ) -> str:
        """A token by the provider's own key: said `age_seconds` ago, with claims of one's choice.

        A claim that is None is left out.
        """
        said_at = int(time.time()) - age_seconds
        usual = {
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "scope": scope,
            "client_id": DESKTOP,
            "jti": secrets.token_urlsafe(12),
            "iat": said_at,
            "exp": said_at + 300,
        }
        chosen = {name: value for name, value in (usual | claims).items() if value is not None}
        return self.key.sign(chosen, {"alg": ALGORITHM, "typ": "at+jwt", "kid": self.key.kid})

    async def _code(self, client: httpx2.AsyncClient, asked: Mapping[str, str]) -> str:
        answer = await client.get("/auth", params=dict(asked))
        for _ in range(STEPS_MAX):
            assert answer.is_redirect, f"{answer.request.url}: {answer.status_code} {answer.text}"
            to = urljoin(str(answer.request.url), answer.headers["location"])
            if to.startswith(CALLBACK):
                found = parse_qs(urlsplit(to).query)
                assert "code" in found, to
                return found["code"][0]
            answer = await client.get(to)
        raise AssertionError(f"no code after {STEPS_MAX} steps")

    async def _token(
        self,
        client: httpx2.AsyncClient,
        asked: Mapping[str, str],
        auth: tuple[str, str] | None = None,
    ) -> str:
        answer = await client.post("/token", data=dict(asked), auth=auth)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=30)


@contextlib.asynccontextmanager
async def provider(
    folder: Path,
    *,
    port: int = 0,
    key: Key | None = None,
    scopes: Sequence[str] = ("tools",),
    seconds: int = 300,
    form: Literal["jwt", "opaque"] = "jwt",
) -> AsyncIterator[Issuer]:
    """A provider with these scopes, for whatever audience is asked.

    Started again on the same port with another key it is one that rotated its keys.
    """
    signing = key or Key("first")
    settings = {
        "port": port,
        "keys": [signing.jwk()],
        "clients": CLIENTS,
        "scopes": list(scopes),
        "seconds": seconds,
        "format": form,
        "algorithm": ALGORITHM,
    }
    errors = folder / "provider.err"
    with errors.open("wb") as writing:
        process = await asyncio.create_subprocess_exec(
            *provider_command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=writing,
        )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(settings).encode())
        process.stdin.write_eof()
        async with asyncio.timeout(START_SECONDS):
            said = await process.stdout.readline()
        assert said.startswith(b"{"), f"{said!r} {errors.read_text()[-3000:]}"
        yield Issuer(json.loads(said)["issuer"], signing)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
