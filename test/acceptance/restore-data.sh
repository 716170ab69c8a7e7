#!/usr/bin/env bash
# All databases of a service come back with all that PostgreSQL can hold, its roles and their grants: equal rows, equal text dumps.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db new=${P}new
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
# Tables that refer to each other: no order of loading them would do with the constraints in place.
sql "$db" <<'SQL'
CREATE TABLE hen (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES hen);
INSERT INTO hen VALUES (1, 2), (2, 1);
INSERT INTO egg VALUES (1, 1), (2, 2);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;
SQL

# More databases, their encodings, names and settings; owners, grants and memberships.
sql "$db" <<'SQL'
CREATE ROLE shepherd LOGIN PASSWORD 'the-shepherd''s-password' CONNECTION LIMIT 7;
CREATE ROLE readers;
CREATE ROLE "Odd ""role""";
GRANT readers TO shepherd WITH ADMIN OPTION;
ALTER ROLE shepherd SET search_path = pasture, public;
CREATE DATABASE herd OWNER shepherd;
ALTER DATABASE herd SET statement_timeout = '7min';
REVOKE CONNECT ON DATABASE herd FROM PUBLIC;
GRANT CONNECT ON DATABASE herd TO readers;
CREATE DATABASE "Odd ""name""/ü";
CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
SQL
sql "$db" herd <<'SQL'
CREATE SCHEMA pasture AUTHORIZATION shepherd;
SET ROLE shepherd;
CREATE TABLE pasture.cows (id int PRIMARY KEY, name text);
GRANT SELECT ON pasture.cows TO readers;
GRANT UPDATE (name) ON pasture.cows TO "Odd ""role""";
ALTER DEFAULT PRIVILEGES IN SCHEMA pasture GRANT SELECT ON TABLES TO readers;
INSERT INTO pasture.cows SELECT n, 'cow ' || n FROM generate_series(1, 1000) n;
CREATE FUNCTION pasture.secret() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 42';
REVOKE ALL ON FUNCTION pasture.secret() FROM PUBLIC;
SQL
for other in postgres 'Odd "name"/ü' latin; do
  sql "$db" "$other" <<<"SET client_encoding = 'UTF8'; CREATE TABLE words (word text); INSERT INTO words VALUES ('grün'), ('$other')"
done

backup "$db"
equal "state" "$(field state)" complete
expect_exit 0 dokku backup:restore "$id" "$new" --yes --verify exact
lacks "stderr of restore" "$err" "the-shepherd"
lacks "stderr of restore" "$err" " !     "

# text SERVICE DATABASE: as pg_dump sees it. The lines around it that hold a random word are none of its content.
text() { timeout "$limit" docker exec "$(container "$1")" pg_dump -U postgres -d "$2" | sed '/^\\\(un\)\?restrict /d'; }

# same DATABASE [NEW-NAME]: rows and text dumps are equal.
same() {
  digests "$db" "$1" >"$WORK/before"
  digests "$new" "${2:-$1}" >"$WORK/after"
  cmp "$WORK/before" "$WORK/after" || fail "rows of $1 differ: $(diff "$WORK/before" "$WORK/after")"
  text "$db" "$1" >"$WORK/before"
  text "$new" "${2:-$1}" >"$WORK/after"
  cmp "$WORK/before" "$WORK/after" || fail "the text dumps of $1 differ: $(diff "$WORK/before" "$WORK/after" | cut -c 1-200 | head -n 20)"
}
same "$name" "$(database "$new")"
same herd
same 'Odd "name"/ü'
same latin
same postgres

# What belongs to the server and to no dump of one database. The superuser keeps the password that Dokku gave it.
server="SELECT datname, datdba::regrole, pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a) FROM pg_database
    WHERE datname NOT IN ('$name', '$(database "$new")') ORDER BY 1;
  SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil,
    CASE rolname WHEN 'postgres' THEN '' ELSE rolpassword END FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1;
  SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE roleid >= 16384 ORDER BY 1, 2;
  SELECT coalesce(datname, '-'), setrole::regrole, setconfig FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase ORDER BY 1, 2"
equal "databases, roles and their settings" "$(sql "$new" postgres <<<"$server")" "$(sql "$db" postgres <<<"$server")"
equal "large objects" "$(sql "$new" <<<"SELECT count(*), md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata")" \
  "$(sql "$db" <<<"SELECT count(*), md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata")"
equal "next values of sequences" "$(sql "$new" <<<"SELECT nextval('counter'), nextval('never_used'), nextval('identity_id_seq')")" "170|1|70"
equal "rows of materialized views" "$(sql "$new" <<<"SELECT count(*) FROM herd; SELECT relispopulated FROM pg_class WHERE relname = 'not_filled'" | xargs)" "10 f"
equal "constraints and indexes that do not hold" \
  "$(sql "$new" <<<"SELECT count(*) FROM pg_constraint WHERE NOT convalidated; SELECT count(*) FROM pg_index WHERE NOT indisvalid" | xargs)" "0 0"
# Dokku knows the new server's password, and it is not that of the old one.
[[ $(timeout "$limit" dokku postgres:info "$new" --dsn) == *:*@* ]] || fail "the new service has no DSN"
quietly dokku postgres:export "$new"

# A newer backup of what came back has the same fingerprints.
fingerprints herd >"$WORK/before"
backup "$new"
equal "fingerprints of herd" "$(fingerprints herd)" "$(<"$WORK/before")"
