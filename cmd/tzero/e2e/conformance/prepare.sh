#!/usr/bin/env bash
# Installs the public test suite for HTTP caches (http-cache-tests 0.4.5, cache-tests.fyi), once, outside the
# repository: in ${TZERO_E2E_CACHE:-${XDG_CACHE_HOME:-~/.cache}/tzero-e2e}. Prints the directory it made.
#
# The suite runs as it was published, not a byte changed, and is held to its checksum. Of what it asks to have
# beside it only node-fetch takes part in a run; that is pinned by package-lock.json (npm install
# --package-lock-only writes it; where the packages come from is left out of it).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TZERO_E2E_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tzero-e2e}
parts=(package.json package-lock.json prepare.sh verdicts.mjs)
stamp=$(cd "$here" && cat "${parts[@]}" | sha256sum | cut -c1-12)
dir=$cache/conformance-$stamp

mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9 # two test runs at once: the second waits and finds it done
if [[ -e $dir/.ready ]]; then
	echo "$dir"
	exit
fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
	echo "Node 14.8 or newer and npm are needed" >&2
	exit 1
fi

cp "${parts[@]/#/$here/}" "$dir/"
cd "$dir"
{
	npm ci --ignore-scripts --no-audit --no-fund
	rm -rf package suite
	npm pack http-cache-tests@0.4.5 --silent
	sha512sum --quiet -c <<<"0e3bb037d9d46572d35bec1abf52d1112099355c65f12b21c0ecb8cf5a71b966d6b79fdacbab0cf5043595e6c16833ba3f520c0682ba99d7fe3ee54ffd034bf0  http-cache-tests-0.4.5.tgz"
	tar -xzf http-cache-tests-0.4.5.tgz && mv package suite
} >&2
touch .ready
echo "$dir"
