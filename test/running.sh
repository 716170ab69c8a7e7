# What scripts need that meddle with a backup while it is being made; after test/lib.sh: . "$ROOT/test/running.sh"
# shellcheck shell=bash
: "${data:?test/lib.sh comes first}"

# until_true WHAT COMMAND...: waits for it, for 20 seconds at most.
until_true() {
  local what=$1 deadline=$((SECONDS + 20))
  shift
  until "$@"; do
    [[ $SECONDS -lt $deadline ]] || fail "waited in vain (${FUNCNAME[1]}, line ${BASH_LINENO[0]}): $what"
    sleep 0.02
  done
}

# lock SERVICE TABLE, unlock: a session of somebody else holds the table, so that a dump of it waits until it is told to end.
lock() {
  rm -f "$WORK/session" "$WORK/locked"
  mkfifo "$WORK/session"
  limit=170 sql "$1" <"$WORK/session" >"$WORK/locked" 2>&1 &
  locking=$!
  exec {session}>"$WORK/session"
  echo "BEGIN; LOCK TABLE $2; SELECT 'locked';" >&"$session"
  until_true "lock of $2" grep --quiet locked "$WORK/locked"
}
unlock() {
  printf 'COMMIT;\n\\q\n' >&"$session" # children of this shell may hold the other end open
  exec {session}>&-
  wait "$locking"
}

# start SERVICE [FLAG...]: create in the background; its process is $run, its streams go to $streams; ended waits for it.
start() {
  streams=$WORK/run-$1
  timeout --kill-after 5 150 dokku backup:create "$@" --quiet >"$streams.out" 2>"$streams.err" &
  run=$!
}

# ended CODE: its streams are in $out and $err.
ended() {
  local got=0
  wait "$run" || got=$?
  out=$(<"$streams.out") err=$(<"$streams.err")
  [[ $got -eq $1 ]] || fail "create: got exit $got, want $1; stdout: $out; stderr: $err"
}

# told SERVICE FIELD: of the record of the service's run that is under way, empty when there is none.
told() { sed -n "s/.*\"$2\":\"\\{0,1\\}\\([^\",]*\\).*/\\1/p" "$data/runs/$1.lock" 2>/dev/null || true; }
announced() { [[ $(told "$1" pid) ]]; }

# backends SERVICE: what this plugin does on the server, as states of its sessions.
backends() { echo "SELECT coalesce(wait_event_type, state) FROM pg_stat_activity WHERE application_name LIKE 'dokku-backup%'" | sql "$1" postgres; }
waits_for_lock() { [[ $(backends "$1") == *Lock* ]]; }
no_backends() { [[ ! $(backends "$1") ]]; }

# helpers SERVICE: the helper containers of its runs.
helpers() { timeout 30 docker ps --all --no-trunc --filter label=com.dokku-backup.helper --format '{{.ID}} {{.Labels}}' | sed -n "s/ .*=$1-2.*//p"; }
no_helpers() { [[ ! $(helpers "$1") ]]; }

# clean SERVICE: of a run that has ended nothing is left.
clean() {
  until_true "end of the helper containers" no_helpers "$1"
  until_true "end of the sessions on the server" no_backends "$1"
  [[ ! -e $data/tmp/$1 ]] || fail "its temporary folder is still there"
  equal "unfinished files" "$(find "$data" -name '.part-*')" ""
}

# backups SERVICE, failures SERVICE: ids, newest first.
backups() { timeout 60 dokku backup:list "$1" --format json | python3 -c 'import json, sys; [print(b["id"]) for b in json.load(sys.stdin) if "failed" not in b]'; }
failures() { timeout 60 dokku backup:list "$1" --format json | python3 -c 'import json, sys; [print(b["id"]) for b in json.load(sys.stdin) if "failed" in b]'; }

# spoken TEXT: it is for a person: no stack, no bare exit status, no inner words.
spoken() {
  local bad
  for bad in "goroutine " "panic" "docker run: exit" "context canceled" "context deadline" "signal received" "unexpected EOF" "%!" ".go:" "$data/tmp"; do
    lacks "a message" "$1" "$bad"
  done
  [[ ! $1 =~ (^|: )exit\ status ]] || fail "a bare exit status: $1"
}
