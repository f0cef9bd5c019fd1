"""Compares vitport's forward pass with torch eager, ONNX Runtime and OpenVINO in one interleaved run.

    cargo build --release -p vitport --example forward
    HF_HUB_OFFLINE=1 python scripts/compare_forward.py [vit-b|cvt-13|NAME ...] [--rounds 15] [--threads 2]

NAME is an architecture of timm, for images of 224 pixels.

Needs torch, timm, transformers, safetensors, onnx and onnxruntime; OpenVINO takes part where it is installed. The networks have random weights, batch is one and everything is float32. In
each round every engine runs in turn, in an order that rotates, after a pause in which the threads of the one before go to sleep;
what is printed is each engine's smallest and median time, and the median over rounds of its ratio to torch's in the same round, to the faster of contiguous and channels-last torch.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("networks", nargs="*", default=["vit-b", "cvt-13"])
parser.add_argument("--rounds", type=int, default=15)
parser.add_argument("--runs", type=int, default=3, help="forward passes in a turn; the fastest counts")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--no-onnx", action="store_true")
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples/forward"
torch.set_num_threads(arguments.threads)


def size_of(name):
    return {"img_size": 224} if name.startswith(("vit_", "swin")) else {}


def network(name):
    torch.manual_seed(0)
    if name == "vit-b":
        import timm

        model = timm.create_model("vit_base_patch16_224", pretrained=False)
    elif name != "cvt-13":
        import timm

        model = timm.create_model(name, pretrained=False, **size_of(name))
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, std=0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    else:
        from transformers import CvtConfig, CvtForImageClassification

        model = CvtForImageClassification(CvtConfig(num_labels=1000))
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim >= 2 and tensor.shape[0] > 1:
                tensor.copy_(torch.randn_like(tensor) / tensor[0].numel() ** 0.5)
    return model.eval()


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        out = self.model(pixels)
        return out if torch.is_tensor(out) else out.logits


def timed(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def engines(name, model, pixels, folder):
    """Each engine as a function that runs once and returns milliseconds, and the checks at the end."""
    with torch.inference_mode():
        truth = model(pixels)[0]

    def eager():
        with torch.inference_mode():
            return timed(lambda: model(pixels))

    found = {"torch eager": eager}
    if not name.startswith(("vit", "cvt")):
        import copy

        last, wide = copy.deepcopy(model).to(memory_format=torch.channels_last), pixels.to(memory_format=torch.channels_last)

        def channels_last():
            with torch.inference_mode():
                return timed(lambda: last(wide))

        found["torch, channels last"] = channels_last
    if not arguments.no_onnx:
        import onnxruntime

        torch.onnx.export(model, (pixels,), folder / "model.onnx", dynamo=False, input_names=["pixels"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        session = onnxruntime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
        feed = {"pixels": pixels.numpy()}
        found["ONNX Runtime"] = lambda: timed(lambda: session.run(None, feed))
        if importlib.util.find_spec("openvino"):
            import openvino

            options = {"INFERENCE_NUM_THREADS": arguments.threads, "PERFORMANCE_HINT": "LATENCY",
                       "INFERENCE_PRECISION_HINT": "f32"}
            compiled = openvino.compile_model(folder / "model.onnx", "CPU", options)
            request = compiled.create_infer_request()
            found["OpenVINO"] = lambda: timed(lambda: request.infer({0: feed["pixels"]}))

    save_file({k: v.contiguous() for k, v in model.model.state_dict().items()}, folder / "weights.safetensors")
    save_file({"pixels": pixels[0]}, folder / "pixels.safetensors")
    given = name if name in ("vit-b", "cvt-13") else folder / "timm"
    if given != name:
        from timm.models import save_for_hf

        save_for_hf(model.model, given, model_config={"model_args": size_of(name)}, safe_serialization=True)
    child = subprocess.Popen(
        [EXAMPLE, given, folder / "weights.safetensors", folder / "pixels.safetensors"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )

    def vitport():
        child.stdin.write("\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    def finish():
        logits, memory = child.communicate()[0].strip().split("\n")
        error = (torch.tensor(json.loads(logits)) - truth).abs().max() / truth.std()
        weights = (folder / "weights.safetensors").stat().st_size
        print(f"  vitport: logits off by {error:.1e} of their size; peak memory {int(memory.split()[0]) / 1024:.0f} MB "
              f"for {weights / 2**20:.0f} MB of weights")

    found["vitport"] = vitport
    return found, finish


def median(values):
    return sorted(values)[len(values) // 2]


for name in arguments.networks:
    with tempfile.TemporaryDirectory() as folder:
        pixels = torch.randn(1, 3, 224, 224)
        runs, finish = engines(name, Logits(network(name)).eval(), pixels, Path(folder))
        times = {engine: [] for engine in runs}
        order = list(runs)
        for turn in range(arguments.rounds + 1):
            for engine in order:
                time.sleep(0.3)
                best = min(runs[engine]() for _ in range(arguments.runs))
                if turn > 0:  # the first round warms up
                    times[engine].append(best)
            order = order[1:] + order[:1]
        print(f"{name}, {arguments.threads} threads, batch 1, {arguments.rounds} rounds")
        for engine, values in times.items():
            best = [min(of_round) for of_round in zip(*(times[of] for of in times if of.startswith("torch")))]
            ratios = [mine / torchs for mine, torchs in zip(values, best)]
            print(f"  {engine:20} min {min(values):7.1f} ms  median {median(values):7.1f} ms  × torch {median(ratios):.2f}")
        finish()
        sys.stdout.flush()
