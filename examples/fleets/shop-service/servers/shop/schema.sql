-- The shop's tables. Money is whole cents; what may not happen, the tables refuse by themselves.
pragma user_version = 1;

create table products (
  product_id text primary key,
  name text not null
) strict;

-- One variant of a product: the thing that is ordered.
create table items (
  item_id text primary key,
  product_id text not null references products,
  options text not null check (json_valid(options)),
  available integer not null check (available in (0, 1)),
  price_cents integer not null check (price_cents >= 0)
) strict;
create index items_by_product on items (product_id);

create table users (
  user_id text primary key,
  first_name text not null,
  last_name text not null,
  email text not null unique collate nocase,
  address1 text not null,
  address2 text not null,
  city text not null,
  state text not null,
  country text not null,
  zip text not null
) strict;
create index users_by_name on users (last_name collate nocase, first_name collate nocase, zip);

create table payment_methods (
  payment_method_id text primary key,
  user_id text not null references users,
  source text not null check (source in ('credit_card', 'gift_card', 'paypal')),
  brand text,
  last_four text,
  balance_cents integer check (balance_cents >= 0),
  check ((source = 'gift_card') = (balance_cents is not null)),
  check ((source = 'credit_card') = (brand is not null and last_four is not null))
) strict;
create index payment_methods_by_user on payment_methods (user_id);

create table orders (
  number integer primary key,
  order_id text not null unique,
  user_id text not null references users,
  status text not null check (status in (
    'pending', 'pending (items modified)', 'processed', 'delivered', 'cancelled',
    'return requested', 'exchange requested')),
  cancel_reason text check (cancel_reason is null or status = 'cancelled'),
  address1 text not null,
  address2 text not null,
  city text not null,
  state text not null,
  country text not null,
  zip text not null
) strict;
create index orders_by_user on orders (user_id);

-- One thing ordered; an item ordered twice has two lines. The price is the one that was agreed.
create table order_lines (
  order_id text not null references orders (order_id),
  line integer not null,
  item_id text not null references items,
  price_cents integer not null check (price_cents >= 0),
  tracking_id text,
  primary key (order_id, line)
) strict, without rowid;

create table payments (
  order_id text not null references orders (order_id),
  number integer not null,
  kind text not null check (kind in ('payment', 'refund')),
  -- 10,000 dollars: what the contracts of the tools promise that no call passes.
  amount_cents integer not null check (amount_cents between 1 and 1000000),
  payment_method_id text not null references payment_methods,
  primary key (order_id, number)
) strict, without rowid;

-- What is to come back, and where the money then goes. One per order.
create table returns (
  order_id text primary key references orders (order_id),
  payment_method_id text not null references payment_methods
) strict;
create table return_lines (
  order_id text not null references returns,
  line integer not null,
  primary key (order_id, line),
  foreign key (order_id, line) references order_lines
) strict, without rowid;

-- What is to come back for what, and who then pays the difference. One per order.
create table exchanges (
  order_id text primary key references orders (order_id),
  payment_method_id text not null references payment_methods,
  price_difference_cents integer not null check (abs(price_difference_cents) <= 200000)
) strict;
create table exchange_lines (
  order_id text not null references exchanges,
  line integer not null,
  new_item_id text not null references items,
  primary key (order_id, line),
  foreign key (order_id, line) references order_lines
) strict, without rowid;

-- Conversations handed to a person.
create table transfers (
  number integer primary key,
  summary text not null
) strict;

-- What was done under which key, so that the same request is answered again and not done again.
create table requests (
  request_id text primary key,
  asked text not null,
  answered text not null check (json_valid(answered))
) strict, without rowid;
