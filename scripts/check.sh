#!/bin/sh
# npm run check: the quick half of the tests. Types, lint, dependency rules, unused code, unit tests.
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
sh scripts/setup.sh
PATH="$PWD/node_modules/.bin:$PATH"
export PATH
sh scripts/static-checks.sh
exec node node_modules/vitest/vitest.mjs run --project unit
