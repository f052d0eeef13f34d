#!/bin/sh
# npm start: sets up what is missing, then brings everything up. Arguments are those of `fleetroot up`.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh"
exec "$root/node_modules/.bin/node" "$root/apps/cli/dist/main.js" up "$@"
