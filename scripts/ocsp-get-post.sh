#!/bin/sh
# Random serials and nonces, GET through nginx against POST (docs/ocsp.md). Argument: how many, 10000 unless given.
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh
exec node_modules/.bin/node test/faults/ocsp-get-post.ts "$@"
