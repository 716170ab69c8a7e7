#!/usr/bin/env bash
# What the acceptance scripts share. Each begins with: . "$ROOT/test/lib.sh"
#
# test/run sets: P, the prefix of every app's and service's name; MODE, sandbox, docker or host; WORK, an empty folder of the script;
# ROOT, this project; HISTORY, a folder with the example app's repository (file bundle) and its tags (file commits). On a real host
# user dokku must be able to read what a command is given the path of: WORK is open to all, and what is secret goes into a 0700 folder in it.

export DOKKU_LIB_ROOT=${DOKKU_LIB_ROOT:-/var/lib/dokku}
data=$DOKKU_LIB_ROOT/data/backup
limit=120 # seconds that a command may take; a deploy by a real Dokku waits for checks and for the containers before
[[ $MODE != host ]] || limit=300

# Of a script on a real host nothing stays, however it ends.
tidy() {
  local status=$? name
  trap - EXIT ERR
  set +e
  stop_server
  if [[ $MODE == host ]]; then
    for name in $(timeout "$limit" dokku apps:list 2>/dev/null | grep "^$P"); do
      timeout "$limit" dokku apps:destroy "$name" --force
    done
    for name in $(timeout "$limit" dokku postgres:list 2>/dev/null | grep --only-matching "${P}[A-Za-z0-9_-]*"); do
      timeout "$limit" dokku postgres:destroy "$name" --force
    done
    for name in $(timeout "$limit" docker network ls --format '{{.Name}}' | grep "^$P"); do
      timeout "$limit" docker network rm "$name"
    done
    for name in "$data/schedules/postgres:$P"*; do
      timeout "$limit" dokku backup:unschedule "${name##*/}" --all
    done
    for name in "$data"/stores/*-"${P//[^a-z0-9]/}"; do
      timeout "$limit" dokku backup:store-remove "${name##*/}"
    done
    for name in $(timeout "$limit" dokku backup:list 2>/dev/null | grep --only-matching "^${P}[^ ]*Z"); do
      timeout "$limit" dokku backup:unpin "$name"
      timeout "$limit" dokku backup:delete "$name" --yes
    done
    rm --force "${DOKKU_LOGS_DIR:-/var/log/dokku}/backup/$P"*
  fi >/dev/null 2>&1 </dev/null
  exit "$status"
}
trap tidy EXIT
trap 'fail "failed: $BASH_COMMAND"' ERR
set -E

# fail MESSAGE...: with the script's own line, not one of this file.
fail() {
  local i
  trap - ERR
  for i in "${!BASH_SOURCE[@]}"; do
    [[ ${BASH_SOURCE[i]} == "${BASH_SOURCE[0]}" ]] || break
  done
  echo "${BASH_SOURCE[i]#"$ROOT/"}:${BASH_LINENO[i - 1]}: $*" >&2
  exit 1
}

# skip WHAT: something cannot be tried here; test/run says so.
skip() { echo "skipped: $1"; }

# equal WHAT GOT WANT, holds WHAT GOT PART, lacks WHAT GOT PART, within WHAT GOT LIMIT
equal() { [[ $2 == "$3" ]] || fail "$1: got '$2', want '$3'"; }
holds() { [[ $2 == *"$3"* ]] || fail "$1: got '$2', want it to hold '$3'"; }
lacks() { [[ $2 != *"$3"* ]] || fail "$1: got '$2', want it not to hold '$3'"; }
within() { [[ $2 -le $3 ]] || fail "$1: got $2, want at most $3"; }

# expect_exit CODE COMMAND...: runs it, for $limit seconds at most, and leaves its streams in $out and $err. CODE may be several: 0,3.
expect_exit() {
  local want=$1 got=0
  shift
  timeout --kill-after 5 "$limit" "$@" >"$WORK/.out" 2>"$WORK/.err" || got=$?
  out=$(<"$WORK/.out") err=$(<"$WORK/.err")
  [[ ,$want, == *,$got,* ]] || fail "$*: got exit $got, want $want; stdout: $out; stderr: $err"
}

# quietly COMMAND...: a step that must end well and whose output does not matter.
quietly() { expect_exit 0 "$@"; }

# json PATH <JSON: prints the values at the path, a line each. In it are names, indexes, * for each one of them and # for how many
# there are: services.0.databases.*.name; the path . is all of it. What is not there gives no line.
json() {
  python3 -c '
import json, sys
found = [json.load(sys.stdin)]
for step in filter(None, sys.argv[1].split(".")):
    if step == "#":
        found = [len(value or []) for value in found]
    elif step == "*":
        found = [item for value in found for item in (value.values() if isinstance(value, dict) else value)]
    else:
        found = [value[int(step)] if isinstance(value, list) else value[step] for value in found
                 if value is not None and (int(step) < len(value) if isinstance(value, list) else step in value)]
for value in found:
    print(value if isinstance(value, str) else json.dumps(value, sort_keys=True))' "$1"
}

# commit TAG: its full SHA.
commit() { sed -n "s/^$1 //p" "$HISTORY/commits"; }

# app NAME, and deploy APP TAG: by git:sync from the bundle, and built.
app() { quietly dokku apps:create "$1"; }
deploy() { quietly dokku git:sync --build "$1" "$HISTORY/bundle" "$2"; }

# service NAME [FLAG...]
service() { quietly dokku postgres:create "$@"; }

