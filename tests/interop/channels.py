"""Runs a folder's model in one version: `python channels.py FOLDER INPUT.npz RESULT.npz`. INPUT holds `grey`, an image [height, width],
and `pixels`, a batch."""
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

folder, given, result = sys.argv[1:]
given = np.load(given)
model, info = AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
found = {}
with torch.no_grad():
    found["logits"] = model.eval()(pixel_values=torch.from_numpy(given["pixels"])).logits.numpy()
if "grey" in given:
    processor = AutoImageProcessor.from_pretrained(folder)
    grey = given["grey"]
    found["last"] = processor(grey[:, :, None], return_tensors="np")["pixel_values"]
    found["first"] = processor(grey[None], return_tensors="np")["pixel_values"]
    if transformers.__version__.startswith("5"):
        found["image"] = processor(Image.fromarray(grey), return_tensors="np")["pixel_values"]
    try:
        pipeline("image-classification", model=folder)(Image.fromarray(grey))
        raise SystemExit("pipeline takes one channel: say so on the card")
    except ValueError:
        pass
np.savez(result, **found)
