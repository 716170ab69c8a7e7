#!/usr/bin/env bash
# Not with --docker by default: it is about stores and keys, not about the engine.
# What is wrong with a store is said in one clear line, nothing half-done is accepted, and the backups here stay as they are.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db
name=bucket-${P//[^a-z0-9]/}
service "$db"
sql "$db" <<<"CREATE TABLE cows AS SELECT i, 'cow ' || i AS name FROM generate_series(1, 1000) i"
backup "$db"
first=$id
before=$(find "$data/repository" -type f -printf '%p %s\n' | sort)

# refused CODE PART ARGUMENT...: store-add with these arguments.
refused() {
  local code=$1 part=$2
  shift 2
  expect_exit "$code" dokku backup:store-add "$@"
  holds "store-add $*" "$err" "$part"
  lacks "store-add $*" "$err" "goroutine"
  [[ ! -e $data/stores/$name ]] || fail "store-add $* kept a store"
}
refused 1 'there is no kind of store "ftp"' "$name" ftp://host/path
refused 1 "not a URL" "$name" /mnt/nas
refused 1 "the name of a store" here file:///mnt
refused 1 "the name of a store" "My Store" file:///mnt
refused 1 "takes the name of a store and its URL" "$name"
refused 1 "either --take-over or --read-only" "$name" file:///mnt --take-over --read-only
refused 1 "--bandwidth" "$name" file:///mnt --bandwidth fast
for url in sftp://user:hunter2@host/path 's3://bucket/x?access-key=hunter2' 's3://bucket/x?endpoint=https://u:hunter2@host'; do
  refused 1 "the URL holds a secret" "$name" "$url"
  lacks "a secret in the URL" "$err$out" hunter2
done
refused 1 "" "$name" file:///proc/nowhere
refused 1 "store \"$name\"" "$name" sftp://user@127.0.0.1:9/path --host-key SHA256:x

server s3
s3="s3://$bucket/${P}prefix?endpoint=$endpoint&region=$region"
secrets() { printf 'access-key=%s\nsecret-key=%s\n' "$@"; }
add() { # the secrets come on stdin
  local code=$1 part=$2
  shift 2
  local got=0
  timeout "$limit" dokku backup:store-add "$name" "$@" --secrets - >"$WORK/out" 2>"$WORK/err" || got=$?
  err=$(<"$WORK/err")
  equal "exit of store-add $*: $err" "$got" "$code"
  holds "store-add $*" "$err" "$part"
}
refused 1 "the access-key is missing" "$name" "$s3"
secrets "$access_key" wrong | add 1 "store \"$name\"" "$s3"
secrets nobody "$secret_key" | add 1 "store \"$name\"" "$s3"
secrets "$access_key" "$secret_key" | add 1 "bucket" "${s3/$bucket/no-such-bucket}"
echo "password=x" | add 1 "names are access-key, secret-key" "$s3"
# shellcheck disable=SC2154 # of the server
secrets "$reader_access_key" "$reader_secret_key" | add 1 "write" "$s3"
[[ ! -e $data/stores/$name ]] || fail "a store was kept"

# With the right ones it is a store like any other; its objects are those of the repository.
secrets "$access_key" "$secret_key" | add 0 "is ready" "$s3"
quietly dokku backup:sync
quietly dokku backup:verify "$first" --from "$name"
backup "$db"
second=$id
equal "state" "$(field stores.0.state)" confirmed
objects=$WORK/server/objects/$bucket/${P}prefix
[[ -e $objects/repository.json && -e $objects/backups/$db/$second ]] || fail "the objects are not where they belong"
expect_exit 0 dokku backup:restore "$first" "${P}back" --from "$name" --yes --verify exact
equal "rows" "$(sql "${P}back" <<<"SELECT count(*) FROM cows")" 1000
quietly dokku --force postgres:destroy "${P}back"
! grep --quiet --recursive --fixed-strings "$secret_key" "$data" || fail "the secret lies in the clear"

# failing PART: the next backup is complete here and not there, and says why.
failing() {
  backup "$db" 3
  equal "state" "$(field stores.0.state)" missing
  holds "why" "$(field stores.0.why)" "$1"
  quietly dokku backup:verify "$id"
}
mv "$objects/repository.json" "$WORK/repository.json"
failing "holds no repository any more"
sed 's/"format": 1/"format": 7/' "$WORK/repository.json" >"$objects/repository.json"
failing "format 7"
sed 's/"id": "..../"id": "0000/' "$WORK/repository.json" >"$objects/repository.json"
failing "another repository"
cp "$WORK/repository.json" "$objects/repository.json"
mv "$data/host-id" "$WORK/host-id"
failing "two hosts never write to one place"
mv "$WORK/host-id" "$data/host-id"
expect_exit 0 dokku backup:sync
quietly dokku backup:verify --all --from "$name"

# A place that holds another repository is refused, with or without the right to write.
quietly dokku backup:store-remove "$name"
cp -a "$objects" "${objects%prefix}foreign"
sed 's/"id": "..../"id": "0000/' "$WORK/repository.json" >"${objects%prefix}foreign/repository.json"
secrets "$access_key" "$secret_key" | add 1 "the backups of another repository" "${s3/prefix/foreign}"
stop_server
after=$(find "$data/repository" -type f -printf '%p %s\n' | sort)
holds "the repository here" "$after" "$(head -n 1 <<<"$before")"
while read -r line; do holds "the repository here" "$after" "$line"; done <<<"$before"
