#!/usr/bin/env bash
# What a restore or a practice run cannot be made of is refused before anything is done: what, why and what to do, and nothing is left.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows new=${P}back

# refused CODE MESSAGE HINT COMMAND [ARGUMENT...]: it ends so, with exactly these lines on stderr ("" for no hint) and no data.
refused() {
  local code=$1 message=$2 hint=$3 command=backup:$4
  shift 4
  expect_exit "$code" dokku "$command" "$@" </dev/null
  equal "stdout of $command $*" "$out" ""
  equal "stderr of $command $*" "$err" " !     $message${hint:+$'\n'" !     $hint"}"
  spoken "$err"
}

happycows "$db" "$cows"
backup "$db"
before=$(production "$db" "$cows")

# Names.
for command in restore practice; do
  refused 1 "backup:$command: which backup? give an id or a service" "see how it is used: dokku backup:help $command" $command
done
missing="there is no backup of \"${P}nope\""
all="see all backups: dokku backup:list"$'\n'" !     make one: dokku backup:create SERVICE"
refused 1 "$missing" "$all" restore "${P}nope" "$new" --yes
refused 1 "$missing" "$all" practice "${P}nope"
refused 1 "there is no backup $db-20200101T000000Z" "see those of the service: dokku backup:list $db" restore "$db-20200101T000000Z" "$new" --yes
refused 1 "$db is the service that was backed up: a backup is restored beside it, never over it" "give another name: dokku backup:restore $id $db-2" \
  restore "$db" "$db" --yes
service "${P}taken"
refused 1 "service ${P}taken exists already; nothing was done" "choose another name" restore "$db" "${P}taken" --yes
refused 1 "app $cows exists already; nothing was done" "choose another name" restore "$db" "$new" --app "$cows" --yes
refused 1 '"a/b" cannot be the name of a service: letters, digits, - and _ can' "" restore "$db" a/b --yes
refused 1 '"Cow herd" cannot be the name of an app: lower case letters, digits, . and - can' "" restore "$db" "$new" --app "Cow herd" --yes
refused 1 "there is no app \"${P}nope\" whose service could be replaced" "see all apps: dokku apps:list" restore "$db" "$new" --replace-app "${P}nope" --yes
refused 1 "the backup holds no app \"${P}nope\"" "say which one, it holds $cows: --from-app APP" restore "$db" "$new" --app "${P}moo" --from-app "${P}nope" --yes
for verb in resume abort; do
  refused 1 "there is no unfinished restore into $new" "begin one: dokku backup:restore ID $new" restore --$verb "$new"
done

# Nobody to ask.
refused 1 "backup:restore: into which service? give the name of a new one" "see how it is used: dokku backup:help restore" restore "$db"
expect_exit 1 dokku backup:restore "$db" "$new" </dev/null
holds "restore without a terminal" "$err" $'\n'" !     there is no terminal to ask on; nothing was done"$'\n'" !     to do it without being asked, add --yes"

# Flags.
usage="see how it is used: dokku backup:help restore"
refused 1 'backup:restore: --verify is rows, exact or none, not "some"' "$usage" restore "$db" "$new" --verify some
refused 1 "backup:restore: either --resume or --abort" "$usage" restore --resume "$new" --abort "$new"
refused 1 "backup:restore: --jobs is 1 to 64, not 65" "$usage" restore "$db" "$new" --jobs 65
refused 1 'backup:restore: --scale is such as web=1, not "web"' "$usage" restore "$db" "$new" --scale web
refused 1 "backup:restore: config values are KEY=VALUE, a line each in a file" "$usage" restore "$db" "$new" --env "hunter2"
refused 1 "backup:restore: takes a backup and the name of a new service, not 3 arguments" "$usage" restore "$db" "$new" "${P}moo"
refused 1 "backup:restore: --replace-app proves the app before it moves it: it cannot go with --skip-code" "$usage" \
  restore "$db" "$new" --replace-app "$cows" --skip-code
refused 1 '--config is all, none or keys=A,B, not "some"' "" restore "$db" "$new" --app "${P}moo" --config some --yes
refused 1 "the backup's config has no \"NOPE\"" "it has DATABASE_URL, GIT_REV" restore "$db" "$new" --app "${P}moo" --config keys=NOPE --yes
refused 1 "backup:practice: a practice run that compares nothing proves nothing: --verify is exact or rows" \
  "see how it is used: dokku backup:help practice" practice "$db" --verify none
