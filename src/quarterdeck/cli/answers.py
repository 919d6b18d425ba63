"""One answer from a browser: who signs in elsewhere is sent back to a port of this machine."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from quarterdeck.domain.errors import Unavailable
from quarterdeck.domain.limits import CONSENT_SECONDS_MAX

PAGE = b"<!doctype html><title>Quarterdeck</title><p>Done. You can close this page."


@contextlib.contextmanager
def answering(port: int) -> Iterator[tuple[str, Callable[[], str]]]:
    """The address to be sent back to, and what waits for that and gives the whole address."""
    came = threading.Event()
    answers: list[str] = []

    class Callback(BaseHTTPRequestHandler):
        """Takes one address, and says nothing of it."""

        def do_GET(self) -> None:
            """A browser that was sent back, or one that looks for an icon."""
            is_answer = self.path.startswith("/callback?")
            self.send_response(200 if is_answer else 404)
            self.send_header("content-type", "text/html")
            self.end_headers()
            if is_answer:
                self.wfile.write(PAGE)
                answers.append(f"{base}{self.path}")
                came.set()

        def log_message(self, *_: object) -> None:
            """The address has a code in it."""

    with HTTPServer(("127.0.0.1", port), Callback) as server:
        base = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def wait() -> str:
            if not came.wait(CONSENT_SECONDS_MAX):
                raise Unavailable("nobody came back from the browser", hint="run it again")
            return answers[0]

        try:
            yield f"{base}/callback", wait
        finally:
            server.shutdown()
            thread.join()
