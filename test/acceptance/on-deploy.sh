#!/usr/bin/env bash
# Deploys that back up: before with the commit that still runs, after with the one that came. What is fresh is not made again, a restart is
# no deploy, and settings follow an app that is renamed or cloned.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows

# deployed TAG [CODE]: leaves the deploy's log in $log, and what it has of this plugin in $ours.
deployed() {
  expect_exit "${2:-0}" dokku git:sync --build "$cows" "$HISTORY/bundle" "$1"
  log=$out$'\n'$err
  ours=$(grep --fixed-strings -- "$db" <<<"$log" || true)
}
# made N: there are so many backups; $newest and $before are the manifests of the two newest.
made() {
  local ids
  mapfile -t ids < <(backups "$db")
  equal "backups after $doing" "${#ids[@]}" "$1"
  newest=$(timeout 60 dokku backup:info "${ids[0]}" --format json)
  before=$(timeout 60 dokku backup:info "${ids[1]:-${ids[0]}}" --format json)
}
# is MANIFEST TRIGGER TAG [COMING]: it was made so, with the app at this tag, and that one coming; - for none.
is() {
  equal "trigger, $doing" "$(json trigger <<<"$1")" "$2"
  equal "commit, $doing" "$(json apps.0.commit <<<"$1")" "$([[ $3 == - ]] || commit "$3")"
  equal "coming, $doing" "$(json apps.0.deploying <<<"$1")" "$([[ ${4:--} == - ]] || commit "$4")"
}

doing="a first deploy, of an app whose service has data already"
service "$db"
app "$cows"
# What is in the app's config is the app's business, though Dokku exports it to builds.
quietly dokku postgres:link "$db" "$cows" --querystring sslrootcert=
quietly dokku config:set --no-restart "$cows" PGSSLROOTCERT=/nowhere PGHOST=nowhere.invalid
quietly dokku backup:set "$cows" on-deploy before
deployed v1
made 1
is "$newest" post-build - v1
holds "note, $doing" "$(json note <<<"$newest")" "before the deploy of $(commit v1 | cut -c 1-7)"

sql "$db" <"$ROOT/examples/happycows/seed.sql" >/dev/null
doing="a deploy with on-deploy both"
quietly dokku backup:set "$cows" on-deploy both
deployed v2
made 3
is "$before" post-build v1 v2
is "$newest" post-deploy v2
equal "warnings, $doing" "$(json 'warnings.*' <<<"$newest")" ""
equal "lines of the deploy's log" "$(wc -l <<<"$ours")" 4
holds "first line" "$(sed -n 1p <<<"$ours")" "-----> Backing up $db before the deploy"
holds "second line" "$(sed -n 2p <<<"$ours")" "       $(json id <<<"$before") is complete: "
holds "third line" "$(sed -n 3p <<<"$ours")" "-----> Backing up $db after the deploy"
holds "fourth line" "$(sed -n 4p <<<"$ours")" "       $(json id <<<"$newest") is complete: "
# The one before has the data as it was before the new release's migration.
equal "migrations in the one before" "$(json 'services.0.databases.0.migration.applied.#' <<<"$before")" 1
equal "migrations in the one after" "$(json 'services.0.databases.0.migration.applied.#' <<<"$newest")" 2

doing="what builds nothing"
quietly dokku ps:restart "$cows"
quietly dokku config:set "$cows" MOOD=better
made 3

doing="a deploy with a fresh backup"
quietly dokku backup:set "$cows" on-deploy before
quietly dokku backup:set "$cows" max-age 10m
deployed v3
made 3
holds "the deploy's log" "$ours" "$(json id <<<"$newest") is "
holds "the deploy's log" "$ours" " old and will do (max-age 10m)"

doing="a deploy with a fresh backup of another commit"
deployed v2
made 4
is "$newest" post-build v3 v2

doing="a service that is linked to no more"
quietly dokku postgres:unlink "$db" "$cows"
quietly dokku backup:set "$cows" max-age
deployed v1 0,1 # without its database the example app does not stay up
holds "the deploy's log" "$log" "Nothing to back up before the deploy: no service that can be backed up is linked to $cows"
made 4
quietly dokku postgres:link "$db" "$cows"

doing="a rename"
quietly dokku apps:rename --skip-deploy "$cows" "${P}herd"
expect_exit 0 dokku backup:report "${P}herd" --backup-on-deploy
equal "on-deploy after $doing" "$out" before
app "$cows"
expect_exit 0 dokku backup:report "$cows" --backup-on-deploy
equal "on-deploy of a new app of the old name" "$out" off

doing="a clone"
quietly dokku apps:clone --skip-deploy "${P}herd" "${P}twin"
expect_exit 0 dokku backup:report "${P}twin" --backup-on-deploy
equal "on-deploy after $doing" "$out" before
quietly dokku --force apps:destroy "${P}herd"
app "${P}herd"
expect_exit 0 dokku backup:report "${P}herd" --backup-on-deploy
equal "on-deploy of a new app of a destroyed one's name" "$out" off
