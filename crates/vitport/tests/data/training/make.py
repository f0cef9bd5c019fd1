"""Writes checkpoints of timm's own train.py, each after a step on images of one colour.

    pip install timm==1.0.31 && python make.py train.py

train.py is not a part of timm's package; it lies at the top of timm's repository. README.md says what each file is.
"""
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
SIZES = ["embed_dim=12", "depth=1", "patch_size=4", "img_size=8"]
IMAGES = "--mean 0.1 0.2 0.3 --std 0.4 0.5 0.6 --crop-pct 0.95 --interpolation bilinear".split()
# name: the arguments of its model, and others
RUNS = {
    "preprocessing": (["num_heads=2"], IMAGES + ["--model-ema"]),
    "default_preprocessing": (["num_heads=3"], []),
    "average": (["num_heads=3", "fc_norm=False"], ["--gp", "avg"]),
    "quick_gelu": (["num_heads=6", "act_layer=quick_gelu"], ["--mean", "0.3", "--std", "0.2"]),
}


def images(folder):
    for split in ("train", "validation"):
        for label in "abcde":
            (folder / split / label).mkdir(parents=True)
            for index in range(2):
                Image.new("RGB", (12, 12), (ord(label), 80 * index, 7)).save(folder / split / label / f"{index}.png")


def run(train, name, model_kwargs, others):
    with tempfile.TemporaryDirectory() as scratch:
        images(Path(scratch) / "data")
        os.chdir(scratch)  # the arguments record the paths
        sys.argv = [
            "train.py", "--data-dir", "data", "--model", "vit_tiny_patch16_224", "--num-classes", "5",
            "--img-size", "8", "--model-kwargs", *SIZES, *model_kwargs, *others,
            "--epochs", "1", "-b", "10", "--device", "cpu", "-j", "0", "--opt", "momentum", "--momentum", "0",
            "--output", "out", "--experiment", "x",
        ]
        runpy.run_path(train, run_name="__main__")
        shutil.copy("out/x/last.pth.tar", HERE / f"{name}.pth.tar")


if __name__ == "__main__":
    train = os.path.abspath(sys.argv[1])
    for name, (model_kwargs, others) in RUNS.items():
        run(train, name, model_kwargs, others)