# container SERVICE
container() { timeout "$limit" dokku postgres:info "$1" --id; }

# database SERVICE: the name of its default one.
database() { echo "${1//-/_}"; }

# sql SERVICE [DATABASE [PSQL-FLAG...]] <SQL: stops at the first error; rows come plain.
sql() {
  local service=$1 name=${2:-$(database "$1")}
  shift "$(($# > 2 ? 2 : $#))"
  timeout "$limit" docker exec -i "$(container "$service")" psql -U postgres -d "$name" -v ON_ERROR_STOP=1 -qAtX "$@"
}

# happycows SERVICE APP [TAG]: the example app at v1, linked and seeded.
happycows() {
  service "$1"
  app "$2"
  quietly dokku postgres:link "$1" "$2"
  deploy "$2" "${3:-v1}"
  sql "$1" <"$ROOT/examples/happycows/seed.sql" >/dev/null
}

# backup SERVICE [CODE]: makes one; leaves its manifest in $manifest and its id in $id.
backup() {
  expect_exit "${2:-0}" dokku backup:create "$1" --quiet --format json
  manifest=$out
  # shellcheck disable=SC2034 # for the scripts
  id=$(field id)
}

# field PATH: of $manifest.
field() { json "$1" <<<"$manifest"; }

# fingerprints DATABASE: of $manifest, a line a table: schema, name, rows, bytes, digest.
fingerprints() {
  python3 -c '
import json, sys
for database in json.load(sys.stdin)["services"][0]["databases"]:
    if database["name"] == sys.argv[1]:
        for table in sorted(database["tables"], key=lambda table: (table["schema"], table["name"])):
            print(repr([table["schema"], table["name"], table.get("rows", 0), table["bytes"], table["digest"]]))' "$1" <<<"$manifest"
}

# recover ID: by doc/recover, from a copy of the repository and the key alone, into the new folder $recovered.
recover() {
  local copy
  copy=$(mktemp -d "$WORK/recovery.XXXXXX")
  cp -a "$data/repository" "$copy/repository"
  quietly dokku backup:key
  (umask 077 && echo "$out" >"$copy/key")
  recovered=$copy/out
  quietly "$ROOT/doc/recover" "$copy/repository" "$copy/key" "$1" "$recovered"
  lacks "doc/recover" "$out" "NOT WHOLE"
}

# load SERVICE DATABASE DUMP: into a new, empty database of that name, and no error is passed over.
load() {
  echo "CREATE DATABASE \"$2\" TEMPLATE template0" | sql "$1" template1
  timeout "$limit" docker exec -i "$(container "$1")" pg_restore -U postgres --exit-on-error -d "$2" <"$3"
}

# digests SERVICE [DATABASE]: a line a table, with the number and the digest of its own rows, whatever their order.
digests() {
  sql "$@" <<'SQL'
SELECT format('SELECT %1$L, count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")) FROM ONLY %1$s t', c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY n.nspname, c.relname
\gexec
SQL
}

# production SERVICE APP: all that stays as it is, whatever is done with its backups.
production() {
  timeout "$limit" dokku postgres:info "$1"
  timeout "$limit" docker inspect --format '{{.Id}} {{.State.StartedAt}}' "$(container "$1")"
  digests "$1"
  timeout "$limit" dokku config:export --format json "$2" | json .
  timeout "$limit" dokku ps:scale "$2" 2>/dev/null
  timeout "$limit" docker ps --all --no-trunc --filter "label=com.dokku.app-name=$2" --format '{{.ID}} {{.Names}}' |
    { grep --extended-regexp " $2\.[^.]+\.[0-9]+$" || true; } # not those that Dokku is about to remove
  git -c safe.directory='*' --git-dir "${DOKKU_ROOT:-/home/dokku}/$2" show-ref --head
}

# settings APP: its config as JSON, but for what Dokku and a restore set.
settings() {
  timeout "$limit" dokku config:export --format json "$1" | python3 -c '
import json, sys
print(json.dumps({k: v for k, v in json.load(sys.stdin).items() if not k.startswith("DOKKU_") and k not in ("DATABASE_URL", "GIT_REV", "NO_VHOST")}, sort_keys=True))'
}

# server KIND [PORT]: starts a server for a store, as test/servers says; its facts become variables. It ends with the script.
server() {
  local facts
  # shellcheck disable=SC2034 # for the scripts
  pid='' port='' endpoint='' fingerprint='' login='' files='' bucket='' region='' access_key='' secret_key=''
  mkdir -p "$WORK/server"
  facts=$("$ROOT/test/servers" "$1" "$WORK/server" "${@:2}")
  eval "$facts"
}

# stop_server ends it.
stop_server() {
  local process
  for process in ${pid:-}; do
    kill "$process" 2>/dev/null || continue
    while kill -0 "$process" 2>/dev/null; do sleep 0.1; done
  done
  pid=
}

# get APP PATH: asks the app's web process itself, past any proxy. The answer is in $out, its status in $http; 000 for none.
get() {
  local address
  address=$(timeout "$limit" docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$1.web.1")
  # shellcheck disable=SC2034 # for the scripts
  http=$(curl --silent --max-time 15 --output "$WORK/.answer" --write-out '%{http_code}' "http://${address%% *}:5000$2") || true
  out=$(cat "$WORK/.answer")
}
