#!/usr/bin/env bash
# Not with --docker by default: it is about whom is told, not about the engine.
# What is told when a practice run fails, a store is behind, retention fails and no good backup is new enough: each once, by webhook and mail,
# and its end. A ping is of backups alone.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../told.sh
. "$ROOT/test/told.sh"
db=${P}db

# kinds: of the documents since the last call.
kinds() { documents | cut -d ' ' -f 1; }

service "$db"
sql "$db" <<<"CREATE TABLE cows AS SELECT generate_series(1, 1000) i"
backup "$db"
host=$(field host.name)
receivers "$db"

# A practice run.
quietly dokku backup:set "$db" check-sql "SELECT count(*) > 2000 FROM cows"
expect_exit 1 dokku backup:practice "$db" --data-only
heard "practice that fails" "practice-failed postgres:$db the backup could not be restored in a rehearsal" "" "Practice FAILED: postgres:$db on $host"
quietly dokku backup:set "$db" check-sql
quietly dokku backup:practice "$db" --data-only
take
equal "practice that passes" "$(kinds)" $'recovered\npractice-passed'
equal "practice that passes: mails" "$(letters)" "Recovered: postgres:$db on $host"

# A store that is gone: told once, however often it is missed.
mkdir -m 777 "$WORK/store"
quietly dokku backup:store-add "offsite-$mark" "file://$WORK/store"
mv "$WORK/store" "$WORK/away"
touch "$WORK/store"
backup "$db" 3
take
equal "store behind" "$(kinds)" $'success\nstore-behind'
equal "store behind: pings" "$(pings)" $'/start\n/'
equal "store behind: mails" "$(letters)" "Store behind: postgres:$db on $host"
backup "$db" 3
take
equal "store still behind" "$(kinds)" success
equal "store still behind: mails" "$(letters)" ""
rm "$WORK/store"
mv "$WORK/away" "$WORK/store"

# The hourly look sends what the store lacks, and says that this is over. Then a look at which no good backup is new enough.
if [[ $MODE != host ]]; then
  look() {
    rm -f "$data/schedules/.heartbeat" # as if an hour had passed
    expect_exit 0 dokku backup:schedule-run
    take
  }
  look
  equal "store mended" "$(kinds)" recovered
  equal "store mended: mails" "$(letters)" "Recovered: postgres:$db on $host"
  expect_exit 0 dokku backup:list "$db"
  lacks "list after the look" "$out" "not at offsite"

  quietly dokku backup:set "$db" alert-after 1s
  sleep 1.1
  look
  equal "no good backup" "$(documents)" "no-good-backup postgres:$db no good backup newer than 1s"
  equal "no good backup: mails" "$(letters)" "NO GOOD BACKUP: postgres:$db on $host"
  look
  equal "still no good backup" "$(documents)$(letters)" ""
  quietly dokku backup:set "$db" alert-after
  backup "$db"
  take
  equal "a good backup" "$(kinds)" $'recovered\nsuccess'
  equal "a good backup: mails" "$(letters)" "Recovered: postgres:$db on $host"

  # Retention that cannot be understood.
  quietly dokku backup:retention "$db" --keep-last 3
  echo '{' >"$data/settings/$db/retention"
  backup "$db" 3
  take
  equal "retention that fails" "$(kinds)" $'success\nretention-failed'
  equal "retention that fails: mails" "$(letters)" "Retention FAILED: postgres:$db on $host"
  expect_exit 3 dokku backup:status
  holds "status" "$out" "retention failed: "
  quietly dokku backup:retention "$db" --default
  backup "$db"
  take
  equal "retention again" "$(kinds)" $'success\nrecovered'
fi
for name in hook check mail; do
  quietly dokku backup:notify-remove "$name-$mark"
done
