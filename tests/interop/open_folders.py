"""Opens transformers folders as a user would and writes down what it found; runs once in each environment.

    python open_folders.py WORK.json RESULT.json

WORK.json holds "images" (PNG files) and "jobs", a list of {name, folder, truth}; `truth` is an .npz whose `input` is run.
RESULT.json holds one report for each job; the arrays go into the .npz that the report names. A folder that does not open has
its exception in "error" and does not stop the others. Nothing here knows what is right: the tests compare.
"""
import json
import os
import sys
import traceback
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline

MAJOR = int(transformers.__version__.split(".")[0])
torch.set_num_threads(1)


def loading(info):
    return {key: sorted(str(entry) for entry in info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}


def open_model(auto, folder):
    model, info = auto.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    return model.eval(), loading(info)


@torch.no_grad()
def examine(job, images):
    folder, arrays = job["folder"], {}
    config = AutoConfig.from_pretrained(folder)
    report = {"config": config.to_dict(), "architectures": config.architectures}
    report["labels"] = [config.id2label[i] for i in range(config.num_labels)]
    report["label2id"] = config.label2id

    # Version 4's slow processors work on the image with Pillow, as timm does; version 5 has one kind only.
    processor = AutoImageProcessor.from_pretrained(folder, **({"use_fast": False} if MAJOR == 4 else {}))
    report["processor"] = type(processor).__name__
    for i, image in enumerate(images):
        arrays[f"pixels_{i}"] = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])

    batch = torch.from_numpy(np.load(job["truth"])["input"])
    base, report["base_loading"] = open_model(AutoModel, folder)
    hidden = base(batch)
    arrays["last_hidden_state"] = hidden.last_hidden_state.numpy()
    if (pooled := getattr(hidden, "pooler_output", None)) is not None:
        arrays["pooler_output"] = pooled.numpy()
    if config.architectures[0].endswith("ForImageClassification"):
        model, report["loading"] = open_model(AutoModelForImageClassification, folder)
        report["class"] = type(model).__name__
        arrays["logits"] = model(batch).logits.numpy()
        report["keys"] = sorted(model.state_dict())
        classify = pipeline("image-classification", model=folder, dtype=torch.float32, device="cpu")
        report["pipeline"] = classify(images[0], top_k=min(5, config.num_labels), function_to_apply="softmax")
        pixels = classify.image_processor(images[0], return_tensors="pt")["pixel_values"]
        arrays["pipeline_logits"] = classify.model(pixels).logits.numpy()[0]
    else:
        report["loading"], report["class"] = report["base_loading"], type(base).__name__
        report["keys"] = sorted(base.state_dict())
    report["arrays"] = str(Path(job["truth"]).with_name(f"{Path(job['truth']).stem}.v{MAJOR}.npz"))
    np.savez(report["arrays"], **arrays)
    return report


def main():
    work_file, result_file = sys.argv[1:]
    work = json.loads(Path(work_file).read_text())
    images = [Image.open(path).convert("RGB") for path in work["images"]]
    results = {"transformers": transformers.__version__, "reports": {}}
    for job in work["jobs"]:
        try:
            report = examine(job, images)
        except Exception:  # noqa: BLE001 - whatever goes wrong is a finding about this folder
            report = {"error": traceback.format_exc(limit=-6)}
        results["reports"][job["name"]] = report
    Path(result_file).write_text(json.dumps(results, default=str))


if __name__ == "__main__":
    main()
