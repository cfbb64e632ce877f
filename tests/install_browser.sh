#!/bin/sh
# The page tests drive a real Chromium. Installs Debian's, where that is possible; otherwise those tests skip, aloud.
set -eu
for name in chromium chromium-browser google-chrome; do
	command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing chromium for the page tests"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
	echo "no chromium here and no right to install it: the page tests will be skipped" >&2
fi
