#!/usr/bin/env bash
# A schedule is fired by the real cron: a complete backup and its log are there, and the crontab has one line as long as it is needed.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"

db=${P}db
host=${DOKKU_LIB_ROOT%/var/lib/dokku}

# crontab is user dokku's; in a sandbox a file.
crontab() { if [[ $MODE == host ]]; then command crontab -u dokku -l; else cat "$host/crontab"; fi 2>/dev/null || true; }
lines() { crontab | grep --count ' dokku backup:schedule-run --log$' || true; }

# start_cron starts a cron of the script's own, which sees this sandbox's crontab and nothing of the machine's. It ends with the script.
start_cron() {
  local own=$WORK/cron
  mkdir -p "$own"/{spool,cron.d}
  touch "$own"/{crontab,pid}
  install --mode 600 "$host/crontab" "$own/spool/$(id -un)"
  touch -a /run/crond.pid
  # shellcheck disable=SC2016 # the inner shell expands it
  unshare --mount --propagation private bash -ec '
    mount --bind "$1/spool" /var/spool/cron/crontabs
    mount --bind "$1/cron.d" /etc/cron.d
    mount --bind "$1/crontab" /etc/crontab
    mount --bind "$1/pid" /run/crond.pid
    exec cron -f' cron "$own" &
  pid=$!
}

service "$db"
echo "CREATE TABLE cows (name text); INSERT INTO cows VALUES ('Berta')" | sql "$db"
others=$(lines)
if [[ $MODE != host ]]; then equal "lines in the crontab before" "$others" 0; fi

soon=$(date -u -d '70 seconds' '+%-M %-H')
quietly dokku backup:schedule "$db" "$soon * * *" --name soon
equal "times that are shown" "$(grep --count ' UTC$' <<<"$err")" 3
quietly dokku backup:schedule "$db" weekly --practice
equal "lines in the crontab" "$(lines)" 1
[[ $(crontab) == *[0-9,*]" * * * * dokku backup:schedule-run --log"* ]] || fail "crontab: $(crontab)"
expect_exit 0 dokku backup:schedules "$db"
holds "schedules" "$out" "$soon * * * (UTC)"
holds "schedules" "$out" "practice weekly (UTC)"

if [[ $MODE == host ]] || { [[ $EUID -eq 0 ]] && command -v cron && unshare --mount true; } >/dev/null 2>&1; then
  [[ $MODE == host ]] || start_cron
  deadline=$((SECONDS + 170))
  until [[ $(dokku backup:schedules "$db" --format json | json '*.last.result') ]]; do
    [[ $SECONDS -lt $deadline ]] || fail "cron did not run it: $(crontab; cat "$DOKKU_LOGS_DIR/backup/schedule.log")"
    sleep 1
  done
else
  skip "the real cron: that takes root, mount namespaces, and Debian's package cron"
  quietly dokku backup:schedule-run --log "$db" soon
fi

expect_exit 0 dokku backup:schedules "$db" --format json
equal "how it ended" "$(json '*.last.result' <<<"$out")" "done"
id=$(json '*.last.backup' <<<"$out")
quietly dokku backup:verify "$id"
expect_exit 0 dokku backup:info "$id" --format json
equal "state, trigger and note" "$(json state <<<"$out") $(json trigger <<<"$out") $(json note <<<"$out")" "complete schedule soon"
expect_exit 0 dokku backup:logs "$id"
holds "its log" "$out" "Dumping"
holds "the log of schedules" "$(cat "${DOKKU_LOGS_DIR:-/var/log/dokku}/backup/schedule.log")" "postgres:$db soon: done: $id"
expect_exit 0 dokku backup:schedules "$db"
holds "schedules" "$out" " ago, done"

# A practice run of what it made.
limit=$((limit * 2)) expect_exit 0 dokku backup:schedule-run "$db" practice-weekly
holds "the practice run" "$out" "practice-weekly: done: $id"
expect_exit 0 dokku backup:info "$id" --format json
equal "its report" "$(json marks.practised.passed <<<"$out")" true
expect_exit 0 dokku backup:logs "$id"
holds "the log of the practice run" "$out" "practising with $id"

quietly dokku backup:unschedule "$db" soon
equal "lines with the other schedule" "$(lines)" 1
quietly dokku backup:unschedule "$db"
if [[ $MODE != host ]]; then equal "lines without a schedule" "$(lines)" 0; fi
expect_exit 0 dokku backup:schedules "$db"
holds "no schedules" "$out" "No schedules of $db. Make one: dokku backup:schedule"
stop_server
[[ -s /run/crond.pid || $MODE == host ]] || rm -f /run/crond.pid
