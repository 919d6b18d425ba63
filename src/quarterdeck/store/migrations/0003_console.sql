-- What the console remembers for a person. The indexes it reads by are in 0002.

-- Filters a person wants to see again; the query is what stands after the `?` of the page.
create table views (
  person text not null,
  name text not null,
  query text not null,
  saved_at bigint not null,
  primary key (person, name)
){by_key};

-- Sessions that were signed out of before their time, by a hash: a copy of the cookie is worth nothing.
create table ended_sessions (
  hash {blob} primary key,
  until bigint not null
){by_key};
