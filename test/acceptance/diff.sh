#!/usr/bin/env bash
# What lies between a backup and another commit: commits, and migrations next to what the backup's data says is applied.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows
v1=$(commit v1 | cut -c 1-7) v2=$(commit v2 | cut -c 1-7) v3=$(commit v3 | cut -c 1-7)
mood=db/migrations/20260215000000_add_mood_to_cows.sql orders=db/migrations/20260401000000_create_orders.sql

happycows "$db" "$cows"
backup "$db"
first=$id

# The app runs the very commit of the backup.
expect_exit 0 dokku backup:diff "$first"
equal "diff to the same commit" "$out" "The backup is of $v1 itself: no commits and no migrations in between."
equal "stderr" "$err" ""

# It runs a later one, with a migration.
deploy "$cows" v2
expect_exit 0 dokku backup:diff "$first"
equal "diff to what runs now" "$out" "2 commits from $v1 to $v2, 1 migration (dbmate):
  + $mood  not in the backup's schema_migrations
Restoring this backup to $v2 will run 1 migration on boot; the exact commit $v1 runs none."
expect_exit 0 dokku backup:diff "$first" --to "$v2" --commits
holds "the list of commits" "$out" "  > $v2 "
holds "the list of commits" "$out" "Show the herd's mood"

# A service's name means its newest backup; the flags may stand anywhere; a tag is as good as a commit.
expect_exit 0 dokku backup:diff --remote "$HISTORY/repository" --to v3 "postgres:$db"
equal "diff to v3 of the remote" "$out" "4 commits from $v1 to $v3, 2 migrations (dbmate):
  + $mood  not in the backup's schema_migrations
  + $orders     not in the backup's schema_migrations
Restoring this backup to v3 will run 2 migrations on boot; the exact commit $v1 runs none."
expect_exit 0 dokku backup:diff "$first" --to v3 --remote "file://$HISTORY/repository" --format json
equal "json: from" "$(json from.sha <<<"$out")" "$(commit v1)"
equal "json: to" "$(json to.sha <<<"$out")" "$(commit v3)"
equal "json: direction" "$(json direction <<<"$out")" ahead
equal "json: commits" "$(json 'commits.#' <<<"$out")" 4
equal "json: newest commit" "$(json commits.0.sha <<<"$out")" "$(commit v3)"
equal "json: migrations" "$(json 'migrations.*.path' <<<"$out" | xargs)" "$mood $orders"
equal "json: changes" "$(json 'migrations.*.change' <<<"$out" | xargs)" "added added"
equal "json: applied" "$(json 'migrations.*.applied' <<<"$out" | xargs)" "false false"
equal "json: pending" "$(json from_pending <<<"$out") $(json to_pending <<<"$out")" "0 2"

# Back from a newer backup: its data knows more than the older code.
backup "$db"
expect_exit 0 dokku backup:diff "$db" --to "$(commit v1)"
equal "diff to an older commit" "$out" "2 commits back from $v2 to $v1, 1 migration (dbmate):
  - $mood  removed, and in the backup's schema_migrations
The backup's data has 1 migration that the code of $(commit v1) does not know.
Restoring this backup to $(commit v1) will run no migrations on boot; the exact commit $v2 runs none."

# What cannot be: each says so, and the way out.
expect_exit 1 dokku backup:diff "$first" --to no-such-branch
holds "unknown commit" "$err" " !     \"no-such-branch\" is no commit, branch or tag of the backup's code or of the app's repository"
holds "unknown commit" "$err" "dokku backup:diff $first --to no-such-branch --remote URL"
equal "stdout of a failed diff" "$out" ""
expect_exit 1 dokku backup:diff "$first" --to no-such-branch --remote "$HISTORY/repository"
holds "unknown to the remote too" "$err" "or of the remote"
expect_exit 1 dokku backup:diff "$first" --to v3 --remote "$WORK/nowhere"
holds "no repository there" "$err" "there is no git repository at the address of --remote"
expect_exit 20 dokku backup:diff "$first" --app "${P}other"
holds "another app" "$err" "it has: $cows"
expect_exit 1 dokku backup:diff
holds "no backup named" "$err" "which backup?"
expect_exit 1 dokku backup:diff "$first" --format xml
holds "another format" "$err" "--format is text or json"

# The app is gone: the bundle alone serves the backup's own commit and those before.
quietly dokku postgres:unlink "$db" "$cows" --no-restart
quietly dokku apps:destroy "$cows" --force
expect_exit 1 dokku backup:diff "$db"
holds "the app is gone" "$err" "app \"$cows\" does not exist any more"
holds "the app is gone" "$err" "--to REF"
expect_exit 0 dokku backup:diff "$db" --to "$v2"
holds "the bundle alone, same commit" "$out" "The backup is of $v2 itself"
expect_exit 0 dokku backup:diff "$db" --to "$v1"
holds "the bundle alone, an older commit" "$out" "2 commits back from $v2 to $v1, 1 migration (dbmate):"
expect_exit 1 dokku backup:diff "$db" --to v3
holds "the bundle alone, a later one" "$err" "--to v3 --remote URL"
expect_exit 0 dokku backup:diff "$db" --to v3 --remote "$HISTORY/repository"
holds "the bundle and a remote" "$out" "2 commits from $v2 to $v3, 1 migration (dbmate):"

# A service that is linked to no app.
service "${P}alone"
sql "${P}alone" <<<"CREATE TABLE notes (id int)"
backup "${P}alone"
expect_exit 1 dokku backup:diff "$id"
holds "no app" "$err" "$id holds no code: no app was linked to ${P}alone"

# Nothing stays, also of a run that was killed.
equal "folders left" "$(ls "$data/tmp")" ""
mkdir "$data/tmp/diff.killed" "$data/tmp/diff.killed/objects"
[[ $MODE != host ]] || chown -R dokku: "$data/tmp/diff.killed"
expect_exit 0 dokku backup:diff "$db" --to "$v1"
equal "folders left after a killed run" "$(ls "$data/tmp")" ""
