#!/usr/bin/env bash
# Practice runs with checks and SQL of the user's own, which pass or fail, and of an app that changes its data when it starts.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows

happycows "$db" "$cows"
backup "$db"
before=$(production "$db" "$cows")

# Checks of the user's own: those that pass, and those that do not.
quietly dokku backup:set "$db" check-sql $'SELECT count(*) > 100 FROM cows\nSELECT max(name) FROM cows'
quietly dokku backup:set "$db" check-http /healthz
quietly dokku backup:set "$db" health-path /healthz
practise 0
equal "checks" "$(reported "your checks")" "3 of 3"
holds "health path" "$(reported app)" "GET /healthz answered 200"
# The data alone have those by SQL.
practise 0 --data-only --verify rows
equal "data that was counted" "$(reported data)" "3 tables equal: 23,001 rows, counted; schema and sequences too"
equal "app of --data-only" "$(reported app)" ""
equal "checks of --data-only" "$(reported "your checks")" "2 of 2"
quietly dokku backup:set "$db" check-sql $'SELECT count(*) > 100 FROM cows\nSELECT count(*) > 100000 FROM milkings\nSELECT 1 FROM bulls'
quietly dokku backup:set "$db" check-http $'/\n/bulls'
practise 1
holds "verdict" "$out" "=====> Practice of $id: FAILED in "
equal "checks that fail" "$(reported "your checks")" "2 of 5"
for part in 'your check "SELECT count(*) > 100000 FROM milkings" failed: false' 'your check "SELECT 1 FROM bulls" failed: ' 'relation "bulls" does not exist' \
  'your check "/bulls" failed: HTTP 404'; do
  holds "stderr of a check that fails" "$err" "$part"
done
holds "list" "$(timeout "$limit" dokku backup:list "$db" | sed -n 2p)" "PRACTICE FAILED"
expect_exit 0 dokku backup:info "$id"
holds "info" "$(reported practised)" "FAILED"
expect_exit 3 dokku backup:status
holds "status" "$(grep " $db " <<<"$out")" "practice of $id failed: "
for key in check-sql check-http health-path; do
  quietly dokku backup:set "$db" "$key"
done

# SQL that fails; and an app that changes the data when it starts.
expect_exit 1 dokku backup:practice "$db" --sql "$WORK/no-such-file"
holds "stderr for a script that is not there" "$err" " !     backup:practice: --sql: "
echo "SELECT 1; UPDATE bulls SET name = 'x';" >"$WORK/mask.sql"
practise 1 --sql "$WORK/mask.sql"
holds "stderr for a script that fails" "$err" 'relation "bulls" does not exist'
holds "verdict" "$out" "FAILED"
deploy "$cows" v2
sql "$db" <<<"ALTER TABLE cows DROP COLUMN mood; DELETE FROM schema_migrations WHERE version = '20260215000000'"
backup "$db"
before=$(production "$db" "$cows")
practise 3
holds "verdict" "$out" "=====> Practice of $id: PASSED in "
equal "migrations" "$(reported migrations)" "1 dbmate migration ran: 20260215000000"
holds "warning" "$(reported warning)" "changed the database when it started: 1 dbmate migration ran: 20260215000000"
