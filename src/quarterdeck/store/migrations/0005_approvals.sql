-- What waits for a person, what a person could still do, and what an agent means to do.

-- One question to a person about one held action. Proposed again, the same call waits for the same
-- answer; an answer is spent in the transaction of the admission that uses it.
create table approvals (
  id text primary key,
  action text not null,
  run text not null,
  agent text not null,
  team text not null,
  revision text not null,
  kind text not null,
  target text not null,
  call text not null,
  digest text not null,
  labels text not null,
  consequences text not null,
  incarnation text not null,
  state text not null check (state in ('waiting', 'granted', 'denied', 'spent', 'lapsed')),
  asked_at bigint not null,
  answered_at bigint,
  answered_by text,
  because text,
  spent_by text
){by_key};
create index approvals_by_call on approvals (run, target, call, id);
create index approvals_by_state on approvals (state, id);
create index approvals_by_action on approvals (action);
create index approvals_by_spender on approvals (spent_by) where spent_by is not null;

-- A write that was not made, as it would have been made. Its id is its action's.
create table suggestions (
  action text primary key,
  run text not null,
  agent text not null,
  team text not null,
  revision text not null,
  target text not null,
  call text not null,
  consequences text not null,
  incarnation text not null,
  state text not null check (state in ('open', 'carried_out', 'dismissed')),
  made_at bigint not null,
  decided_at bigint,
  decided_by text,
  because text,
  carried_run text,
  carried_action text
){by_key};
create index suggestions_by_state on suggestions (state, action);
create index suggestions_by_run on suggestions (run);
create index suggestions_by_carried on suggestions (carried_action) where carried_action is not null;

create table plans (
  id text primary key,
  run text not null,
  agent text not null,
  team text not null,
  revision text not null,
  digest text not null,
  answer text not null check (answer in ('valid', 'invalid')),
  incarnation text not null,
  made_at bigint not null,
  carried_at bigint
){by_key};
create index plans_by_run on plans (run, id);

create table plan_steps (
  plan text not null,
  number integer not null,
  target text not null,
  call text not null,
  idempotency_key text not null,
  answer text not null,
  reasons text not null,
  consequences text not null,
  request text not null,
  action text,
  primary key (plan, number)
){by_key};
create index plan_steps_by_action on plan_steps (action) where action is not null;
