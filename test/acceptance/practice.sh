#!/usr/bin/env bash
# Practice runs: each ends with a verdict, its result is kept with the backup, nothing of it is left, and production is as it was.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db cows=${P}cows

happycows "$db" "$cows"
quietly dokku config:set --no-restart "$cows" GREETING=moo MAIL_URL="smtp://herd:hay@mail.example.com"
backup "$db"
before=$(production "$db" "$cows")

# The report, and where it is shown.
practise 0
[[ ${out%%$'\n'*} =~ ^"=====> Practice of $id: PASSED in "[0-9.]+ ]] || fail "verdict: got '${out%%$'\n'*}'"
equal "data" "$(reported data)" "3 tables equal: 23,001 rows, every digest; schema and sequences too"
equal "code" "$(reported code)" "$(commit v1 | cut -c 1-7) built and deployed"
[[ $(reported app) =~ ^"web.1 up; GET / answered 200 in "[0-9]+" ms"$ ]] || fail "app: got '$(reported app)'"
equal "migrations" "$(reported migrations)" "none ran on boot: code and data belong together"
[[ $(reported RTO) =~ " check "[0-9.]+", create "[0-9.]+", load "[0-9.]+", verify "[0-9.]+", app "[0-9.]+", code "[0-9.]+", link "[0-9.]+", build "[0-9.]+", health "[0-9.]+$ ]] ||
  fail "RTO: got '$(reported RTO)'"
[[ $(reported RPO) == *"the backup's age" ]] || fail "RPO: got '$(reported RPO)'"
equal "left behind" "$(reported "left behind")" "nothing; no way out to the internet while it ran"
for part in "=====> Practising with $id: service $db-practice-" "-----> 1/9 Checking the backup" "-----> 9/9 Looking at $cows-practice-" "-----> Cleaning up"; do
  holds "stderr of practice" "$err" "$part"
done
lacks "stderr of practice" "$err" " !     "
took=$(sed -n '1s/.* in //p' <<<"$out")
expect_exit 0 dokku backup:list "$db"
holds "list" "$(sed -n 2p <<<"$out")" "complete, practised $took"
expect_exit 0 dokku backup:info "$id"
holds "info" "$(reported practised)" "passed, restored in $took"
expect_exit 0,3 dokku backup:status
holds "status" "$(grep " $db " <<<"$out")" " ago, $took"

# For a program, and as a file.
practise 0 --quiet --format json --report "$WORK/report"
equal "stderr of practice --quiet" "$err" ""
equal "verdict" "$(json passed <<<"$out")" true
equal "failure" "$(json failed <<<"$out")" ""
equal "backup" "$(json backup <<<"$out")" "$id"
equal "commit" "$(json commit <<<"$out")" "$(commit v1)"
equal "data" "$(json data <<<"$out")" '{"exact": true, "rows": 23001, "tables": 3}'
equal "answer" "$(json health.status <<<"$out")" 200
equal "sealed" "$(json sealed <<<"$out")" true
equal "steps" "$(json 'steps.*.step' <<<"$out" | xargs)" "check create load verify app code link build health"
equal "time to restore" "$(json rto_ms <<<"$out")" "$(json 'steps.*.took_ms' <<<"$out" | awk '{ sum += $1 } END { print sum }')"
within "age of the backup in ms" "$(json rpo_ms <<<"$out")" $((limit * 10000))
expect_exit 0 dokku backup:list "$db" --format json <<<""
equal "result that is kept" "$(json '0.practised.steps.#' <<<"$out")" 9
out=$(<"$WORK/report")
holds "report in a file" "$out" "=====> Practice of $id: PASSED in "
equal "left behind, in a file" "$(reported "left behind")" "nothing; no way out to the internet while it ran"

# Kept: with masked data and values of its own, on a network that lets nothing out.
echo "UPDATE cows SET name = 'cow ' || id;" >"$WORK/mask.sql"
limit=$((limit * 2)) expect_exit 0 dokku backup:practice "$db" --keep --sql "$WORK/mask.sql" --env GREETING=hush --env MAIL_URL=
kept=$(sed -n 's/.*left behind *service \([^ ]*\), app \([^ ,]*\), as asked: remove it with dokku backup:practice --cleanup.*/\1 \2/p' <<<"$out")
[[ $kept ]] || fail "what is kept: got '$out'"
get "${kept#* }" /
equal "answer of the kept app" "$http" 200
holds "page of the kept app" "$out" "1 cow 1"
lacks "page of the kept app" "$out" Daisy
quietly dokku config:get "${kept#* }" GREETING
equal "config of the kept app" "$out" hush
network=$(left_of ".*-practice-" | sed -n 's/^network //p')
equal "network of the kept app" "$(timeout "$limit" docker network inspect --format '{{.Internal}}' "$network")" true
# shellcheck disable=SC2016 # a template of Docker's
networks='{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}'
equal "networks of its container" "$(timeout "$limit" docker inspect --format "$networks" "${kept#* }.web.1" | xargs)" "$network"
equal "production beside the kept app" "$(production "$db" "$cows")" "$before"
beside=$(left_of ".*-practice-")
limit=$((limit * 2)) expect_exit 0 dokku backup:practice "$db" --data-only --quiet
equal "what the next run leaves alone" "$(left_of ".*-practice-")" "$beside"
expect_exit 0 dokku backup:practice --cleanup
holds "stderr of cleanup" "$err" "=====> 1 practice run removed"
equal "left behind by cleanup" "$(left_of ".*-practice-")" ""

# Open to the internet: on Docker's own network.
practise 0 --open-network
equal "left behind" "$(reported "left behind")" "nothing"
