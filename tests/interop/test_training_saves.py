"""Checkpoints that training programs wrote themselves (`training_saves.py`), and what transformers computes of the folders."""
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForImageClassification

import environment

USUAL = ("--num-heads", "3", "--mean", "0.5", "--std", "0.5", "--interpolation", "bicubic", "--crop-pct", "1")
OPEN_CLIP = ("--like", "vit_tiny_patch16_224.augreg_in21k_ft_in1k")
ADAPTER = "--adapter", "adapter"

# What is made, what of it is given, the options, and a part of what `convert` says of the rest.
CONVERTED = {
    "dcp_alone": ("save", (), "optimizer"),
    "dcp_fsdp": ("save", (), "app.optim"),
    "fsdp_whole": ("save", (), None),
    "lightning_plain": ("save", (), "criterion.weight"),
    "lightning_compiled": ("save", (), "criterion.weight"),
    "lightning_averaged": ("save", (), "WeightAveraging"),
    "trainer_run": ("save", (), None),
    "trainer_run/checkpoint": ("save/checkpoint-1", (), None),
    "ema": ("save", (), "another network"),
    "compiled": ("save", (), None),
    "averaged": ("save", (), "n_averaged"),
    "deepspeed_zero1": ("save", (), None),
    "open_clip": ("save", OPEN_CLIP, "text tower"),
    "lightly_dino": ("save", (), "another network"),
    "peft_timm": ("save", ADAPTER, "the adapter's own"),
    "peft_rslora": ("save", ADAPTER, None),
    "peft_biases": ("save", ADAPTER, "the adapter's own"),
    "peft_other_head": ("save", ADAPTER, "the adapter's own"),
    "peft_wrapped": ("save", ADAPTER, None),
    "peft_transformers": ("save", ADAPTER, "the adapter's own"),
}


@pytest.fixture(scope="session")
def saves(tmp_path_factory):
    """Makes each save when it is first asked for."""
    home, made = tmp_path_factory.mktemp("saves"), {}

    def save(name):
        if name not in made:
            folder = home / name
            programs = environment.environments_home() / "training" / "bin"
            command = [programs / "python", Path(__file__).with_name("training_saves.py"), name, folder]
            # DeepSpeed looks for ninja by its name.
            own = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=home, env=own)
            assert done.returncode == 0, done.stderr[-3000:]
            made[name] = folder
        return made[name]

    return save


def check(folder, truth):
    """The folder computes what the network computed."""
    with torch.no_grad():
        pixels = torch.from_numpy(truth["pixels"])
        classes = AutoModelForImageClassification if truth["output"].ndim == 2 and truth["output"].shape[1] == 5 else AutoModel
        outputs = classes.from_pretrained(folder).eval()(pixel_values=pixels)
        found = outputs.logits if hasattr(outputs, "logits") else outputs.pooler_output
    worst = np.abs(found.numpy() - truth["output"]).max() / np.abs(truth["output"]).max()
    # Adapters are added to the weights here, and to what they compute there.
    assert worst < 1e-5, worst


def has_deepspeed():
    return any((environment.environments_home() / "training").glob("lib/python*/site-packages/deepspeed"))


@pytest.mark.parametrize("row", CONVERTED)
def test_a_save_becomes_what_was_trained(row, saves, tmp_path):
    name = row.split("/")[0]
    if name == "deepspeed_zero1" and not has_deepspeed():
        pytest.skip("DeepSpeed compiles code where it is run, and is not among the pins")
    source, options, said = CONVERTED[row]
    folder = saves(name)
    options = [str(folder / option) if option == "adapter" else option for option in options]
    usual = () if "--like" in options else USUAL
    done = environment.convert(folder / source, tmp_path / "out", *options, *usual)
    assert done.returncode == 0, done.stderr
    assert said is None or said in done.stdout + done.stderr, done.stdout
    check(tmp_path / "out", np.load(folder / "truth.npz"))


def test_an_adapter_that_is_not_merged_is_refused_by_name(saves, tmp_path):
    folder = saves("peft_dora")
    done = environment.convert(folder / "save", tmp_path / "out", "--adapter", folder / "adapter", *USUAL)
    assert done.returncode == 7 and "DoRA" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_an_adapter_as_the_source_says_the_command_that_works(saves, tmp_path):
    folder = saves("peft_timm")
    done = environment.convert(folder / "adapter", tmp_path / "out", *USUAL)
    assert done.returncode == 7, done.stderr
    command = done.stderr.split("run `")[1].split("`")[0].replace("BASE", str(folder / "save"))
    words = command.split()
    done = environment.run(*words[1:], "-o", tmp_path / "out", *USUAL)
    assert done.returncode == 0, done.stderr
    check(tmp_path / "out", np.load(folder / "truth.npz"))
