#!/usr/bin/env bash
# A restore that was killed or interrupted is removed without a trace; and while there is one into a name, there is no other.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows new=${P}db-2 again=${P}cows-2
journal=$data/restores/$new/journal.json

happycows "$db" "$cows"
backup "$db"
before=$(production "$db" "$cows")

step() { json step <"$journal"; }
program() { json pid <"$journal"; }

# gone: of the restore nothing is left. What was killed may need a moment.
nothing_left() {
  [[ ! $(left_of '\(db\|cows\)-2') && ! $(docker ps --all --quiet --filter "label=com.dokku-backup.helper=$mark") && ! $(find "$data/restores" "$data/tmp" -mindepth 1) ]]
}
gone() { until_true "$doing: end of all: $(left_of '\(db\|cows\)-2')" nothing_left; }

# Of nothing, nothing can be gone on with or removed.
for flag in --resume --abort; do
  expect_exit 1 dokku backup:restore "$flag" "$new"
  holds "$flag of nothing" "$err" " !     there is no unfinished restore into $new"
done

# While one runs, another one into its name has to wait; so do --resume and --abort.
dokku backup:restore "$id" "$new" --app "$again" --yes >/dev/null 2>&1 </dev/null &
run=$!
until_true "the restore has begun" test -s "$journal"
for flags in "$id $new --yes" "--resume $new" "--abort $new"; do
  # shellcheck disable=SC2086 # words
  expect_exit 11 dokku backup:restore $flags
  spoken "$err"
  holds "a second restore" "$err" " !     a restore into $new is under way since "
  holds "a second restore" "$err" "(process $(program))"
done
kill -s KILL "$(program)"
status=0
wait "$run" || status=$?
equal "exit of a restore that was killed" "$status" 137
# Its name is not free then either.
expect_exit 11 dokku backup:restore "$id" "$new" --yes
spoken "$err"
for part in " !     a restore into $new was begun and has not finished" "go on with it: dokku backup:restore --resume $new" \
  "or remove it:  dokku backup:restore --abort $new"; do
  holds "a second restore" "$err" "$part"
done
doing="a killed restore, then --abort" mark=$(json mark <"$journal")
quietly dokku backup:restore --abort "$new"
gone

# Killed with all that it called, and removed.
for at in create load app build; do
  disturbed 137 "$at" KILL all "$id" "$new" --app "$again" --yes
  expect_exit 0 dokku backup:restore --abort "$new"
  equal "$doing: stdout of --abort" "$out" ""
  holds "$doing: stderr of --abort" "$err" "=====> Removed: nothing of the restore into $new is left"
  gone
done
equal "production after --abort" "$(production "$db" "$cows")" "$before"

# Interrupted: one that hardly began leaves nothing, a later one says how to go on.
disturbed 130 create INT alone "$id" "$new" --app "$again" --yes
spoken "$err"
holds "$doing" "$err" "nothing was left behind"
gone
disturbed 130 load INT alone "$id" "$new" --app "$again" --yes
spoken "$err"
for part in "service $new is kept for you to look at; it is not proven" "dokku backup:restore --resume $new" "dokku backup:restore --abort $new"; do
  holds "$doing" "$err" "$part"
done
equal "$doing: step" "$(step)" load
disturbed 130 build TERM alone --resume "$new"
quietly dokku backup:restore --abort "$new"
gone
equal "production in the end" "$(production "$db" "$cows")" "$before"
