#!/usr/bin/env bash
# Not with --docker by default: the engine does not matter to it.
# Settings and reports in Dokku's manner: its words, defaults, what is refused, and what is said of contradictions.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows both=${P}both

service "$db"
app "$cows"
quietly dokku postgres:link "$db" "$cows"
service "$both"
app "$both"

# value NAME KEY: that holds.
value() {
  expect_exit 0 dokku backup:report "$1" "--backup-$2"
  echo "$out"
}

# Words.
expect_exit 0 dokku backup:set "$db" timeout 90
equal "stderr of set" "$err" "=====> Setting timeout to 90"
equal "timeout" "$(value "$db" timeout)" 90
expect_exit 0 dokku backup:set "$db" timeout
equal "stderr of set without a value" "$err" "=====> Unsetting timeout"
equal "timeout" "$(value "$db" timeout)" 60
expect_exit 0 dokku --quiet backup:set "$db" timeout 90
equal "output of a quiet set" "$out$err" ""
quietly dokku backup:set "postgres:$db" timeout

# The host's values hold where there is no other.
quietly dokku backup:set --global timeout 30
equal "timeout, of the host" "$(value "$db" timeout)" 30
quietly dokku backup:set "$db" timeout 45
equal "timeout, its own" "$(value "$db" timeout)" 45
quietly dokku backup:set --global timeout
quietly dokku backup:set "$db" timeout

# One name, an app and a service: the key decides.
expect_exit 0 dokku backup:set "$both" on-deploy before
equal "stderr of set" "$err" "=====> Setting on-deploy to before of app $both"
expect_exit 0 dokku backup:set "$both" on-destroy on
equal "stderr of set" "$err" "=====> Setting on-destroy to on of service postgres:$both"
equal "on-deploy" "$(value "$both" on-deploy)" before
equal "on-destroy" "$(value "$both" on-destroy)" on
quietly dokku backup:set "$both" on-destroy off

# refused CODE MESSAGE ARGUMENT...: and nothing is set.
refused() {
  local code=$1 message=$2
  shift 2
  expect_exit "$code" dokku backup:set "$@"
  equal "stdout of set $*" "$out" ""
  holds "stderr of set $*" "$err" "$message"
}
refused 1 " !     Invalid property specified, valid properties include: alert-after, automatic, check-http," "$db" nonsense 1
refused 1 " !     No property specified" "$db"
refused 1 "takes a service or an app, or --global"
refused 1 " !     Property cannot be specified globally" --global on-deploy before
refused 1 " !     Property cannot be specified globally" --global check-sql "SELECT 1"
refused 1 "takes one value, not 3" "$db" check-sql SELECT 1 2
refused 1 'automatic: "perhaps" is not on or off' "$db" automatic perhaps
refused 1 'timeout: "1441" is not a number of minutes from 1 to 1440' "$db" timeout 1441
refused 1 'alert-after: "soon" is not a duration: write it as 90m, 36h or 2d' "$db" alert-after soon
refused 1 'on-deploy: "sometimes" is not before, after, both or off' "$cows" on-deploy sometimes
refused 1 "metrics-file: " --global metrics-file here.prom
refused 1 "metrics-file is of the host" "$db" metrics-file /tmp/x.prom
refused 1 "on-deploy is of an app, and $db is a service" "$db" on-deploy before
refused 1 "on-destroy is of a service, and $cows is an app" "$cows" on-destroy on
refused 1 "service \"${P}none\" does not exist" "${P}none" timeout 5
refused 20 "app \"${P}none\" does not exist" "${P}none" on-deploy before
refused 20 'app "../dokku" does not exist' ../dokku on-deploy before

# Contradictions are said.
expect_exit 0 dokku backup:set "$db" timeout 4
holds "stderr of a timeout below the stall-timeout" "$err" " !     stall-timeout is 5 and timeout 4 minutes"
quietly dokku backup:set "$db" timeout
expect_exit 0 dokku backup:set "$cows" on-deploy-mode block
holds "stderr of block while off" "$err" " !     on-deploy-mode block does nothing while on-deploy is off"
expect_exit 0 dokku backup:set "$cows" on-deploy both
lacks "stderr of both" "$err" " !     "

# Reports.
expect_exit 0 dokku backup:report "$db"
equal "first line of a report" "$(sed -n 1p <<<"$out")" "=====> $db backup information"
holds "report" "$out" $'\n'"       Backup automatic:              on"$'\n'
holds "report without backups" "$out"$'\n' $'\n'"       Backup newest:"
keys=$(sed '1d; s/:.*//' <<<"$out")
equal "keys" "$keys" "$(LC_ALL=C sort <<<"$keys")"
sql "$db" <<<"CREATE TABLE herd AS SELECT 1 AS id"
backup "$db" 3
equal "newest" "$(value "$db" newest)" "$id"
equal "number of backups" "$(value "$db" backups)" 1
equal "stores" "$(value "$db" stores)" here
equal "newest of the app" "$(value "$cows" newest)" "$id"
equal "services of the app" "$(value "$cows" services)" "$db"
expect_exit 0 dokku backup:report "$db" --format json
equal "newest, in JSON" "$(json newest <<<"$out")" "$id"
equal "timeout, in JSON" "$(json timeout <<<"$out")" 60
expect_exit 0 dokku backup:report "$both" --format json
equal "reports of a name that two have" "$(wc -l <<<"$out")" 2
expect_exit 0 dokku backup:report
holds "report of all" "$out" "=====> $db backup information"
holds "report of all" "$out" "=====> $both backup information"
expect_exit 0 dokku backup:report --global
holds "report of the host" "$out" "Backup on deploy mode:"
expect_exit 1 dokku backup:report "$db" --backup-on-deploy
holds "stderr of a flag of an app" "$err" " !     Invalid flag passed, valid flags: --backup-alert-after, "
expect_exit 1 dokku backup:report "$db" --backup-nonsense
expect_exit 1 dokku backup:report "$db" --format json --backup-newest
expect_exit 1 dokku backup:report "${P}none"
holds "stderr of a report of nothing" "$err" "service \"${P}none\" does not exist"

# In Dokku's own report.
expect_exit 0 dokku report "$cows"
holds "dokku report" "$out" "=====> $cows backup information"
holds "dokku report" "$out" "       Backup on deploy:              both"

# Completion is made from these lines: the command is the first word, and there is one comma.
expect_exit 0 dokku help --all
equal "lines of help with another comma" "$(grep '^ *backup:' <<<"$out" | grep --count ',.*,' || true)" 0
holds "commands to complete" "$(awk '/^    /{ print $1 }' <<<"$out" | sort)" $'backup:report\n'
