#!/usr/bin/env bash
# A host is lost. On an empty machine, the store and the recovery key bring back data, code and config, and backups go on there.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
if [[ $MODE == host ]]; then
  skip "a new host: this one has its own backups"
  exit 0
fi
db=${P}db cows=${P}cows

server sshd
happycows "$db" "$cows"
quietly dokku config:set --no-restart "$cows" GREETING="moo, it's me" HAY_TOKEN=secret-of-the-hay
deploy "$cows" v2
quietly dokku backup:create "$db"
key=$WORK/recovery.key
(umask 077 && timeout "$limit" dokku backup:key >"$key" 2>"$WORK/kit")
quietly dokku backup:store-add offsite "$endpoint" --host-key "$fingerprint" --ssh-key "$login"
quietly dokku backup:sync
backup "$db"
timeout "$limit" dokku backup:key >/dev/null 2>"$WORK/kit"
holds "recovery kit" "$(<"$WORK/kit")" "$endpoint"
lacks "recovery kit" "$(<"$WORK/kit")" "PRIVATE"
word=$(sed -n 's/.*check word *\([^ ]*\).*/\1/p' "$WORK/kit")
digests "$db" >"$WORK/digests"
settings "$cows" >"$WORK/settings"
get "$cows" /
herd=$out

# The host goes, and all that was on it.
old=${WORK%/work}/host
"$ROOT/bin/sandbox" down "$old"
rm -rf "$old"
flags=(--plugin "$PLUGIN")
[[ $MODE == sandbox ]] || flags+=(--docker)
quietly "$ROOT/bin/sandbox" up "${flags[@]}" "$old"
expect_exit 0 dokku backup:list
holds "list on the new host" "$out" "No backups yet"

# Without the key, or with another one, the store does not open; nothing is kept of the attempt.
add=(dokku backup:store-add offsite "$endpoint" --host-key "$fingerprint" --ssh-key "$login")
expect_exit 12 "${add[@]}"
holds "without a key" "$err" "--key-file"
(umask 077 && age-keygen 2>/dev/null >"$WORK/other.key")
expect_exit 12 "${add[@]}" --key-file "$WORK/other.key"
holds "with another key" "$err" "does not open this repository"
expect_exit 0 dokku backup:store-list
holds "stores" "$out" "No stores"

# With the key it is read only: the old host may be alive.
expect_exit 0 "${add[@]}" --key-file "$key"
holds "check word" "$err" "$word"
holds "read only" "$err" "this host reads it only"
expect_exit 0 dokku backup:list --from offsite --format json
equal "backups in the store" "$(json '#' <<<"$out") $(json 0.id <<<"$out")" "2 $id"
quietly dokku backup:verify --all --from offsite
expect_exit 1 dokku backup:sync offsite
holds "sync to a store that is read only" "$err" "--take-over"

# All of it comes back under its own names.
expect_exit 0 dokku backup:restore "$db" "$db" --app "$cows" --from offsite --verify exact --yes
digests "$db" | cmp --quiet - "$WORK/digests" || fail "the restored data differs"
equal "commit" "$(git -c safe.directory='*' --git-dir "$DOKKU_ROOT/$cows" rev-parse HEAD)" "$(commit v2)"
settings "$cows" | cmp --quiet - "$WORK/settings" || fail "the restored config differs"
get "$cows" /
equal "page" "$out" "$herd"
expect_exit 0 dokku backup:practice "$db" --from offsite
holds "practice" "$out" "PASSED"

# This host takes the old one's place.
expect_exit 0 "${add[@]}" --take-over
backup "$db"
equal "a new backup" "$(field stores.0.state)" confirmed
expect_exit 0 dokku backup:list --from offsite --format json
equal "backups in the store" "$(json '#' <<<"$out")" 3
