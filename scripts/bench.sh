#!/bin/sh
# npm run bench: sets up what is missing, then measures. Arguments: [x509|hsm|batch|single] [--items N] and so on.
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh
exec node_modules/.bin/node test/bench/main.ts "$@"
