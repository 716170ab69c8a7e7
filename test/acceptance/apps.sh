#!/usr/bin/env bash
# Services and apps in odd relations: none, two, from an image, on a network of their own; several databases, roles and grants.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db

# Linked to no app.
service "$db"
sql "$db" <<<"CREATE TABLE notes (id int PRIMARY KEY, words text); INSERT INTO notes VALUES (1, 'alone')"
expect_exit 0 dokku backup:create "postgres:$db"
holds "stderr of create" "$err" "no app is linked to it: the backup holds no code"
expect_exit 0 dokku backup:info "$out" --format json
equal "apps of a service that is linked to none" "$(json 'apps.#' <<<"$out")" 0

# Linked to two apps, at different commits; the second one made from an image.
app "${P}one"
quietly dokku postgres:link "$db" "${P}one"
deploy "${P}one" v1
quietly docker tag "dokku/${P}one:latest" "${P}image:1"
app "${P}two"
quietly dokku postgres:link "$db" "${P}two"
quietly dokku git:from-image "${P}two" "${P}image:1"
backup "$db"
equal "apps" "$(field 'apps.*.name' | sort | xargs)" "${P}one ${P}two"
one=0 two=1
[[ $(field apps.0.name) == "${P}one" ]] || one=1 two=0
equal "commit of the first app" "$(field "apps.$one.commit")" "$(commit v1)"
expect_exit 0 dokku git:report "${P}two" --git-sha
equal "commit of the app from an image" "$(field "apps.$two.commit")" "$out"
equal "its certainty" "$(field "apps.$two.certainty")" recorded
equal "its image" "$(field "apps.$two.source_image")" "${P}image:1"
quietly dokku backup:list "$db"
holds "list of a backup with two apps" "$out" "$(commit v1 | cut -c 1-7)+"

# A service on a network of its own, whose address Dokku does not tell; while the first one is backed up too.
quietly dokku network:create "${P}net"
service "${P}apart" --initial-network "${P}net"
expect_exit 0 dokku postgres:info "${P}apart" --internal-ip
equal "internal ip" "$out" ""
sql "${P}apart" <<<"CREATE TABLE notes (id int PRIMARY KEY, words text); INSERT INTO notes VALUES (1, 'apart')"
timeout "$limit" dokku backup:create "$db" --quiet >"$WORK/id" &
backup "${P}apart"
wait $! || fail "two backups at once: the other one ended with $?"
equal "rows of the service on its own network" "$(field services.0.databases.0.tables.0.rows)" 1
quietly dokku backup:verify "$(<"$WORK/id")"

# Several databases, their names, encodings, owners and grants; data in "postgres" too.
sql "$db" <<'SQL'
CREATE ROLE shepherd LOGIN PASSWORD 'the-shepherd''s-password';
CREATE ROLE readers;
GRANT readers TO shepherd;
ALTER ROLE shepherd SET search_path = pasture, public;
CREATE DATABASE herd OWNER shepherd;
CREATE DATABASE "Odd ""name""/ü";
CREATE DATABASE "host=nowhere";
CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
SQL
sql "$db" herd <<'SQL'
CREATE SCHEMA pasture AUTHORIZATION shepherd;
SET ROLE shepherd;
CREATE TABLE pasture.cows (id int PRIMARY KEY, name text);
GRANT SELECT ON pasture.cows TO readers;
INSERT INTO pasture.cows SELECT n, 'cow ' || n FROM generate_series(1, 1000) n;
SQL
for name in postgres 'Odd "name"/ü' latin; do
  sql "$db" "$name" <<<"SET client_encoding = 'UTF8'; CREATE TABLE words (word text); INSERT INTO words VALUES ('grün'), ('$name')"
done
sql "$db" "dbname='host=nowhere'" <<<"CREATE TABLE words (word text); INSERT INTO words VALUES ('here')"
backup "$db"
equal "databases" "$(field 'services.0.databases.*.name' | LC_ALL=C sort | paste -sd ,)" \
  "$(printf '%s\n' 'Odd "name"/ü' herd host=nowhere latin postgres "$(database "$db")" | LC_ALL=C sort | paste -sd ,)"
lacks "the manifest" "$manifest" "the-shepherd"

recover "$id"
service "${P}back"
# The superuser is there already, and keeps the password that Dokku gave it.
grep -v 'ROLE postgres' "$recovered/roles.sql" >"$recovered/others.sql"
sql "${P}back" postgres <"$recovered/others.sql"
sql "${P}back" <<<"CREATE DATABASE herd OWNER shepherd; CREATE DATABASE odd; CREATE DATABASE nowhere;
  CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;"
into() { quietly docker exec -i "$(container "${P}back")" pg_restore -U postgres --exit-on-error -d "$1" <"$recovered/$2.dump"; }
into herd herd
into latin latin
into odd Odd%20%22name%22%2F%C3%BC
into nowhere host%3Dnowhere
into postgres postgres
into "$(database "${P}back")" "$(database "$db")"
equal "herd" "$(digests "${P}back" herd)" "$(digests "$db" herd)"
equal "latin" "$(digests "${P}back" latin)" "$(digests "$db" latin)"
equal "the odd name" "$(digests "${P}back" odd)" "$(digests "$db" 'Odd "name"/ü')"
equal "the name that looks like settings" "$(digests "${P}back" nowhere)" "$(digests "$db" "dbname='host=nowhere'")"
equal "postgres" "$(digests "${P}back" postgres)" "$(digests "$db" postgres)"
equal "the default one" "$(digests "${P}back")" "$(digests "$db")"
grants="SELECT c.relowner::regrole, c.relacl FROM pg_class c WHERE c.oid = 'pasture.cows'::regclass;
  SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname IN ('shepherd', 'readers') ORDER BY 1;
  SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE member = 'shepherd'::regrole;
  SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'shepherd'::regrole"
equal "owners, grants and roles" "$(sql "${P}back" herd <<<"$grants")" "$(sql "$db" herd <<<"$grants")"

# Nothing of the host is changed by it all: no connection, container or folder is left.
equal "sessions left" "$(sql "$db" <<<"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND application_name NOT IN ('', 'happycows')")" 0
equal "helper containers left" "$(docker ps --all --quiet --filter "label=com.dokku-backup.helper=$id")" ""
equal "folders left" "$(ls "$data/tmp")" ""
quietly docker rmi "${P}image:1"
