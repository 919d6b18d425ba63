"""Servers bound: where they are, how they are reached, what an agent may use there."""

from collections.abc import Mapping

from quarterdeck.domain.ids import ServerName
from quarterdeck.domain.servers import ConsentWanted, OAuthClient, Server, ServerGrant
from quarterdeck.fleet.schema import AgentEntry, ServerEntry
from quarterdeck.fleet.sheets import Folder, Sheet, named_as_file, present


def servers(folder: Folder) -> dict[ServerName, Server]:
    """The servers of the folder, by name."""
    bound = {}
    for sheet in present(folder.servers):
        named_as_file(sheet, sheet.entry.name)
        _reached(sheet)
        _signed_in(sheet)
        bound[ServerName(sheet.entry.name)] = _server(sheet, folder.files)
    return bound


def grants(sheet: Sheet[AgentEntry], folder: Folder) -> dict[ServerName, ServerGrant]:
    """What an agent may use of servers besides their tools."""
    found = {}
    for name, entry in sheet.entry.servers.items():
        at = ("servers", name)
        if not sheet.knows(at, "server", name, folder.servers):
            continue
        server = folder.servers[name]
        asked = entry.resources or entry.prompts or entry.elicitation or entry.sampling
        if server is not None and server.entry.protocol != "mcp" and asked:
            hint = "keep `secret` only; grant its operations under `tools`"
            sheet.note(at, f"`{name}` is no MCP server", hint)
        found[ServerName(name)] = ServerGrant(
            server=ServerName(name),
            resources=tuple(entry.resources),
            prompts=tuple(entry.prompts),
            elicitation=entry.elicitation,
            sampling=entry.sampling,
            secret=entry.secret,
        )
    return found


def _reached(sheet: Sheet[ServerEntry]) -> None:
    """By a URL or by a command, and by what the protocol knows."""
    entry = sheet.entry
    if (entry.url is None) == (not entry.command):
        sheet.note((), "reached by nothing, or by two ways", "write one of `url` and `command`")
    if entry.command and entry.protocol != "mcp":
        sheet.note(("command",), "only MCP servers are commands", "write `url`")
    if not entry.command and (entry.environment or entry.secrets):
        sheet.note((), "variables without a command", "remove `environment` and `secrets`")
    if entry.command and (entry.secret is not None or entry.oauth is not None):
        hint = "pass it in a variable: `secrets: {TOKEN: NAME}`"
        sheet.note(("secret",), "a command is shown no secret", hint)
    if entry.oauth is not None and entry.secret is None:
        sheet.note(("oauth",), "no secret to exchange", "name the client's secret in `secret`")
    for name in sorted(entry.environment.keys() & entry.secrets.keys()):
        sheet.note(("secrets", name), "also in `environment`", "keep one")


def _signed_in(sheet: Sheet[ServerEntry]) -> None:
    """What a person's consent needs, and what it stands in the place of."""
    entry = sheet.entry
    if entry.consent is None:
        return
    if entry.secret is None:
        sheet.note(("consent",), "no secret to keep it as", "name one in `secret`")
    if entry.protocol != "mcp" or entry.url is None:
        sheet.note(("consent",), "only MCP servers at a URL ask for it", "remove it")
    if entry.oauth is not None or entry.auth != "bearer":
        sheet.note(("consent",), "the secret is shown in another way, too", "keep one")


def _server(sheet: Sheet[ServerEntry], files: Mapping[str, bytes]) -> Server:
    entry = sheet.entry
    mine = {p: c for p, c in files.items() if p.startswith("servers/") and not _is_sheet(p)}
    for index, argument in enumerate(entry.command):
        if argument.startswith("servers/") and argument not in mine:
            hint = "write that file; files of `servers/` may be .py, .js, .json, .sql or .txt"
            sheet.note(("command", index), f"no file `{argument}` in the folder", hint)
    return Server(
        name=ServerName(entry.name),
        protocol=entry.protocol,
        url=entry.url,
        command=tuple(entry.command),
        environment=dict(entry.environment),
        secrets=dict(entry.secrets),
        secret=entry.secret,
        auth="oauth" if entry.oauth else "bearer" if entry.auth == "bearer" else "header",
        header=None if entry.auth == "bearer" else entry.auth,
        oauth=_oauth(entry),
        consent=_consent(entry),
        timeout_seconds=entry.timeout_seconds,
        calls_max=entry.calls_max,
        files=mine if any(a.startswith("servers/") for a in entry.command) else {},
    )


def _oauth(entry: ServerEntry) -> OAuthClient | None:
    if entry.oauth is None:
        return None
    return OAuthClient(
        token_url=entry.oauth.token_url, client_id=entry.oauth.client_id, scope=entry.oauth.scope
    )


def _consent(entry: ServerEntry) -> ConsentWanted | None:
    if entry.consent is None:
        return None
    return ConsentWanted(issuer=entry.consent.issuer, client_id=entry.consent.client_id)


def _is_sheet(path: str) -> bool:
    return path.endswith(".yaml")
