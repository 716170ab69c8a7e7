-- Mixed data of about 1 GB as COPY text, in twenty tables: orders (numbers, times), posts (words), events (jsonb), files (bytes
-- that do not compress). psql variable `percent` (default 100) scales the number of rows.
\if :{?percent} \else \set percent 100 \endif
SELECT set_config('mixed.percent', :'percent', false) \g /dev/null

CREATE FUNCTION words(seed bigint, n int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT string_agg((ARRAY['daisy','bella','herd','milk','pasture','barn','farmer','spring','invoice','order','street','customer',
    'monday','quarter','gate','fence','hay','silo','tractor','vet','calf','market','auction','weight','feed','grass','morning',
    'evening','summer','winter','happy','cow'])[1 + (hashint8(seed * 31 + i) & 31)], ' ') FROM generate_series(1, n) i
$$;

DO $$
DECLARE
  rows bigint;
BEGIN
  FOR t IN 1..8 LOOP
    rows := 500000 * current_setting('mixed.percent')::bigint / 100;
    EXECUTE format('CREATE TABLE orders_%s AS SELECT i AS id, (hashint8(i) & 65535) AS customer_id,
      round((hashint8(i * 7) & 1048575)::numeric / 100, 2) AS amount, timestamptz ''2024-01-01'' + i * interval ''37 seconds'' AS created_at,
      (ARRAY[''new'',''paid'',''shipped'',''returned''])[1 + (hashint8(i * 3) & 3)] AS status, md5((i + %s)::text) AS token
      FROM generate_series(1::bigint, %s) i', t, t * 1000000, rows);
    EXECUTE format('ALTER TABLE orders_%s ADD PRIMARY KEY (id)', t);
  END LOOP;
  FOR t IN 1..6 LOOP
    rows := 120000 * current_setting('mixed.percent')::bigint / 100;
    EXECUTE format('CREATE TABLE posts_%s AS SELECT i AS id, words(i * %s, 8) AS title, words(i * 77 + %s, 60) AS body, i %% 1000 AS author
      FROM generate_series(1::bigint, %s) i', t, t, t, rows);
    EXECUTE format('ALTER TABLE posts_%s ADD PRIMARY KEY (id)', t);
  END LOOP;
  FOR t IN 1..4 LOOP
    rows := 400000 * current_setting('mixed.percent')::bigint / 100;
    EXECUTE format('CREATE TABLE events_%s AS SELECT i AS id, jsonb_build_object(''type'', (ARRAY[''click'',''view'',''buy''])[1 + (i %% 3)],
      ''user'', hashint8(i * %s) & 4095, ''path'', ''/herd/'' || (i %% 500), ''ms'', hashint8(i * 5) & 1023, ''agent'', ''Mozilla/5.0 (X11; Linux x86_64)'') AS data,
      timestamptz ''2025-01-01'' + i * interval ''1 second'' AS at FROM generate_series(1::bigint, %s) i', t, t, rows);
  END LOOP;
  FOR t IN 1..2 LOOP
    rows := 12000 * current_setting('mixed.percent')::bigint / 100;
    EXECUTE format('CREATE TABLE files_%s AS SELECT i AS id,
      decode((SELECT string_agg(md5((i * 1000 + j + %s)::text), '''') FROM generate_series(1, 128) j), ''hex'') AS content
      FROM generate_series(1::bigint, %s) i', t, t * 7919, rows);
  END LOOP;
END $$;
VACUUM ANALYZE;
