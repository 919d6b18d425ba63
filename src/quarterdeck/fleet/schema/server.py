"""`servers/NAME.yaml`: an MCP server or an HTTP API that tools live at."""

from typing import Literal

from pydantic import Field

from quarterdeck.domain import limits
from quarterdeck.domain.servers import Protocol
from quarterdeck.fleet.fields import (
    Argument,
    HeaderName,
    Name,
    Seconds,
    Secret,
    Text,
    Variable,
    VendorUrl,
)
from quarterdeck.fleet.schema.entry import Entry


class OAuthEntry(Entry):
    """Client credentials: the secret is exchanged for tokens that live shortly."""

    token_url: VendorUrl = Field(
        description="Where tokens are issued.", examples=["https://auth.example.com/token"]
    )
    client_id: Text = Field(description="Who asks for them.", examples=["quarterdeck"])
    scope: Text | None = Field(default=None, description="The scopes asked for, space-separated.")


class ConsentEntry(Entry):
    """A person signs in, once, by `quarterdeck servers sign-in NAME`."""

    issuer: VendorUrl = Field(
        description="Who issues tokens for the server: the issuer that the server itself names.",
        examples=["https://auth.example.com"],
    )
    client_id: Text | None = Field(
        default=None, description="Our name there, where the issuer gives none by itself."
    )


class ServerEntry(Entry):
    """`servers/NAME.yaml`: where tools live. Its credential is a secret: only the name is here."""

    name: Name = Field(description="The same as the file's name.", examples=["shop"])
    protocol: Protocol = Field(
        description="`mcp` for an MCP server, `http` for an HTTP API.", examples=["mcp"]
    )
    url: VendorUrl | None = Field(
        default=None,
        description="The MCP endpoint, or the root of the HTTP API. It may be private: whoever "
        "applies this folder names it.",
        examples=["https://shop.example.com/mcp"],
    )
    command: list[Argument] = Field(
        default_factory=list,
        description="Instead of `url`, a program that speaks MCP over its standard input and "
        "output. An argument that is a path under `servers/` runs the file that was applied.",
        examples=["[python3, servers/shop.py]"],
    )
    environment: dict[Variable, Argument] = Field(
        default_factory=dict, description="Variables of the command; it gets no others."
    )
    secrets: dict[Variable, Secret] = Field(
        default_factory=dict,
        description="Variables of the command whose values are secrets, by the secret's name.",
    )
    secret: Secret | None = Field(
        default=None, description="Name of the secret that is shown with each request."
    )
    auth: Literal["bearer"] | HeaderName = Field(
        default="bearer",
        description="How the secret is shown: as a `bearer` token, or in the header named here.",
        examples=["X-Api-Key"],
    )
    oauth: OAuthEntry | None = Field(
        default=None, description="Where the secret is exchanged for a token first."
    )
    consent: ConsentEntry | None = Field(
        default=None,
        description="Where a person signs in so that we may act for them. What they grant is kept "
        "as the secret, and refreshed.",
    )
    timeout_seconds: Seconds = Field(
        default=limits.SERVER_SECONDS_DEFAULT,
        description="How long it may take to answer anything but a tool call, which has its own.",
    )
    calls_max: int = Field(
        default=limits.SERVER_CALLS_DEFAULT,
        ge=1,
        le=limits.SERVER_CALLS_MAX,
        description="Calls at once, of one process; one agent alone gets three quarters of them.",
    )
