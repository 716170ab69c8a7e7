#!/usr/bin/env bash
# A backup before a deploy that fails: with on-deploy-mode block the deploy ends and the old app goes on as it was; with warn the deploy is
# green. One after a deploy never ends it.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows

# Another database of the service cannot be dumped; the app does not use it.
tear() {
  sql "$db" postgres <<<"CREATE DATABASE torn"
  sql "$db" torn <<<"CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * \$1';
    CREATE TABLE t (a int, b int GENERATED ALWAYS AS (twice(a)) STORED); DELETE FROM pg_proc WHERE proname = 'twice'"
}
mend() { sql "$db" postgres <<<"DROP DATABASE torn"; }
# serves TAG: this commit answers.
serves() {
  get "$cows" /
  equal "status of the app" "$http" 200
  holds "the app's page" "$out" "${1#v}"
}
# deployed CODE TAG
deployed() {
  expect_exit "$1" dokku git:sync --build "$cows" "$HISTORY/bundle" "$2"
  log=$out$'\n'$err
  ours=$(grep --fixed-strings -- "$db" <<<"$log" || true)
  spoken "$ours"
}

happycows "$db" "$cows"
quietly dokku backup:set "$cows" on-deploy both
quietly dokku backup:set "$cows" on-deploy-mode block
tear
was=$(docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.Image}}' "$cows.web.1")

deployed 1 v2
holds "the deploy's log" "$log" "App build failed"
equal "lines of ours in the deploy's log" "$(wc -l <<<"$ours")" 2
holds "the deploy's log" "$ours" " !     $db was not backed up: dump of database \"torn\": pg_dump: "
holds "the deploy's log" "$ours" "the deploy ends here and the old app stays; to deploy without a backup: dokku backup:set $cows on-deploy-mode warn"
equal "the old app's container" "$(docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.Image}}' "$cows.web.1")" "$was"
equal "its processes" "$(docker ps --quiet --filter "label=com.dokku.app-name=$cows" | wc -l)" 1
serves v1
equal "backups" "$(backups "$db")" ""

# It can be restarted, and what it then runs is what it ran.
quietly dokku ps:restart "$cows"
serves v1

# The mode of the host holds where the app has none.
quietly dokku backup:set "$cows" on-deploy-mode
quietly dokku backup:set --global on-deploy-mode block
deployed 1 v2
serves v1
quietly dokku backup:set --global on-deploy-mode

# As it is without any mode, a deploy goes on, before and after.
deployed 0 v2
equal "lines of ours in the deploy's log" "$(wc -l <<<"$ours")" 4
holds "the deploy's log" "$ours" "; the deploy goes on"
holds "the deploy's log" "$ours" "; the app is deployed"
serves v2
equal "backups" "$(backups "$db")" ""

# Blocked, and mended.
quietly dokku backup:set "$cows" on-deploy-mode block
mend
deployed 0 v3
serves v3
kept=$(backups "$db")
equal "number of backups" "$(wc -l <<<"$kept")" 2

# What practice deploys is no deploy of this app.
quietly dokku backup:practice "$db"
equal "backups of all services after practice" "$(backups "" | grep "^$P")" "$kept"

# A deploy that is ended while its backup is made takes that along: nothing is left of it, and the old app serves.
lock "$db" cows
setsid dokku git:sync --build "$cows" "$HISTORY/bundle" v1 >"$WORK/ended" 2>&1 </dev/null &
deploy=$!
until_true "the dump waits for the lock" waits_for_lock "$db"
kill -TERM -- "-$(ps -o pgid= -p "$(told "$db" pid)" | tr --delete ' ')"
wait "$deploy" && fail "the deploy went on: $(<"$WORK/ended")"
clean "$db"
unlock
equal "backups" "$(backups "$db")" "$kept"
serves v3
