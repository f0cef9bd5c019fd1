"""Runs a folder's model in one version: `python channels.py FOLDER INPUT.npz RESULT.npz`. INPUT holds `grey`, an image [height, width],
and `pixels`, a batch."""
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline

folder, given, result = sys.argv[1:]
given = np.load(given)
has_logits = AutoConfig.from_pretrained(folder).architectures[0].endswith("ForImageClassification")
auto = AutoModelForImageClassification if has_logits else AutoModel
model, info = auto.from_pretrained(folder, output_loading_info=True)
assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
found = {}
with torch.no_grad():
    outputs = model.eval()(pixel_values=torch.from_numpy(given["pixels"]))
    found["logits"] = (outputs.logits if has_logits else outputs.pooler_output).numpy()
if "grey" in given:
    processor = AutoImageProcessor.from_pretrained(folder)
    grey = given["grey"]
    found["last"] = processor(grey[:, :, None], return_tensors="np")["pixel_values"]
    found["first"] = processor(grey[None], return_tensors="np")["pixel_values"]
    if transformers.__version__.startswith("5"):
        found["image"] = processor(Image.fromarray(grey), return_tensors="np")["pixel_values"]
    task = "image-classification" if has_logits else "image-feature-extraction"
    try:
        pipeline(task, model=folder)(Image.fromarray(grey))
        raise SystemExit("pipeline takes one channel: say so on the card")
    except (ValueError, RuntimeError):  # whether the class looks at the channels, or its convolution does
        pass
np.savez(result, **found)
