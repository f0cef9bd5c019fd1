#!/usr/bin/env bash
# Makes a new Python environment with the wheel of this checkout in it, and prints its interpreter.
#
#   python=$(tests/python/setup.sh) && "$python" -m pytest tests/python
#
# $PYTHON builds it (default python3), $VITPORT_WHEEL is installed in place of a new build.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
home=$root/target/python-tests

rm -rf "$home" && mkdir -p "$home"
"${PYTHON:-python3}" -m venv "$home/venv" >&2
python=$home/venv/bin/python
"$python" -m pip install --quiet -r "$here/requirements.txt" >&2
if [ -z "${VITPORT_WHEEL:-}" ]; then
    "$python" -m pip wheel --quiet --no-deps -w "$home" "$root/crates/vitport-python" >&2
    VITPORT_WHEEL=$(ls "$home"/vitport-*.whl)
fi
"$python" -m pip install --quiet --no-deps --force-reinstall "$VITPORT_WHEEL" >&2
echo "$python"
