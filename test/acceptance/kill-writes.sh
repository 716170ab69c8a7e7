#!/usr/bin/env bash
# A create that is killed right before one of its changes to the plugin's files, each in turn, by test/killat: on a host where it is the
# first of all, and on one that has a backup. What there was is intact, half a backup is never listed, what is listed is whole, and the
# next create succeeds and leaves nothing of the killed one. KILL=all does it for every change, else for the first of each kind.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows
killat=$WORK/killat changes=$WORK/changes seen=$WORK/seen base=$WORK/base

if [[ $MODE == host ]]; then
  skip "a kill at each write: a host's own backups are left alone"
  exit 0
fi
(cd "$ROOT" && go build -o "$killat" ./test/killat)
if ! "$killat" "$WORK" 0 "$changes" true 2>/dev/null; then
  skip "a kill at each write: this machine does not let processes be traced"
  exit 0
fi

service "$db"
app "$cows"
quietly dokku postgres:link "$db" "$cows"
deploy "$cows" v1
sql "$db" <<<"CREATE TABLE herd AS SELECT g AS id, md5(g::text) AS brand FROM generate_series(1, 1000) g"

# reset: the plugin's files are again as they were when keep was called.
keep() { rm -rf "$base" && cp -a "$data" "$base"; }
reset() { rm -rf "$data" && cp -a "$base" "$data"; }

# killed N: a create that is killed before its N-th change; its status is in $status, and what it was about to do in $moment.
killed() {
  status=0
  timeout --kill-after 5 "$limit" "$killat" "$data" "$1" "$changes" dokku backup:create "$db" --quiet >"$WORK/.out" 2>"$WORK/.err" || status=$?
  moment="killed before change $1, $(tail -n 1 "$changes")"
  [[ $status -eq 137 || $status -eq 0 ]] || fail "$moment: got exit $status; stderr: $(<"$WORK/.err")"
}

# kinds: the numbers of those changes that are the first of their kind, over all calls of this.
kinds() {
  sed 's|tmp/.*|tmp|; s|segments/..|segments|; s|part-.*|part|; s|[0-9a-f]\{64\}||; s|[0-9]*T[0-9]*Z||' "$changes" >"$WORK/these"
  awk 'FILENAME == ARGV[1] { seen[$0]; next } !($0 in seen) { seen[$0]; print FNR }' "$seen" "$WORK/these"
  cat "$WORK/these" >>"$seen"
}

# intact: what there was is there, byte by byte. Only verify adds something: its marks.
intact() {
  local name
  for name in repository identity; do
    [[ ! -e $base/$name ]] || diff --recursive --brief "$base/$name" "$data/$name"
  done | { ! grep --invert-match --fixed-strings "Only in $data"; } || fail "$moment: files are not as they were"
}

# stored: how many segments and manifests there are.
stored() { find "$data/repository" -type f ! -path '*/marks/*' | wc -l; }

# list: the ids of the backups, each with a blank behind it, in $listed; no run is listed twice.
list() {
  expect_exit 0 dokku backup:list "$db"
  equal "$moment: listed twice" "$(awk 'NR > 1 { print $1 }' <<<"$out" | sort | uniq --repeated)" ""
  listed=$(awk 'NR > 1 && !/ failed: / { printf "%s ", $1 }' <<<"$out")
}

# whole: what there was is intact, and what is listed is whole.
whole() {
  intact
  list
  [[ ! $listed ]] || quietly dokku backup:verify --all --quiet
}

# create: one that nobody disturbs.
create() {
  quietly dokku backup:create "$db" --quiet
  id=$out
}

# survive N: what has to hold when a create was killed before its N-th change, and after the next one.
survive() {
  local new made
  reset
  killed "$1"
  [[ $status -eq 137 ]] || return 0
  whole
  # One killed after its manifest was written has made a backup.
  new=${listed%"$before"}
  [[ $listed == *"$before" && $new != *" "*" " ]] || fail "$moment: backups: got '$listed', before it '$before'"
  create
  whole
  equal "$moment: backups after the next create" "$listed" "$id $new$before"
  for made in $id $new; do
    quietly dokku backup:delete "$made" --yes
  done
  intact
  equal "$moment: files of the repository without the new backups" "$(stored)" "$files"
  until_true "end of the helper containers" no_helpers "$db"
  [[ ! -e $data/tmp/$db ]] || fail "$moment: the temporary folder is still there"
}

# survive_all WHAT: on the host as it is now.
survive_all() {
  local n died=0 before files changed numbers
  moment=before
  list
  before=$listed
  keep
  create
  quietly dokku backup:delete "$id" --yes
  files=$(stored)
  reset
  killed 0
  changed=$(wc -l <"$changes")
  if [[ ${KILL:-} == all ]]; then
    numbers=$(seq 1000) # until one gets through
  else
    numbers=$(kinds)
  fi
  for n in $numbers; do
    survive "$n"
    [[ $status -eq 137 ]] || break
    died=$((died + 1))
  done
  [[ $died -ge 10 ]] || fail "$1: only $died runs were killed"
  echo "$1: $died kills; one that is not killed makes $changed changes"
}

: >"$seen"
cp -a "$data" "$WORK/fresh"
create
sql "$db" <<<"INSERT INTO herd SELECT g, md5(g::text) FROM generate_series(1001, 1100) g"
survive_all "a create on a host that has a backup"
rm -rf "$data"
cp -a "$WORK/fresh" "$data"
survive_all "the first create"
