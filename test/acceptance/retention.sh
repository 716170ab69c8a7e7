#!/usr/bin/env bash
# Not with --docker by default: it is about the repository, not about the engine.
# Retention is set for a service and for all, explained by a dry run, applied by prune and by create; what it keeps can be restored, what it
# removed takes no space, and a store keeps what its own rule says.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows
name=offsite-${P//[^a-z0-9]/}

listed() { # PLACE: the ids of the service's backups there, newest first
  expect_exit 0 dokku backup:list "$db" --from "$1" --format json
  ids=$(json '*.id' <<<"$out" | xargs)
}

happycows "$db" "$cows"
expect_exit 0 dokku backup:retention "$db"
holds "no rule" "$out" "everything is kept"
expect_exit 1 dokku backup:retention "$db" --keep-last 0
holds "a rule that keeps nothing" "$err" "--keep-last is 1 or more, not 0"
expect_exit 1 dokku backup:retention "$db" --off --keep-last 3
holds "contradiction" "$err" "each stand alone"
expect_exit 1 dokku backup:retention "${P}none" --keep-last 3
holds "no such service" "$err" "does not exist"

backup "$db"
first=$id
quietly dokku backup:pin "$first"
backup "$db"
second=$id
backup "$db"
third=$id
expect_exit 0 dokku backup:prune "$db"
holds "prune without a rule" "$err" "everything is kept"

# The dry run names each backup's rule and changes nothing.
expect_exit 0 dokku backup:retention "$db" --keep-last 1
holds "outlook" "$err" "3 backups here, 1 of which would be removed"
expect_exit 0 dokku backup:prune "$db" --dry-run
holds "dry run" "$out" "newest good, newest complete, keep-last 1 of 1"
holds "dry run of the pinned one" "$(grep "^$first" <<<"$out")" "keep    pinned"
holds "dry run of the other" "$(grep "^$second" <<<"$out")" "remove  no rule keeps it"
holds "dry run" "$err" "1 backup would be removed"
listed here
equal "after the dry run" "$ids" "$third $second $first"

# A store with a rule of its own is sent what that keeps, and lacks nothing.
mkdir -m 777 "$WORK/offsite"
expect_exit 0 dokku backup:store-add "$name" "file://$WORK/offsite"
quietly dokku backup:retention "$db" --store "$name" --keep-last 2
quietly dokku backup:sync "$name"
listed "$name"
equal "sent" "$ids" "$third $second $first"
expect_exit 0 dokku backup:retention "$db" --format json
equal "rules" "$(json '*.where' <<<"$out" | xargs) $(json '*.rule.keep_last' <<<"$out" | xargs)" "here $name 1 2"

# A backup applies both rules.
expect_exit 0 dokku backup:create "$db"
fourth=$out
holds "create" "$err" "retention: 3 backups removed"
listed here
equal "here" "$ids" "$fourth $first"
listed "$name"
equal "at the store" "$ids" "$fourth $third $first"
expect_exit 0 dokku backup:sync "$name"
holds "sync" "$err" "nothing was lacking"
expect_exit 0 dokku backup:list "$db"
lacks "list" "$out" "not at"

# What is kept is whole, here and there, and can be restored.
quietly dokku backup:verify "$first"
quietly dokku backup:verify "$fourth"
quietly dokku backup:verify --from "$name" "$third"
quietly dokku backup:restore "$first" "${P}restored" --yes --verify exact
expect_exit 1 dokku backup:info "$second"
holds "what was removed" "$err" "there is no backup $second"

# While the repository is in use nothing is removed. The service's own rule is taken back.
exec 9>>"$data/runs/repository.all.lock"
flock --shared 9
expect_exit 11 dokku backup:prune "$db"
holds "locked" "$err" "nothing was removed"
exec 9>&-
quietly dokku backup:retention "$db" --default
quietly dokku backup:retention "$db" --store "$name" --default
expect_exit 0 dokku backup:retention "$db"
lacks "taken back" "$out" "the service"
quietly dokku backup:store-remove "$name"
