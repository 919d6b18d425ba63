"""The HTTP session of a process for what is asked now and then: tokens, metadata, keys of issuers.

Vendors and servers are called over connections of our own (`upstream/pool.py`).
"""

import aiohttp

from quarterdeck.domain.limits import (
    EFFECT_SECONDS_MAX,
    KEEPALIVE_SECONDS,
    VENDOR_CONNECT_SECONDS_DEFAULT,
)


def open_session() -> aiohttp.ClientSession:
    """The one session of a process. Building an SSL context costs 13 ms: once, not per call."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(
            total=EFFECT_SECONDS_MAX, sock_connect=VENDOR_CONNECT_SECONDS_DEFAULT
        ),
    )
