#!/bin/sh
# Writes a dump of every database to the work disk.
set -eu
exec pg_dumpall --file "$HOME/backup.sql"
