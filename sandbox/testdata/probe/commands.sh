#!/bin/sh
case "$1" in
  help) echo '    probe, Note what Dokku calls' ;;
  *) exit 10 ;;
esac
