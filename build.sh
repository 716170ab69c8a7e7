#!/bin/sh
# Builds the program into the file $1: for install, for make build and for make release, all in the same way.
# GO names another go command than the one on PATH; GOARCH another processor than this one.
# POSIX sh, because the golang container that install may use has no bash.
set -eu
out=$1
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$(dirname "$0")"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' plugin.toml)
CGO_ENABLED=0 "${GO:-go}" build -trimpath -buildvcs=false \
  -ldflags "-s -w -X github.com/dokku-backup/dokku-backup/internal/cli.version=$version" -o "$out" .
