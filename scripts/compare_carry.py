"""Compares `vitport convert --no-verify` with cp and with torch + safetensors in one interleaved run.

    cargo build --release
    HF_HUB_OFFLINE=1 python scripts/compare_carry.py [CASE ...] [--rounds 9] [--folder FOLDER] [--rival 'NAME=COMMAND']

Needs timm, torch and safetensors, GNU time (/usr/bin/time, for peak memory) and 8 GB in FOLDER. The weights are random, the
files are in the system's cache, sources and outputs lie on one file system, and what is written is removed between runs,
outside of the time. In every round each command runs once, one after another, as a whole process; what is printed is the
median of its time, the median over rounds of its ratio to cp's in the same round, and its peak memory.

COMMAND is another converter to take turns with, in which {source} and {out} stand for the file and what is to be made.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VITPORT = os.environ.get("VITPORT", str(ROOT / "target/release/vitport"))
BASE = "vit_base_patch16_224.augreg_in21k_ft_in1k"
LARGE = "vit_large_patch16_224.augreg_in21k_ft_in1k"

# Name: (file, tag, further options).
CASES = {
    "ViT-B": ("base.pth", BASE, []),
    "ViT-B, before PyTorch 1.6": ("base.legacy.pth", BASE, []),
    "ViT-B, safetensors": ("base.safetensors", BASE, []),
    "ViT-B, channels last": ("base.channels_last.pth", BASE, []),
    "ViT-B, every matrix transposed": ("base.transposed.pth", BASE, []),
    "ViT-B to float16": ("base.pth", BASE, ["--dtype", "f16"]),
    "DINOv2-B, layer scale folded": ("dinov2.pth", "vit_base_patch14_dinov2.lvd142m", []),
    "ViT-L": ("large.pth", LARGE, []),
    "ViT-L, before PyTorch 1.6": ("large.legacy.pth", LARGE, []),
    "ViT-L, safetensors": ("large.safetensors", LARGE, []),
    "ViT-L to float16": ("large.pth", LARGE, ["--dtype", "f16"]),
}

# A process of its own, so that this one stays small: a child's peak memory is never below its parent's.
MAKE = """
import sys, timm, torch
from safetensors.torch import save_file
torch.manual_seed(0)
folder = sys.argv[1]
def state_dict(name, **options): return timm.create_model(name, **options).state_dict()
for stem, name in ("base", "vit_base_patch16_224"), ("large", "vit_large_patch16_224"):
    weights = state_dict(name)
    torch.save(weights, f"{folder}/{stem}.pth")
    torch.save(weights, f"{folder}/{stem}.legacy.pth", _use_new_zipfile_serialization=False)
    save_file(weights, f"{folder}/{stem}.safetensors")
    if stem == "base":
        last = lambda t: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t
        torch.save({k: last(t) for k, t in weights.items()}, f"{folder}/base.channels_last.pth")
        turned = lambda t: t.t().contiguous().t() if t.ndim == 2 else last(t)
        torch.save({k: turned(t) for k, t in weights.items()}, f"{folder}/base.transposed.pth")
torch.save(state_dict("vit_base_patch14_dinov2", num_classes=0), f"{folder}/dinov2.pth")
"""

# What the scripts of transformers did to the weights, without the network: read, split, write.
TORCH = """
import sys, torch
from safetensors.torch import load_file, save_file
source, out = sys.argv[1:]
weights = load_file(source) if source.endswith(".safetensors") else torch.load(source, weights_only=True)
made = {}
for name, tensor in weights.items():
    if ".attn.qkv." in name:
        for part, share in zip(("query", "key", "value"), tensor.chunk(3)):
            made[name.replace("qkv", part)] = share.contiguous()
    else:
        made[name] = tensor.contiguous()
save_file(made, out, metadata={"format": "pt"})
"""


def run(command, out):
    """Seconds, and kilobytes at the peak, of a command as a whole process."""
    with tempfile.NamedTemporaryFile("r") as peak:
        timed = ["/usr/bin/time", "-f", "%M", "-o", peak.name, *command]
        start = time.perf_counter()
        done = subprocess.run(timed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{shlex.join(command)}\n{done.stderr}")
        kilobytes = int(peak.read())
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    return seconds, kilobytes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where files are made, and kept; a temporary one if not given")
    parser.add_argument("--rival", action="append", default=[])
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--fsync", action="store_true", help="wait for the disk, and let cp wait for it too")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="vitport-compare-"))
    if not (folder / "dinov2.pth").exists():
        folder.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    out = folder / "out"
    print("| file | what | ms | × cp | peak MB |\n|---|---|---|---|---|")
    for case in arguments.cases:
        file, tag, options = CASES[case]
        source = str(folder / file)
        copy = ["cp", source, str(out)]
        convert = [VITPORT, "convert", source, "-o", str(out), "--arch", tag, "--no-verify", *options]
        if arguments.fsync:
            copy = ["sh", "-c", 'cp "$0" "$1" && sync "$1"', source, str(out)]
        else:
            convert.append("--no-fsync")
        commands = {"cp": copy, "vitport": convert}
        if not arguments.no_torch:
            commands["torch + safetensors"] = [sys.executable, "-c", TORCH, source, str(out)]
        for rival in arguments.rival:
            name, command = rival.split("=", 1)
            commands[name] = [part.format(source=source, out=out) for part in shlex.split(command)]
        runs = {name: [] for name in commands}
        for round in range(arguments.rounds + 1):
            for name, command in commands.items():
                measured = run(command, out)
                # The first round fills the cache.
                if round:
                    runs[name].append(measured)
        for name, measured in runs.items():
            seconds = statistics.median(seconds for seconds, _ in measured)
            ratio = statistics.median(own / cp for (own, _), (cp, _) in zip(measured, runs["cp"]))
            peak = max(kilobytes for _, kilobytes in measured)
            print(f"| {case} | {name} | {seconds * 1e3:.0f} | {ratio:.2f} | {peak / 1e3:.0f} |", flush=True)
    if not arguments.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
