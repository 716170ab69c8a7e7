-- What acceptance/roundtrip.sh backs up and recovers. PostgreSQL 12 and later.

-- Rows that the COPY text must quote: tabs, line ends, backslashes, what looks like the end of the data, NULL beside ''.
CREATE TABLE odd_rows (id int, t text);
INSERT INTO odd_rows VALUES
    (1, E'tab\there'), (2, E'line\nend'), (3, E'return\r\n'), (4, E'back\\slash'), (5, E'\\.'), (6, E'\n\\.\n'), (7, E'\\N'), (8, NULL), (9, ''),
    (10, E'\b\f\v\x01\x7f'), (11, ' spaces '), (12, E'\\'), (13, E'trailing\\'), (14, 'Grüße, 牛, 🐄, e' || chr(769)), (15, chr(1114109));
INSERT INTO odd_rows SELECT 1000 + n, 'a' || chr(n) || 'b' FROM generate_series(1, 1200) n;
CREATE TABLE one_text (t text);
INSERT INTO one_text VALUES (NULL), (''), (E'\\.'), (E'\\N'), (E'\n');
CREATE TABLE all_bytes (b bytea);
INSERT INTO all_bytes SELECT decode(lpad(to_hex(n), 2, '0'), 'hex') FROM generate_series(0, 255) n;
INSERT INTO all_bytes SELECT string_agg(decode(lpad(to_hex(n), 2, '0'), 'hex'), '' ORDER BY n) FROM generate_series(0, 255) n;

-- Values of 1 MB and a row of many, more rows than one segment holds.
CREATE TABLE large (id int, t text, b bytea);
INSERT INTO large SELECT n, repeat(md5(n::text), 32768), decode(repeat(md5(n::text), 16384), 'hex') FROM generate_series(1, 5) n;
CREATE TABLE wide (id bigint PRIMARY KEY, at timestamptz, amount numeric(20, 4), real_ float8, flag boolean, doc jsonb, list text[], range_ int4range, words tsvector);
INSERT INTO wide SELECT n, timestamptz '2026-01-01 00:00:00Z' + n * interval '37 seconds', n / 7.0, CASE n % 1000 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE sqrt(n) END,
    n % 3 = 0, jsonb_build_object('n', n, 'q"', E'x\ty'), ARRAY['a,b', NULL, '"' || n, '{}'], int4range(n, n + 5), to_tsvector('simple', 'cow number ' || n)
    FROM generate_series(1, 60000) n;

CREATE TABLE empty (id int);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE dropped_column (a int, b text, c int);
INSERT INTO dropped_column VALUES (1, 'gone', 2);
ALTER TABLE dropped_column DROP COLUMN b;

-- Names.
CREATE SCHEMA "Odd ""schema""; --";
CREATE TABLE "Odd ""schema""; --"."select * from ""x""" ("a b" int, "tab	here" text, "ü" text DEFAULT 'ö');
INSERT INTO "Odd ""schema""; --"."select * from ""x""" VALUES (1, 'x'), (2, 'y');
CREATE TABLE "line
break" (a int);
INSERT INTO "line
break" VALUES (1);
CREATE SCHEMA other;
CREATE TABLE other.empty AS SELECT 'not empty' AS t;

-- Partitions, inheritance, unlogged tables.
CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_2025 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (id);
CREATE TABLE parts_2026_1 PARTITION OF parts_2026 FOR VALUES IN (1, 2, 3);
CREATE TABLE parts_2026_rest PARTITION OF parts_2026 DEFAULT;
CREATE INDEX parts_at ON parts (at);
INSERT INTO parts SELECT n % 10, date '2025-06-01' + n FROM generate_series(0, 400) n;
CREATE TABLE parent (id int PRIMARY KEY, t text);
CREATE TABLE child (extra text) INHERITS (parent);
INSERT INTO parent VALUES (1, 'parent');
INSERT INTO child VALUES (2, 'child', 'x'), (3, 'child', 'y');
CREATE UNLOGGED TABLE unlogged AS SELECT n AS id FROM generate_series(1, 100) n;

-- Sequences, identity and generated columns.
CREATE SEQUENCE counter INCREMENT 7 START 100;
SELECT nextval('counter') FROM generate_series(1, 10);
CREATE SEQUENCE never_used;
CREATE TABLE identity (id int GENERATED ALWAYS AS IDENTITY (START 50), t text);
INSERT INTO identity (t) SELECT 'n' || n FROM generate_series(1, 20) n;
CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text);
INSERT INTO generated (a, c) SELECT n, 'c' || n FROM generate_series(1, 20) n;

-- Views, functions, triggers, types, constraints, policies, comments.
CREATE MATERIALIZED VIEW herd AS SELECT id % 10 AS kind, count(*) AS cows FROM wide GROUP BY 1 ORDER BY 1;
CREATE MATERIALIZED VIEW not_filled AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW cows AS SELECT * FROM herd WHERE kind > 3;
CREATE TYPE mood AS ENUM ('calm', 'it''s "odd"');
CREATE DOMAIN litres AS numeric CHECK (VALUE >= 0);
CREATE TABLE typed (m mood, l litres, pair parent);
INSERT INTO typed VALUES ('it''s "odd"', 1.50, ROW(1, E'a\tb')), (NULL, NULL, NULL);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.t := NEW.t || '!'; RETURN NEW; END$$;
CREATE TRIGGER touched BEFORE INSERT ON odd_rows FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE refers (id int REFERENCES parent (id), up int);
ALTER TABLE refers ADD PRIMARY KEY (id), ADD FOREIGN KEY (up) REFERENCES refers (id);
INSERT INTO refers VALUES (1, NULL);
ALTER TABLE refers ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON refers USING (id = 1);
COMMENT ON TABLE wide IS E'of many\ncolumns; --';

-- Large objects: empty, small, and larger than one chunk of the archive.
SELECT lo_from_bytea(200001, ''), lo_from_bytea(200002, '\x00ff5c2e0a'), lo_from_bytea(200003, decode(repeat(md5('x'), 65536), 'hex'));
COMMENT ON LARGE OBJECT 200002 IS 'a large object';
