#!/usr/bin/env bash
# Practice runs that are ended at any point: an interrupted one cleans up itself, what a killed one left the next one sweeps, and what
# only looks like a leftover stays.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows

# practise [FLAG...]: in the background; ended waits for it.
practise() {
  streams=$WORK/run
  timeout --kill-after 5 150 dokku backup:practice "$db" --quiet "$@" >"$streams.out" 2>"$streams.err" &
  run=$!
}

# journal: of the run that is under way. at STEP: it has begun that step.
journal() { cat "$data/restores/$db-practice-"*/journal.json 2>/dev/null || true; }
at() { [[ $(journal) == *"\"step\": \"$1\""* ]]; }
program() { journal | sed -n 's/^ *"pid": \([0-9]*\).*/\1/p'; }

# left: of practice runs, but for the bystanders.
left() { left_of ".*-practice-" | grep --invert-match -- "-practice-0ff1ce" || true; }

happycows "$db" "$cows"
backup "$db"
before=$(production "$db" "$cows")

# Somebody else's, with names like those of a practice run.
service "$db-practice-0ff1ce"
app "$cows-practice-0ff1ce"
quietly dokku network:create "$db-practice-0ff1ce"
bystanders=$(left_of ".*-practice-")

# INT, TERM and HUP end it cleanly, at whatever it is.
for signal in "INT create" "TERM load" "HUP build" "INT health"; do
  practise
  until_true "step ${signal#* }" at "${signal#* }"
  kill -s "${signal% *}" "$(program)"
  ended 130
  holds "stderr after SIG$signal" "$err" " !     interrupted"
  equal "lines of stderr after SIG$signal" "$(wc -l <<<"$err")" 1
  spoken "$err"
  equal "left behind after SIG$signal" "$(left)" ""
done
expect_exit 0 dokku backup:list "$db" --format json
equal "result of interrupted runs" "$(json 0.practised <<<"$out")" "" # they prove nothing, either way

# KILL at moments that are spread over the time that a run takes: the next run, or --cleanup, removes what is left.
rounds=5
[[ $MODE != host ]] || rounds=3
began=${EPOCHREALTIME/[.,]/}
quietly dokku backup:practice "$db" --quiet
took=$((${EPOCHREALTIME/[.,]/} - began))
died=0
for ((round = 1; round <= rounds; round++)); do
  practise
  sleep "$(printf '%d.%06d' $((took * round / (rounds + 1) / 1000000)) $((took * round / (rounds + 1) % 1000000)))"
  pid=$(program)
  [[ ! $pid ]] || kill -s KILL "$pid" 2>/dev/null || true
  status=0
  wait "$run" || status=$?
  case $status in
    137) died=$((died + 1)) ;;
    0) ;;
    *) fail "practice: got exit $status; stderr: $(<"$streams.err")" ;;
  esac
  [[ $((round % 2)) -ne 0 ]] || continue
  quietly dokku backup:practice --cleanup
  equal "left behind after round $round and cleanup" "$(left)" ""
done
[[ $died -ge $((rounds / 2)) ]] || fail "only $died of $rounds runs were killed"
practise --data-only
ended 0
equal "left behind after the next run" "$(left)" ""

# What a killed run left is removed even when its backup is gone. Where somebody has put their own in its place, that stays, and cleanup
# says so.
practise --data-only
until_true "step verify" at verify
kill -s KILL "$(program)"
ended 137
quietly dokku backup:delete "$id" --yes
taken=$(left | sed -n 's/^service //p')
quietly dokku postgres:destroy "$taken" --force
service "$taken"
expect_exit 1 dokku backup:practice --cleanup
holds "stderr of cleanup" "$err" " !     service \"postgres:$taken\" does not bear the mark of this restore; it was left as it is"
spoken "$err"
quietly dokku postgres:info "$taken"
quietly dokku postgres:destroy "$taken" --force
quietly dokku backup:practice --cleanup
equal "left behind" "$(left)" ""

equal "bystanders" "$(left_of ".*-practice-")" "$bystanders"
equal "production" "$(production "$db" "$cows")" "$before"
quietly dokku network:destroy "$db-practice-0ff1ce" --force
