#!/usr/bin/env bash
# Not with --docker by default: it is about whom is told, not about the engine.
# Whoever is to be told hears of a failure, of its end, of what lasts and of a test, once each, by webhook, mail and ping; a receiver that hangs or
# refuses delays a backup by 10 s at most and changes nothing else; no secret of a URL shows anywhere.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../told.sh
. "$ROOT/test/told.sh"
db=${P}db

# Before there is a key, a URL cannot be sealed.
service "$db"
sql "$db" <<<"CREATE TABLE cows AS SELECT generate_series(1, 1000) i"
if [[ $MODE != host ]]; then
  expect_exit 1 dokku backup:notify-add "hook-$mark" "json+$hook/ok/canary-token"
  holds "without a repository" "$err" "make a first backup: dokku backup:create"
fi
backup "$db"
host=$(field host.name)

receivers "$db"

# What is wrong is said in a line that holds no secret, and nothing is kept.
refused() {
  local part=$1
  shift
  expect_exit 1 dokku backup:notify-add "$@" </dev/null
  holds "notify-add $*" "$err" "$part"
  lacks "notify-add $*" "$err" "hunter2"
}
refused "there is a receiver" "hook-$mark" "json+$hook/ok"
refused "cannot be the name" "Ops!" "json+$hook/ok"
refused 'there is no event "fail"' "other-$mark" "json+$hook/ok" --events fail,warning
refused "unknown service" "other-$mark" icq://hunter2
refused "json+https://" "other-$mark" https://example.org/hunter2
refused "kind smtp" "other-$mark" smtp://herder:hunter2@example.org
refused "--events is not for pings" "other-$mark" "ping+$hook/hunter2" --events all
refused "no terminal to ask on" "other-$mark"
refused "not the name of a service" "other-$mark" "json+$hook/ok" --service "a b"
[[ ! -e $data/notify/receivers/other-$mark.json ]] || fail "a receiver was kept"
expect_exit 1 dokku backup:notify-test "other-$mark"
holds "notify-test" "$err" "there is no receiver"

# A test message.
for name in hook check mail; do
  quietly dokku backup:notify-test "$name-$mark"
done
heard "test" "test - this is a test: messages about backups arrive here" /log "Test message: $host"
expect_exit 0 dokku backup:notify-list
for part in "hook-$mark" "$hook/***" "start,success,failed" "to ops@example.org" "usual"; do
  holds "notify-list" "$out" "$part"
done
expect_exit 0 dokku backup:notify-list --format json
lacks "notify-list" "$out" canary
lacks "notify-list" "$out" "$password"

# A failure, its end, and nothing more for who asked for nothing more.
quietly dokku postgres:stop "$db"
expect_exit 1 dokku backup:create "$db"
heard "failed" "failed postgres:$db no backup was made" $'/start\n/fail' "Backup FAILED: postgres:$db on $host"
quietly dokku postgres:start "$db"
sleep 1
backup "$db"
take
documents | cut -d ' ' -f 1 >"$WORK/documents"
equal "recovered" "$(<"$WORK/documents")" $'recovered\nsuccess'
equal "recovered: pings" "$(pings)" $'/start\n/'
equal "recovered: mails" "$(letters)" "Recovered: postgres:$db on $host"
backup "$db"
take
equal "all is well" "$(documents | cut -d ' ' -f 1)" success
equal "all is well: mails" "$(letters)" ""

# What lasts is told once, and its end.
echo "CREATE DATABASE shut" | sql "$db" postgres
echo "ALTER DATABASE shut ALLOW_CONNECTIONS false" | sql "$db" postgres
backup "$db" 3
take
equal "warning" "$(documents | cut -d ' ' -f 1)" $'success\nwarning'
equal "warning: mails" "$(letters)" "Warning: postgres:$db on $host"
backup "$db" 3
take
equal "the same warning" "$(documents | cut -d ' ' -f 1)" success
equal "the same warning: mails" "$(letters)" ""
echo "DROP DATABASE shut" | sql "$db" postgres
backup "$db"
take
equal "no warning" "$(documents | cut -d ' ' -f 1)" $'success\nrecovered'
equal "no warning: mails" "$(letters)" "Recovered: postgres:$db on $host"

# Another key, and the same receivers.
if [[ $MODE != host ]]; then
  quietly dokku backup:key --rotate --yes
  quietly dokku backup:notify-test "mail-$mark"
  equal "after a rotation: mails" "$(letters)" "Test message: $host"
fi

# Receivers that hang, drip, refuse and fail: the backup is made, 10 s later at most, and the others hear of it.
started=$SECONDS
backup "$db"
usual=$((SECONDS - started))
take
for path in hang drip fail; do
  quietly dokku backup:notify-add "$path-$mark" "json+$hook/$path/canary-token" --events all --service "$db"
done
quietly dokku backup:notify-add "gone-$mark" json+http://127.0.0.1:1/canary-token --events all --service "$db"
quietly dokku backup:notify-add "stuck-$mark" "ping+$hook/hang/canary-uuid" --service "$db"
started=$SECONDS
expect_exit 0 dokku backup:create "$db"
within "seconds that hanging receivers cost" $((SECONDS - started)) $((usual + 11)) # whole seconds
for name in hang drip fail gone stuck; do
  equal "warnings of $name" "$(grep --count "receiver \"$name-$mark\" was not told" <<<"$err")" 1
done
lacks "warnings" "$err" canary
take
equal "beside those that hang" "$(documents | cut -d ' ' -f 1)" success
expect_exit 1 dokku backup:notify-test "gone-$mark"
holds "notify-test" "$err" "connection refused"
expect_exit 0 dokku backup:notify-list
holds "notify-list" "$out" "it answered 500"
expect_exit 3 dokku backup:status
holds "status" "$out" "receiver gone-$mark"

# No secret lies or shows anywhere.
for secret in canary "$password"; do
  ! grep --quiet --recursive --fixed-strings "$secret" "$data" || fail "$secret lies in the clear"
  ! grep --quiet --recursive --fixed-strings "$secret" "${DOKKU_LOGS_DIR:-/var/log/dokku}" 2>/dev/null || fail "$secret is in a log"
done

# Metrics.
mkdir -m 777 "$WORK/metrics"
if [[ $MODE != host ]]; then
  quietly dokku backup:set --global metrics-file "$WORK/metrics/dokku_backup.prom"
  backup "$db"
  metrics=$(<"$WORK/metrics/dokku_backup.prom")
  holds "metrics" "$metrics" "dokku_backup_last_run_success{service=\"postgres:$db\"} 1"
  holds "metrics" "$metrics" "dokku_backup_state{service=\"postgres:$db\",state=\"ok\"} 1"
fi

for name in hook check mail hang drip fail gone stuck; do
  quietly dokku backup:notify-remove "$name-$mark"
done
expect_exit 1 dokku backup:notify-remove "hook-$mark"
holds "notify-remove" "$err" "there is no receiver"
[[ $MODE == host ]] || { expect_exit 0 dokku backup:notify-list && holds "notify-list" "$out" "No receivers"; }
