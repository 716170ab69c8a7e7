#!/usr/bin/env bash
# Production is recovered: all is proven beside the running app, which then gets the new service and the code that belongs to it. It answers
# all the while, its old service stays, and the way back that is printed works.
# Not with --docker by default: see test/run.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows new=${P}db-2
# Pages begin with the code's version and the number of cows in the database.
old_page="happycows v2: 100 cows" new_page="happycows v1: 3000 cows"

happycows "$db" "$cows"
# With Docker's restarts, an app that crashes at once can get through a check while another container answers at its address.
[[ $MODE != host ]] || quietly dokku ps:set "$cows" restart-policy no
quietly dokku config:set --no-restart "$cows" GREETING="as it was"
digests "$db" >"$WORK/good"
backup "$db"
deploy "$cows" v2
sql "$db" <<<"DELETE FROM milkings; DELETE FROM cows WHERE id > 100"
quietly dokku config:set --no-restart "$cows" GREETING="as it is"

# asis: production, but for the ids of its containers.
asis() { production "$db" "$cows" | grep --invert-match '^[0-9a-f]\{64\} '; }
page() { get "$cows" / && head -n 1 <<<"$out"; }
linked() { timeout "$limit" dokku postgres:app-links "$cows" | sort | xargs; }
made() {
  timeout "$limit" dokku postgres:list | grep --line-regexp -- "$new" || true
  timeout "$limit" dokku apps:list | grep --line-regexp -- "$cows-restored" || true
  timeout "$limit" docker ps --all --format '{{.Names}}' | grep -- "$new\|$cows-restored" || true
  find "$data/restores" "$data/tmp" -mindepth 1
}
nothing_made() { [[ ! $(made) ]]; }
asis >"$WORK/asis"

# asked: asks production, again and again; the first lines of the answers go to $WORK/answers. One of its web containers
# has to answer; they are looked up again when none does, since they may just have been replaced. answered ends it, with them in $answers.
asked() {
  local try address
  while [[ ! -e $WORK/enough ]] && kill -0 $$; do
    for try in 1 2 none; do
      [[ $try != none ]] || { echo none >>"$WORK/answers" && break; }
      for address in $(docker ps --quiet --filter "label=com.dokku.app-name=$cows" --filter label=com.dokku.process-type=web |
        xargs --no-run-if-empty docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' 2>/dev/null || true); do
        curl --silent --fail --max-time 10 "http://$address:5000/" 2>/dev/null | head -n 1 >"$WORK/answer" || true
        [[ ! -s $WORK/answer ]] || { cat "$WORK/answer" >>"$WORK/answers" && break 2; }
      done
    done
    sleep 0.1
  done
}
poll() {
  rm -f "$WORK/enough" "$WORK/answers"
  asked &
  polling=$!
}
answered() {
  touch "$WORK/enough"
  wait "$polling"
  answers=$(uniq "$WORK/answers" | paste -sd ,)
}

poll
expect_exit 0 dokku backup:restore "$id" "$new" --replace-app "$cows" --yes
equal "stdout" "$out" "$new"
for part in "$cows gets $new in place of $db; $cows-restored goes" "$db is not touched" "-----> 10/10 Moving $cows" \
  "=====> $id is restored as service $new, which $cows now uses, in " "$db stays as it was. Go back to it with:"; do
  holds "stderr" "$err" "$part"
done
back=$(grep --after-context 1 "Go back to it with:" <<<"$err" | tail -n 1)
answered
equal "answers all the while" "$answers" "$old_page,$new_page"
equal "page" "$(page)" "$new_page"
equal "links" "$(linked)" "$new"
equal "data" "$(digests "$new")" "$(<"$WORK/good")"
equal "commit" "$(git -c safe.directory='*' --git-dir "${DOKKU_ROOT:-/home/dokku}/$cows" rev-parse "refs/heads/$(dokku git:report "$cows" --git-computed-deploy-branch 2>/dev/null)")" "$(commit v1)"
equal "config" "$(timeout "$limit" dokku config:get "$cows" GREETING)" "as it is"
equal "what was made besides" "$(made | grep -v "$new" || true)" ""
equal "data of the old service" "$(digests "$db")" "$(sed -n '/^[a-z_]*|/p' "$WORK/asis")"

# The way back, as a person pastes it.
quietly bash -c "$back"
equal "page after the way back" "$(page)" "$old_page"
equal "production after the way back" "$(asis | diff "$WORK/asis" - || true)" ""
quietly dokku postgres:destroy "$new" --force

# Killed while it moves the app, at several moments, and then taken back.
arguments=("$id" "$new" --replace-app "$cows" --yes)
poll
for delay in 0 0.3 0.8 1.2; do
  disturbed 137 "move+$delay" KILL all "${arguments[@]}"
  arguments=(--resume "$new")
done
quietly dokku backup:restore --abort "$new"
answered
holds "answers all the while" "$answers," "$old_page,"
lacks "answers all the while" "$answers" none
until_true "end of all that was made" nothing_made
equal "page after --abort" "$(page)" "$old_page"
equal "production after --abort" "$(asis | diff "$WORK/asis" - || true)" ""

# Production has got a setting meanwhile with which the old code does not start: it goes on as it is.
quietly dokku config:set --no-restart "$cows" GOMEMLIMIT=nonsense
before=$(production "$db" "$cows")
poll
expect_exit 1 dokku backup:restore "$id" "$new" --replace-app "$cows" --yes
answered
equal "answers all the while" "$answers" "$old_page"
equal "stdout of a move that failed" "$out" ""
spoken "$(grep '^ !     ' <<<"$err")"
for part in " !     $cows could not be built or deployed: " "service $new and app $cows-restored are kept; $cows goes on with its old service" \
  "dokku backup:restore --resume $new" "dokku backup:restore --abort $new"; do
  holds "stderr of a move that failed" "$err" "$part"
done
equal "production after a move that failed" "$(production "$db" "$cows")" "$before"

# Mended, it is gone on with; killed once more meanwhile.
quietly dokku config:unset --no-restart "$cows" GOMEMLIMIT
poll
disturbed 137 move+0.6 KILL all --resume "$new"
expect_exit 0 dokku backup:restore --resume "$new"
answered
equal "answers all the while" "$answers" "$old_page,$new_page"
holds "stderr of --resume" "$err" "=====> $id is restored as service $new, which $cows now uses, in "
equal "page after --resume" "$(page)" "$new_page"
equal "links after --resume" "$(linked)" "$new"
equal "what was made besides" "$(made | grep -v "$new" || true)" ""
