"""Gives the tests the two interpreters: the one with the wheel, which runs them, and the one with timm and transformers."""

import os
import pathlib
import subprocess
import sys
import sysconfig

import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def python():
    """The interpreter with torch, timm and transformers, which finds the wheel, too."""
    interpreter = os.environ.get("VITPORT_TORCH_PYTHON")
    if not interpreter:
        pytest.exit("set VITPORT_TORCH_PYTHON to what tests/interop/setup.sh prints", returncode=2)
    return interpreter


@pytest.fixture(scope="session")
def environment(python):
    """What a reader has who installed the wheel."""
    scripts = sysconfig.get_path("scripts")
    return os.environ | {
        "PATH": os.pathsep.join([scripts, os.environ["PATH"]]),
        "PYTHONPATH": sysconfig.get_path("platlib"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
    }


@pytest.fixture(scope="session")
def files(python, tmp_path_factory):
    """The files that the pages convert."""
    folder = tmp_path_factory.mktemp("files")
    subprocess.run([python, HERE / "files.py", folder], check=True)
    return folder
