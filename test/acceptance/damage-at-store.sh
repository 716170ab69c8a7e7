#!/usr/bin/env bash
# Not with --docker by default: it is about bytes in a store.
# A byte that flips anywhere in a store is found by verify --from: any bit of any object. FLIPS is how many are tried (25).
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
if [[ $MODE == host ]]; then
  skip "damage of every object at a store: its keys would be this host's"
  exit 0
fi
db=${P}db
store=$WORK/store
service "$db"
sql "$db" <<<"CREATE TABLE cows AS SELECT i, 'cow ' || i AS name FROM generate_series(1, 1000) i"
quietly dokku backup:store-add nas "file://$store"
backup "$db"
sql "$db" <<<"UPDATE cows SET name = 'Erna ' || i WHERE i % 7 = 0"
backup "$db"
quietly dokku backup:pin "$id"
(umask 077 && age-keygen 2>/dev/null >"$WORK/other.key")
quietly dokku backup:key --add-recipient "$(age-keygen -y "$WORK/other.key")"
quietly dokku backup:verify "$id"
quietly dokku backup:sync
quietly dokku backup:verify --all --from nas

# flip: one bit of one byte of one object, all chosen at random; the same call again takes it back. Says what it did.
flip() {
  python3 -c '
import os, random, sys
store, seed = sys.argv[1], sys.argv[2]
random.seed(seed)
names = sorted(os.path.join(folder, name) for folder, _, files in os.walk(store) for name in files)
path = random.choice(names)
at, bit = random.randrange(os.path.getsize(path)), 1 << random.randrange(8)
with open(path, "r+b") as f:
    f.seek(at)
    byte = f.read(1)[0]
    f.seek(at)
    f.write(bytes([byte ^ bit]))
print(os.path.relpath(path, store), "byte", at, "bit", bit)' "$store" "$1"
}
found=0
for ((i = 0; i < ${FLIPS:-25}; i++)); do
  seed=$RANDOM$RANDOM
  where=$(flip $seed)
  got=0
  timeout "$limit" dokku backup:verify --all --from nas >"$WORK/out" 2>&1 || got=$?
  [[ $got -eq 1 || $got -eq 12 ]] || fail "$where flipped: verify --from ended with $got: $(<"$WORK/out")"
  found=$((found + 1))
  flip $seed >/dev/null
done
quietly dokku backup:verify --all --from nas
echo "$found of $found flips found"
