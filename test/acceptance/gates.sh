#!/usr/bin/env bash
# Gates that do not open: a restore stops there, says what, why, what it left and how to go on, and production is as it was.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows new=${P}back moo=${P}moo

# stopped MESSAGE LEFT: the restore that has just ended with $err stopped so, and production is as it was.
stopped() {
  holds "stderr" "$err" " !     $1"
  holds "stderr" "$err" " !     $2"
  spoken "$err"
  equal "stdout" "$out" ""
  equal "production after: $1" "$(production "$db" "$cows")" "$before"
}
unproven="stopped before the app was created. service $new is kept for you to look at; it is not proven"
onwards=" !     go on after mending:  dokku backup:restore --resume $new
 !     or remove it:         dokku backup:restore --abort $new"

# stops MESSAGE LEFT FLAG...: a restore of the newest backup, which can be gone on with.
stops() {
  limit=$((limit * 2)) expect_exit 1 dokku backup:restore "$db" "$new" --yes "${@:3}"
  stopped "$1" "$2"
  equal "how to go on" "$(tail -n 2 <<<"$err")" "$onwards"
  dokku postgres:info "$new" --id >/dev/null || fail "service $new is not there"
}

# aborted: nothing is left of it.
aborted() {
  quietly dokku backup:restore --abort "$new"
  equal "stderr of abort" "$err" "-----> Removing what the restore into $new made
=====> Removed: nothing of the restore into $new is left"
  equal "left behind" "$(left_of "\(back\|moo\)")" ""
}

# meanwhile STEP FLAG...: a restore in the background, which has begun that step when this returns; ended waits for it.
meanwhile() {
  streams=$WORK/run
  timeout --kill-after 5 150 dokku backup:restore "$db" "$new" --yes "${@:2}" >"$streams.out" 2>"$streams.err" &
  run=$!
  until_true "step $1" grep --quiet --no-messages "\"step\": \"$1\"" "$data/restores/$new/journal.json"
}

