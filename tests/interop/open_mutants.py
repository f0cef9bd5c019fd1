"""Opens mutants of folders in one version of transformers and says of each what is other than in the folder itself.

    python open_mutants.py    # a line {folder, mutants: {name: place}} from stdin, a line {name: what} to stdout, until it ends

`what` is "same", "other: …", "not opened: …" or, if this version has no class for the folder, "no class". The usual Auto
classes open it, and pixels are prepared of images of four modes.
"""
import json
import os
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import numpy as np
import torch
import transformers
from PIL import Image

warnings.simplefilter("ignore")
transformers.logging.set_verbosity(50)
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)
NOISE = np.random.default_rng(7).integers(0, 256, (90, 120, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(NOISE).convert(mode) for mode in ("RGB", "L", "RGBA", "P")]
# Relative to the largest number: rounding is far below, every change of a key far above.
TOLERANCE = 1e-5


def prepared(processor):
    """The pixels of each image; none where the processor refuses it."""
    for image in IMAGES:
        try:
            yield processor(image, return_tensors="pt")["pixel_values"]
        except Exception:  # noqa: BLE001 - images of other modes are refused where nothing converts them
            yield None


@torch.no_grad()
def examine(folder, loader, pixels=None):
    torch.manual_seed(0)
    if loader.endswith("ForImageClassification"):
        pipe = transformers.pipeline("image-classification", model=str(folder))
        model, processor, answers = pipe.model, pipe.image_processor, pipe(IMAGES[0])
    else:
        model, processor = getattr(transformers, loader).from_pretrained(folder).eval(), transformers.AutoImageProcessor.from_pretrained(folder)
        answers = []
    found = list(prepared(processor))
    if found[0] is None:
        raise ValueError("the image processor prepares no RGB image")
    pixels = found[0] if pixels is None else pixels
    outputs = {key: value for key, value in model(pixel_values=pixels).items() if isinstance(value, torch.Tensor)}
    model(pixel_values=found[0])
    return {"pixels": found, "outputs": outputs, "answers": answers}


def apart(one, other):
    if one is None or other is None:
        return 0.0 if one is other or one is None else float("inf")
    if one.shape != other.shape:
        return float("inf")
    return float((one - other).abs().max() / one.abs().max())


def difference(usual, found):
    """What is other than usual, none if nothing is."""
    for one, other in zip(usual["pixels"], found["pixels"]):
        if not apart(one, other) <= TOLERANCE:
            return f"pixels by {apart(one, other):.2e}"
    for key, value in usual["outputs"].items():
        if not apart(value, found["outputs"].get(key)) <= TOLERANCE:
            return f"{key} by {apart(value, found['outputs'].get(key)):.2e}"
    for one, other in zip(usual["answers"], found["answers"]):
        if one["label"] != other["label"] or abs(one["score"] - other["score"]) > TOLERANCE:
            return f"answer {other} instead of {one}"
    return None


def said_of(folder, mutants, usual):
    """{name: what}, given what the folder itself computes."""
    loader = class_of(folder)
    for name, place in mutants.items():
        try:
            other = difference(usual, examine(place, loader, usual["pixels"][0]))
            yield name, f"other: {other}" if other else "same"
        except Exception as error:  # noqa: BLE001 - whatever it is, the folder does not open
            yield name, f"not opened: {type(error).__name__}: {error}"[:300]


def class_of(folder):
    return json.loads((Path(folder) / "config.json").read_text())["architectures"][0]


def main():
    # What transformers itself prints is not an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    known = {}
    for line in sys.stdin:
        job = json.loads(line)
        folder, mutants = job["folder"], job["mutants"]
        if folder not in known:
            loader = class_of(folder)
            known = {folder: examine(folder, loader) if hasattr(transformers, loader) else None}
        usual = known[folder]
        said = dict(said_of(folder, mutants, usual)) if usual else dict.fromkeys(mutants, "no class")
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
