#!/usr/bin/env bash
# Fails unless a tag such as v0.2.0 names the version of the workspace.
#
#   scripts/check_tag.sh TAG
set -euo pipefail

cd "$(dirname "$0")/.."
version=$(cargo metadata --no-deps --locked --format-version 1 |
    python3 -c 'import json, sys; print(*{package["version"] for package in json.load(sys.stdin)["packages"]})')
if [ "v$version" != "$1" ]; then
    echo "the tag is $1 and the version $version" >&2
    exit 1
fi
