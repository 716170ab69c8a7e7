#!/usr/bin/env bash
# Passwords, config values and the key: in no output, no argv, no log, and in no file in clear.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows
config_value="moo-$RANDOM$RANDOM-sesame" role_password="hay-$RANDOM$RANDOM" row="brand-$RANDOM$RANDOM"

happycows "$db" "$cows"
quietly dokku config:set --no-restart "$cows" HAY_TOKEN="$config_value"
sql "$db" <<<"CREATE ROLE visitor LOGIN PASSWORD '$role_password'; CREATE TABLE gate (n text); INSERT INTO gate VALUES ('$row')"
password=$(timeout 60 dokku postgres:info "$db" --dsn | sed 's/.*:\([^@]*\)@.*/\1/')
[[ ${#password} -ge 16 ]] || fail "the service's password is not known"

# While a dump waits for a lock, its processes are there to be looked at: this program, docker, the helper.
processes() { for file in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$file" && echo; done 2>/dev/null || true; }
lock "$db" gate
streams=$WORK/run-$db
timeout 150 dokku backup:create "$db" --note "a note" >"$streams.out" 2>"$streams.err" &
run=$!
: >"$WORK/argv"
look() { processes >>"$WORK/argv" && waits_for_lock "$db"; }
until_true "the dump waits for the lock" look
processes >>"$WORK/argv"
grep --quiet "pg_dump.*--snapshot" "$WORK/argv" || fail "the dump was not seen among the processes"
helper=$(helpers "$db" | head -n 1)
described=$(timeout 30 docker inspect --format '{{json .Args}} {{json .Config.Cmd}} {{json .Path}} {{json .Config.Labels}}' "$helper")
unlock
ended 0
id=$out

# The first run that fails, and every command, says nothing of them either.
: >"$WORK/said"
cat "$streams.out" "$streams.err" >>"$WORK/said"
for command in list "list --format json" "info $id" "info $id --format json" "verify $id" status help "help create" "pin $id" "unpin $id" "delete $id"; do
  # shellcheck disable=SC2086 # words
  timeout 60 dokku backup:$command >>"$WORK/said" 2>&1 || true
done
timeout 60 dokku --trace backup:create "$db" >>"$WORK/said" 2>&1 || fail "create with --trace: $(tail -n 3 "$WORK/said")"
sql "$db" postgres <<<"ALTER ROLE postgres PASSWORD 'changed'"
timeout 60 dokku backup:create "$db" >>"$WORK/said" 2>&1 && fail "create with a changed password: got exit 0, want 1"
sql "$db" postgres <<<"ALTER ROLE postgres PASSWORD '$password'"

key=$(timeout 60 dokku backup:key 2>/dev/null)
[[ $key == AGE-SECRET-KEY-1* ]] || fail "backup:key: got '${key:0:16}'"

# unseen WHERE TEXT: none of the secrets is in it. Their values are not repeated.
unseen() {
  local name
  for name in password config_value role_password key; do
    [[ $2 != *"${!name}"* ]] || fail "$1 holds the $name"
  done
  [[ $2 != *SCRAM-SHA-256* && $2 != *AGE-SECRET-KEY-1* ]] || fail "$1 holds a password's hash or a key"
}
# The app and Dokku's own programs hold what is theirs: only ours are looked at.
unseen "the argv of a process" "$(grep --extended-regexp 'dokku-backup|pg_dump' "$WORK/argv")"
unseen "the helper's description" "$described"
unseen "the output of a command" "$(<"$WORK/said")"
unseen "a log" "$(find "${DOKKU_LOGS_DIR:-/var/log/dokku}" -path '*backup*' -type f -exec cat {} +)"

# The key is where it belongs, and there only. Nothing else is in clear below the plugin's data: no secret, no row, no config.
for text in "$password" "$config_value" "$role_password" "$key" "$row" HAY_TOKEN SCRAM-SHA-256 AGE-SECRET-KEY-1; do
  found=$(grep --recursive --files-with-matches --fixed-strings --text -- "$text" "$data" | grep --invert-match --line-regexp "$data/identity" || true)
  [[ ! $found ]] || fail "in clear in $found"
done
equal "the key file" "$(cat "$data/identity")" "$key"

# Files are the owner's alone.
open=$(find "$data/repository" "$data/identity" "$data/runs" "$data/tmp" \( -type f ! -perm 600 -o -type d ! -perm 700 \) -printf '%m %p\n')
equal "files and folders that others may read" "$open" ""
equal "mode of the data folder" "$(stat --format %a "$data")" 700
clean "$db"
