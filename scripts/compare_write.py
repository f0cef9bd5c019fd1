"""Compares `vitport convert --no-verify` with cp, torch + safetensors and the original script in one interleaved run.

    cargo build --release
    cargo build --release --manifest-path scripts/rivals/burn_reader/Cargo.toml
    cargo build --release --manifest-path scripts/rivals/candle_reader/Cargo.toml
    HF_HUB_OFFLINE=1 python scripts/compare_write.py [CASE ...] [--rounds 9] [--folder FOLDER] \\
        --rival 'Burn=scripts/rivals/burn_reader/target/release/burn_reader {source} {out}' \\
        --rival 'candle=scripts/rivals/candle_reader/target/release/candle_reader {source} {out}'

Needs timm, torch, safetensors and transformers, GNU time (/usr/bin/time, for peak memory) and 8 GB in FOLDER. The weights are random, the
files are in the system's cache, sources and outputs lie on one file system, and what is written is removed between runs,
outside of the time. In every round each command runs once, one after another, as a whole process; what is printed is the
median of its time, the median over rounds of its ratio to cp's in the same round, and its peak memory.

COMMAND is another converter to take turns with, in which {source} and {out} stand for the file and what is to be made. One
that fails on a file is left out of that file's rows.
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
    "ViT-B, every tensor a slice with a step": ("base.stepped.pth", BASE, []),
    "ViT-B, all tensors in one storage": ("base.flat.pth", BASE, []),
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
        every_second = lambda t: t.repeat_interleave(2, -1)[..., ::2]
        torch.save({k: every_second(t) for k, t in weights.items()}, f"{folder}/base.stepped.pth")
        parts = torch.cat([t.flatten() for t in weights.values()]).split([t.numel() for t in weights.values()])
        torch.save({k: p.view(t.shape) for (k, t), p in zip(weights.items(), parts)}, f"{folder}/base.flat.pth")
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

# The steps of the original script (transformers up to 4.57, models/vit/convert_vit_timm_to_pytorch.py) from a file on:
# read, rename, split, load into the network, save. The runs of both networks and the downloads are left out.
ORIGINAL = """
import re, sys, torch
from safetensors.torch import load_file
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
source, out = sys.argv[1:]
weights = load_file(source) if source.endswith(".safetensors") else torch.load(source, weights_only=True)
width, depth = weights["patch_embed.proj.weight"].shape[0], 1 + max(int(n.split(".")[1]) for n in weights if "blocks." in n)
config = ViTConfig(hidden_size=width, num_hidden_layers=depth, num_attention_heads=width // 64, intermediate_size=4 * width,
                   num_labels=weights["head.weight"].shape[0], layer_norm_eps=1e-6)
pairs = [
    (r"^cls_token", "vit.embeddings.cls_token"), (r"^pos_embed", "vit.embeddings.position_embeddings"),
    (r"^patch_embed.proj", "vit.embeddings.patch_embeddings.projection"), (r"^norm", "vit.layernorm"),
    (r"^head", "classifier"), (r"^blocks", "vit.encoder.layer"), (r"norm1", "layernorm_before"),
    (r"norm2", "layernorm_after"), (r"attn.proj", "attention.output.dense"), (r"mlp.fc1", "intermediate.dense"),
    (r"mlp.fc2", "output.dense"),
]
made = {}
for name, tensor in weights.items():
    for old, new in pairs:
        name = re.sub(old, new, name)
    if ".attn.qkv." in name:
        for number, part in enumerate(("query", "key", "value")):
            made[name.replace("attn.qkv", f"attention.attention.{part}")] = tensor[number * width : (number + 1) * width]
    else:
        made[name] = tensor
model = ViTForImageClassification(config).eval()
model.load_state_dict(made)
model.save_pretrained(out)
ViTImageProcessor(size={"height": 224, "width": 224}).save_pretrained(out)
"""


def run(command, out):
    """Seconds, and kilobytes at the peak, of a command as a whole process; None if it fails."""
    with tempfile.NamedTemporaryFile("r") as peak:
        timed = ["/usr/bin/time", "-f", "%M", "-o", peak.name, *command]
        start = time.perf_counter()
        done = subprocess.run(timed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            print(f"{shlex.join(command)[:120]} … fails: {done.stderr.strip()[-200:]}", file=sys.stderr)
            return None
        kilobytes = int(peak.read())
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    return seconds, kilobytes


def compare(case, commands, out, rounds):
    """Prints a row for each command that does not fail, the first of which is cp's."""
    # The first round fills the cache.
    commands = {name: command for name, command in commands.items() if run(command, out)}
    measured = [{name: run(command, out) for name, command in commands.items()} for _ in range(rounds)]
    for name in commands:
        seconds = statistics.median(round[name][0] for round in measured)
        ratio = statistics.median(round[name][0] / round["cp"][0] for round in measured)
        peak = max(round[name][1] for round in measured)
        print(f"| {case} | {name} | {seconds * 1e3:.0f} | {ratio:.2f} | {peak / 1e3:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where files are made, and kept; a temporary one if not given")
    parser.add_argument("--rival", action="append", default=[])
    parser.add_argument("--no-torch", action="store_true", help="neither torch + safetensors nor the original script")
    parser.add_argument("--fsync", action="store_true", help="wait for the disk, and let cp wait for it too")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="vitport-compare-"))
    folder.mkdir(exist_ok=True)
    if not (folder / "dinov2.pth").exists():
        subprocess.run([sys.executable, "-c", MAKE, str(folder)], check=True)
    wanted = arguments.cases or CASES
    chosen = {case: (CASES[case][0], ["--arch", CASES[case][1], *CASES[case][2]]) for case in wanted}
    out = folder / "out"
    print("| file | what | ms | × cp | peak MB |\n|---|---|---|---|---|")
    for case, (file, options) in chosen.items():
        source = str(folder / file)
        copy = ["cp", source, str(out)]
        convert = [VITPORT, "convert", source, "-o", str(out), "--no-verify", *options]
        if arguments.fsync:
            copy = ["sh", "-c", 'cp "$0" "$1" && sync "$1"', source, str(out)]
        else:
            convert.append("--no-fsync")
        commands = {"cp": copy, "vitport": convert}
        if not arguments.no_torch:
            commands["torch + safetensors"] = [sys.executable, "-c", TORCH, source, str(out)]
            # It knew no casts and no layer scale.
            if not options[2:] and file != "dinov2.pth":
                commands["original script"] = [sys.executable, "-c", ORIGINAL, source, str(out)]
        for rival in arguments.rival:
            name, command = rival.split("=", 1)
            commands[name] = [part.format(source=source, out=out) for part in shlex.split(command)]
        compare(case, commands, out, arguments.rounds)
    if not arguments.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
