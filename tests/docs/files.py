"""Makes the files that the pages of the documentation convert: networks of timm's with random weights.

    python files.py FOLDER
"""

import argparse
import os
import pathlib
import sys

import numpy
import timm
import torch
from PIL import Image


def network(name, **arguments):
    """Returns a network with weights large enough that its outputs depend on the image."""
    torch.manual_seed(0)
    model = timm.create_model(name, **arguments)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


class Malicious:
    def __reduce__(self):
        return os.system, ("true",)


def under(prefix, state_dict):
    return {prefix + name: tensor for name, tensor in state_dict.items()}


def main(folder):
    tiny = network("vit_tiny_patch16_224", num_classes=3)
    torch.save(tiny.state_dict(), folder / "best.pth")
    (folder / "pets.txt").write_text("cat\ndog\nowl\n")

    # What timm's train.py saves.
    args = argparse.Namespace(model="vit_tiny_patch16_224", num_classes=3, mean=None, std=None, img_size=None,
                              input_size=None, crop_pct=None, interpolation="", gp=None, model_kwargs={}, in_chans=None)
    torch.save({"epoch": 9, "arch": "vit_tiny_patch16_224", "state_dict": tiny.state_dict(), "args": args,
                "optimizer": {"state": {0: {"step": torch.tensor(9.0)}}, "param_groups": []}, "version": 2},
               folder / "model_best.pth.tar")

    # What DINO's own program saves: a student and a teacher, each with a head of pretraining.
    backbone = network("vit_tiny_patch16_224", num_classes=0).state_dict()
    head = {"head.mlp.0.weight": torch.randn(64, 192), "head.mlp.0.bias": torch.randn(64),
            "head.last_layer.weight_g": torch.ones(32, 1), "head.last_layer.weight_v": torch.randn(32, 64)}
    teacher = under("backbone.", backbone) | head
    student = under("module.", under("backbone.", network("vit_tiny_patch16_224", num_classes=0).state_dict()) | head)
    torch.save({"student": student, "teacher": teacher, "epoch": 99}, folder / "dino_checkpoint.pth")

    # A network of timm's in a module of one's own, trained by Lightning.
    lightning = under("model.backbone.", backbone) | {"model.fc.weight": torch.randn(3, 192), "model.fc.bias": torch.randn(3)}
    torch.save({"state_dict": lightning, "epoch": 9, "global_step": 1000, "pytorch-lightning_version": "2.5.0"},
               folder / "last.ckpt")

    # A file that would run a program.
    torch.save({"weight": torch.zeros(3), "hook": Malicious()}, folder / "evil.pth")

    pixels = numpy.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=numpy.uint8)
    for name in ["photo.jpg", "cat.jpg"]:
        Image.fromarray(pixels).save(folder / name)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
