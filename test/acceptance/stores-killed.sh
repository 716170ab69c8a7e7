#!/usr/bin/env bash
# Not with --docker by default: it is about stores and keys, not about the engine.
# Runs that are killed while they send leave a store that holds nothing half-done, and the next one goes on; two runs at once do not disturb
# each other.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db other=${P}other
name=offsite-${P//[^a-z0-9]/}

server sshd
service "$db"
service "$other"
noise="CREATE TABLE noise AS SELECT i, md5(i || 'a') || md5(i || 'b') || md5(i || 'c') AS t FROM generate_series(1, 60000) i"
sql "$db" <<<"$noise"
sql "$other" <<<"$noise"
backup "$db"
first=$id
[[ $MODE != host ]] || chown dokku "$login"
quietly dokku backup:store-add "$name" "$endpoint" --host-key "$fingerprint" --ssh-key "$login" --bandwidth 4MB --parallel 1

# Killed at moments spread over the time that it takes. What is listed there is whole each time.
sent=0
for wait in 0.1 0.3 0.5 0.8 1.1 1.5; do
  setsid dokku backup:sync "$name" >"$WORK/out" 2>&1 &
  run=$!
  sleep "$wait"
  # setsid's process may be another one than that of the job: the group is that of the program.
  pkill --signal KILL --session "$run" 2>/dev/null || kill -KILL -- "-$run" 2>/dev/null || true
  wait "$run" 2>/dev/null || true
  [[ ! -e $files/repository.json ]] || expect_exit 0,1 dokku backup:verify --all --from "$name"
  lacks "verify after a kill" "$err" "damaged"
  lacks "verify after a kill" "$err" "missing"
  sent=$((sent + 1))
done
quietly dokku backup:sync "$name"
quietly dokku backup:verify "$first" --from "$name"

# Two services are backed up at once: both are confirmed.
sql "$db" <<<"UPDATE noise SET t = md5(t) WHERE i % 3 = 0"
timeout "$limit" dokku backup:create "$db" --quiet --format json >"$WORK/one" 2>"$WORK/one.err" &
one=$!
timeout "$limit" dokku backup:create "$other" --quiet --format json >"$WORK/two" 2>"$WORK/two.err" || fail "one of two at once: $(<"$WORK/two.err")"
wait "$one" || fail "one of two at once: $(<"$WORK/one.err")"
for run in one two; do
  equal "state of $run" "$(json stores.0.state <"$WORK/$run")" confirmed
done
quietly dokku backup:verify --all --from "$name"
expect_exit 0 dokku backup:store-list

# A run that is interrupted while it sends says what is where; the backup is complete here.
sql "$db" <<<"UPDATE noise SET t = md5(t) || md5(t || 'x') || md5(t || 'y')"
timeout --foreground "$limit" dokku backup:create "$db" >"$WORK/out" 2>"$WORK/err" &
run=$!
for _ in {1..300}; do
  ! grep --quiet "Sending to $name" "$WORK/err" || break
  sleep 0.1
done
sleep 0.3
pkill --signal INT --parent "$run" || true
got=0
wait "$run" || got=$?
equal "exit of the interrupted run" "$got" 130
holds "the interrupted run" "$(<"$WORK/err")" "is complete here; it is not yet at every store"
expect_exit 0 dokku backup:list "$db"
holds "list" "$out" "complete here, not at $name"
quietly dokku backup:sync
expect_exit 0 dokku backup:list "$db"
lacks "list" "$out" "not at $name"
quietly dokku backup:store-remove "$name"
