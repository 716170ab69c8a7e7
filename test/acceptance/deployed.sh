#!/usr/bin/env bash
# Which commit runs: the backup names it, however it was deployed, and says how it knows. Without the ledger of builds it may know less,
# but is never wrong.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
db=${P}db cows=${P}cows
ledger=$data/ledger

service "$db"
app "$cows"
quietly dokku postgres:link "$db" "$cows"
# With Docker's restarts, an app that crashes at once can get through a check while another container answers at its address.
[[ $MODE != host ]] || quietly dokku ps:set "$cows" restart-policy no

# runs WHEN TAG [STATE]: a backup made now says so, and one made without the ledger says it or nothing.
runs() {
  local want=
  [[ ! $2 ]] || want=$(commit "$2")
  backup "$db"
  equal "$1: commit" "$(field apps.0.commit)" "$want"
  equal "$1: certainty" "$(field apps.0.certainty)" recorded
  equal "$1: state" "$(field apps.0.state)" "${3:-running}"
  mv "$ledger/$cows.jsonl" "$WORK/ledger"
  backup "$db" 0,3
  mv "$WORK/ledger" "$ledger/$cows.jsonl"
  case $(field apps.0.certainty) in
    inferred) equal "$1, without a ledger: commit" "$(field apps.0.commit)" "$want" ;;
    unknown) equal "$1, without a ledger: commit that is not known" "$(field apps.0.commit)" "" ;;
    *) fail "$1, without a ledger: certainty is $(field apps.0.certainty)" ;;
  esac
  echo "$1: without a ledger $(field apps.0.certainty)"
}

# again TAG: deploys files that were deployed before. A real Dokku may remove the image that it has just built, if it is due in the queue
# of those to retire, since that goes by id (fn-scheduler-docker-local-retire-images in Dokku 0.38): then it builds it a second time.
again() {
  [[ $MODE != host ]] || ! timeout "$limit" dokku git:sync --build "$cows" "$HISTORY/bundle" "$(commit "$1")" >/dev/null 2>&1 || return 0
  deploy "$cows" "$(commit "$1")"
}

# Dokku's own answer, which is often wrong; here to show that it was.
dokku_says() {
  expect_exit 0 dokku git:report "$cows" --git-sha
  equal "git:report --git-sha" "$out" "$(commit "$1")"
}

backup "$db" 3
equal "never deployed: commit" "$(field apps.0.commit)" ""
equal "never deployed: certainty" "$(field apps.0.certainty)" unknown
equal "never deployed: state" "$(field apps.0.state)" "never deployed"
holds "never deployed: warning" "$(field 'warnings.*')" "$cows was never deployed"

# The four rows of the table.
deploy "$cows" v1
runs "git:sync --build" v1
quietly dokku git:sync "$cows" "$HISTORY/bundle" "$(commit v2)"
dokku_says v2
runs "git:sync without a build" v1
quietly dokku ps:rebuild "$cows"
runs "ps:rebuild" v2
expect_exit 1 dokku git:sync --build "$cows" "$HISTORY/bundle" "$(commit crash)"
dokku_says crash
runs "a deploy that crashed" v2

# What comes after a failure. Dokku starts the image that was built last, whether it ever served or not: the old container stays.
expect_exit 0,1 dokku ps:restart "$cows"
runs "ps:restart after a deploy that crashed" v2
expect_exit 0,1 dokku config:set "$cows" MOOD=good
runs "config:set after a deploy that crashed" v2
expect_exit 1 dokku git:sync --build "$cows" "$HISTORY/bundle" "$(commit broken-build)"
runs "a build that failed" v2
expect_exit 0,1 dokku ps:restart "$cows"
runs "ps:restart after a build that failed" v2

# GIT_REV under another name, and switched off.
quietly dokku git:set "$cows" rev-env-var COMMIT
deploy "$cows" "$(commit v3)"
runs "GIT_REV renamed" v3
quietly dokku git:set "$cows" rev-env-var ""
again v2
runs "a rollback, with GIT_REV switched off" v2
quietly dokku config:set "$cows" MOOD=better
runs "config:set" v2
quietly dokku git:set "$cows" rev-env-var GIT_REV

# Two commits with the same files have one image.
again v2-again
image=$(field apps.0.image_id)
runs "the same files again" v2-again
[[ $(field apps.0.image_id) == "$image" ]] || skip "one image for two commits: this builder gives each build an image id of its own"

quietly dokku ps:stop "$cows"
runs "ps:stop" v2-again stopped
quietly dokku ps:start "$cows"
runs "ps:start" v2-again
quietly dokku ps:scale "$cows" web=0
runs "ps:scale to zero" v2-again "scaled to zero"
