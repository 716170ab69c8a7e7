#!/usr/bin/env bash
# Not with --docker by default: it is about stores and keys, not about the engine.
# Backups are copied to an SFTP server: the store is added, proven, sent to, read from, healed and healed from; a server that is down costs no
# backup and is made up for; nothing is confirmed that is not there.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows
name=offsite-${P//[^a-z0-9]/}
store=$data/stores/$name

server sshd
happycows "$db" "$cows"
backup "$db"
first=$id

# The server's key is confirmed, then this host's own is made and let in.
expect_exit 1 dokku backup:store-add "$name" "$endpoint"
holds "unknown host key" "$err" "--host-key $fingerprint"
expect_exit 1 dokku backup:store-add "$name" "$endpoint" --host-key SHA256:another
holds "wrong host key" "$err" "not the one that --host-key names"
expect_exit 1 dokku backup:store-add "$name" "$endpoint" --host-key "$fingerprint"
public=$out
holds "the key to install" "$public" "ssh-ed25519 "
holds "what to do with it" "$err" "let the public key above in at the server"
equal "files at the server" "$(find "$files" -type f | wc -l)" 0
expect_exit 1 dokku backup:store-add "$name" "$endpoint" --host-key "$fingerprint"
lacks "key that is not let in" "$err" "is ready"
echo "$public" >>"${files%/*}/authorized_keys"
expect_exit 0 dokku backup:store-add "$name" "$endpoint" --host-key "$fingerprint"
for step in write "read back" list overwrite "cut off" delete "Store $name is ready"; do
  holds "steps of the proof" "$err" "$step"
done
equal "what the proof left" "$(find "$files" -path '*proof*' -type f | wc -l)" 0
equal "modes of what is kept" "$(find "$store" -type f -printf '%m\n' | sort -u)" 600
! grep --quiet --recursive "PRIVATE KEY" "$data/stores" || fail "the private key lies in the clear"
expect_exit 1 dokku backup:store-add "$name" "$endpoint"
holds "a name twice" "$err" "there is a store \"$name\" already"

# The backup that was there before is lacking until it is sent; then each create sends its own.
expect_exit 0 dokku backup:list --format json # a real host may have others
all=$(json '*.state' <<<"$out" | grep --count complete)
expect_exit 3 dokku backup:store-list --format json
equal "store-list before sync" "$(json '*.state' <<<"$out") $(json '*.behind' <<<"$out")" "behind $all"
expect_exit 0 dokku backup:list "$db"
holds "list before sync" "$out" "complete here, not at $name"
expect_exit 0 dokku backup:sync "$name" --format json
equal "sync" "$(json '0.state' <<<"$out") $(json '0.backups' <<<"$out")" "confirmed $all"
expect_exit 0 dokku backup:sync
holds "sync of nothing" "$err" "nothing was lacking"
backup "$db"
second=$id
equal "state at the store" "$(field stores.0.state)" confirmed
within "requests of a create with nothing changed" "$(field stores.0.requests)" 12
expect_exit 0 dokku backup:store-list --format json
equal "store-list" "$(json '0.state' <<<"$out") $(json '0.backups' <<<"$out") $(json '0.newest' <<<"$out")" "ok $((all + 1)) $second"
expect_exit 0 dokku backup:info "$second"
holds "info" "$out" "$name: confirmed"

# What is there is a whole repository: it is listed, verified and restored from.
expect_exit 0 dokku backup:list --from "$name" --format json
equal "list --from" "$(json '*.id' <<<"$out" | grep "$db" | xargs)" "$second $first"
expect_exit 0 dokku backup:info "$first" --from "$name"
holds "info --from" "$out" "$first"
quietly dokku backup:verify "$first" --from "$name"
holds "verify --from" "$err" "is whole"
quietly dokku backup:verify "$second" --from "$name" --sample 30%
holds "verify --sample" "$err" "a sample is whole"
expect_exit 0 dokku backup:info "$second"
holds "info after a sample" "$out" "a sample"
digests "$db" >"$WORK/digests"
expect_exit 0 dokku backup:restore "$first" "${P}db-2" --from "$name" --yes --verify exact
digests "${P}db-2" | cmp --quiet - "$WORK/digests" || fail "the data restored from the store differs"
quietly dokku --force postgres:destroy "${P}db-2"

# Damage on either side is found and healed from the other one.
segment() { # of the table cows, which both backups share, in this repository
  expect_exit 0 dokku backup:info "$first" --format json
  json 'services.0.databases.0.tables.*.segments.0.name' <<<"$out" | sed -n "1s|^..|$1/segments/&/&|p"
}
flip() { python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(700); b = f.read(1); f.seek(700); f.write(bytes([b[0] ^ 1]))' "$1"; }
flip "$(segment "$files")"
quietly dokku backup:verify "$first"
expect_exit 1 dokku backup:verify "$first" --from "$name"
holds "damage at the store" "$err" "damaged"
holds "the way out" "$err" "--from $name --repair here"
quietly dokku backup:verify "$first" --from "$name" --repair here
flip "$(segment "$data/repository")"
expect_exit 1 dokku backup:verify "$first"
holds "the way out" "$err" "dokku backup:verify $first --repair $name"
quietly dokku backup:verify "$first" --repair "$name"
quietly dokku backup:verify "$first"

# A server that is down makes the backup "complete here"; the next create makes up for it.
stop_server
sql "$db" <<<"UPDATE cows SET name = 'Berta ' || id" >/dev/null
backup "$db" 3
third=$id
equal "state at a store that is down" "$(field stores.0.state)" missing
expect_exit 0 dokku backup:list "$db"
holds "list" "$out" "complete here, not at $name"
expect_exit 3 dokku backup:store-list
holds "store-list" "$out" "unreachable"
expect_exit 1 dokku backup:verify "$first" --from "$name"
server sshd "$port"
backup "$db"
equal "made up for" "$(field stores.0.state) $(field stores.0.backups)" "confirmed 2"
quietly dokku backup:verify "$third" --from "$name"

# What is deleted here stays there, until it is deleted there.
quietly dokku backup:delete "$first" --yes
holds "delete" "$err" "it stays in store $name"
expect_exit 1 dokku backup:verify "$first"
holds "a backup that is only there" "$err" "--from $name"
quietly dokku backup:verify "$first" --from "$name"
expect_exit 1 dokku backup:delete "$second" --from "$name" --yes
holds "one that is here too" "$err" "would be sent to $name again"
quietly dokku backup:delete "$first" --from "$name" --yes
expect_exit 1 dokku backup:verify "$first" --from "$name"
quietly dokku backup:verify "$second" --from "$name"

quietly dokku backup:store-check "$name"
quietly dokku backup:store-remove "$name"
[[ ! -e $store && -e $files/repository.json ]] || fail "store-remove left the store, or removed its backups"
expect_exit 1 dokku backup:list --from "$name"
holds "a store that was removed" "$err" "there is no store \"$name\""
