"""AWS Signature Version 4, as Bedrock asks for it: a signature over one request, by its key.

Signed are the host, the content type and everything `x-amz-`; what a proxy may add is not.
Deliberately absent: chunked and presigned requests, other services. See docs/decisions/0008.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

from yarl import URL

from quarterdeck.domain.errors import Unavailable
from quarterdeck.upstream.requests import host_of

SERVICE: Final = "bedrock"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class AwsKey:
    """An access key, with a session token if it is a temporary one."""

    id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


def read_key(written: str, vendor: str) -> AwsKey:
    """A key as its secret holds it: `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`."""
    parts = written.strip().split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise Unavailable(
            f"the secret of vendor `{vendor}` is not an AWS access key",
            hint="set it as ACCESS_KEY_ID:SECRET_ACCESS_KEY, or with :SESSION_TOKEN at its end",
        )
    return AwsKey(parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def signature_headers(
    url: URL, body: bytes, content_type: str, *, key: AwsKey, region: str, now: datetime
) -> dict[str, str]:
    """The headers to add to a POST so that AWS takes it."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": stamp}
    if key.token:
        added["x-amz-security-token"] = key.token
    signed = {"host": host_of(url), **added}
    if content_type:
        signed["content-type"] = content_type.strip()
    names = ";".join(sorted(signed))
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    request = _canonical_request(url, body, signed, names)
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.digest(_signing_key(key.secret, scope), text.encode(), "sha256").hex()
    added["authorization"] = (
        f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return added


def _canonical_request(url: URL, body: bytes, signed: Mapping[str, str], names: str) -> str:
    # A path is encoded once more than it is sent: `:` goes as %3A and is signed as %253A.
    path = quote(url.raw_path or "/", safe="/~")
    query = "&".join(sorted(url.raw_query_string.split("&"))) if url.raw_query_string else ""
    headers = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    return "\n".join(("POST", path, query, headers, names, hashlib.sha256(body).hexdigest()))


def _signing_key(secret: str, scope: str) -> bytes:
    """The secret, bound to a day, a region and a service one after another."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
