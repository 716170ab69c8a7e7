#!/usr/bin/env bash
# Not with --docker by default: the engine does not matter to it.
# status and doctor, on a host of their own: what they say of good and of bad times, and that what they say to do helps.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
if [[ $MODE == host ]]; then
  skip "status and doctor: this host has services of its own"
  exit 0
fi
db=${P}db

# found CHECK: what doctor says of it.
found() { sed -n "s/^ \(ok\|!\)  *$1  *//p" <<<"$out"; }

# problems: what status says is wrong with $db.
problems() { dokku backup:status --format json 2>/dev/null | json services.0.problems.*.problem || true; }

expect_exit 0 dokku backup:status
equal "status of an empty host" "$out" "No services that can be backed up, and no backups."
expect_exit 3 dokku backup:doctor
equal "doctor on a key" "$(found key)" "is made with the first backup"
holds "doctor on stores" "$(found stores)" "none: backups are on this host alone"

happycows "$db" "${P}cows"
expect_exit 3 dokku backup:status
holds "status of a service that was never backed up" "$out" "no good backup"
holds "status of a service that was never backed up" "$out" "dokku backup:create $db"
equal "problems" "$(problems)" "no good backup"

backup "$db"
expect_exit 0 dokku backup:status
holds "status" "$out" " ok    $db "
equal "newest good" "$(dokku backup:status --format json | json services.0.newest_good)" "$id"

# All that doctor asks for, as it says; then it has nothing more to say, but for what a test cannot mend.
mkdir "$WORK/store"
quietly dokku backup:store-add offsite "file://$WORK/store"
quietly dokku backup:sync
quietly dokku backup:key
quietly dokku backup:retention --global --keep-last 7 --keep-daily 14 --keep-weekly 8 --keep-monthly 12
quietly dokku backup:practice "$db"
quietly dokku backup:schedule "$db" daily
expect_exit 0,3 dokku backup:doctor
for check in dokku docker permissions services disk stores key retention practice backups; do
  holds "doctor" "$out" " ok   $check "
done
equal "doctor on notifications" "$(found notifications)" "nobody is told when a backup fails"
expect_exit 0,3 dokku backup:doctor --format json
equal "doctor as JSON: notifications" "$(python3 -c 'import json, sys; print([f["do"] for f in json.load(sys.stdin) if f["check"] == "notifications"][0])' <<<"$out")" "dokku backup:notify-add NAME URL"
expect_exit 0 dokku backup:status
holds "status with a schedule" "$(grep " $db " <<<"$out")" " tomorrow 00:00 "
holds "status with a store" "$(grep " $db " <<<"$out")" " here, offsite "

# Bad times: a run that fails, a store that is gone, switched off, too old.
quietly dokku postgres:stop "$db"
expect_exit 1 dokku backup:create "$db" --quiet
expect_exit 3 dokku backup:status
holds "status after a failure" "$out" "1 run failed since: "
expect_exit 3 dokku backup:doctor
equal "doctor on a service that is stopped" "$(found services)" "postgres:$db is stopped: no backup of it can be made"
holds "doctor's way out" "$out" "dokku postgres:start $db"
quietly dokku postgres:start "$db"
mv "$WORK/store" "$WORK/gone"
touch "$WORK/store"
expect_exit 3 dokku backup:create "$db" --quiet
expect_exit 3 dokku backup:status
holds "status when a store is gone" "$out" "not at offsite"
expect_exit 3 dokku backup:doctor
holds "doctor when a store is gone" "$(found stores)" "offsite "
rm "$WORK/store"
mv "$WORK/gone" "$WORK/store"
quietly dokku backup:sync
expect_exit 0 dokku backup:status

quietly dokku backup:set "$db" automatic off
expect_exit 0 dokku backup:status
holds "status when it is switched off" "$(grep " $db " <<<"$out")" " off "
expect_exit 3 dokku backup:doctor
equal "doctor when it is switched off" "$(found schedules)" "those of $db are switched off"
quietly dokku backup:set "$db" alert-after 1s
sleep 1.1
expect_exit 3 dokku backup:status
equal "problems when it is too old" "$(problems)" "no good backup newer than 1s"
quietly dokku backup:set "$db" alert-after
quietly dokku backup:set "$db" automatic on

# Wrong rights, as root can make them.
if [[ $EUID -eq 0 ]]; then
  chmod go+r "$data/identity"
  expect_exit 3 dokku backup:doctor
  equal "doctor on a key that others can read" "$(found permissions)" "$data/identity can be read by others"
  chmod go-r "$data/identity"
fi
expect_exit 1 dokku backup:doctor "$db"
equal "stderr of doctor with an argument" "$err" " !     backup:doctor: takes no argument
 !     see how it is used: dokku backup:help doctor"
