# What scripts need that look at whom is told of what; after test/lib.sh: . "$ROOT/test/told.sh"
# shellcheck shell=bash
: "${ROOT:?test/lib.sh comes first}" "${WORK:?}" "${P:?}"
mark=${P//[^a-z0-9]/}

# begin KIND: a server beside those that run already; its facts become variables, and $pid names all of them.
begin() {
  local facts before=${pid:-}
  mkdir -p "$WORK/$1"
  facts=$("$ROOT/test/servers" "$1" "$WORK/$1")
  eval "$facts"
  # shellcheck disable=SC2154 # of the server
  heard=$received pid="$before $pid"
}
begin webhook
# shellcheck disable=SC2154 # of the server
hook=$endpoint hooks=$heard
begin smtp
mails=$heard
# shellcheck disable=SC2154 # of the server
mail="smtp://$user:$password@127.0.0.1:$secure_port/?from=dokku@example.org&to=ops@example.org&skiptlsverify=yes"

# documents: the events that the webhook heard of since the last call, pings those of the check, letters the subjects of mails.
take() {
  local file
  for file in "$hooks"/[0-9][0-9][0-9][0-9]; do
    [[ -e $file ]] || continue
    cat "$file" && echo
    rm "$file"
  done >"$WORK/taken"
}
documents() { python3 -c '
import json, sys
for line in open(sys.argv[1]):
    post = json.loads(line)
    if post["path"].startswith("/ok/") and post["type"] == "application/json":
        event = json.loads(post["body"])
        print(event["event"], event.get("service", "-"), event["what"])' "$WORK/taken"; }
pings() { python3 -c '
import json, sys
for line in open(sys.argv[1]):
    path = json.loads(line)["path"].split("?")[0]
    if path.startswith("/ok-ping/"):
        print(path.removeprefix("/ok-ping/canary-uuid") or "/")' "$WORK/taken"; }
letters() {
  local file
  for file in "$mails"/[0-9][0-9][0-9][0-9]; do
    [[ -e $file ]] || continue
    sed -n 's/^Subject: \(.*\)\r$/\1/p' "$file"
    rm "$file"
  done
}
# heard WHAT DOCUMENTS PINGS LETTERS: each a line an event.
heard() {
  take
  equal "$1: documents" "$(documents)" "$2"
  equal "$1: pings" "$(pings)" "$3"
  equal "$1: mails" "$(letters)" "$4"
}

# receivers SERVICE: a webhook that hears of everything, a check, and mails of what goes to a person who asked for nothing more.
receivers() {
  quietly dokku backup:notify-add "hook-$mark" "json+$hook/ok/canary-token" --events all --service "$1"
  quietly dokku backup:notify-add "check-$mark" "ping+$hook/ok-ping/canary-uuid" --service "$1"
  timeout "${limit:?}" dokku backup:notify-add "mail-$mark" --url-stdin --service "postgres:$1" <<<"$mail" 2>"$WORK/err"
  # shellcheck disable=SC2154 # of the server
  lacks "notify-add" "$(<"$WORK/err")" "$password"
}
