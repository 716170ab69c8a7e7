#!/usr/bin/env bash
# Servers, helpers and disks that fail: create says what, why and what to do, keeps nothing of the run, and earlier backups are intact.
# shellcheck source=../lib.sh
. "$ROOT/test/lib.sh"
# shellcheck source=../running.sh
. "$ROOT/test/running.sh"
db=${P}db
intact="nothing was kept of this run, earlier backups are intact"

# failed MESSAGE [CODE]: the run under way ends so, with nothing on stdout, and is listed as failed with that reason.
failed() {
  ended "${2:-1}"
  equal "stdout" "$out" ""
  holds "stderr" "$err" " !     $1"
  spoken "$err"
  equal "backups after: $1" "$(backups "$db")" "$good"
  clean "$db"
}
# listed REASON: of the newest failed run.
listed() { holds "list" "$(timeout 60 dokku backup:list "$db" | sed -n 2p)" "failed: $1"; }
everywhere() { echo "$1" | sql "$db" postgres >/dev/null; }

service "$db"
sql "$db" <<<"CREATE TABLE herd AS SELECT g AS id, repeat(md5(g::text), 8) AS brand FROM generate_series(1, 400000) g; CREATE TABLE gate (n int);
  CREATE ROLE visitor LOGIN"
backup "$db"
good=$id

# A lock that is held longer than the backup may take; the minute passes while the rest is tried.
service "${P}slow"
sql "${P}slow" <<<"CREATE TABLE gate (n int)"
lock "${P}slow" gate
start "${P}slow" --timeout 1
slow=("$run" "$streams" "$locking" "$session")
until_true "the dump waits for the lock" waits_for_lock "${P}slow"

# Connecting.
password=$(timeout 60 dokku postgres:info "$db" --dsn | sed 's/.*:\([^@]*\)@.*/\1/')
everywhere "ALTER ROLE postgres PASSWORD 'changed'"
start "$db"
failed "cannot connect to database \"$(database "$db")\" of $db: password authentication failed for user \"postgres\""
holds "hint" "$err" "dokku postgres:logs $db"
lacks "stderr" "$err" "$password"
listed "cannot connect"
everywhere "ALTER ROLE postgres PASSWORD '$password'"

everywhere "ALTER DATABASE \"$(database "$db")\" ALLOW_CONNECTIONS false"
start "$db"
failed "cannot connect to database \"$(database "$db")\" of $db: database \"$(database "$db")\" is not currently accepting connections"
everywhere "ALTER DATABASE \"$(database "$db")\" ALLOW_CONNECTIONS true"

quietly dokku postgres:stop "$db"
start "$db"
ended 1
equal "stderr for a stopped service" "$err" " !     postgres:$db is stopped; start it with: dokku postgres:start $db"
quietly dokku postgres:start "$db"
until_true "the service answers" no_backends "$db"

# The server is full: five of these sessions, and no more, for ten seconds.
everywhere "ALTER SYSTEM SET superuser_reserved_connections = 0"
everywhere "ALTER SYSTEM SET max_connections = 5"
quietly dokku postgres:restart "$db"
until_true "the service answers" no_backends "$db"
sleeping=()
for _ in {1..9}; do
  sql "$db" <<<"SELECT pg_sleep(10)" >/dev/null 2>&1 &
  sleeping+=("$!")
done
full() { [[ $(sql "$db" <<<"SELECT 1" 2>&1 || true) == *"too many clients"* ]]; }
until_true "the server is full" full
start "$db"
ended 1
holds "stderr for a full server" "$err" " !     cannot connect to database \"$(database "$db")\" of $db: sorry, too many clients already"
wait "${sleeping[@]}" || true # four of them found it full
everywhere "ALTER SYSTEM RESET ALL"
quietly dokku postgres:restart "$db"
until_true "the service answers" no_backends "$db"
clean "$db"

# A database that cannot be dumped beside the service's own: the backup is made, and says so.
everywhere "CREATE DATABASE shut"
everywhere "ALTER DATABASE shut ALLOW_CONNECTIONS false"
start "$db"
ended 3
holds "stderr for a closed database" "$err" " !     database \"shut\" allows no connections: the backup does not hold it"
good=$out$'\n'$good
everywhere "DROP DATABASE shut"

# Half a dump: the backend dies while rows flow, a catalog that pg_dump cannot read, the helper is killed, the service is stopped.
copying() { everywhere "SELECT 1 / (pg_terminate_backend(pid)::int) FROM pg_stat_activity WHERE application_name LIKE 'dokku-backup-%' AND query LIKE 'COPY%'" && ! kill -0 "$run" 2>/dev/null; }
start "$db"
until_true "the backend is terminated" copying
failed "dump of database \"$(database "$db")\": pg_dump: "
holds "stderr for a terminated backend" "$err" "$intact"
listed "dump of database \"$(database "$db")\": pg_dump"

