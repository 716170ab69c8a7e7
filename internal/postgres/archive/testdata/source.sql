-- The database that the archives of this folder and the tests on a live server hold: a little of
-- all that pg_dump treats in its own way. Runs on PostgreSQL 10 and newer.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT current_setting('server_version_num')::int >= 120000 AS has_generated \gset

CREATE SCHEMA "Odd ""Schema""";

CREATE TABLE cows (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    milk numeric(6,2)
);
COMMENT ON TABLE cows IS 'identity column';
INSERT INTO cows (name, milk) SELECT 'cow ' || n, n * 1.5 FROM generate_series(1, 100) AS n;

CREATE TABLE "Odd ""Schema"""."select" ("a b" text, """q""" text, "naïve" text);
INSERT INTO "Odd ""Schema"""."select" VALUES
    (E'tab\there', E'back\\slash', E'\\N'),
    (E'\\.', E'line\nbreak', E'return\rhere'),
    ('', NULL, '\.');

-- Each byte that UTF-8 text allows: all of ASCII but 0, and each lead and continuation byte.
CREATE TABLE bytes (n integer, t text, b bytea);
INSERT INTO bytes
    SELECT n, chr(n), decode(lpad(to_hex(n % 256), 2, '0'), 'hex')
    FROM (SELECT generate_series(1, 255) UNION ALL
          SELECT generate_series(256, 2047, 64) UNION ALL
          SELECT generate_series(4096, 55295, 1024) UNION ALL
          SELECT generate_series(65536, 1114111, 65536)) AS c(n);

CREATE TABLE one_column (t text);
INSERT INTO one_column VALUES (E'\\.'), (''), (NULL), (E'\\.\n\n\n'), ('last');

CREATE TABLE empty (id integer, t text);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;

CREATE TABLE long_value (t text);
INSERT INTO long_value SELECT repeat(E'0123456789\t', 300);

\if :has_generated
CREATE TABLE boxes (w integer, h integer, area integer GENERATED ALWAYS AS (w * h) STORED);
\else
CREATE TABLE boxes (w integer, h integer);
\endif
INSERT INTO boxes VALUES (2, 3), (4, 5);

CREATE TABLE visits (at date NOT NULL, page text) PARTITION BY RANGE (at);
CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO visits VALUES ('2025-03-04', '/'), ('2026-05-06', '/cows'), ('2026-07-08', '/milk');

CREATE TABLE animals (name text);
CREATE TABLE bulls (horns integer) INHERITS (animals);
INSERT INTO animals VALUES ('some animal');
INSERT INTO bulls VALUES ('Ferdinand', 2);

CREATE UNLOGGED TABLE sessions (token text);
INSERT INTO sessions VALUES ('unlogged');

CREATE SEQUENCE tickets START 1000;
SELECT nextval('tickets') \g /dev/null

CREATE VIEW happy AS SELECT name FROM cows WHERE milk > 100;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS cows, sum(milk) AS milk FROM cows;
CREATE INDEX cows_name ON cows (name);
CREATE FUNCTION moo() RETURNS text LANGUAGE sql AS 'SELECT ''moo''::text';
GRANT SELECT ON cows TO PUBLIC;

-- Large objects: one of several chunks, an empty one, one whose oid has its highest bit set.
SELECT lo_from_bytea(4000000000, 'high oid'), lo_from_bytea(20001, ''),
       lo_from_bytea(20002, decode(repeat('00ff5c2e0a', 3500), 'hex')) \g /dev/null
COMMENT ON LARGE OBJECT 20002 IS 'several chunks';
