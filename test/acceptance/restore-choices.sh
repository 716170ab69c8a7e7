#!/usr/bin/env bash
# What one may choose: an app without code, its config and its processes, how the data is compared, a service alone.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows new=${P}db-2 again=${P}cows-2

happycows "$db" "$cows"
quietly dokku config:set --no-restart "$cows" GREETING="good day" EMPTY= HAY_TOKEN="hay-$RANDOM$RANDOM"
backup "$db"
first=$id
before=$(production "$db" "$cows")

# No code: the app is made, with the config that is asked for, and nothing of it runs. Secrets are seen by nobody.
secret="s3cret-$RANDOM \"quoted\" 'too' \$HOME \\ = \`x\` ; #"
(umask 077 && printf '# a comment\n\nFILE_TOKEN=%s\nGREETING=from the file\n' "$secret" >"$WORK/env")
chown --reference="$data" "$WORK/env"
: >"$WORK/argv"
: >"$WORK/open"
look() {
  local file
  while kill -0 $$ && sleep 0.1; do
    for file in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$file" && echo; done >>"$WORK/argv" 2>/dev/null || true
    # A helper's folder holds what its container may read; those around it are closed.
    find "$data/restores" -path '*/helper-*' -prune -o \( -type f ! -perm 600 -o -type d ! -perm 700 \) -printf '%m %p\n' >>"$WORK/open" 2>/dev/null || true
  done
}
look &
looking=$!
expect_exit 0 dokku backup:restore "$first" "$new" --app "$again" --yes --skip-code --verify none --config keys=GREETING,EMPTY \
  --env-file "$WORK/env" --env "PLAIN= a,b=c "
kill "$looking"
holds "stderr of a restore without verification" "$err" "loaded, not verified"
lacks "stderr" "$err" "s3cret"
lacks "stderr of a restore without code" "$err" "Building"
lacks "argv of a process" "$(<"$WORK/argv")" "s3cret"
grep --quiet "backup:restore $first" "$WORK/argv" || fail "the restore was not seen among the processes"
equal "files that others may read" "$(<"$WORK/open")" ""
equal "config" "$(settings "$again")" \
  "$(python3 -c 'import json, sys; print(json.dumps({"GREETING": "from the file", "EMPTY": "", "FILE_TOKEN": sys.argv[1], "PLAIN": " a,b=c "}, sort_keys=True))' "$secret")"
equal "links" "$(timeout "$limit" dokku postgres:app-links "$again")" "$new"
equal "containers of an app that was not built" "$(timeout "$limit" docker ps --all --quiet --filter "label=com.dokku.app-name=$again")" ""
equal "data" "$(digests "$new")" "$(digests "$db")"
quietly dokku apps:destroy "$again" --force
quietly dokku postgres:destroy "$new" --force

# Nothing of its config, and other processes.
quietly dokku backup:restore "$first" "$new" --app "$again" --yes --skip-code --verify none --config none --scale web=3
equal "config" "$(settings "$again")" "{}"
holds "processes" "$(timeout "$limit" dokku ps:scale "$again" 2>/dev/null)" "web:  3"
quietly dokku apps:destroy "$again" --force
quietly dokku postgres:destroy "$new" --force
expect_exit 1 dokku backup:restore "$first" "$new" --app "$again" --yes --config keys=NO_SUCH_KEY
holds "a config key that is not there" "$err" " !     the backup's config has no \"NO_SUCH_KEY\""
lacks "a config key that is not there" "$err" hay-

# The service alone, of a service that no app was linked to.
service "${P}alone"
sql "${P}alone" <<<"CREATE TABLE notes (id int PRIMARY KEY, words text); INSERT INTO notes VALUES (1, 'alone')"
backup "${P}alone"
expect_exit 1 dokku backup:restore "${P}alone" "$new" --app "$again" --yes
holds "an app that is not in the backup" "$err" " !     the backup holds no app: no one was linked to the service"
expect_exit 0 dokku backup:restore "postgres:${P}alone" "$new" --yes --format json
equal "report: passed" "$(json passed <<<"$out")" true
equal "report: backup" "$(json backup <<<"$out")" "$id"
equal "report: rows" "$(json data.rows <<<"$out")" 1
equal "report: steps" "$(json 'steps.*.step' <<<"$out" | xargs)" "check create load verify"
holds "the way on" "$err" "Use it: dokku postgres:link $new APP"
equal "data" "$(digests "$new")" "$(digests "${P}alone")"
equal "apps linked to it" "$(timeout "$limit" dokku postgres:links "$new")" ""
equal "production in the end" "$(production "$db" "$cows")" "$before"
