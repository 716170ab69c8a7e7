# What scripts need that meddle with a backup while it is being made; after test/lib.sh: . "$ROOT/test/running.sh"
# shellcheck shell=bash
: "${data:?test/lib.sh comes first}" "${limit:?}"

# until_true WHAT COMMAND...: waits for it, for a minute at most.
until_true() {
  local what=$1 deadline=$((SECONDS + 60))
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

# left_of PATTERN: services, apps, containers, networks, images and files of ours whose names match it, a line each.
left_of() {
  {
    timeout "$limit" dokku postgres:list | sed 's/^/service /'
    timeout "$limit" dokku apps:list | sed 's/^/app /'
    timeout "$limit" docker ps --all --format 'container {{.Names}}'
    timeout "$limit" docker network ls --format 'network {{.Name}}'
    timeout "$limit" docker images --format 'image {{.Repository}}'
    find "$data" -path "$data/repository" -prune -o -print
  } 2>/dev/null | grep -- "$P$1" || true
}

# disturbed CODE STEP[+SECONDS] SIGNAL all|alone ARGUMENT...: a restore into service $new that gets the signal as soon as its journal says
# that it is at this step, or so much later, alone or with all that it called, and ends with this code. The journal is looked at a thousand
# times a second, since a step may be short. $mark is what its helper containers bear as label.
disturbed() {
  local want=$1 got=0 journal=$data/restores/${new:?}/journal.json
  shift
  doing="SIG$2 to $3 at step $1"
  timeout 300 python3 - "$WORK/.mark" "$journal" "$@" >"$WORK/.out" 2>"$WORK/.err" <<'END' || got=$?
import json, os, signal, subprocess, sys, time
mark, journal, moment, name, who, *arguments = sys.argv[1:]
step, _, later = moment.partition("+")
# Its stdout takes nothing, so that it does not get past its last step, where it prints.
_, full = os.pipe()
os.set_blocking(full, False)
try:
    while True:
        os.write(full, bytes(4096))
except BlockingIOError:
    os.set_blocking(full, True)
run = subprocess.Popen(["dokku", "backup:restore"] + arguments, stdin=subprocess.DEVNULL, stdout=full, start_new_session=True)
told = {}
while told.get("step") != step and run.poll() is None:
    time.sleep(0.001)
    try:
        with open(journal) as f:
            told = json.load(f)
        # What the run before left names a process that is gone.
        with open("/proc/%d/cmdline" % told["pid"]) as f:
            if "backup:restore" not in f.read():
                told = {}
    except (FileNotFoundError, ProcessLookupError):
        told = {}
time.sleep(float(later or 0))
if run.poll() is not None:
    sys.exit("it ended before it was disturbed")
number = signal.Signals["SIG" + name]
os.killpg(os.getpgid(told["pid"]), number) if who == "all" else os.kill(told["pid"], number)
status = run.wait()
with open(mark, "w") as f:
    f.write(told["mark"])
sys.exit(128 - status if status < 0 else status)
END
  out=$(<"$WORK/.out") err=$(<"$WORK/.err")
  equal "$doing: exit of: $err" "$got" "$want"
  # shellcheck disable=SC2034 # for the scripts
  mark=$(<"$WORK/.mark")
}

# spoken TEXT: it is for a person: no stack, no bare exit status, no inner words.
spoken() {
  local bad
  for bad in "goroutine " "panic" "docker run: exit" "context canceled" "context deadline" "signal received" "unexpected EOF" "%!" ".go:" "$data/tmp"; do
    lacks "a message" "$1" "$bad"
  done
  [[ ! $1 =~ (^|: )exit\ status ]] || fail "a bare exit status: $1"
}

# practise CODE [FLAG...]: a practice run of the newest backup of $db; then nothing of it is left, and production is as $before.
practise() {
  local code=$1
  shift
  limit=$((limit * 2)) expect_exit "$code" dokku backup:practice "${db:?}" "$@"
  spoken "$err"
  equal "left behind by practice $*" "$(left_of ".*-practice-")" ""
  equal "production after practice $*" "$(production "$db" "${cows:?}")" "${before:?}"
}

# reported KEY: what the report, or the page of info, in $out has there.
reported() { sed -n "s/^       $1  *//p" <<<"$out"; }
