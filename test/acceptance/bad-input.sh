#!/usr/bin/env bash
# What a person mistypes: one line says what and why, the next what to do, and nothing is changed.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}herd-db cows=${P}herd

# refused CODE MESSAGE HINT COMMAND [ARGUMENT...]: it ends so, with exactly these lines on stderr ("" for no hint) and no data.
refused() {
  local code=$1 message=$2 hint=$3 command=backup:$4
  shift 4
  expect_exit "$code" dokku "$command" "$@"
  equal "stdout of $command $*" "$out" ""
  equal "stderr of $command $*" "$err" " !     $message${hint:+$'\n'" !     $hint"}"
}

service "$db"
app "$cows"
quietly dokku postgres:link "$db" "$cows" --no-restart

# Before there is any backup.
none="see all backups: dokku backup:list"$'\n'" !     make one: dokku backup:create SERVICE"
if [[ $MODE == host ]]; then
  skip "what is said before the first backup: this host may have some"
else
  expect_exit 0 dokku backup:list
  equal "list of an empty host" "$out" "No backups yet. Make one: dokku backup:create SERVICE"
  refused 12 "there is no key yet: it is made with the first backup" "make one: dokku backup:create SERVICE" key
  refused 1 "there is no backup of \"$db\"" "$none" info "$db"
  refused 1 "there is no backup of \"any service\"" "$none" verify --all
fi
expect_exit 3 dokku backup:create "$db" --quiet # the app was never deployed
id=$out
holds "warning of create" "$err" " !     $cows was never deployed"

# Names.
valid="valid are letters, digits, - and _, as in happycows-db or postgres:happycows-db"
services="see all services: dokku postgres:list"
refused 1 "service \"${P}no-such-thing\" does not exist" "$services" create "${P}no-such-thing"
refused 1 "service \"${P}hird-db\" does not exist; did you mean $db?" "" create "${P}hird-db"
refused 1 "service \"redis:$db\" does not exist; did you mean postgres:$db?" "" create "redis:$db"
refused 1 "service \"$cows\" does not exist; did you mean $db?" "" create "$cows"
refused 1 '"../etc" is not a valid service name' "$valid" create ../etc
refused 1 '"a/b" is not a valid service name' "$valid" create a/b
refused 1 "\"it's\" is not a valid service name" "$valid" create "it's"
refused 1 '"a\"b" is not a valid service name' "$valid" create 'a"b'
refused 1 '"a b" is not a valid service name' "$valid" create 'a b'
refused 1 '"\x1b[31mred" is not a valid service name' "$valid" create $'\e[31mred'
refused 1 '"postgres:" is not a valid service name' "$valid" create postgres:
# shellcheck disable=SC2016 # as it stands
refused 1 '"$(id)" is not a valid service name' "$valid" create '$(id)'
refused 1 'service "--all" does not exist' "$services" create -- --all
refused 1 "there is no backup of \"${P}nope\"" "$none" info "${P}nope"
refused 1 "there is no backup of \"${P}nope\"" "$none" verify "${P}nope"
refused 1 "there is no backup ${P}nope-20200229T000000Z" "see those of the service: dokku backup:list ${P}nope" info "${P}nope-20200229T000000Z"
for name in info verify list; do
  refused 1 '"a/b" is neither the id of a backup nor the name of a service' "see all backups: dokku backup:list" "$name" a/b
  refused 1 "\"it's\" is neither the id of a backup nor the name of a service" "see all backups: dokku backup:list" "$name" "it's"
done
for name in pin unpin delete; do
  refused 1 "\"$db\" is not the id of a backup (an id looks like happycows-db-20261121T074700Z)" "see all ids: dokku backup:list" "$name" "$db"
  refused 1 '"x-20261399T000000Z" is not the id of a backup: it holds no valid time' "see all ids: dokku backup:list" "$name" x-20261399T000000Z
  refused 1 '"../x-20261121T074700Z" is not the id of a backup (an id looks like happycows-db-20261121T074700Z)' "see all ids: dokku backup:list" \
    "$name" ../x-20261121T074700Z
done

# Flags and arguments.
refused 1 "backup:create: there is no flag --yolo" "see how it is used: dokku backup:help create" create "$db" --yolo
refused 1 "backup:create: there is no flag --x" "see how it is used: dokku backup:help create" create -x
refused 1 "backup:create: flag needs a value: --timeout" "see how it is used: dokku backup:help create" create "$db" --timeout
refused 1 'backup:create: invalid value "soon" for flag --timeout' "see how it is used: dokku backup:help create" create "$db" --timeout soon
refused 1 "backup:create: --timeout is 1 to 1440 minutes, not 0" "see how it is used: dokku backup:help create" create "$db" --timeout 0
refused 1 "backup:create: --timeout is 1 to 1440 minutes, not 1441" "see how it is used: dokku backup:help create" create "$db" --timeout 1441
refused 1 'backup:list: --format is text or json, not "yaml"' "see how it is used: dokku backup:help list" list --format yaml
refused 1 "backup:create: takes one argument, not 2" "see how it is used: dokku backup:help create" create "$db" "$db"
refused 1 "backup:status: takes no argument" "see how it is used: dokku backup:help status" status "$db"
refused 1 "backup:key: takes no argument" "see how it is used: dokku backup:help key" key "$db"
refused 1 "backup:info: which backup? give an id or a service" "see how it is used: dokku backup:help info" info
refused 1 "backup:verify: which backup? give an id or a service, or --all" "see how it is used: dokku backup:help verify" verify
refused 1 "backup:verify: either a name or --all" "see how it is used: dokku backup:help verify" verify --all "$db"
refused 1 "backup:delete: which backup? give its id" "see how it is used: dokku backup:help delete" delete
refused 1 "backup:restart is not a command" "see what there is: dokku backup:help" help restart

# Nobody to ask: what would be asked for is named instead.
refused 1 "no name was given, and there is no terminal to ask on" "name it: dokku backup:create SERVICE" create
expect_exit 1 dokku backup:delete "$id"
holds "delete without a terminal" "$err" " !     there is no terminal to ask on; nothing was done"
holds "delete without a terminal" "$err" "add --yes"

# A type whose plugin has no export can only be had on a host with such a plugin.
if type=$(timeout 60 dokku memcached:list 2>/dev/null | grep --invert-match '=====>' | head -n 1) && [[ $type ]]; then
  refused 1 "memcached:$type cannot be backed up: the memcached plugin has no export" "" create "memcached:$type"
else
  skip "a service without export: there is no memcached service here"
fi

# Nothing of all this became a backup, or a run that failed, and what there was is whole.
expect_exit 0 dokku backup:list "$db" --format json
equal "backups" "$(json '*.id' <<<"$out")" "$id"
expect_exit 0 dokku backup:verify "$id" --quiet
