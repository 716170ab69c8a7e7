#!/usr/bin/env bash
# A run that is ended at any point: half a backup is never listed, and the next run clears away what was left.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db

# The process to be ended is the one that holds the service's lock; as Dokku starts it, it is no child of ours.
program() { told "$db" pid; }

service "$db"
sql "$db" <<<"CREATE TABLE herd AS SELECT g AS id, repeat(md5(g::text), 8) AS brand FROM generate_series(1, 100000) g; CREATE TABLE gate (n int)"
backup "$db"
good=$id

# INT, TERM and HUP (a lost connection) end it cleanly: while it waits, and while it works.
for signal in INT TERM HUP; do
  lock "$db" gate
  start "$db"
  until_true "the dump waits for the lock" waits_for_lock "$db"
  kill -s "$signal" "$(program)"
  ended 130
  unlock
  equal "stdout after SIG$signal" "$out" ""
  holds "stderr after SIG$signal" "$err" " !     interrupted; "
  equal "lines of stderr after SIG$signal" "$(wc -l <<<"$err")" 1
  clean "$db"
  holds "list after SIG$signal" "$(timeout 60 dokku backup:list "$db" | sed -n 2p)" "failed: it was interrupted"
done
start "$db"
until_true "the run is announced" announced "$db"
kill -s INT "$(program)"
ended 130
clean "$db"
equal "backups" "$(backups "$db")" "$good"
files=$(find "$data/repository" -type f | sort)

# KILL while it waits for a lock: the helper container is left, and the next run ends it.
lock "$db" gate
start "$db"
until_true "the dump waits for the lock" waits_for_lock "$db"
killed=$(told "$db" id)
kill -s KILL "$(program)"
ended 137
holds "list after SIGKILL" "$(timeout 60 dokku backup:list "$db" | sed -n 2p)" "failed: it was killed, or the host went down"
equal "failed run" "$(failures "$db" | head -n 1)" "$killed"
equal "backups" "$(backups "$db")" "$good"
unlock
expect_exit 0 dokku backup:create "$db" --quiet
good=$out$'\n'$good
holds "stderr of the next run" "$err" " !     the run before, $killed, was killed; what it left is cleared away"
clean "$db"
expect_exit 1 dokku backup:info "$killed"
equal "stderr of info" "$err" " !     there is no backup $killed: its run failed: it was killed, or the host went down"

# KILL at any point: after each of as many moments, spread over the time that a run takes. New rows each time, so that there is something to store.
began=${EPOCHREALTIME/[.,]/}
backup "$db"
good=$id$'\n'$good
took=$((${EPOCHREALTIME/[.,]/} - began))
died=0
for moment in {1..20}; do
  sql "$db" <<<"UPDATE herd SET brand = md5((id * $moment)::text) WHERE id % 3 = 0"
  start "$db"
  # Only the program itself is killed, not timeout or a shell before it.
  sleep "$(printf '0.%06d' $((took * moment / 21 % 1000000)))"
  if pid=$(program) && [[ $pid ]]; then
    kill -s KILL "$pid" 2>/dev/null || true
  fi
  status=0
  wait "$run" || status=$?
  out=$(<"$streams.out") err=$(<"$streams.err")
  case $status in
    137)
      died=$((died + 1))
      equal "stdout of a killed run" "$out" ""
      # It may have died after its manifest was written: then the backup exists, and is whole.
      now=$(backups "$db")
      [[ $now == "$good" || ${now#*$'\n'} == "$good" ]] || fail "backups after moment $moment: got $now, before it: $good"
      [[ $now == "$good" ]] || quietly dokku backup:verify "${now%%$'\n'*}" --quiet
      good=$now
      ;;
    0) good=$out$'\n'$good ;;
    *) fail "create: got exit $status; stderr: $err" ;;
  esac
done
[[ $died -ge 10 ]] || fail "only $died of 20 runs were killed"

# What is listed is whole, the next run succeeds, and nothing is left of the others.
while read -r id; do
  quietly dokku backup:verify "$id" --quiet
done <<<"$good"
[[ $MODE == host ]] || quietly dokku backup:verify --all --quiet
backup "$db"
quietly dokku backup:verify "$id" --quiet
clean "$db"
equal "temporary files" "$(find "$data" -name '*.part*')" ""

# Nor are segments that no backup needs: with all but the first deleted, what is stored is what was stored then.
if [[ $MODE != host ]]; then
  while read -r id; do
    quietly dokku backup:delete "$id" --yes
  done < <(backups "$db" | head -n -1)
  equal "files" "$(find "$data/repository" -type f ! -path '*/marks/*' | sort)" "$files"
fi
