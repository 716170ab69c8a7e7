#!/usr/bin/env bash
# Not with --docker by default: see test/run.
# What goes wrong with a schedule leaves no silent gap: a host that was down, a run that is killed, two at once, a service that is gone,
# a log that cannot be written, and cron's bare environment.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"

db=${P}db
files=$data/schedules/postgres:$db
logs=${DOKKU_LOGS_DIR:-/var/log/dokku}/backup
service "$db"
echo "CREATE TABLE cows (name text); INSERT INTO cows VALUES ('Berta')" | sql "$db"
quietly dokku backup:schedule "$db" daily
equal "a schedule that was just made" "$(timeout 60 dokku backup:schedule-run; backups "$db")" ""

# missed: as after three days in which the host was down.
missed() {
  rm -f "$files/daily.state.json"
  sed --in-place "s/\"created_at\": .*/\"created_at\": \"$(date -u -d '3 days ago' +%FT%TZ)\"/" "$files/daily.json"
}
# last FIELD: of the schedule.
last() { timeout 60 dokku backup:schedules "$db" --format json | json "0.last.$1"; }
made() { backups "$db" | wc -l; }

# Cron's environment is bare. What was missed is caught up once.
missed
quietly env -i PATH="$PATH" HOME="$HOME" ${DOCKER_HOST:+DOCKER_HOST="$DOCKER_HOST"} dokku backup:schedule-run --log
equal "what it prints" "$out$err" ""
equal "backups after three days" "$(made)" 1
equal "for when" "$(last at)" "$(date -u +%FT00:00:00Z)"
quietly dokku backup:schedule-run
equal "backups after one more tick" "$(made)" 1

# Two ticks at once.
missed
timeout 60 dokku backup:schedule-run --log &
quietly dokku backup:schedule-run --log
wait $!
equal "backups after two ticks at once" "$(made)" 2

# Killed in the middle: FAILED, tried again once, then not any more.
kill_run() {
  lock "$db" cows
  timeout 150 dokku backup:schedule-run >/dev/null 2>&1 &
  run=$!
  until_true "run" announced "$db"
  until_true "dump" waits_for_lock "$db"
  expect_exit 0 dokku backup:schedules "$db"
  holds "while it runs" "$out" "running since"
  expect_exit 11 dokku backup:schedule-run "$db" daily
  kill -KILL "$(told "$db" pid)"
  wait "$run" || true
  unlock
  expect_exit 0 dokku backup:schedules "$db"
  holds "after it was killed" "$out" "FAILED: it was killed, or the host went down"
}
missed
kill_run
quietly dokku backup:schedule-run
holds "the second attempt" "$out" "postgres:$db daily: done: "
equal "backups after it" "$(made)" 3
missed
kill_run
kill_run
expect_exit 3 dokku backup:schedule-run
holds "what is said of two that were killed" "$err" "schedule postgres:$db daily FAILED at "
equal "backups after two that were killed" "$(made)" 3
equal "how it ended" "$(last result)" failed
quietly dokku backup:schedule-run

# Another run of the service is under way: it waits for it.
missed
lock "$db" cows
start "$db"
until_true "dump" waits_for_lock "$db"
timeout 150 dokku backup:schedule-run >"$WORK/waited" 2>&1 &
waiting=$!
sleep 1
unlock
ended 0
wait "$waiting" || fail "it did not wait: $(<"$WORK/waited")"
equal "backups after both" "$(made)" 5
clean "$db"

# A failure is told, does not keep others from running, and is not tried before the next time.
quietly dokku backup:schedule "$db" "0 0 1 1 *" --name other
mv "$files/other.json" "$WORK/other.json"
echo '{' >"$files/other.json"
missed
expect_exit 3 dokku backup:schedule-run
holds "a damaged schedule" "$err" "other.json"
expect_exit 3 dokku backup:status
holds "status beside a damaged schedule" "$out" "other.json"
holds "status beside a damaged schedule" "$(grep "^ .* $db " <<<"$out" | head -n 1)" " tomorrow 00:00 "
equal "backups after it" "$(made)" 6
mv "$WORK/other.json" "$files/other.json"
quietly dokku postgres:stop "$db"
missed
expect_exit 3 dokku backup:schedule-run
holds "a stopped service" "$out" "daily: FAILED: postgres:$db is stopped"
quietly dokku backup:schedule-run
equal "what the next tick says" "$out" ""
quietly dokku postgres:start "$db"

# Switched off: nothing is made, and nothing is caught up when it is switched on again.
quietly dokku backup:set "$db" automatic off
missed
quietly dokku backup:schedule-run
equal "what is said of it" "$out$err" ""
quietly dokku backup:set "$db" automatic on
quietly dokku backup:schedule-run
equal "backups while it was off" "$(made)" 6

# A log that cannot be written keeps nothing from running.
if [[ $MODE != host ]]; then
  mv "$logs" "$logs.away"
  touch "$logs"
  missed
  quietly dokku backup:schedule-run --log
  holds "without a log" "$err" "this run has no log"
  equal "backups without a log" "$(made)" 7
  rm "$logs"
  mv "$logs.away" "$logs"
  truncate --size 1M "$logs/schedule.log"
  quietly dokku backup:schedule-run --log "$db" daily
  equal "lines in the new log" "$(wc -l <"$logs/schedule.log")" 1
  equal "bytes in the old one" "$(stat --format %s "$logs/schedule.log.1")" 1048576
fi

# The service is gone: told, with the way out, and nothing is made.
quietly dokku postgres:destroy "$db" --force
missed
expect_exit 3 dokku backup:schedule-run
holds "a service that is gone" "$out" "service is gone; if it stays so: dokku backup:unschedule postgres:$db"
quietly dokku backup:schedule-run
expect_exit 0 dokku backup:schedules
holds "schedules" "$out" "service is gone"
quietly dokku backup:unschedule "$db" --all
