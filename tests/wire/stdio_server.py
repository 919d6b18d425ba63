"""A raw MCP server on standard input and output that does as it is told, misbehave included.

python -m tests.wire.stdio_server, or by its path: it imports nothing of ours.
"""

import json
import os
import sys
import threading
import time

ERA = os.environ.get("ERA", "2025-11-25")


def send(message: dict) -> None:
    """One line."""
    line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
    with LOCK:
        sys.stdout.write(line)
        sys.stdout.flush()


LOCK = threading.Lock()
ANSWERS: dict = {}
CHANGED: list = []


def text(said: object) -> dict:
    """A tool's result."""
    return {"content": [{"type": "text", "text": str(said)}], "resultType": "complete"}


def call(asked: dict) -> None:  # noqa: C901  a list of things that can go wrong
    """One call, in a thread of its own."""
    params, number = asked["params"], asked["id"]
    arguments = params.get("arguments") or {}
    match params["name"]:
        case "die":
            print("I am dying", file=sys.stderr, flush=True)
            os._exit(3)
        case "sleep":
            time.sleep(arguments["n"])
        case "seen":
            found = {
                "environment": dict(os.environ),
                "cwd": os.getcwd(),
                "files": sorted(os.listdir()),
                "pid": os.getpid(),
                "arguments": sys.argv[1:],
            }
            return send({"id": number, "result": text(json.dumps(found))})
        case "read":
            try:
                with open(arguments["path"], "rb") as file:
                    return send({"id": number, "result": text(f"read {len(file.read())}")})
            except OSError as error:
                return send({"id": number, "result": text(error.strerror)})
        case "progress":
            token = params["_meta"]["progressToken"]
            told = {"progressToken": token, "progress": arguments["n"]}
            send({"method": "notifications/progress", "params": told})
        case "ask":
            ANSWERS[f"q{number}"] = threading.Event()
            send({"id": f"q{number}", "method": "elicitation/create", "params": {"message": "?"}})
            ANSWERS[f"q{number}"].wait(10)
            return send({"id": number, "result": text(json.dumps(ANSWERS[f"a{number}"]))})
        case "noise":
            print("this is no message", flush=True)
            print("x" * 100_000, file=sys.stderr, flush=True)
        case "change":
            CHANGED.append("in other words")
            send({"method": "notifications/tools/list_changed"})
        case "flood":
            while True:
                sys.stdout.write("x" * 1_000_000)
    send({"id": number, "result": text(json.dumps(arguments))})


NAMES = ("echo", "die", "sleep", "seen", "read", "progress", "ask", "noise", "change", "flood")


def definitions() -> list:
    """What is listed."""
    schema = {"type": "object"}
    said = " ".join(("A tool.", *CHANGED))
    return [{"name": n, "description": said, "inputSchema": schema} for n in NAMES]


def take(asked: dict) -> None:
    """One message."""
    method, number = asked.get("method"), asked.get("id")
    if method is None:
        ANSWERS["a" + str(number)[1:]] = asked
        ANSWERS[number].set()
    elif method == "initialize" and ERA != "2026-07-28":
        said = {"protocolVersion": ERA, "capabilities": {"tools": {}}, "serverInfo": {}}
        send({"id": number, "result": said})
    elif method == "server/discover" and ERA == "2026-07-28":
        said = {"supportedVersions": [ERA], "capabilities": {"tools": {}}}
        send({"id": number, "result": {**said, "resultType": "complete"}})
    elif method == "tools/list":
        send({"id": number, "result": {"tools": definitions()}})
    elif method == "tools/call":
        threading.Thread(target=call, args=(asked,), daemon=True).start()
    elif method == "notifications/cancelled":
        with open("cancelled.txt", "a") as file:
            file.write(f"{asked['params']['requestId']}\n")
    elif number is not None:
        send({"id": number, "error": {"code": -32601, "message": "Method not found"}})


if __name__ == "__main__":
    if os.environ.get("FAILS"):
        print("cannot begin: no licence", file=sys.stderr, flush=True)
        sys.exit(1)
    for line in sys.stdin:
        take(json.loads(line))
