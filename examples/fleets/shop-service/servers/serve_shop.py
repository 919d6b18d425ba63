"""The shop's MCP server: by standard input and output, or with `--http` by streamable HTTP."""

import argparse
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from shop import over_stdio
from shop.database import Unusable, connect, prepare

SAMPLE = Path(__file__).parent / "shop" / "sample.json"


DATABASE = Path("shop.sqlite")


def main() -> int:
    """Serve until the client hangs up or a signal comes."""
    chosen = _arguments()
    host, _, port = (chosen.http or "127.0.0.1:0").rpartition(":")
    token = os.environ.get("SHOP_TOKEN") or None
    if token is None and host not in ("127.0.0.1", "localhost", "::1"):
        print("to listen beyond this machine, set SHOP_TOKEN to a secret", file=sys.stderr)
        return 2
    try:
        prepare(chosen.database, chosen.data)
        with closing(connect(chosen.database)) as shop:
            if chosen.http is None:
                over_stdio.serve(shop)
            else:
                _over_http(shop, host, int(port), token)
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _over_http(shop: sqlite3.Connection, host: str, port: int, token: str | None) -> None:
    from shop import over_http  # noqa: PLC0415 - needs uvicorn, and stdio must not

    over_http.serve(shop, host, port, token)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--database",
        type=Path,
        default=Path(os.environ.get("SHOP_DATABASE") or DATABASE),
        help="the SQLite file; made from the data where it is not there (SHOP_DATABASE)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("SHOP_DATA") or SAMPLE),
        help="customers, products and orders: a JSON file, or a folder with `db.json` (SHOP_DATA)",
    )
    parser.add_argument(
        "--http",
        metavar="HOST:PORT",
        help="listen there instead, at /mcp; port 0 for any free one; SHOP_TOKEN is the bearer",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
