-- Values that were replaced and are good for a while longer, beside their successors in `secrets`.
create table retiring_secrets (
  name text primary key,
  sealed {blob} not null,
  until bigint not null
);
