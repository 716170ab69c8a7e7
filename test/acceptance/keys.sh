#!/usr/bin/env bash
# Not with --docker by default: it is about stores and keys, not about the engine.
# Keys change, and backups stay readable by whom they should: a sealed host makes and lists backups and reads none; an added recipient opens
# them; a rotated key opens new and old ones; what was sealed to the old key can be sealed anew, here and in a store.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
if [[ $MODE == host ]]; then
  skip "changes of keys: this host's own key stays as it is"
  exit 0
fi
db=${P}db cows=${P}cows
key=$WORK/recovery.key
keep_key() { (umask 077 && timeout "$limit" dokku backup:key >"$key" 2>"$WORK/kit"); }

server sshd
happycows "$db" "$cows"
expect_exit 12 dokku backup:key
holds "key before the first backup" "$err" "there is no key yet"
backup "$db"
first=$id
keep_key
quietly dokku backup:store-add offsite "$endpoint" --host-key "$fingerprint" --ssh-key "$login"
quietly dokku backup:sync
digests "$db" >"$WORK/digests"

# Sealed: the key is nowhere on the host, and all that needs none goes on.
expect_exit 1 dokku backup:key --seal
holds "seal without a terminal" "$err" "--key-file FILE"
quietly dokku backup:key --seal --key-file "$key"
! grep --quiet --recursive "AGE-SECRET-KEY-1" "$DOKKU_LIB_ROOT" || fail "the key is still on the host"
backup "$db"
second=$id
equal "state at the store" "$(field stores.0.state)" confirmed
expect_exit 0 dokku backup:list "$db"
holds "list" "$out" "$second"
quietly dokku backup:info "$second"
expect_exit 0,3 dokku backup:status
for command in "verify $second" "verify $second --from offsite" "restore $second ${P}db-2 --yes" "practice $second --data-only"; do
  # shellcheck disable=SC2086 # words
  expect_exit 12 dokku backup:$command
  holds "$command without the key" "$err" "--key-file"
done
quietly dokku backup:verify "$second" --key-file "$key"
timeout "$limit" dokku backup:verify "$second" --from offsite --key-file - <"$key" >"$WORK/log" 2>&1 || fail "key on stdin: $(<"$WORK/log")"
quietly dokku backup:restore "$second" "${P}db-2" --yes --verify exact --key-file "$key"
digests "${P}db-2" | cmp --quiet - "$WORK/digests" || fail "the restored data differs"
quietly dokku --force postgres:destroy "${P}db-2"
! grep --quiet --recursive "AGE-SECRET-KEY-1" "$DOKKU_LIB_ROOT" || fail "a command kept the key"
(umask 077 && age-keygen 2>/dev/null >"$WORK/other.key")
expect_exit 12 dokku backup:verify "$second" --key-file "$WORK/other.key"
expect_exit 12 dokku backup:key --unseal --key-file "$WORK/other.key"
quietly dokku backup:key --unseal --key-file "$key"
quietly dokku backup:verify "$second"

# An added recipient opens what is sealed from then on, and with --rewrap all of it.
quietly dokku backup:key --add-recipient "$(age-keygen -y "$WORK/other.key")"
expect_exit 1 dokku backup:key --add-recipient age1nonsense
quietly dokku backup:key --rewrap
quietly dokku backup:verify --all
quietly dokku backup:verify "$first" --key-file "$WORK/other.key"
quietly dokku backup:key --rewrap offsite
quietly dokku backup:verify "$first" --from offsite --key-file "$WORK/other.key"
expect_exit 0 dokku backup:sync --format json
equal "backups sent after both were rewrapped" "$(json 0.backups <<<"$out")" 0
quietly dokku backup:key --remove-recipient "$(age-keygen -y "$WORK/other.key")"

# Rotated: the new key alone opens old and new; the old one opens nothing new.
cp "$key" "$WORK/old.key"
quietly dokku backup:key --rotate --yes
keep_key
! cmp --quiet "$key" "$WORK/old.key" || fail "the key is the old one"
backup "$db"
third=$id
equal "state at the store" "$(field stores.0.state)" confirmed
quietly dokku backup:verify --all
expect_exit 12 dokku backup:verify "$third" --key-file "$WORK/old.key"
quietly dokku backup:verify --all --from offsite --key-file "$key"
quietly dokku backup:key --rewrap
quietly dokku backup:key --rewrap offsite
quietly dokku backup:key --forget-retired --yes
quietly dokku backup:verify --all
quietly dokku backup:verify --all --from offsite
backup "$db"
equal "state at the store" "$(field stores.0.state)" confirmed
recover "$first"
load "$db" "again" "$recovered/$(database "$db").dump"
digests "$db" again | cmp --quiet - "$WORK/digests" || fail "what doc/recover rebuilt differs"
