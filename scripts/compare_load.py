"""Times loading a checkpoint by vitport, torch and safetensors, each in a process of its own, one after another in every round.

    python scripts/compare_load.py MODEL.pth MODEL.safetensors [--rounds 15]

Needs an interpreter with torch, safetensors and the vitport wheel (pt-loader is timed if it is there). Of each way: the median over rounds of
its time divided by that of `torch.load(weights_only=True)` (or, for maps, of `torch.load(mmap=True)`) in the same round; the smallest and the
median time; and the largest peak of memory above that of a process that has only imported torch and the library, in percent of the model.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

WAYS = {
    "torch.load(weights_only=True)": ("torch.load(pth, weights_only=True)", None),
    "vitport": ("vitport.load_state_dict(pth, framework='torch')", "torch.load(weights_only=True)"),
    "vitport, NumPy": ("vitport.load_state_dict(pth)", "torch.load(weights_only=True)"),
    "safetensors.torch.load_file": ("safetensors.torch.load_file(safe)", "torch.load(weights_only=True)"),
    "vitport, safetensors file": ("vitport.load_state_dict(safe, framework='torch')", "torch.load(weights_only=True)"),
    "torch.load(mmap=True)": ("torch.load(pth, weights_only=True, mmap=True)", None),
    "vitport, mmap=True": ("vitport.load_state_dict(pth, framework='torch', mmap=True)", "torch.load(mmap=True)"),
}
MEASURE = """
import json, resource, sys, time
import numpy, torch, safetensors.torch, vitport
pth, safe, small = sys.argv[1:4]
torch.load(small, weights_only=True); vitport.load_state_dict(small, framework='torch'); vitport.load_state_dict(small)
def peak():
    status = open('/proc/self/status').read()
    return int(status.split('VmHWM:')[1].split()[0]) * 1024
open('/proc/self/clear_refs', 'w').write('5')
before = peak()
begin = time.perf_counter()
loaded = {call}
seconds = time.perf_counter() - begin
bytes_ = sum(t.numel() * t.element_size() if hasattr(t, 'numel') else t.nbytes for t in loaded.values())
print(json.dumps([seconds, (peak() - before) / bytes_]))
"""
IMPORT = "import time; b = time.perf_counter(); import vitport; print(time.perf_counter() - b)"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pth", type=Path)
    parser.add_argument("safetensors", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    small = Path(__file__).resolve().parents[1] / "crates/vitport-checkpoint/tests/data/small.pth"
    files = [str(arguments.pth), str(arguments.safetensors), str(small)]
    seconds = {way: [] for way in WAYS}
    peaks = {way: 0.0 for way in WAYS}
    for _ in range(arguments.rounds):
        for way, (call, _) in WAYS.items():
            script = MEASURE.replace("{call}", call)
            run = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, check=True)
            took, peak = json.loads(run.stdout)
            seconds[way].append(took)
            peaks[way] = max(peaks[way], peak)
    for way, (_, base) in WAYS.items():
        ratios = [one / other for one, other in zip(seconds[way], seconds[base or way])]
        low, median = min(seconds[way]) * 1e3, statistics.median(seconds[way]) * 1e3
        print(f"{way:32} {statistics.median(ratios):6.2f} ×  {low:8.1f} ms  {median:8.1f} ms  {peaks[way]:7.1%}")
    imports = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(arguments.rounds)]
    print(f"import vitport: {statistics.median(imports) * 1e3:.1f} ms, at least {min(imports) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
