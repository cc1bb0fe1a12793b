#!/usr/bin/env bash
# Installs and builds the Next.js applications that the browser tests put behind tzero, once, outside the
# repository: in ${TZERO_E2E_CACHE:-${XDG_CACHE_HOME:-~/.cache}/tzero-e2e}. Prints the directory it made.
#
# Three were published by others and run as they were published, not a byte changed:
#   t3        what the generator of create-t3-app 7.40.0 writes: app router, streamed server components,
#             API routes by tRPC, fonts, hashed assets
#   tutorial  nextjs-demo 1.0.0, the finished "Learn Next.js" site: pages router, static generation,
#             the image route (sharp), an API route
#   cachelab  the test application in @trieb.work/nextjs-turbo-redis-cache 1.18.0: pages revalidated every
#             15 s, revalidation by path and by tag, its cache in Redis, API routes of every kind
# One is ours, since none of these sends its parts at times that a test can tell apart:
#   slow      one page whose two parts come 500 ms and 1.5 s after its head
#
# They share one node_modules, pinned by package-lock.json (npm install --package-lock-only writes it; where
# the packages come from is left out of it). Needs Node 18.18 or newer and npm; Debian 12's will do.
set -euo pipefail
export NEXT_TELEMETRY_DISABLED=1 CI=1

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TZERO_E2E_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tzero-e2e}
parts=(package.json package-lock.json fonts.js node18.js prepare.sh slow)
stamp=$(cd "$here" && find "${parts[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat | sha256sum | cut -c1-12)
dir=$cache/nextapp-$stamp

mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9 # two test runs at once: the second waits and finds it done
if [[ -e $dir/.ready ]]; then
	echo "$dir"
	exit
fi

if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 18 || (a === 18 && b >= 18) ? 0 : 1)'; then
	echo "Node 18.18 or newer is needed; here is $(command -v node && node --version || echo none)" >&2
	exit 1
fi

cp -r "${parts[@]/#/$here/}" "$dir/"
cd "$dir"
{
	# No package needs to run code of its own to be installed; sharp comes ready-made.
	npm ci --ignore-scripts --no-audit --no-fund
	rm -rf t3 tutorial cachelab package
	node node_modules/create-t3-app/dist/index.js t3 --CI --noGit --noInstall --tailwind --trpc --appRouter --eslint false
	npm pack nextjs-demo@1.0.0 --silent
	sha512sum --quiet -c <<<"04e26818f4472f93ba6b56af5b1486ec89b15d856f164c4079384be65c6b133b2bd999ee75fdfddb29203ef19d4a5d6dfb9b331383e719035b31b60077fb27d4  nextjs-demo-1.0.0.tgz"
	tar -xzf nextjs-demo-1.0.0.tgz && mv package tutorial
	cp -r node_modules/@trieb.work/nextjs-turbo-redis-cache/test/nextjs-test-projects/next-app-15-4-11 cachelab

	export NEXT_FONT_GOOGLE_MOCKED_RESPONSES=$dir/fonts.js NODE_OPTIONS="--require=\"$dir/node18.js\""
	# cachelab asks its own API while it is built, and takes a refused connection for "not running yet".
	NEXT_START_PORT=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
	export NEXT_START_PORT
	for app in t3 tutorial cachelab slow; do
		(cd "$app" && node ../node_modules/next/dist/bin/next build)
	done
} >&2
touch .ready
echo "$dir"
