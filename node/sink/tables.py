"""The reporting tables and what is written into them, as PostgreSQL understands it."""

from __future__ import annotations

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS comanda;
CREATE TABLE IF NOT EXISTS comanda.sites (
    site text PRIMARY KEY, zone text NOT NULL, day_begins text NOT NULL);
CREATE TABLE IF NOT EXISTS comanda.cursors (
    site text PRIMARY KEY, node text NOT NULL, epoch text NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
    token bigint NOT NULL, moved_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS comanda.operations (
    site text NOT NULL, link_key bigint NOT NULL, seq bigint NOT NULL, operation_id text NOT NULL,
    origin text NOT NULL, terminal_id text NOT NULL, user_id text, entity_type text NOT NULL, entity_id text,
    kind text NOT NULL, status text NOT NULL, accepted_at timestamptz NOT NULL,
    arrived_at timestamptz NOT NULL DEFAULT now(), business_day date NOT NULL, operation jsonb NOT NULL,
    changes jsonb, PRIMARY KEY (site, link_key));
CREATE INDEX IF NOT EXISTS operations_of_a_day ON comanda.operations (site, business_day);
CREATE INDEX IF NOT EXISTS operations_of_an_entity ON comanda.operations (site, entity_type, entity_id, accepted_at);
CREATE TABLE IF NOT EXISTS comanda.entities (
    site text NOT NULL, entity_type text NOT NULL, entity_id text NOT NULL, version bigint NOT NULL,
    deleted boolean NOT NULL, seq bigint NOT NULL, data jsonb NOT NULL, PRIMARY KEY (site, entity_type, entity_id));
CREATE TABLE IF NOT EXISTS comanda.orders (
    site text NOT NULL, order_id text NOT NULL, business_day date, opened_at timestamptz, status text, total numeric,
    tip numeric, people numeric, waiter text, deleted boolean NOT NULL, seq bigint NOT NULL,
    PRIMARY KEY (site, order_id));
CREATE INDEX IF NOT EXISTS orders_of_a_day ON comanda.orders (site, business_day);
CREATE TABLE IF NOT EXISTS comanda.order_lines (
    site text NOT NULL, order_id text NOT NULL, line_id text NOT NULL, position integer NOT NULL, sku text, name text,
    quantity numeric, price numeric, PRIMARY KEY (site, order_id, line_id));
CREATE TABLE IF NOT EXISTS comanda.payments (
    site text NOT NULL, order_id text NOT NULL, payment_id text NOT NULL, business_day date, method text,
    amount numeric, drawer text, PRIMARY KEY (site, order_id, payment_id));
CREATE INDEX IF NOT EXISTS payments_of_a_day ON comanda.payments (site, business_day);
CREATE OR REPLACE VIEW comanda.days AS
    SELECT site, business_day, count(*) AS operations, max(arrived_at) AS last_arrival
    FROM comanda.operations GROUP BY site, business_day;
"""

SETTLE = "SELECT pg_advisory_xact_lock(20181984)"
"""Two sinks that begin at once make the tables one after the other."""

SITE = "INSERT INTO comanda.sites VALUES (%(site)s, %(zone)s, %(day_begins)s) ON CONFLICT DO NOTHING"
READ_SITE = "SELECT zone, day_begins FROM comanda.sites WHERE site = %(site)s"

TAKE = """
INSERT INTO comanda.cursors (site, node, epoch, seq, hash, token) VALUES (%(site)s, '', '', 0, '', 1)
ON CONFLICT (site) DO UPDATE SET token = comanda.cursors.token + 1 RETURNING token
"""
"""Take a store over: whoever had it is fenced from here on."""

READ = "SELECT node, epoch, seq, hash, token FROM comanda.cursors WHERE site = %(site)s FOR UPDATE"

MOVE = """
UPDATE comanda.cursors SET node = %(node)s, epoch = %(epoch)s, seq = %(upto)s, hash = %(hash)s, moved_at = now()
WHERE site = %(site)s AND seq = %(seq)s AND token = %(token)s
"""

AGAIN = "UPDATE comanda.entities SET seq = 0 WHERE site = %(site)s"
"""The rows of another log are numbered otherwise: each entity is written anew as its rows come."""

OPERATION = """
INSERT INTO comanda.operations (site, link_key, seq, operation_id, origin, terminal_id, user_id, entity_type,
    entity_id, kind, status, accepted_at, business_day, operation, changes)
VALUES (%(site)s, %(link_key)s, %(seq)s, %(operation_id)s, %(origin)s, %(terminal_id)s, %(user_id)s, %(entity_type)s,
    %(entity_id)s, %(kind)s, %(status)s, %(accepted_at)s, %(business_day)s, %(operation)s::jsonb, %(changes)s::jsonb)
ON CONFLICT DO NOTHING
"""

ENTITY = """
INSERT INTO comanda.entities (site, entity_type, entity_id, version, deleted, seq, data)
VALUES (%(site)s, %(entity_type)s, %(entity_id)s, %(version)s, %(deleted)s, %(seq)s, %(data)s::jsonb)
ON CONFLICT (site, entity_type, entity_id) DO UPDATE
SET version = excluded.version, deleted = excluded.deleted, seq = excluded.seq, data = excluded.data
WHERE excluded.seq >= comanda.entities.seq
"""

ORDER = """
INSERT INTO comanda.orders (site, order_id, business_day, opened_at, status, total, tip, people, waiter, deleted, seq)
SELECT %(site)s, %(order_id)s, min(business_day), min(accepted_at), %(status)s, %(total)s, %(tip)s, %(people)s,
    %(waiter)s, %(deleted)s, %(seq)s
FROM comanda.operations
WHERE site = %(site)s AND entity_type = %(entity_type)s AND entity_id = %(order_id)s
ON CONFLICT (site, order_id) DO UPDATE
SET business_day = excluded.business_day, opened_at = excluded.opened_at, status = excluded.status,
    total = excluded.total, tip = excluded.tip, people = excluded.people, waiter = excluded.waiter,
    deleted = excluded.deleted, seq = excluded.seq
"""
"""An order is of the day on which it was opened."""

DROP_LINES = "DELETE FROM comanda.order_lines WHERE site = %(site)s AND order_id = ANY(%(orders)s)"
DROP_PAYMENTS = "DELETE FROM comanda.payments WHERE site = %(site)s AND order_id = ANY(%(orders)s)"

LINE = """
INSERT INTO comanda.order_lines (site, order_id, line_id, position, sku, name, quantity, price)
VALUES (%(site)s, %(order_id)s, %(line_id)s, %(position)s, %(sku)s, %(name)s, %(quantity)s, %(price)s)
"""

PAYMENT = """
INSERT INTO comanda.payments (site, order_id, payment_id, business_day, method, amount, drawer)
SELECT %(site)s, %(order_id)s, %(payment_id)s, business_day, %(method)s, %(amount)s, %(drawer)s
FROM comanda.orders WHERE site = %(site)s AND order_id = %(order_id)s
"""
"""A payment is of the day of its order."""