refused 1 "backup:practice: --cleanup takes no backup: it removes what all practice runs left" "see how it is used: dokku backup:help practice" practice --cleanup "$db"
refused 1 "Invalid property specified, valid properties include: alert-after, automatic, check-http, check-sql, health-path, max-age, metrics-file, on-deploy, on-deploy-mode, on-destroy, stall-timeout, timeout, upload" "see how it is used: dokku backup:help set" set "$db" colour red
refused 1 'backup:set: health-path: "moo" is not a path: it begins with / and has no blanks' "see how it is used: dokku backup:help set" set "$db" health-path moo
refused 1 "service \"${P}dp\" does not exist; did you mean $db?" "" set "${P}dp" health-path /

# The engine and its image.
version=$(field services.0.server_version)
old=$((${version%%.*} - 2))
refused 1 "postgres:$old is older than the backup's postgres $version: an older engine cannot read a newer dump" \
  "take version ${version%%.*} or a later one: --image-version ${version%%.*}" restore "$db" "$new" --image-version "$old" --yes
for command in "restore $db $new --yes" "practice $db --data-only"; do
  # shellcheck disable=SC2086 # words
  expect_exit 1 dokku backup:$command --image-version 99.9
  holds "stderr for an image that is not to be had" "$err" " !     image postgres:99.9 is not on this host and cannot be pulled: "
  holds "stderr for an image that is not to be had" "$err" " !     see what is wrong: docker pull postgres:99.9"
  spoken "$err"
done

# A commit that nobody has; an app that is not named, or was never deployed, or is none.
none=0123456789abcdef0123456789abcdef01234567
refused 1 "\"$none\" is no commit, branch or tag of the backup's code or of the app's repository" "name a repository that has it: --from-remote URL" \
  restore "$db" "$new" --app "${P}moo" --commit "$none" --yes
app "${P}other"
quietly dokku postgres:link "$db" "${P}other" --no-restart
backup "$db" 3
quietly dokku postgres:unlink "$db" "${P}other" --no-restart
quietly dokku apps:destroy "${P}other" --force
refused 1 "the backup does not say which app ${P}moo is to be" "say which one, it holds $cows, ${P}other: --from-app APP" restore "$id" "$new" --app "${P}moo" --yes
refused 1 "the backup holds no code of ${P}other: its commit is not known, or could not be kept" \
  "restore without code: --skip-code"$'\n'" !     or from the app's remote: --from-remote URL --commit SHA" restore "$id" "$new" --app "${P}moo" --from-app "${P}other" --yes
sql "${P}taken" <<<"CREATE TABLE notes (id int)"
expect_exit 0 dokku backup:create "${P}taken" --quiet
refused 1 "the backup holds no app: no one was linked to the service" "restore the service alone: leave out --app" restore "$out" "$new" --app "${P}moo" --yes

if [[ $MODE == host || $EUID -ne 0 ]]; then
  skip "a disk that is too small, and keys: that needs root, and a host's own are left alone"
else
  # The disk.
  services=$DOKKU_LIB_ROOT/services
  mount -t tmpfs -o size=10m,mode=755 none "$services"
  mkdir "$services/postgres"
  status=0
  (expect_exit 1 dokku backup:restore "$id" "$new" --yes) || status=1
  umount "$services"
  [[ $status -eq 0 ]] || exit 1
  err=$(<"$WORK/.err")
  [[ $err =~ ^" !     the disk is too small: about "[0-9]+" MB are needed, "[0-9.]+" MB are free; nothing was done"$'\n' ]] || fail "stderr for a small disk: got '$err'"

  # The key.
  cp -a "$data/identity" "$WORK/identity"
  rm "$data/identity"
  lost="the key of the repository is not on this host"
  hint="put the recovery key (the line that begins with AGE-SECRET-KEY-1) into $data/identity"
  hint+=$'\n'" !     or give it to this command: --key-file FILE, or --key-file - for standard input"
  refused 12 "$lost" "$hint" restore "$id" "$new" --yes
  refused 12 "$lost" "$hint" practice "$id"
  echo AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX >"$data/identity"
  for command in "restore $id $new --yes" "practice $id"; do
    # shellcheck disable=SC2086 # words
    expect_exit 12 dokku backup:$command
    holds "stderr with a wrong key" "$err" " !     the key does not open this repository"
  done
  mv "$WORK/identity" "$data/identity"
fi

# Nothing came of all this.
equal "production" "$(production "$db" "$cows")" "$before"
equal "left behind" "$(left_of "\(back\|moo\|.*-practice-\)")" ""
quietly dokku backup:verify "$id" --quiet
