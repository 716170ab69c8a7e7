#!/usr/bin/env bash
# A service with on-destroy is backed up once more before it goes, and does not go without that. What practice makes and destroys is no
# such service.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db

service "$db"
sql "$db" <<<"CREATE TABLE herd AS SELECT g AS id FROM generate_series(1, 1000) g"
quietly dokku backup:set "$db" on-destroy on
was=$(container "$db")

# A stopped service cannot be backed up.
quietly dokku postgres:stop "$db"
expect_exit 1 dokku postgres:destroy "$db" --force
holds "what a destruction says" "$out$err" "$db is not destroyed, since it was not backed up: postgres:$db is stopped; start it with: dokku postgres:start $db"
holds "what a destruction says" "$out$err" "dokku backup:set $db on-destroy off"
quietly dokku postgres:exists "$db"
quietly dokku postgres:start "$db"
[[ $(container "$db") ]] || fail "the service is gone: $was"
until_true "the service answers" no_backends "$db"
equal "rows" "$(sql "$db" <<<"SELECT count(*) FROM herd")" 1000

# Practice destroys a service of its own, and makes no backup of it.
backup "$db"
quietly dokku backup:practice "$db"
equal "backups of all services" "$(backups "" | grep "^$P")" "$id"

quietly dokku postgres:destroy "$db" --force
said=$out$err
holds "what a destruction says" "$said" "-----> Backing up $db before it is destroyed"
expect_exit 1 dokku postgres:exists "$db"
last=$(backups "$db")
last=${last%%$'\n'*}
holds "what a destruction says" "$said" "       $last is complete"
expect_exit 0 dokku backup:info "$last" --format json
equal "trigger" "$(json trigger <<<"$out")" pre-delete
equal "rows" "$(json services.0.databases.0.tables.0.rows <<<"$out")" 1000
expect_exit 1 dokku backup:delete "$last" --yes
holds "stderr of delete" "$err" pinned

# A service without the setting goes as ever.
service "${P}other"
quietly dokku postgres:destroy "${P}other" --force
lacks "what a destruction says" "$out$err" "Backing up"
equal "backups of it" "$(backups "${P}other")" ""
