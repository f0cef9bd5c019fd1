#!/usr/bin/env bash
# Writes the sha256 of every file in a folder, as `sha256sum --check` reads them there.
#
#   scripts/checksums.sh FOLDER FILE      FILE lies outside FOLDER
set -euo pipefail

file=$(realpath "$2")
cd "$1"
sha256sum -- * > "$file"
sha256sum --check --quiet "$file"
