#!/usr/bin/env bash
# A repository that was damaged or tampered with, and a key that is not the right one: it is told, by name, and what is whole stays usable.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db repository=$data/repository key=$data/identity
info=$repository/repository.json

# with FILE COMMAND...: does something to the file, which is put back by back.
with() {
  damaged=$1
  shift
  cp -a "$damaged" "$WORK/original"
  "$@"
}
back() { rm -rf "$damaged" && mv "$WORK/original" "$damaged"; }
cut_short() { truncate --size -7 "$damaged"; }
flip() { # one bit in the middle
  python3 - "$damaged" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    at = len(data) // 2
    f.seek(at)
    f.write(bytes([data[at] ^ 1]))
END
}
edit() { python3 -c 'import json, sys; path = sys.argv[1]; d = json.load(open(path)); exec(sys.argv[2]); json.dump(d, open(path, "w"))' "$damaged" "$1"; }
write() { printf '%s\n' "${1:-}" >"$damaged"; }
gone() { rm "$damaged"; }

# says CODE TEXT HINT COMMAND...: nothing on stdout, both on stderr.
says() {
  local code=$1 text=$2 hint=$3
  shift 3
  expect_exit "$code" "$@" </dev/null
  holds "stderr of $*" "$err" " !     $text"
  holds "stderr of $*" "$err" "$hint"
  spoken "$err"
}

service "$db"
sql "$db" <<<"CREATE TABLE herd AS SELECT g AS id, md5(g::text) AS brand FROM generate_series(1, 5000) g"
backup "$db" && first=$id
sql "$db" <<<"INSERT INTO herd SELECT g, md5(g::text) FROM generate_series(5001, 6000) g"
backup "$db" && second=$id
segment=$(field services.0.databases.0.tables.0.segments.0.name)
segment=$repository/segments/${segment:0:2}/$segment

# A segment.
for how in gone cut_short flip "write nonsense" "write"; do
  # shellcheck disable=SC2086 # a command and its argument
  with "$segment" $how
  says 1 "table public.herd: segment " "dokku backup:create $db" dokku backup:verify "$second" --quiet
  holds "stderr of verify" "$err" "1 backup of 1 backup cannot be restored as recorded"
  holds "list" "$(timeout 60 dokku backup:list "$db" | grep "^$second")" DAMAGED
  equal "list of the other" "$(timeout 60 dokku backup:list "$db" | grep --count DAMAGED)" 1
  quietly dokku backup:verify "$first" --quiet
  back
done
if [[ $MODE != host ]]; then
  expect_exit 3 dokku backup:status
  holds "status" "$out" "$second is damaged"
fi
# The next backup has nothing to do with the damage: it stores the segment again, and thereby the damaged one is whole as well.
with "$segment" flip
backup "$db"
quietly dokku backup:verify "$id" --quiet
quietly dokku backup:verify "$second" --quiet
rm "$WORK/original"

# A manifest.
for how in cut_short flip "write nonsense" "write" "cp $repository/backups/$db/$first $repository/backups/$db/$second"; do
  # shellcheck disable=SC2086 # a command and its arguments
  with "$repository/backups/$db/$second" $how
  says 1 "the manifest of $second is " "dokku backup:verify" dokku backup:info "$second"
  says 1 "the manifest of $second is " "" dokku backup:verify "$second" --quiet
  expect_exit 0 dokku backup:list "$db"
  holds "list" "$(grep "^$second" <<<"$out")" "unreadable: the manifest of $second is "
  quietly dokku backup:verify "$first" --quiet
  says 1 "no space can be freed while the manifest of $second cannot be read" "dokku backup:delete $second" dokku backup:delete "$id" --yes
  quietly dokku backup:info "$first"
  back
  backup "$db"
done
with "$repository/backups/$db/$second" gone
says 1 "there is no backup $second" "dokku backup:list $db" dokku backup:info "$second"
quietly dokku backup:verify "$first" --quiet
back

if [[ $MODE == host ]]; then
  skip "repository.json and the key: a host's own are left alone"
  exit 0
fi

# repository.json: each command refuses, create too, and nothing is changed.
unchanged=$(find "$repository" -type f -newer "$info" | wc -l)
refuse_all() {
  local command
  for command in "create $db" "list" "info $first" "verify --all" "pin $first" "unpin $first" "delete $first --yes" status; do
    # shellcheck disable=SC2086 # words
    says "$1" "$2" "$3" dokku backup:$command
  done
  equal "stdout" "$out" ""
  back
  equal "files" "$(find "$repository" -type f -newer "$info" | wc -l)" "$unchanged"
}
broken="the repository cannot be read: its repository.json is damaged, or belongs to another program"
for how in cut_short "write nonsense" 'write {"version":2,"id":"of-restic","chunker_polynomial":"25b468838dcb75"}' "write"; do
  read -r name text <<<"$how"
  with "$info" "$name" "$text"
  refuse_all 1 "$broken" "put the file back from a copy of the repository"
done
with "$info" edit 'd["format"] = 7'
refuse_all 1 "the repository has format 7, this program knows format 1" "dokku plugin:update backup"
for change in 'd["recipients"] = ["age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm"]' 'd["id"] = d["id"][::-1]' 'd["mac"] = d["mac"][::-1]'; do
  with "$info" edit "$change"
  refuse_all 12 "the key does not open this repository, or repository.json was changed by somebody without the key" "recovery key"
done

# The key.
lost="the key of the repository is not on this host"
with "$key" gone
says 12 "$lost" "$key" dokku backup:key
refuse_all 12 "$lost" "put the recovery key (the line that begins with AGE-SECRET-KEY-1) into $key"
[[ -f $key ]] || fail "the key was not put back"
for text in "" "AGE-SECRET-KEY-1QQQQ" "not a key"; do
  with "$key" write "$text"
  [[ ! $text ]] || lacks "stderr with a damaged key" "$(timeout 60 dokku backup:list 2>&1)" "$text"
  refuse_all 12 "the key file of the repository does not hold an age identity" "AGE-SECRET-KEY-1"
done
with "$key" write "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
refuse_all 12 "the key does not open this repository" "recovery key"

# What this user may not read. Root may read all.
if [[ $EUID -eq 0 ]]; then
  skip "files without the right to read them: root may read all"
else
  with "$info" chmod 000 "$info"
  refuse_all 1 "$info may not be opened by this user" "dokku backup:"
fi

# After all this nothing is lost.
expect_exit 0 dokku backup:verify --all --quiet
backup "$db"
quietly dokku backup:verify "$id" --quiet
