#!/usr/bin/env bash
# A backup comes back as a new service and a new app: the data of then at the commit of then, while production has gone on and is not touched.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows
new=${P}db-2 again=${P}cows-2

# Version 1 with its data is backed up; then version 2, which migrates, goes live, and its data and its config change.
happycows "$db" "$cows"
greeting="moo, it's \"me\" & \$you = \`us\`" old_secret=hay-$RANDOM$RANDOM
quietly dokku config:set --no-restart "$cows" GREETING="$greeting" EMPTY= HAY_TOKEN="$old_secret"
quietly dokku ps:scale --skip-deploy "$cows" web=2
get "$cows" /
herd=$out
holds "page of v1" "$herd" "happycows v1: 3000 cows"
digests "$db" >"$WORK/digests"
backup "$db"
first=$id
deploy "$cows" v2
sql "$db" <<<"DELETE FROM milkings WHERE id % 2 = 0; UPDATE cows SET name = 'Erna ' || id"
quietly dokku config:set --no-restart "$cows" GREETING="good bye" LATER=1
before=$(production "$db" "$cows")

# world: what there is on the host, as far as a restore could add to it; not what Dokku is about to remove.
world() {
  timeout "$limit" dokku apps:list
  timeout "$limit" dokku postgres:list
  timeout "$limit" docker ps --all --no-trunc --format '{{.ID}} {{.Names}}' | grep --fixed-strings -- "$P" | grep --invert-match '\.[0-9]\{10\}$'
  timeout "$limit" docker network ls --format '{{.Name}}' | grep --fixed-strings backup || true
  find "$data" -type f ! -path '*/marks/*' | sort
}

# A plan changes nothing.
world >"$WORK/world"
expect_exit 0 dokku backup:restore "$first" "$new" --app "$again" --dry-run
equal "stderr of a plan" "$err" ""
for part in "=====> Plan" "create service     $new on postgres:" "verify             rows of 3 tables" "config of $cows, web=2" \
  "sync code          $(commit v1 | cut -c 1-7) from the backup's bundle" "$db and $cows are not touched. Needs about "; do
  holds "plan" "$out" "$part"
done
lacks "plan" "$out" "$old_secret"
expect_exit 0 dokku backup:restore "$db" "$new" --app "$again" --dry-run --format json
equal "stderr of a plan as JSON" "$err" ""
equal "backup of the plan" "$(json backup <<<"$out")" "$first"
equal "commit of the plan" "$(json commit <<<"$out")" "$(commit v1)"
holds "steps of the plan" "$(json 'steps.*.step' <<<"$out" | xargs)" "check create load verify app code link build health"
[[ $(json needs_bytes <<<"$out") -gt 0 && $(json free_bytes <<<"$out") -gt 0 ]] || fail "the plan does not say what it needs: $out"
# Without a terminal to ask on, nothing is done either.
expect_exit 1 dokku backup:restore "$first" "$new" --app "$again"
holds "restore without a terminal" "$err" " !     there is no terminal to ask on; nothing was done"
holds "restore without a terminal" "$err" "add --yes"
world | cmp --quiet - "$WORK/world" || fail "a plan changed something: $(world | diff "$WORK/world" -)"

# The restore.
expect_exit 0 dokku backup:restore "$first" "$new" --app "$again" --yes --verify exact
equal "stdout of restore" "$out" "$new"
for part in "-----> 1/9 Checking the backup" "-----> 9/9 Looking at $again" "3 tables equal: 23,001 rows, every digest; schema and sequences too" \
  "web.1, web.2 up; GET / answered 200 in " "=====> $first is restored as service $new with app $again in " "none ran on boot: code and data belong together"; do
  holds "stderr of restore" "$err" "$part"
done
lacks "stderr of restore" "$err" "$old_secret"
lacks "stderr of restore" "$err" " !     "
equal "data" "$(digests "$new")" "$(<"$WORK/digests")"
get "$again" /
equal "page of the restored app" "$out" "$herd"
equal "commit of the restored app" "$(git -c safe.directory='*' --git-dir "${DOKKU_ROOT:-/home/dokku}/$again" rev-parse "refs/heads/$(dokku git:report "$again" --git-computed-deploy-branch 2>/dev/null)")" "$(commit v1)"
equal "processes" "$(timeout "$limit" docker ps --filter "label=com.dokku.app-name=$again" --format '{{.Names}}' | sort | xargs)" "$again.web.1 $again.web.2"
equal "links of the app" "$(timeout "$limit" dokku postgres:app-links "$again")" "$new"
holds "its address of the database" "$(timeout "$limit" dokku config:get "$again" DATABASE_URL)" "@dokku-postgres-$new:5432/$(database "$new")"
equal "its config" "$(settings "$again")" \
  "$(python3 -c 'import json, sys; print(json.dumps({"GREETING": sys.argv[1], "EMPTY": "", "HAY_TOKEN": sys.argv[2]}, sort_keys=True))' "$greeting" "$old_secret")"
equal "production after a restore" "$(production "$db" "$cows")" "$before"
# What made loading fast is gone: nobody could tell the server from any other.
changed="SELECT name, setting FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'session') AND name !~ 'ssl|listen|socket' ORDER BY 1;
  SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'"
equal "the server's settings" "$(sql "$new" <<<"$changed")" "$(sql "$db" <<<"$changed")"
equal "journals" "$(find "$data/restores" -mindepth 1)" ""
quietly dokku apps:destroy "$again" --force
[[ ! $(find "$data" -path "*$again*") ]] || fail "files of $again are left: $(find "$data" -path "*$again*")"

# A name that is taken, by a service or by an app.
expect_exit 1 dokku backup:restore "$first" "$new" --yes
holds "name of a service that is taken" "$err" " !     service $new exists already; nothing was done"
expect_exit 1 dokku backup:restore "$first" "${P}db-3" --app "$cows" --yes
holds "name of an app that is taken" "$err" " !     app $cows exists already; nothing was done"
expect_exit 1 dokku backup:restore "$first" "$db" --yes
holds "the source's own name" "$err" " !     $db is the service that was backed up: a backup is restored beside it, never over it"
quietly dokku postgres:destroy "$new" --force

# A restore that fails at its last gate; what it made stays to be looked at, until it is told to go.
quietly dokku backup:set "$db" check-http /no-such-page
expect_exit 1 dokku backup:restore "$first" "$new" --app "$again" --yes --scale web=1
equal "stdout of a failed restore" "$out" ""
for part in " !     your check \"/no-such-page\" failed: HTTP 404" "the data in service $new is proven; app $again is kept for you to look at" \
  "go on after mending:  dokku backup:restore --resume $new" "or remove it:         dokku backup:restore --abort $new"; do
  holds "stderr of a failed restore" "$err" "$part"
done
spoken "$err"
equal "processes" "$(timeout "$limit" docker ps --filter "label=com.dokku.app-name=$again" --format '{{.Names}}')" "$again.web.1"
equal "production after a failed restore" "$(production "$db" "$cows")" "$before"
quietly dokku backup:set "$db" check-http
quietly dokku backup:restore --abort "$new"
equal "production after an aborted restore" "$(production "$db" "$cows")" "$before"
world >"$WORK/world.now"
diff "$WORK/world" "$WORK/world.now" >"$WORK/left" || fail "left of an aborted restore: $(<"$WORK/left")"
