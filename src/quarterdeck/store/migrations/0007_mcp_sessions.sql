-- What sessions of MCP's handshake era cannot carry in their sealed ids, so that any process serves them.

-- Ended, or changed since the handshake: a hash of the id, and the sealed state.
create table mcp_sessions (
  hash {blob} primary key,
  until bigint not null,
  state {blob} not null
){by_key};
create index mcp_sessions_by_end on mcp_sessions (until);

-- Answers of clients to what a server asked, that came to another process than the one that waits.
create table mcp_answers (
  hash {blob} primary key,
  until bigint not null,
  body {blob} not null
){by_key};
