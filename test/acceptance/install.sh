#!/usr/bin/env bash
# The plugin on its host: help as Dokku shows it, install once and again, uninstall without a loss.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"

expect_exit 0 dokku help
holds "dokku help" "$out" "    backup"
holds "dokku help" "$out" "Manage backups"
expect_exit 0 dokku help --all
for command in create list info verify status pin unpin delete key help; do
  [[ $out =~ backup:$command( |$) ]] || fail "dokku help --all does not show backup:$command: $out"
done
expect_exit 0 dokku backup:help create
for part in "usage: dokku backup:create" "--note" "--timeout" "--format" "--quiet" "dokku backup:create happycows-db" "exit codes:"; do
  holds "backup:help create" "$out" "$part"
done
equal "stderr of backup:help" "$err" ""
expect_exit 0 dokku backup
holds "dokku backup" "$out" "backup:create"
expect_exit 1 dokku backup:help nope
holds "help of what is not there" "$err" " !     backup:nope is not a command"
quietly dokku plugin:list
[[ $out =~ backup\ +[0-9] ]] || fail "plugin:list does not show backup: $out"

# The install trigger runs whenever any plugin is installed: it must be quick, silent, and change nothing.
if [[ $MODE == host ]]; then
  skip "installing again and uninstalling: this host's plugin stays as it is"
  exit 0
fi
service "${P}db"
backup "${P}db"
list() { (cd "$1" && find . -printf '%p %m %u %s %T@\n' | sort); }
before=$(list "$data")
began=${EPOCHREALTIME/[.,]/}
quietly dokku plugin:install
within "milliseconds that an install with nothing to do takes" $(((${EPOCHREALTIME/[.,]/} - began) / 1000)) 5000
lacks "what it says" "$out$err" "uild"
equal "the plugin's data" "$(list "$data")" "$before"
backup "${P}db"

expect_exit 0 dokku plugin:uninstall backup
holds "uninstall" "$out$err" "$data"
[[ -f $data/repository/repository.json ]] || fail "uninstall removed the repository"
expect_exit 1 dokku backup:list

# A release, as a small host installs it, goes on with the same backups.
make --silent --directory "$ROOT" "release-$(dpkg --print-architecture)" DIST="$WORK/dist" >"$WORK/release.log"
expect_exit 0 dokku plugin:install "file://$(echo "$WORK"/dist/*.tar.gz)" --name backup
holds "install of a release" "$out$err" "Using the program that came with release"
quietly dokku backup:verify "$id"
backup "${P}db"
