#!/usr/bin/env bash
# The main path: deploy, seed, back up, look at it, and recover it by hand with nothing but the repository and the key.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows

happycows "$db" "$cows"
quietly dokku config:set --no-restart "$cows" GREETING="moo, it's \"me\" & \$you" EMPTY=

# The first backup: the id alone on stdout, the steps on stderr.
expect_exit 0 dokku backup:create "$db" --note "before the spring release"
first=$out
[[ $first =~ ^$db-[0-9]{8}T[0-9]{6}Z$ ]] || fail "stdout of create: got '$out', want an id alone"
for part in "-----> Backing up postgres service $db" "$cows runs $(commit v1 | cut -c 1-7) \"Show the herd\"" "-----> Dumping $(database "$db")" \
  "3 tables, 23,001 rows" "=====> $first is complete:" "dokku backup:practice $db"; do
  holds "stderr of create" "$err" "$part"
done
lacks "stderr of create" "$err" " !     "

expect_exit 0 dokku backup:info "$first" --format json
manifest=$out
equal "stderr of info" "$err" ""
equal "state" "$(field state)" complete
equal "note" "$(field note)" "before the spring release"
equal "commit" "$(field apps.0.commit)" "$(commit v1)"
equal "certainty" "$(field apps.0.certainty)" recorded
equal "state of the app" "$(field apps.0.state)" running
equal "tables" "$(field services.0.databases.0.tables.*.name | sort | xargs)" "cows milkings schema_migrations"
equal "rows" "$(field services.0.databases.0.tables.*.rows | sort -n | xargs)" "1 3000 20000"
equal "migration" "$(field services.0.databases.0.migration.head)" 20260101000000

# A second one with nothing changed stores next to nothing, and names the same content.
expect_exit 0 dokku backup:create "$db" --format json --quiet
equal "stderr of create --quiet" "$err" ""
again=$(json id <<<"$out")
within "new bytes of an unchanged backup" "$(json stored.new <<<"$out")" $(($(field stored.new) / 100))
equal "digest" "$(json services.0.databases.0.dump.digest <<<"$out")" "$(field services.0.databases.0.dump.digest)"

# What there is, for a person and for a program.
expect_exit 0 dokku backup:list "$db"
equal "order of list" "$(cut -d ' ' -f 1 <<<"$out" | xargs)" "ID $again $first"
holds "list" "$out" "before the spring release"
holds "list" "$out" "$(commit v1 | cut -c 1-7)"
expect_exit 0 dokku backup:list "$db" --format json
equal "list --format json" "$(json '*.id' <<<"$out" | xargs)" "$again $first"
expect_exit 0 dokku backup:list "${P}nothing-yet"
equal "list of nothing" "$out" "No backups of ${P}nothing-yet. Make one: dokku backup:create ${P}nothing-yet"
expect_exit 0 dokku backup:info "$db"
for part in "=====> $again" "$(commit v1)" "certainty: recorded" "public.milkings" "20,000 rows" "dbmate"; do
  holds "info" "$out" "$part"
done
lacks "info" "$out" "moo, it's"
if [[ $MODE == host ]]; then
  skip "the exit code of backup:status: this host has services of its own"
else
  expect_exit 0 dokku backup:status
  holds "status" "$out" " $db "
fi

expect_exit 0 dokku backup:verify "$first"
holds "verify" "$err" "=====> $first is whole:"
expect_exit 0 dokku backup:list "$db"
holds "list of a verified backup" "$(grep "^$first" <<<"$out")" "complete, verified"
expect_exit 0 dokku backup:key
[[ $out =~ ^AGE-SECRET-KEY-1[A-Z0-9]+$ ]] || fail "stdout of key is not a key alone"

# Recovery by hand, and all of it is equal.
recover "$first"
service "${P}restored"
load "${P}restored" "$(database "$db")" "$recovered/$(database "$db").dump"
equal "rows after recovery" "$(digests "${P}restored" "$(database "$db")")" "$(digests "$db")"
fingerprints=$(fingerprints "$(database "$db")")
backup "${P}restored"
equal "fingerprints after recovery" "$(fingerprints "$(database "$db")")" "$fingerprints"
holds "roles.sql" "$(<"$recovered/roles.sql")" "CREATE ROLE postgres;"
quietly git clone --quiet "$recovered/$cows.bundle" "$WORK/code"
equal "commit of the bundle" "$(git -C "$WORK/code" rev-parse HEAD)" "$(commit v1)"
expect_exit 0 dokku config:export --format json "$cows"
equal "config" "$(json . <"$recovered/$cows.config.json")" "$(json . <<<"$out")"

# And by Dokku's own import, as the page says.
service "${P}imported"
quietly dokku postgres:import "${P}imported" <"$recovered/$(database "$db").dump"
equal "rows after postgres:import" "$(digests "${P}imported")" "$(digests "$db")"

# Pinned backups stay, others go when one says so.
quietly dokku backup:pin "$first"
expect_exit 1 dokku backup:delete "$first" --yes
holds "delete of a pinned backup" "$err" " !     unpin it first: dokku backup:unpin $first"
quietly dokku backup:unpin "$first"
expect_exit 1 dokku backup:delete "$first"
holds "delete without a terminal" "$err" "--yes"
expect_exit 0 dokku backup:delete "$first" --yes
equal "stdout of delete" "$out" ""
expect_exit 1 dokku backup:info "$first"
holds "info of a deleted backup" "$err" "there is no backup $first"
# What the other needs of it is still there.
quietly dokku backup:verify "$again"
