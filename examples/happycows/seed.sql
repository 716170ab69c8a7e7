-- Fills happycows' database; works on the tables of every version. The same
-- rows each time. The variables, with their defaults (about 3 MB):
--
--     psql -v cows=3000 -v milkings=20000 -f seed.sql "$DATABASE_URL"
--
-- A million milkings are about 110 MB, 80 MB of them in a dump.
\set ON_ERROR_STOP on
\if :{?cows}
\else
    \set cows 3000
\endif
\if :{?milkings}
\else
    \set milkings 20000
\endif

BEGIN;

INSERT INTO cows (name, born)
SELECT (ARRAY['Bella', 'Daisy', 'Flora', 'Heidi', 'Juno', 'Lotte', 'Resi', 'Zenzi'])[1 + n % 8] || ' ' || n,
       date '2016-01-01' + n % 3000
FROM generate_series(1, :cows) AS n;

INSERT INTO milkings (cow_id, at, litres, note)
SELECT herd.ids[1 + n % cardinality(herd.ids)],
       timestamptz '2026-01-01 04:30:00Z' + n * interval '1 minute',
       5 + n % 2500 / 100.0,
       md5(n::text)
FROM (SELECT array_agg(id ORDER BY id) AS ids FROM cows) AS herd,
     generate_series(1, :milkings) AS n;

COMMIT;
ANALYZE cows, milkings;
