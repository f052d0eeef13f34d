#!/bin/sh
# npm run fuzz: sets up what is missing, then feeds the parsers. Arguments: [--minutes N] [--seed S] [--out FOLDER].
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh
exec node_modules/.bin/node --conditions=fleetroot-source test/fuzz/main.ts "$@"
