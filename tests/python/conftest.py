"""The files of the repository that the tests read, and the module that they are about: the installed one, never the checkout's."""
import json
from pathlib import Path

import pytest

import vitport

ROOT = Path(__file__).resolve().parents[2]
TWIN = ROOT / "examples/vit_small_twin"
FILES = ROOT / "crates/vitport-checkpoint/tests/data"
PHOTO = ROOT / "crates/vitport/tests/data/image/photo.png"

assert ROOT / "crates" not in Path(vitport.__file__).parents, "install the wheel, do not test the checkout"


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """The example, converted once."""
    out = tmp_path_factory.mktemp("converted") / "vit"
    return vitport.convert(TWIN, out, no_fsync=True)


@pytest.fixture(scope="session")
def golden():
    """What torch, NumPy and safetensors read from each file (crates/vitport-checkpoint/tests/data/make.py)."""
    return json.loads((FILES / "expected.json").read_text())
