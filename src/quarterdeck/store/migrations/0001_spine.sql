-- Times are whole microseconds since the epoch, money is integer nano-USD, JSON is text.

create table standing (
  id integer primary key check (id = 1),
  incarnation text not null,
  epoch bigint not null,
  fleet_version text
);

create table processes (
  id text primary key,
  role text not null,
  host text not null,
  pid bigint not null,
  started_at bigint not null,
  lease_until bigint not null
);

-- Everything secret that the product makes for itself, wrapped by the master key.
create table keys (
  name text primary key,
  wrapped {blob} not null
);

create table secrets (
  name text primary key,
  sealed {blob} not null,
  set_at bigint not null
);

create table fleets (
  version text primary key,
  files {blob} not null,
  applied_at bigint not null,
  applied_by text not null
);

create table revisions (
  hash text primary key,
  agent text not null,
  team text not null,
  fleet_version text not null,
  applied_at bigint not null
);

create table agents (
  name text primary key,
  team text not null,
  revision text not null,
  retired_at bigint
);

create table agent_keys (
  id text primary key,
  agent text not null,
  hash {blob} not null unique,
  hint text not null,
  issued_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  rotated_to text
);
create index agent_keys_by_agent on agent_keys (agent);

create table freezes (
  scope text primary key,
  reason text not null,
  at bigint not null
);

create table runs (
  id text primary key,
  agent text not null,
  team text not null,
  revision text not null,
  state text not null check (state in ('running', 'succeeded', 'failed', 'escalated', 'cancelled')),
  kind text not null,
  started_by text not null,
  correlation text not null,
  labels text not null,
  credential_hash {blob} not null unique,
  credential_until bigint not null,
  deadline bigint not null,
  incarnation text not null,
  started_at bigint not null,
  ended_at bigint,
  because text,
  input text not null,
  result text,
  sealing_key {blob}
);
create index runs_by_agent on runs (agent, id);
create index runs_by_state on runs (state, id);

create table actions (
  id text primary key,
  run text not null,
  agent text not null,
  team text not null,
  revision text not null,
  kind text not null,
  target text not null,
  mark text not null,
  state text not null check (state in
    ('begun', 'done', 'failed', 'not_attempted', 'refused', 'held', 'suggested', 'in_doubt')),
  answer text not null,
  reasons text not null,
  labels text not null,
  digest text not null,
  idempotency_key text,
  process text not null,
  incarnation text not null,
  proposed_at bigint not null,
  not_after bigint,
  settled_at bigint,
  holds text not null,
  price_version text,
  cost_nanousd bigint not null,
  usage text,
  usage_source text,
  detail text,
  request text,
  response text
){by_key};
create index actions_by_run on actions (run, id);
create unique index actions_by_key on actions (run, idempotency_key)
  where idempotency_key is not null and state not in ('refused', 'held', 'not_attempted');
create index actions_by_digest on actions (run, digest) where kind = 'tool';
create index actions_open on actions (process) where state = 'begun';
create index actions_in_doubt on actions (proposed_at) where state = 'in_doubt';

-- INVARIANT (I-3): charged + held never passes the cap but by what was recorded as overrun.
create table budgets (
  id text primary key,
  cap bigint,
  held bigint not null check (held >= 0),
  charged bigint not null check (charged >= 0),
  overrun bigint not null check (overrun >= 0),
  check (cap is null or charged + held <= cap + overrun)
){by_key};

-- Counters per day, exact whatever is sampled: what pages and `costs` read.
create table tallies (
  day text not null,
  team text not null,
  agent text not null,
  kind text not null,
  target text not null,
  actions bigint not null,
  failed bigint not null,
  refused bigint not null,
  cost_nanousd bigint not null,
  input bigint not null,
  cache_read bigint not null,
  cache_write bigint not null,
  output bigint not null,
  reasoning bigint not null,
  primary key (day, team, agent, kind, target)
){by_key};

-- Redacted content, stored once per team under a keyed hash; a sequence names its parent and adds parts.
create table payloads (
  hash text primary key,
  team text not null,
  kind text not null,
  body {blob} not null
);

create table sealed (
  id text primary key,
  run text not null,
  body {blob} not null
);

create table leaves (
  writer text not null,
  number bigint not null,
  data text not null,
  hash {blob} not null,
  body text,
  nonce {blob},
  primary key (writer, number)
){by_key};

-- The order of the log: a span is a stretch of one writer's leaves. No leaf is ever updated.
create table spans (
  first bigint primary key,
  writer text not null,
  first_number bigint not null,
  count bigint not null
);
create index spans_by_writer on spans (writer, first_number);

create table tree_nodes (
  level integer not null,
  position bigint not null,
  hash {blob} not null,
  primary key (level, position)
){by_key};

create table heads (
  size bigint primary key,
  root {blob} not null,
  frontier {blob} not null,
  note text not null,
  at bigint not null
);

-- A commit whose answer was lost is looked up here by its attempt id (PostgreSQL only).
create table attempts (
  id text primary key,
  at bigint not null
);

create table handoffs (
  run text primary key,
  agent text not null,
  at bigint not null,
  body text not null,
  closed_at bigint
);
create index handoffs_open on handoffs (at) where closed_at is null;
