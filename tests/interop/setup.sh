#!/usr/bin/env bash
# Makes the three Python environments of the suite, or finds them ready, and prints the interpreter that runs it.
#
#   python=$(tests/interop/setup.sh) && "$python" -m pytest tests/interop
#
# They lie outside the checkout, in $VITPORT_INTEROP_HOME (default ~/.cache/vitport-interop), and are kept: torch alone is
# several gigabytes. So that it is there only once, the second environment holds transformers 5 and what that needs newer, the
# third the programs that people train with, and each a .pth file that puts the first environment's packages behind its own. An environment is ready when every pin of its
# requirements file is what it would import.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${VITPORT_INTEROP_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/vitport-interop}
system_python=${PYTHON:-python3}

ready() { # ready VENV REQUIREMENTS
    [ -x "$1/bin/python" ] && "$1/bin/python" - "$2" <<'PYTHON'
import sys
from importlib import metadata

for line in open(sys.argv[1]):
    name, pinned, version = line.strip().partition("==")
    if not pinned or name.startswith("#"):
        continue
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = "none"
    if found != version:
        sys.exit(f"{name}: {found} is installed, {version} is wanted")
PYTHON
}

mkdir -p "$home"
if ! ready "$home/v4" "$here/requirements-v4.txt" >&2; then
    echo "setting up $home/v4 (torch, timm, transformers 4)" >&2
    [ -x "$home/v4/bin/python" ] || "$system_python" -m venv "$home/v4" >&2
    "$home/v4/bin/python" -m pip install --quiet --no-deps -r "$here/requirements-v4.txt" >&2
fi
site() { "$home/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'; }
borrowing() { # borrowing NAME WHAT: an environment that has the first one's packages behind its own
    ready "$home/$1" "$here/requirements-$1.txt" >&2 && return
    echo "setting up $home/$1 ($2)" >&2
    [ -x "$home/$1/bin/python" ] || "$home/v4/bin/python" -m venv "$home/$1" >&2
    # Before pip runs, the first environment stays out of sight, or pip would count its packages as installed.
    rm -f "$(site "$1")/zz_v4.pth"
    "$home/$1/bin/python" -m pip install --quiet --no-deps -r "$here/requirements-$1.txt" >&2
    site v4 > "$(site "$1")/zz_v4.pth"
}
borrowing v5 "transformers 5"
borrowing training "the programs that people train with"
echo "$home/v4/bin/python"
