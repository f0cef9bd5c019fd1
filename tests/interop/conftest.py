"""Fixtures of the suite: the binary, the images, and the check that both environments are there."""
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest
import torch
from PIL import Image

import environment

torch.set_num_threads(2)


def pytest_sessionstart(session):
    if not environment.binary().is_file():
        pytest.exit(f"no binary at {environment.binary()}: cargo build --release, or set VITPORT", returncode=2)
    for major in environment.MAJORS:
        python = environment.environments_home() / f"v{major}" / "bin" / "python"
        if not python.is_file():
            pytest.exit(f"no environment at {python}: run tests/interop/setup.sh first", returncode=2)


@pytest.fixture(scope="session")
def image_files(tmp_path_factory):
    """Paths of three images: wide, tall, and smaller than most inputs; smooth shapes, sharp edges and noise."""
    directory = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(5)
    paths = []
    for i, (width, height) in enumerate([(200, 150), (97, 143), (37, 29)]):
        x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
        layers = [x * 255, 127 + 127 * np.sin(9 * x + 14 * y), np.where((x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.06, 240, 20)]
        noise = random.normal(0, 12, (height, width, 3))
        pixels = np.clip(np.stack(layers, axis=-1) + noise, 0, 255).astype(np.uint8)
        paths.append(directory / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths

