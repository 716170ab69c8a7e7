#!/usr/bin/env bash
# Not with --docker by default: see test/run.
# cancel ends a run as Ctrl-C does; logs shows what a run said, also one that failed; a scheduled run that stalls is begun once more.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db
logs=${DOKKU_LOGS_DIR:-/var/log/dokku}/backup

service "$db"
sql "$db" <<<"CREATE TABLE herd AS SELECT g AS id FROM generate_series(1, 1000) g; CREATE TABLE gate (n int)"

# Nothing to stop, nothing to show.
expect_exit 1 dokku backup:cancel "$db"
equal "stderr without a run" "$err" " !     no backup of $db is under way; nothing was stopped
 !     see what there is: dokku backup:list $db"
expect_exit 1 dokku backup:cancel
holds "stderr without a name" "$err" "the backup of which service? give its name"
expect_exit 1 dokku backup:cancel "../$db"
expect_exit 1 dokku backup:logs "$db"
holds "stderr without a log" "$err" " !     there is no log of \"$db\""

# A good run has a log, whether it was quiet or not.
backup "$db"
expect_exit 0 dokku backup:logs "$id"
holds "log" "$out" " backup of postgres:$db, started by: manual"
holds "log" "$out" " -----> Dumping $(database "$db")"
holds "log" "$out" "here: confirmed"
equal "mode of the log" "$(stat --format %a "$logs/$id.log")" 640
quietly dokku backup:logs "$db"
holds "log of the service's newest run" "$out" " backup of postgres:$db, started by: manual"

# Cancelled: it ends as failed, and leaves nothing.
lock "$db" gate
start "postgres:$db"
until_true "the dump waits for the lock" waits_for_lock "$db"
quietly dokku backup:cancel "postgres:$db"
holds "stderr of cancel" "$err" "was stopped; nothing was kept of it, earlier backups are intact"
ended 130
equal "backups" "$(backups "$db")" "$id"
clean "$db"
cancelled=$(failures "$db")
quietly dokku backup:logs "$db"
holds "log of a run that was cancelled" "$out" " failed: it was interrupted"
quietly dokku backup:logs "$cancelled"
expect_exit 1 dokku backup:cancel "$db"

# A scheduled run that was cancelled is not begun again by the next look, as one that was killed is.
quietly dokku backup:schedule "$db" daily
timeout 100 dokku backup:schedule-run "$db" daily >"$WORK/run.out" 2>"$WORK/run.err" &
run=$!
until_true "the dump waits for the lock" waits_for_lock "$db"
quietly dokku backup:cancel "$db"
wait "$run" && fail "a scheduled run that was cancelled ended well: $(cat "$WORK/run.out")"
expect_exit 0 dokku backup:schedule-run
equal "stdout of the next look" "$out" ""
equal "last run" "$(dokku backup:schedules "$db" --format json | json 0.last.why)" "it was stopped"
equal "backups" "$(backups "$db")" "$id"
clean "$db"

# It stalls, is given up, and, once the lock is gone, its second try is a backup.
quietly dokku backup:set "$db" stall-timeout 1
timeout 170 dokku backup:schedule-run "$db" daily >"$WORK/run.out" 2>"$WORK/run.err" &
run=$!
until_true "the dump waits for the lock" waits_for_lock "$db"
first=$(told "$db" id)
deadline=$((SECONDS + 90))
until [[ $(failures "$db") == *$first* ]]; do
  [[ $SECONDS -lt $deadline ]] || fail "a run that stalls was not given up: $(dokku backup:list "$db") $(cat "$WORK"/run.*)"
  sleep 0.2
done
unlock
wait "$run" || fail "the second try failed: $(cat "$WORK/run.out" "$WORK/run.err")"
holds "list" "$(timeout 60 dokku backup:list "$db")" "no data for 1m0s"
equal "backups" "$(backups "$db" | wc -l)" 2
clean "$db"
quietly dokku backup:logs "$first"
holds "log of a run that stalled" "$out" "no data for 1m0s"
quietly dokku backup:unschedule "$db" daily

# A folder that takes no log: the backup is made all the same.
if [[ $MODE != host && $EUID -eq 0 ]]; then
  rm -r "$logs"
  touch "$logs"
  expect_exit 0 dokku backup:create "$db" --quiet
  holds "stderr without a folder for logs" "$err" " !     this run has no log: "
fi
