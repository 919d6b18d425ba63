"""The Model Context Protocol, as much of it as a server with tools needs: message in, answer out.

Two eras of it: up to 2025-11-25 a client introduces itself once with `initialize`; since 2026-07-28
every request says who asks in its `_meta`. Nothing here knows how messages travel.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from shop import tools
from shop.refusal import Refused

#: Revisions with a handshake, the newest first, and those without.
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26")
STATELESS = ("2026-07-28",)

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, HEADER_MISMATCH, UNSUPPORTED_VERSION = -32603, -32020, -32022

PREFIX = "io.modelcontextprotocol/"
VERSION_KEY = f"{PREFIX}protocolVersion"
ABOUT = {"name": "shop", "title": "The shop", "version": "1.0.0"}
INSTRUCTIONS = "Find the customer before anything else; confirm every change before it is made."

Message = dict[str, Any]


class Failed(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.data = code, data


def answer(shop: sqlite3.Connection, message: Any) -> Message | None:
    """The answer to one message; nothing to a notification."""
    request = message.get("id") if isinstance(message, dict) else None
    try:
        method, params = _read(message)
        if "id" not in message:
            return None
        result = _result(shop, method, params)
    except Failed as failed:
        return error(request, failed)
    return {"jsonrpc": "2.0", "id": request, "result": result}


def error(request: Any, failed: Failed) -> Message:
    """The answer that says what was wrong."""
    said: Message = {"code": failed.code, "message": str(failed)}
    if failed.data is not None:
        said["data"] = failed.data
    known = request if isinstance(request, str | int) else None
    return {"jsonrpc": "2.0", "id": known, "error": said}


def parsed(raw: bytes) -> Any:
    """What a line or a body says."""
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise Failed(PARSE_ERROR, "not JSON") from problem


def stateless_version(message: Any) -> Any:
    """The revision a request names by itself, or nothing where it belongs to a handshake."""
    params = message.get("params") if isinstance(message, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta.get(VERSION_KEY) if isinstance(meta, dict) else None


def _read(message: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Failed(INVALID_REQUEST, "send one JSON-RPC 2.0 object")
    request, method, params = message.get("id", 0), message.get("method"), message.get("params", {})
    if isinstance(request, bool) or not isinstance(request, str | int):
        raise Failed(INVALID_REQUEST, "`id` must be a string or a whole number")
    if not isinstance(method, str):
        raise Failed(INVALID_REQUEST, "`method` must be a string")
    if not isinstance(params, dict):
        raise Failed(INVALID_PARAMS, "`params` must be an object")
    return method, params


def _result(shop: sqlite3.Connection, method: str, params: Mapping[str, Any]) -> Message:
    version = stateless_version({"params": params})
    if version is None and method == "initialize":
        return _introduction(params)
    if version is None and method == "ping":
        return {}
    if version is None:
        return _tools(shop, method, params)
    _must_speak(version, params["_meta"])
    meta = {f"{PREFIX}serverInfo": ABOUT}
    if method == "server/discover":
        found = _discovery()
    else:
        found = _tools(shop, method, params)
        if method == "tools/list":
            found |= {"ttlMs": 0, "cacheScope": "public"}
    return {**found, "resultType": "complete", "_meta": meta}


def _introduction(params: Mapping[str, Any]) -> Message:
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in HANDSHAKE else HANDSHAKE[0],
        "capabilities": {"tools": {}},
        "serverInfo": ABOUT,
        "instructions": INSTRUCTIONS,
    }


def _discovery() -> Message:
    return {
        "supportedVersions": [*STATELESS, *HANDSHAKE],
        "capabilities": {"tools": {}},
        "instructions": INSTRUCTIONS,
        "ttlMs": 0,
        "cacheScope": "public",
    }


def _must_speak(version: Any, meta: Mapping[str, Any]) -> None:
    if not isinstance(version, str):
        raise Failed(INVALID_PARAMS, f"`{VERSION_KEY}` must be a string")
    if not isinstance(meta.get(f"{PREFIX}clientCapabilities"), dict):
        raise Failed(INVALID_PARAMS, f"`_meta` must hold `{PREFIX}clientCapabilities`")
    if version not in STATELESS:
        data = {"supported": list(STATELESS), "requested": version}
        raise Failed(UNSUPPORTED_VERSION, "this revision of the protocol is not spoken", data)


def _tools(shop: sqlite3.Connection, method: str, params: Mapping[str, Any]) -> Message:
    if method == "tools/list":
        return {"tools": tools.definitions()}
    if method != "tools/call":
        raise Failed(NO_METHOD, "no such method")
    name = params.get("name")
    if not isinstance(name, str):
        raise Failed(INVALID_PARAMS, "`name` must be a string")
    try:
        found = tools.call(shop, name, params.get("arguments", {}))
    except tools.Unknown:
        raise Failed(INVALID_PARAMS, "no such tool") from None
    except Refused as refused:
        return {"content": [{"type": "text", "text": str(refused)}], "isError": True}
    except sqlite3.Error as trouble:
        raise Failed(INTERNAL_ERROR, f"the shop's database: {trouble}") from trouble
    text = json.dumps(found, ensure_ascii=False)
    return {"content": [{"type": "text", "text": text}], "structuredContent": found}
