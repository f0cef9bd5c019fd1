#!/usr/bin/env bash
# Makes a release's archive of a built command: the binary, completions, manual pages, licences, and the files that say what it is.
#
#   scripts/archive.sh BINARY NAME      writes target/archives/NAME.tar.gz, or NAME.zip of an .exe
set -euo pipefail

binary=$(realpath "$1") name=$2
cd "$(dirname "$0")/.."
folder=target/archive/$name

rm -rf "$folder" && mkdir -p "$folder/completions" "$folder/man" target/archives
cp "$binary" README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE CITATION.cff "$folder"
for shell in bash elvish fish powershell zsh; do
    cargo run --quiet --release --locked -p vitport-cli --bin vitport -- completions "$shell" > "$folder/completions/vitport.$shell"
done
cargo run --quiet --release --locked -p vitport-cli --example man_pages -- "$folder/man"

case $binary in
    *.exe) python3 -m zipfile -c "target/archives/$name.zip" "$folder" ;;
    *) tar -C target/archive --owner=0 --group=0 --numeric-owner --sort=name -czf "target/archives/$name.tar.gz" "$name" 2>/dev/null ||
        tar -C target/archive -czf "target/archives/$name.tar.gz" "$name" ;;
esac
