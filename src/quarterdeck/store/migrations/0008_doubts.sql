-- Actions in doubt that were tried again: how often, when they may be tried next, and whether the
-- trying is over. Kept when the doubt is: it says how what is settled now came about.
create table doubts (
  action text primary key,
  tries integer not null,
  next_at bigint not null,
  ended_at bigint
){by_key};
create index doubts_by_end on doubts (ended_at) where ended_at is not null;
