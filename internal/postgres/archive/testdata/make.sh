#!/bin/sh
# Makes an archive of source.sql in a throw-away cluster. Not as root: initdb refuses.
#
#   make.sh NAME.dump PG_DUMP SERVER_BIN [-f]
#
# PG_DUMP is the pg_dump to use, SERVER_BIN the folder of a server's programs, at most as new as
# PG_DUMP; with -f pg_dump writes the file itself and records positions, otherwise a pipe. The
# archives here were made with pg_dump of these packages, unpacked with dpkg-deb -x:
#
#   pg10.dump                       Ubuntu 18.04   on a server 10 of the same
#   pg13.dump                       Debian 11      on a server 13 of the same
#   pg15.dump, pg15-positions.dump  Debian 12      on a server 15 of Debian 12, as all below
#   pg15-gzip.dump                  likewise, OPTIONS='--compress=1 --table=cows'
#   pg15-inserts.dump               likewise, OPTIONS='--compress=0 --inserts --table=boxes'
#   pg16.dump                       Ubuntu 24.04
#   pg17.dump                       Debian 13
#   pg18.dump                       Debian sid
#
# Then run: go test -run TestGolden -update
set -eu

name=$1
pg_dump=$2
bin=$3
to_file=${4-}

# shellcheck disable=SC1007 # CDPATH= is for this cd alone
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
tmp=$(mktemp -d)
export PGHOST="$tmp" PGPORT=54329 PGUSER=postgres PGDATABASE=happycows TZ=UTC
stop() {
	"$bin/pg_ctl" -D "$tmp/data" -m immediate stop >/dev/null || true
	rm -rf -- "$tmp"
}
trap stop EXIT

"$bin/initdb" -D "$tmp/data" -U postgres -A trust -E UTF8 --locale=C >/dev/null
"$bin/pg_ctl" -D "$tmp/data" -w -l "$tmp/log" start \
	-o "-c listen_addresses= -c unix_socket_directories=$tmp -p $PGPORT -c fsync=off" >/dev/null
psql -q -X -d postgres -c 'CREATE DATABASE happycows'
psql -q -X -f "$here/source.sql"
options=${OPTIONS---compress=0}
# shellcheck disable=SC2086 # several options are several words
if [ "$to_file" = -f ]; then
	"$pg_dump" -Fc $options -f "$tmp/dump"
else
	"$pg_dump" -Fc $options | cat >"$tmp/dump"
fi
cp "$tmp/dump" "$here/$name"
