"""fastmcp's proxy as its documentation starts one, for `benchmarks.mcp`: arguments PORT and URL.

It runs in the peer's own environment, where nothing of ours is installed.
"""

import sys

from fastmcp.server import create_proxy

create_proxy(sys.argv[2], name="proxy").run(
    transport="http",
    host="127.0.0.1",
    port=int(sys.argv[1]),
    json_response=True,
    show_banner=False,
    log_level="error",
    uvicorn_config={"access_log": False},
)
