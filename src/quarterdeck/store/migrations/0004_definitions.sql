-- What MCP servers said of their tools, and which of it owners released.

-- A definition as it was first seen under its hash.
create table definitions (
  hash text primary key,
  body text not null,
  seen_at bigint not null
){by_key};

-- What each server offers now; a server is its name, its place and the files it runs.
create table offered_tools (
  identity text not null,
  tool text not null,
  server text not null,
  hash text not null,
  since bigint not null,
  gone_at bigint,
  primary key (identity, tool)
){by_key};

create table released_definitions (
  identity text not null,
  tool text not null,
  hash text not null,
  server text not null,
  released_by text not null,
  released_at bigint not null,
  primary key (identity, tool, hash)
){by_key};
