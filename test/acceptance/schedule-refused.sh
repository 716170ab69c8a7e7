#!/usr/bin/env bash
# Not with --docker by default: the engine does not matter to it.
# What cannot be scheduled is refused with one clear line and the way out, and nothing is changed.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"

db=${P}db
service "$db"
quietly dokku backup:schedule "$db" daily

kept() { find "$data/schedules" -type f -exec sha256sum {} + | sort; }
before=$(kept)

# refused PART ARGUMENT...: of backup:schedule.
refused() {
  local part=$1
  shift
  expect_exit 1 dokku backup:schedule "$@"
  holds "schedule $*" "$err" "$part"
  within "lines that are said to $*" "$(wc -l <<<"$err")" 2
  [[ $err == " !     "* ]] || fail "schedule $*: $err"
  equal "stdout of schedule $*" "$out" ""
}

refused "a cron line cannot hold \";\"" "$db" "0 3 * * *;reboot"
refused "a cron line cannot hold \"%\"" "$db" "0 3 * * * %"
refused "a cron line cannot hold" "$db" $'0 3 * * *\n0 4 * * *'
refused "has 5 fields (minute hour day month weekday), \"* * * *\" has 4" "$db" "* * * *"
refused "has 6" "$db" "0 0 3 * * *"
refused "\"dayly\" is no time; write hourly, daily" "$db" dayly
refused "is no time" "$db" @reboot
refused "is no time" "$db" ""
refused "\"0 3 30 2 *\" never comes" "$db" "0 3 30 2 *"
refused "24:00 is no time of the day" "$db" "at 24:00"
refused "\"monday\" is no day" "$db" "at 03:30 on monday"
refused "at 03:30" "$db" at 03:30
refused "there is no time zone \"Mars/Olympus\"" "$db" daily --tz Mars/Olympus
refused "--jitter 40m0s is too long" "$db" hourly --jitter 40m
refused "--jitter is a time such as 10m" "$db" hourly --jitter=-1m
refused "jitter" "$db" hourly --jitter soon
refused "cannot be the name of a schedule" "$db" hourly --name ../x
refused "takes a service and when" "$db"
refused "service \"${P}other\" does not exist" "${P}other" daily
refused "" "redis:$db" daily
refused "there is no flag --weekly" "$db" --weekly

expect_exit 1 dokku backup:unschedule "$db" nightly
holds "unschedule" "$err" "has no schedule \"nightly\"; it has daily"
expect_exit 1 dokku backup:unschedule "$db" daily --all
holds "unschedule" "$err" "give no name with it"
expect_exit 1 dokku backup:unschedule "${P}other"
holds "unschedule" "$err" "${P}other has no schedule"
expect_exit 1 dokku backup:schedule-run "$db" nightly
holds "schedule-run" "$err" "has no schedule nightly"
expect_exit 1 dokku backup:schedules "$db" --format yaml
equal "schedules after all that" "$(kept)" "$before"

# The same name again replaces, and says so; several need a name to go.
quietly dokku backup:schedule "$db" "at 03:30" --name daily --tz Europe/Berlin
holds "replacing" "$err" "Replacing schedule daily (daily (UTC))"
quietly dokku backup:schedule "$db" hourly
expect_exit 1 dokku backup:unschedule "$db"
holds "unschedule" "$err" "which one? $db has daily, hourly; name one, or give --all"
quietly dokku backup:unschedule "$db" --all
[[ ! -e $data/schedules/postgres:$db ]] || fail "something of its schedules is left"
