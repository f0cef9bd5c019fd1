#!/usr/bin/env bash
# Makes a release's archive of a built command: the binary, completions, manual pages, licences, and the files that say what it is.
#
#   scripts/archive.sh BINARY NAME      writes target/archives/NAME.tar.gz, or NAME.zip of an .exe
#
# The binary prints its completions, and the example `man_pages` built next to it the manual pages, where they run on this machine; else
# the same is built for it.
set -euo pipefail

binary=$(realpath "$1") name=$2
cd "$(dirname "$0")/.."
folder=target/archive/$name

rm -rf "$folder" && mkdir -p "$folder/completions" "$folder/man" target/archives
cp "$binary" README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE CITATION.cff "$folder"
case $binary in *.exe) ending=.exe ;; *) ending= ;; esac
pages=$(dirname "$binary")/examples/man_pages$ending
build=(cargo run --quiet --release --locked -p vitport-cli)
if "$binary" --version >/dev/null 2>&1; then
    vitport=("$binary")
else
    vitport=("${build[@]}" --bin vitport --) pages=
fi
for shell in bash elvish fish powershell zsh; do
    "${vitport[@]}" completions "$shell" > "$folder/completions/vitport.$shell"
done
if [ -x "$pages" ]; then
    "$pages" "$folder/man"
else
    "${build[@]}" --example man_pages -- "$folder/man"
fi

case $binary in
    *.exe) python3 -m zipfile -c "target/archives/$name.zip" "$folder" ;;
    *) tar -C target/archive --owner=0 --group=0 --numeric-owner --sort=name -czf "target/archives/$name.tar.gz" "$name" 2>/dev/null ||
        tar -C target/archive -czf "target/archives/$name.tar.gz" "$name" ;;
esac
