"""How a vendor's key is shown to it, by the kind its entry declares."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from yarl import URL

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.fleets import Auth, Vendor
from quarterdeck.upstream.models.sigv4 import read_key, signature_headers

#: Of each kind that is one header: its name, and what stands before the key in it.
_HEADER: Final[dict[Auth, tuple[str, str]]] = {
    "bearer": ("authorization", "Bearer "),
    "x-api-key": ("x-api-key", ""),
    "api-key": ("api-key", ""),
    "x-goog-api-key": ("x-goog-api-key", ""),
}


class Outgoing(NamedTuple):
    """A request as it is about to leave."""

    url: URL
    #: By lower-case name.
    headers: dict[str, str]
    body: bytes


def show_key(vendor: Vendor, key: str, request: Outgoing, now: Callable[[], datetime]) -> None:
    """Add to a request what shows `key` to the vendor; a signature covers the whole of it."""
    plain = _HEADER.get(vendor.auth)
    if plain is not None:
        request.headers[plain[0]] = plain[1] + key
        return
    if vendor.region is None:
        raise Unavailable(
            f"vendor `{vendor.name}` names no region to sign requests for",
            hint="add `region:` to its entry in fleet.yaml",
        )
    added = signature_headers(
        request.url,
        request.body,
        request.headers.get("content-type", ""),
        key=read_key(key, vendor.name),
        region=vendor.region,
        now=now(),
    )
    request.headers.update(added)
