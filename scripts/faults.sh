#!/bin/sh
# npm run faults: sets up what is missing, then breaks what can break under batches, row by row (docs/faults.md).
# Arguments: [--only ROW]... [--backend postgres|redis] [--items N] [--times N] [--seed S] [--resume FILE] [--list].
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh --for test
# redis-server lives in sbin on some systems.
PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export PATH
exec node --conditions=fleetroot-source test/faults/main.ts "$@"
