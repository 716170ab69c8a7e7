#!/usr/bin/env bash
# A restore that is killed at any of its steps and gone on with ends in the same state as one that nobody disturbed.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows new=${P}db-2 again=${P}cows-2
journal=$data/restores/$new/journal.json

happycows "$db" "$cows"
quietly dokku config:set --no-restart "$cows" GREETING="moo, it's me"
sql "$db" <<<"CREATE ROLE visitor; GRANT SELECT ON cows TO visitor; CREATE DATABASE other"
sql "$db" other <<<"CREATE TABLE notes (id int PRIMARY KEY, words text); INSERT INTO notes VALUES (1, 'other')"
backup "$db"
before=$(production "$db" "$cows")

# result: all that a restore makes, but for what differs each time: passwords, the mark, ids.
result() {
  digests "$new"
  digests "$new" other
  timeout "$limit" docker exec "$(container "$new")" pg_dumpall -U postgres | sed '/^\\\(un\)\?restrict /d; s/SCRAM-SHA-256[^ ]*/.../'
  sql "$new" <<<"SELECT name, setting FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'session') AND name !~ 'ssl|listen|socket' ORDER BY 1"
  timeout "$limit" dokku postgres:links "$new"
  timeout "$limit" dokku config:export --format json "$again" |
    python3 -c 'import json, re, sys; print({k: re.sub(":[0-9a-f]{32}@", ":...@", v) for k, v in json.load(sys.stdin).items() if k != "DOKKU_BACKUP_RESTORE"})'
  timeout "$limit" dokku ps:scale "$again" 2>/dev/null
  timeout "$limit" docker ps --all --filter "label=com.dokku.app-name=$again" --format '{{.Names}}' | grep "^$again\.[a-z]*\.[0-9]*$"
  git -c safe.directory='*' --git-dir "${DOKKU_ROOT:-/home/dokku}/$again" show-ref --head
  get "$again" /
  echo "$http $out"
}

destroy() {
  quietly dokku apps:destroy "$again" --force
  quietly dokku postgres:destroy "$new" --force
}

# Nobody disturbs it.
quietly dokku backup:restore "$id" "$new" --app "$again" --yes
result >"$WORK/undisturbed"
destroy

# One restore, killed at every step, gone on with each time.
arguments=("$id" "$new" --app "$again" --yes)
for at in check create load verify app code link build health report; do
  disturbed 137 "$at" KILL all "${arguments[@]}"
  equal "$doing: step" "$(json step <"$journal")" "$at"
  arguments=(--resume "$new")
done
expect_exit 0 dokku backup:restore --resume "$new"
equal "stdout of the last --resume" "$out" "$new"
holds "stderr of the last --resume" "$err" "=====> $id is restored as service $new with app $again in "
result >"$WORK/result"
cmp --quiet "$WORK/undisturbed" "$WORK/result" || fail "a restore that was killed at every step differs: $(diff "$WORK/undisturbed" "$WORK/result")"
no_rest() { [[ ! $(find "$data/restores" "$data/tmp" -mindepth 1) && ! $(docker ps --all --quiet --filter "label=com.dokku-backup.helper=$mark") ]]; }
until_true "end of journals, folders and helper containers" no_rest
equal "production" "$(production "$db" "$cows")" "$before"
destroy

# Killed alone, what it called lives on for a while. None of that can be in the way.
disturbed 137 create KILL alone "$id" "$new" --app "$again" --yes
disturbed 137 build KILL alone --resume "$new"
quietly dokku backup:restore --resume "$new"
result >"$WORK/result"
cmp --quiet "$WORK/undisturbed" "$WORK/result" || fail "a restore whose program was killed differs: $(diff "$WORK/undisturbed" "$WORK/result")"
until_true "end of journals, folders and helper containers" no_rest
equal "production in the end" "$(production "$db" "$cows")" "$before"
