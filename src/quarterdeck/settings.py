"""Process settings: environment and flags, read once into one frozen value, and only here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from quarterdeck.domain.errors import Invalid

SECRET_PREFIX: Final = "QUARTERDECK_SECRET_"  # noqa: S105  a name, not a secret
NAMES: Final = {
    "QUARTERDECK_DATA": "the data folder (default: .quarterdeck)",
    "QUARTERDECK_DATABASE_URL": "a postgresql:// URL; without one, SQLite in the data folder",
    "QUARTERDECK_KEY_FILE": "the file that holds the master key (default: DATA/master.key)",
    "QUARTERDECK_HOST": "the address to listen on (default: 127.0.0.1)",
    "QUARTERDECK_PORT": "the port to listen on (default: 7700)",
    "QUARTERDECK_URL": "for the command line: the server to talk to",
    "QUARTERDECK_GATEWAY_URL": "where agents reach the gateway, if not at the server's own URL",
    "QUARTERDECK_TOKEN": "for the command line: a person's token for that server",
    "QUARTERDECK_AGENT_KEY": "for programs with the SDK: an agent's key, to start its runs with",
    "QUARTERDECK_RUN": "inside a run: its id, as `runs start` and `exec` export it",
    "QUARTERDECK_CREDENTIAL": "inside a run: its credential, good for as long as the run",
    "QUARTERDECK_MCP_URL": "inside a run: the MCP server of all tools that its agent is granted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one process runs with."""

    folder: Path = Path(".quarterdeck")
    database_url: str | None = None
    key_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = 7700
    url: str | None = None
    gateway_url: str | None = None
    token: str | None = field(default=None, repr=False)
    run: str | None = None
    credential: str | None = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise Invalid(f"`{self.port}` is not a port", hint="use a number from 0 to 65535")
        if self.database_url is not None:
            if not self.database_url.startswith(("postgresql://", "postgres://")):
                raise Invalid(
                    "QUARTERDECK_DATABASE_URL is not a PostgreSQL URL",
                    hint="write postgresql://user@host/database, or leave it out to use SQLite",
                )
            if self.key_file is None:
                raise Invalid(
                    "with PostgreSQL the master key must be given",
                    hint="set QUARTERDECK_KEY_FILE to a file every process can read, mode 0600",
                )

    @property
    def master_key_file(self) -> Path:
        """Where the master key is."""
        return self.key_file or self.folder / "master.key"


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment; an unknown QUARTERDECK_ name is an error."""
    env = os.environ if environment is None else environment
    ours = {name: value for name, value in env.items() if name.startswith("QUARTERDECK_")}
    secrets = {
        name.removeprefix(SECRET_PREFIX).lower(): value
        for name, value in ours.items()
        if name.startswith(SECRET_PREFIX)
    }
    for name in ours:
        if name not in NAMES and not name.startswith(SECRET_PREFIX):
            raise Invalid(f"unknown setting `{name}`", hint=f"known are: {', '.join(NAMES)}")
    key_file = ours.get("QUARTERDECK_KEY_FILE")
    return Settings(
        folder=Path(ours.get("QUARTERDECK_DATA", ".quarterdeck")),
        database_url=ours.get("QUARTERDECK_DATABASE_URL") or None,
        key_file=Path(key_file) if key_file else None,
        host=ours.get("QUARTERDECK_HOST", "127.0.0.1"),
        port=_port(ours.get("QUARTERDECK_PORT", "7700")),
        url=ours.get("QUARTERDECK_URL") or None,
        gateway_url=ours.get("QUARTERDECK_GATEWAY_URL") or None,
        token=ours.get("QUARTERDECK_TOKEN") or None,
        run=ours.get("QUARTERDECK_RUN") or None,
        credential=ours.get("QUARTERDECK_CREDENTIAL") or None,
        secrets=secrets,
    )


def for_program(added: Mapping[str, str]) -> dict[str, str]:
    """The environment of a governed program: ours, without what only its starter may use."""
    withheld = (
        "QUARTERDECK_TOKEN",
        "QUARTERDECK_AGENT_KEY",
        "QUARTERDECK_DATABASE_URL",
        "QUARTERDECK_KEY_FILE",
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in withheld and not name.startswith(SECRET_PREFIX)
    }
    return kept | dict(added)


def _port(text: str) -> int:
    if not text.isdigit():
        raise Invalid(f"`{text}` is not a port", hint="set QUARTERDECK_PORT to a number")
    return int(text)
