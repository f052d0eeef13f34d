#!/bin/sh
# npm test: sets up what is missing, then runs everything. With arguments, only what vitest makes of them:
#   npm test -- --project unit libs/core
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh --for test
# nginx and redis-server live in sbin.
PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
export PATH
# RESULTS: a file for the results in JSON, beside what people read.
if [ -n "${RESULTS-}" ]; then
  set -- --reporter=default --reporter=json --outputFile.json="$RESULTS" "$@"
elif [ $# -gt 0 ]; then
  exec node node_modules/vitest/vitest.mjs run "$@"
fi
# Both halves run, so that one run names all that is wrong.
static=0
sh scripts/static-checks.sh || static=$?
node node_modules/vitest/vitest.mjs run "$@"
exit "$static"
