-- Lists and searches over a long history read an index, never the whole of a table.

-- A run's totals without touching its rows: 45,000 actions are counted in milliseconds.
create index actions_by_outcome on actions (run, state, cost_nanousd);
-- Nearly every action ends `done`. This index holds the others; a list of their states instead of
-- the two comparisons costs every admission and settlement 5 us more.
create index actions_notable on actions (state, run) where state <> 'done' and state <> 'begun';
create index actions_by_target on actions (target, id);

create index runs_by_start on runs (agent, started_at, state);
create index runs_by_agent_state on runs (agent, state, id);
create index runs_by_team on runs (team, id);
create index runs_by_correlation on runs (correlation, id);
create index revisions_by_agent on revisions (agent, applied_at);

-- The words a run can be found by: of its redacted input, its correlation and its end.
create table run_words (
  word text not null,
  run text not null,
  primary key (word, run)
){by_key};

-- Answers to requests that carried an idempotency key, to be given again. The key is kept as a hash,
-- the answer sealed under a key that only its sender can name.
create table replies (
  caller text not null,
  key {blob} not null,
  digest {blob} not null,
  status integer not null,
  sealed {blob} not null,
  at bigint not null,
  primary key (caller, key)
){by_key};
create index replies_by_time on replies (at);

-- Who changed a secret last, to be told to whoever would overwrite it unseen.
alter table secrets add column set_by text;
