#!/usr/bin/env bash
# Everything that a PostgreSQL database can hold comes back as it was: the text dumps of both databases are equal, and so are the rows.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db
name=$(database "$db")

service "$db"
sql "$db" <"$ROOT/test/acceptance/roundtrip.sql" >"$WORK/made"
for extension in pg_trgm hstore; do
  if [[ $(sql "$db" <<<"SELECT 1 FROM pg_available_extensions WHERE name = '$extension'") ]]; then
    sql "$db" <<<"CREATE EXTENSION $extension"
  else
    skip "extension $extension: it is not installed"
  fi
done
if [[ $(sql "$db" <<<"SELECT count(*) FROM pg_extension WHERE extname IN ('pg_trgm', 'hstore')") == 2 ]]; then
  sql "$db" <<<"CREATE TABLE extended (id int, h hstore, words text);
    INSERT INTO extended VALUES (1, 'a=>1, b=>NULL', 'alpaca'), (2, '\"odd key\"=>\"=>\"', 'cow');
    CREATE INDEX extended_words ON extended USING gin (words gin_trgm_ops)"
fi

backup "$db"
equal "state" "$(field state)" complete
equal "format" "$(field services.0.databases.0.dump.format | cut -d . -f 1)" "pg_dump custom 1"
fingerprints "$name" >"$WORK/fingerprints"
quietly dokku backup:verify "$id"
recover "$id"
service "${P}back"
load "${P}back" "$name" "$recovered/$name.dump"

# The fingerprints are those of the data: a backup of what was recovered has the same.
backup "${P}back"
equal "tables with a fingerprint" "$(wc -l <"$WORK/fingerprints")" "$(sql "$db" <<<"SELECT count(*) FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')")"
equal "fingerprints" "$(fingerprints "$name")" "$(<"$WORK/fingerprints")"
for table in "wide 60000" "parent 1" "child 2" "unlogged 100" "parts_2025 214" "one_text 5" "all_bytes 257"; do
  grep --quiet "'public', '${table% *}', ${table#* }, " "$WORK/fingerprints" || fail "no fingerprint of ${table% *} with ${table#* } rows: $(<"$WORK/fingerprints")"
done

# The lines around a dump that hold a random word are none of its content.
text() { timeout "$limit" docker exec "$(container "$1")" pg_dump -U postgres -d "$name" | sed '/^\\\(un\)\?restrict /d'; }
text "$db" >"$WORK/before.sql"
text "${P}back" >"$WORK/after.sql"
cmp "$WORK/before.sql" "$WORK/after.sql" || fail "the text dumps differ: $(diff "$WORK/before.sql" "$WORK/after.sql" | cut -c 1-200 | head -n 20)"
digests "$db" >"$WORK/before"
digests "${P}back" "$name" >"$WORK/after"
cmp "$WORK/before" "$WORK/after" || fail "rows differ: $(diff "$WORK/before" "$WORK/after")"

equal "large objects" "$(sql "${P}back" "$name" <<<"SELECT count(*), md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata")" \
  "$(sql "$db" <<<"SELECT count(*), md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata")"
next="SELECT nextval('counter'), nextval('never_used'), nextval('identity_id_seq')"
equal "next values of sequences" "$(sql "${P}back" "$name" <<<"$next")" "170|1|70"
equal "next values of sequences, before" "$(sql "$db" <<<"$next")" "170|1|70"
