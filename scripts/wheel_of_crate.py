"""Builds the Python package from the root of the repository: maturin, started in the folder of its crate."""
import os
from pathlib import Path

os.chdir(Path(__file__).resolve().parents[1] / "crates/vitport-python")

from maturin import *  # noqa: E402, F403
