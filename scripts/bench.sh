#!/bin/sh
# npm run bench: sets up what is missing, then measures. `npm run bench -- --help` names the benches and their flags.
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh
exec node_modules/.bin/node test/bench/main.ts "$@"
