#!/usr/bin/env bash
# Not with --docker by default: it is about stores, not about the engine.
# Azure Blob and Google Cloud Storage, as their emulators answer: added, proven, sent to, verified and restored from.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db
service "$db"
sql "$db" <<<"CREATE TABLE cows AS SELECT i, 'cow ' || i AS name FROM generate_series(1, 1000) i"
backup "$db"
digests "$db" >"$WORK/digests"

# whole NAME URL <SECRETS: the whole way with one store.
whole() {
  local name=$1-${P//[^a-z0-9]/}
  timeout "$limit" dokku backup:store-add "$name" "$2" --secrets - >"$WORK/out" 2>"$WORK/err" || fail "store-add $name: $(<"$WORK/err")"
  holds "store-add $name" "$(<"$WORK/err")" "is ready"
  quietly dokku backup:sync "$name"
  expect_exit 0 dokku backup:list "$db" --from "$name" --format json
  holds "list --from $name" "$out" "$id"
  quietly dokku backup:verify "$id" --from "$name"
  quietly dokku backup:restore "$id" "${P}back" --from "$name" --yes --verify exact
  digests "${P}back" | cmp --quiet - "$WORK/digests" || fail "the data restored from $name differs"
  quietly dokku --force postgres:destroy "${P}back"
  quietly dokku backup:store-remove "$name"
}

server azurite
# shellcheck disable=SC2154 # of the server, as what follows
whole azure "azblob://$bucket/${P}prefix?account=$account&endpoint=$endpoint" <<<"account-key=$account_key"
stop_server
rm -rf "$WORK/server"
server gcs
# shellcheck disable=SC2154
whole google "gs://$bucket/${P}prefix?endpoint=$endpoint/storage/v1/" <"$service_account"
stop_server
