#!/usr/bin/env bash
# A backup's data with another commit than its own: what lies between is told first, and what the app then did to its database afterwards.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows new=${P}db-2 again=${P}cows-2
v1=$(commit v1 | cut -c 1-7) v2=$(commit v2 | cut -c 1-7)
mood=20260215000000

happycows "$db" "$cows"
backup "$db"
first=$id
deploy "$cows" v2
before=$(production "$db" "$cows")

# restored COMMIT: the app's page begins so, and so its code is at this commit.
restored() {
  equal "commit" "$(git -c safe.directory='*' --git-dir "${DOKKU_ROOT:-/home/dokku}/$again" rev-parse "refs/heads/$(dokku git:report "$again" --git-computed-deploy-branch 2>/dev/null)")" "$(commit "$1")"
  get "$again" /
  holds "page" "$out" "happycows $1: 3000 cows"
  quietly dokku apps:destroy "$again" --force
  quietly dokku postgres:destroy "$new" --force
}

# Forward, to a commit that the app's own repository has: what it did to its database is a warning.
expect_exit 0 dokku backup:restore "$first" "$new" --app "$again" --commit v2 --dry-run
holds "stderr of a plan" "$err" "2 commits from $v1 to $v2, 1 migration (dbmate):"
holds "stderr of a plan" "$err" "+ db/migrations/${mood}_add_mood_to_cows.sql"
holds "plan" "$out" "sync code          $v2 from "
expect_exit 3 dokku backup:restore "$first" "$new" --app "$again" --commit "$v2" --yes --format json
equal "report: commit" "$(json commit <<<"$out")" "$(commit v2)"
equal "report: migrations" "$(json 'migrated.added' <<<"$out")" "[\"$mood\"]"
holds "stderr" "$err" " !     $again changed the database when it started: 1 dbmate migration ran: $mood"
restored v2

# Back, to a commit that the backup holds, on data that knows more.
backup "$db"
expect_exit 0 dokku backup:restore "$id" "$new" --app "$again" --commit "$(commit v1)" --yes
holds "stderr" "$err" "2 commits back from $v2 to $v1, 1 migration (dbmate):"
holds "stderr" "$err" "The backup's data has 1 migration that the code of $(commit v1) does not know."
restored v1

# From a remote that has what nobody here has.
git clone --quiet --bare "$HISTORY/repository" "$WORK/remote.git"
chmod -R go+rX "$WORK/remote.git"
expect_exit 1 dokku backup:restore "$first" "$new" --app "$again" --commit no-such-branch --yes
holds "a commit that nobody has" "$err" " !     \"no-such-branch\" is no commit, branch or tag of the backup's code or of the app's repository"
holds "a commit that nobody has" "$err" "--from-remote URL"
expect_exit 3 dokku backup:restore "$first" "$new" --app "$again" --commit v3 --from-remote "$WORK/remote.git" --yes
holds "stderr" "$err" "4 commits from $v1 to $(commit v3 | cut -c 1-7), 2 migrations (dbmate):"
restored v3

# The commit of an app that is not to be restored means nothing.
expect_exit 1 dokku backup:restore "$first" "$new" --commit v2 --yes
holds "a commit without an app" "$err" "--commit is the code of an app: it goes with --app"
equal "production in the end" "$(production "$db" "$cows")" "$before"
