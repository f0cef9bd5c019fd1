"""A small twin of every pretrained tag of some of timm's modules, converted and opened in both versions.

    python every_vit.py make DIRECTORY MODULE…  # twins and their conversions; needs timm and the vitport binary
    python every_vit.py open DIRECTORY     # opens what was converted with the transformers of this Python

Each twin is built by the tag's own architecture function, of two blocks, and has as many classes as its head can keep: seven, or none.
`make` writes made.json (a row a tag: exit code, the report's target, the last line of a refusal), `open` writes opened.vN.json (a row a
folder: `exact`, `output` or `features` by the line of Python that the report has, `wrong` or the exception).
"""
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch

torch.set_num_threads(1)
NEAR = 2e-5


def wanted(modules):
    """Architecture and tag of every model with weights, by timm's own registry."""
    import timm

    for module in modules:
        for name in timm.list_models(module=module, pretrained=True):
            yield name


def build(name, index):
    import timm

    import twins

    architecture = name.split(".")[0]
    real = timm.get_pretrained_cfg(name)
    patch = twins.PATCH_SIZE[architecture]
    args = {"embed_dim": 48, "num_heads": 3, "depth": 2, "img_size": 2 * patch, "num_classes": 7 if real.num_classes else 0}
    if "sapiens2" in name:
        args["num_kv_heads"] = 3  # as many as there are heads; the tag has a number for each of its blocks
    with torch.device("cpu"):
        model = timm.create_model(name, **args).eval()
    twins.enliven(model, index)
    # OpenAI's and LAION's towers come with a projection: its bias in timm is zero.
    if real.num_classes in (512, 640, 768, 1024, 1280) and hasattr(model.head, "bias"):
        model.head.bias.data.zero_()
    return model, args


def pooled(model, features):
    return model.pool(features) if hasattr(model, "pool") else model.forward_head(features, pre_logits=True)


@torch.no_grad()
def make_one(directory, index, name):
    from timm.models._hub import save_for_hf

    import environment

    model, args = build(name, index)
    source, folder = directory / f"{index}", directory / f"{index}.out"
    save_for_hf(model, source, safe_serialization=True, model_args={key: args[key] for key in args if key != "num_classes"})
    batch = torch.randn(2, 3, *model.patch_embed.img_size, generator=torch.Generator().manual_seed(index))
    features = model.forward_features(batch)
    truth = {"input": batch, "output": model.forward_head(features), "pooled": pooled(model, features), "tokens": features}
    np.savez(directory / f"{index}.npz", **{key: value.numpy() for key, value in truth.items()})
    run = environment.convert(source, folder, "--report", directory / f"{index}.report.json")
    row = {"index": index, "code": run.returncode}
    if run.returncode:
        lines = run.stderr.splitlines()
        return row | {"refusal": lines[-1] if lines else ""}
    return row | {"target": json.loads((directory / f"{index}.report.json").read_text())["target"]}


def make(directory, *modules):
    with ThreadPoolExecutor(2) as pool:
        rows = {name: pool.submit(make_one, directory, index, name) for index, name in enumerate(wanted(modules))}
        made = {name: row.result() for name, row in rows.items()}
    (directory / "made.json").write_text(json.dumps(made, indent=1))


def near(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    return found.shape == expected.shape and np.abs(found - expected).max() <= NEAR * np.abs(expected).max()


@torch.no_grad()
def judge(directory, row):
    """Whether a folder gives timm's output (by the line of Python that its report has: `output`), timm's tokens or pooled features by
    that line, or neither."""
    import transformers

    folder, truth = directory / f"{row['index']}.out", np.load(directory / f"{row['index']}.npz")
    loader = getattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0])
    model, info = loader.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    keys = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in map(str, info[kind])]
    if keys:
        return f"wrong: {keys[:3]}"
    outputs = model.eval()(torch.from_numpy(truth["input"]))
    outside = row["target"]["outside"]
    if outside:
        found = eval(outside["code"], {"outputs": outputs})
        if near(found, truth["output"]):
            return "output"
        return "features" if near(found, truth["pooled"]) or near(found, truth["tokens"]) else "wrong"
    for name in ("logits", "image_embeds", "summary", "pooler_output"):
        if getattr(outputs, name, None) is not None:
            return "exact" if near(getattr(outputs, name), truth["output"]) else f"wrong: {name}"
    return "wrong: no output"


def open_all(directory):
    import transformers

    found = {}
    for name, row in json.loads((directory / "made.json").read_text()).items():
        if row["code"] == 0:
            try:
                found[name] = judge(directory, row)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is a finding about this folder
                found[name] = f"{type(error).__name__}: {error}"[:200]
    major = transformers.__version__.split(".")[0]
    (directory / f"opened.v{major}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    {"make": make, "open": open_all}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
