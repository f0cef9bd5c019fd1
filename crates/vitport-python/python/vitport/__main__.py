"""The ``vitport`` command: what the console script and ``python -m vitport`` run."""
from __future__ import annotations

import sys

from ._vitport import run


def main() -> int:
    """Runs the command as it was typed; returns what the process is to exit with."""
    return run(["vitport", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