everywhere "CREATE DATABASE torn"
sql "$db" torn <<<"CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * \$1';
  CREATE TABLE t (a int, b int GENERATED ALWAYS AS (twice(a)) STORED); DELETE FROM pg_proc WHERE proname = 'twice'"
start "$db"
failed 'dump of database "torn": pg_dump: '
holds "stderr for a torn catalog" "$err" "cache lookup failed for function"
everywhere "DROP DATABASE torn"

lock "$db" gate
start "$db"
until_true "the dump waits for the lock" waits_for_lock "$db"

# Meanwhile a second run, and what may not be done beside one.
expect_exit 11 dokku backup:create "$db"
pid=$(told "$db" pid)
holds "stderr of a second run" "$err" " !     a backup of $db has been running since "
holds "stderr of a second run" "$err" "(process $pid, "
holds "stderr of a second run" "$err" "dokku backup:cancel $db"
expect_exit 11 dokku backup:delete "$id" --yes
holds "stderr of delete beside a run" "$err" " !     a backup or a verify is running; nothing was deleted"
expect_exit 0 dokku backup:verify "$id" --quiet

quietly docker kill "$(helpers "$db" | head -n 1)"
failed "pg_dump was killed"
holds "stderr for a killed helper" "$err" "$intact"
listed "dump of database \"$(database "$db")\": pg_dump was killed"

start "$db"
until_true "the dump waits for the lock" waits_for_lock "$db"
exec {session}>&-
quietly dokku postgres:stop "$db"
wait "$locking" || true # its server is gone
ended 1
spoken "$err"
holds "stderr for a service that is stopped" "$err" " !     "
quietly dokku postgres:start "$db"
until_true "the service answers" no_backends "$db"
equal "backups" "$(backups "$db")" "$good"
clean "$db"

# The minute is over.
run=${slow[0]} streams=${slow[1]} locking=${slow[2]} session=${slow[3]}
ended 1
equal "stdout of a run that took too long" "$out" ""
holds "stderr of a run that took too long" "$err" " !     the backup took longer than 1m0s and was given up; nothing was kept of it, earlier backups are intact"
holds "stderr of a run that took too long" "$err" "--timeout"
spoken "$err"
equal "backups of a service whose run took too long" "$(backups "${P}slow")" ""
clean "${P}slow"
unlock

# The disk is full: 1 MB for a repository that needs more.
if [[ $MODE == host || $EUID -ne 0 ]]; then
  skip "a full disk: that needs root, and a repository that is not a host's own"
else
  cp -a "$data/repository" "$WORK/kept"
  mount -t tmpfs -o size=1m,mode=700 none "$data/repository"
  cp -a "$WORK/kept/repository.json" "$data/repository/"
  sql "$db" <<<"CREATE TABLE noise AS SELECT sha512(g::text::bytea) FROM generate_series(1, 60000) g"
  status=0
  (expect_exit 1 dokku backup:create "$db" --quiet && holds "stderr for a full disk" "$err" " !     disk full: there is no room left for the repository" &&
    holds "stderr for a full disk" "$err" "$intact" && spoken "$err") || status=1
  left=$(find "$data/repository" -type f)
  umount "$data/repository"
  [[ $status -eq 0 ]] || exit 1
  equal "files after a full disk" "$left" "$data/repository/repository.json"
  clean "$db"
fi

# After all this the next one succeeds, and each is whole.
backup "$db"
[[ $MODE == host ]] || quietly dokku backup:verify --all --quiet
quietly dokku backup:verify "$id" --quiet
clean "$db"

# The image is gone, so that no helper container can start: docker exec does it, and the run says so.
if [[ $MODE == sandbox ]]; then
  quietly docker rmi -f "$(timeout 30 docker inspect --format '{{.Image}}' "$(container "$db")")"
  expect_exit 0 dokku backup:create "$db"
  holds "stderr without helpers" "$err" "no helper container could start ("
  equal "times that it says so" "$(grep --count "no helper container" <<<"$err")" 1
  lacks "stderr without helpers" "$err" "docker run --help"
  holds "stderr without helpers" "$err" "dumping through docker exec, which is slower"
  spoken "$err"
  quietly dokku backup:verify "$out" --quiet
  clean "$db"
else
  skip "the helper's image gone: the engine lets nobody remove the image of a container that runs"
fi