# segment TABLE: the file of its first one.
segment() {
  local name
  name=$(python3 -c 'import json, sys
print(next(t["segments"][0]["name"] for t in json.load(sys.stdin)["services"][0]["databases"][0]["tables"] if t["name"] == sys.argv[1]))' "$1" <<<"$manifest")
  echo "$data/repository/segments/${name:0:2}/$name"
}

happycows "$db" "$cows"
backup "$db"
before=$(production "$db" "$cows")

# An app that starts and is not well: its commit wants a column that the data have not. It has a minute to become well.
limit=240 timeout 300 dokku backup:restore "$db" "${P}slow" --app "${P}sick" --commit v2 --env NO_MIGRATE=1 --yes >"$WORK/sick.out" 2>"$WORK/sick.err" &
sick=$!
loaded() { grep --quiet --no-messages --extended-regexp '"step": "(app|code|link|build|health)"' "$data/restores/${P}slow/journal.json"; }
until_true "the data of the app that will not be well are loaded" loaded

# A segment that is lost: nothing is made. One that is damaged, or lost after that was looked at: no row of it is believed.
file=$(segment cows)
mv "$file" "$WORK/segment"
expect_exit 1 dokku backup:restore "$db" "$new" --yes
stopped "table public.cows is not whole: a segment is missing" "nothing was left behind"
holds "hint" "$err" " !     find out what else is damaged: dokku backup:verify --all"
equal "left behind" "$(left_of "\(back\|moo\)")" ""
cp -a "$WORK/segment" "$file"
python3 - "$file" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    f.seek(len(data) // 2)
    f.write(bytes([data[len(data) // 2] ^ 1]))
END
stops "load database \"$(database "$db")\": table public.cows: " "$unproven" --app "$moo"
holds "stderr for a damaged segment" "$err" " is damaged"
expect_exit 1 dokku backup:restore --resume "$new"
stopped "load database \"$(database "$db")\": table public.cows: " "$unproven"
cp -a "$WORK/segment" "$file"
limit=$((limit * 2)) quietly dokku backup:restore --resume "$new" --yes
equal "rows after going on" "$(digests "$new")" "$(digests "$db")"
get "$moo" /
holds "page after going on" "$out" "happycows v1: 3000 cows"
quietly dokku postgres:unlink "$new" "$moo" --no-restart
quietly dokku apps:destroy "$moo" --force
quietly dokku postgres:destroy "$new" --force
meanwhile create
rm "$file"
ended 1
stopped "load database \"$(database "$db")\": table public.cows: " "service $new is kept for you to look at; it is not proven"
aborted
mv "$WORK/segment" "$file"

# Code: the remote was pushed over by force, the image cannot be built, the process ends at once.
git init --quiet "$WORK/forced"
git -C "$WORK/forced" -c user.name=P -c user.email=p@example.com commit --quiet --allow-empty -m "All is new"
git -C "$WORK/forced" bundle create --quiet "$WORK/forced.bundle" --all HEAD
chmod go+r "$WORK/forced.bundle"
proven="the data in service $new is proven; app $moo is kept for you to look at"
stops "commit $(commit v1) cannot be had from the remote: " "$proven" --app "$moo" --from-remote "$WORK/forced.bundle"
expect_exit 11 dokku backup:restore "$db" "$new" --yes
holds "stderr of a second restore" "$err" " !     a restore into $new was begun and has not finished"
aborted
stops "$moo could not be built or deployed: " "$proven" --app "$moo" --commit broken-build
aborted
stops "$moo could not be built or deployed: " "$proven" --app "$moo" --commit crash
holds "hint" "$err" "dokku logs $moo"
aborted

# The service is killed while it is loaded.
sql "$db" <<<"CREATE TABLE hay AS SELECT g AS id, repeat(md5(g::text), 8) AS bale FROM generate_series(1, 400000) g"
before=$(production "$db" "$cows")
backup "$db"
meanwhile load
copying() { [[ $(sql "$new" postgres <<<"SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%'" 2>/dev/null) ]]; }
until_true "rows flow" copying
quietly docker kill "$(container "$new")"
ended 1
stopped "the server of $new ended the connection: it was stopped or killed, or the host's memory ran out" \
  "service $new is kept for you to look at; it is not proven"
aborted
sql "$db" <<<"DROP TABLE hay"

# Data that are not what the backup has, since something in them changes them: each refresh of this view takes a cow away.
sql "$db" <<'SQL'
CREATE FUNCTION sell() RETURNS int LANGUAGE sql AS 'DELETE FROM public.milkings WHERE id = (SELECT max(id) FROM public.milkings); SELECT 1';
CREATE MATERIALIZED VIEW sold AS SELECT public.sell();
SQL
before=$(production "$db" "$cows")
backup "$db"
stops "table public.milkings has 19,998 rows, the backup has 19,999" "$unproven" --app "$moo"
aborted
sql "$db" <<<"DROP MATERIALIZED VIEW sold; DROP FUNCTION sell()"

# An extension that the image has not.
sql "$db" <<<"INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) SELECT 99999, 'haystack', 10, oid, true, '1.0' FROM pg_namespace WHERE nspname = 'public'"
before=$(production "$db" "$cows")
backup "$db"
expect_exit 1 dokku backup:restore "$db" "$new" --yes
stopped "the image of $new lacks what the backup needs: extension haystack" "nothing was left behind"
equal "left behind" "$(left_of "\(back\|moo\)")" ""
sql "$db" <<<"DELETE FROM pg_extension WHERE extname = 'haystack'"

# The minute is over. What is mended can be gone on with, and the report says what the app did to the data.
run=$sick streams=$WORK/sick
ended 1
before=$(production "$db" "$cows")
stopped "${P}sick is not well: GET / answered 500" "the data in service ${P}slow is proven; app ${P}sick is kept for you to look at"
quietly dokku config:unset "${P}sick" NO_MIGRATE
limit=$((limit * 2)) expect_exit 3 dokku backup:restore --resume "${P}slow" --yes
holds "stderr of resume" "$err" " !     ${P}sick changed the database when it started: 1 dbmate migration ran: 20260215000000"
equal "stdout of resume" "$out" "${P}slow"
get "${P}sick" /
holds "page of the mended app" "$out" "happycows v2: 3000 cows"
equal "production" "$(production "$db" "$cows")" "$before"
