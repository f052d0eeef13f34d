#!/bin/sh
# What can be judged without running the product; called by check.sh and test.sh, after the set-up has compiled it.
# Every check runs, so that one run names all that is wrong.
set -u
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
failed=

check() {
  name=$1
  shift
  if output=$("$@" 2>&1); then
    echo "ok    $name"
  else
    echo "FAIL  $name"
    printf '%s\n' "$output"
    failed="$failed, $name"
  fi
}

check 'types' tsc -b
check 'types of tests' tsc -p tsconfig.test.json
check 'project references' node scripts/references.mjs --check
check 'lock file' node scripts/complete-lock.mjs --check
check 'lint' oxlint --type-aware
check 'dependency rules, and a planted violation of each' node scripts/check-dependency-rules.mjs
check 'unused code' knip
check 'table of settings' node scripts/settings-table.mjs --check
check 'page of dependencies' node scripts/check-dependencies-page.mjs

[ -z "$failed" ] && exit 0
echo "failed: ${failed#, }" >&2
exit 1
