"""Opens a folder of every class that vitport writes in many versions of transformers, and prints what each does as a table.

    cargo build --release
    $(tests/interop/setup.sh) scripts/version_matrix.py [--versions 4.57.6 5.0.0 ...] [--write docs/compatibility.md]

Without `--versions`: 4.57.6, and the newest patch of each minor release from 5.0 on that the package index has; `ends` are the
oldest, the one in the middle and the newest of these. Each version is installed next to the interoperation tests' environments with
what it needs newer; torch, torchvision and NumPy are theirs. Outputs and pixels are compared with those of the oldest version that
has the class, which the interoperation tests compare with timm. Exits with 1 where a folder does not open, a weight is missing or
unexpected, or outputs or pixels are beyond what is promised.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/interop"))

OLDEST = Version("4.57.6")
# Of the size of what is compared. One of 255 levels: version 5 resizes with torchvision, version 4's slow processors with Pillow.
OUTPUTS, LEVELS = 1e-5, 1.01
BEGIN, END = "<!-- the table: scripts/version_matrix.py -->", "<!-- end of the table -->"


def released():
    """The newest patch of every minor release, the oldest that is supported first."""
    command = [sys.executable, "-m", "pip", "index", "versions", "transformers"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    versions = [Version(text) for text in re.search(r"Available versions: (.*)", listed)[1].split(", ")]
    newest = {}
    for version in versions:
        if version >= Version("5.0.0") and not version.is_prerelease:
            newest[version.minor] = max(version, newest.get(version.minor, version))
    return [OLDEST, *(newest[minor] for minor in sorted(newest))]


def installed(version, home):
    """The folder with a version and what it needs of its own; it is kept."""
    folder = home / f"transformers-{version}"
    if not (folder / "ready").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder)]
        subprocess.run([*pip, "--no-deps", f"transformers=={version}"], check=True)
        metadata = next(folder.glob("transformers-*.dist-info/METADATA")).read_text()
        required = re.findall(r"^Requires-Dist: ((?:huggingface[-_]hub|tokenizers)\b[^;\n]*)$", metadata, re.MULTILINE)
        subprocess.run([*pip, *required], check=True)
        (folder / "ready").touch()
    return folder


def folders(directory):
    """Converts a source of every class; {name: folder}."""
    import environment
    import targets

    made = {}
    for name, (source, options) in targets.SOURCES.items():
        made[name] = directory / name.replace(", ", "-").replace(" ", "-")
        done = environment.convert(source, made[name], *options)
        assert done.returncode == 0, f"{name}: {done.stderr}"
    return made


def open_all(folders, found):
    """Opens every folder as its class with the transformers of this process, and writes down what it computes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import torch
    import transformers

    torch.set_num_threads(1)
    random = np.random.default_rng(5)
    image = random.integers(0, 256, (67, 83, 3), dtype=np.uint8).repeat(3, 0).repeat(3, 1)
    reports, arrays = {}, {}
    for name, folder in folders.items():
        try:
            config = json.loads((Path(folder) / "config.json").read_text())
            processor = json.loads((Path(folder) / "preprocessor_config.json").read_text())
            if not hasattr(transformers, config["architectures"][0]):
                reports[name] = {"absent": True}
                continue
            slow = {"use_fast": False} if transformers.__version__.startswith("4.") else {}
            prepare = transformers.AutoImageProcessor.from_pretrained(folder, **slow)
            pixels = prepare(image, return_tensors="pt")["pixel_values"].float().numpy()
            model, info = getattr(transformers, config["architectures"][0]).from_pretrained(folder, output_loading_info=True)
            generator = torch.Generator().manual_seed(3)
            with torch.no_grad():
                outputs = model.eval()(torch.randn(pixels.shape, generator=generator))
            reports[name] = {
                "missing": sorted(map(str, info["missing_keys"])),
                "unexpected": sorted(map(str, info["unexpected_keys"])),
                "names": sorted(model.state_dict()),
                "levels": [255 * std for std in processor["image_std"]],
            }
            arrays[f"{name}/pixels"] = pixels
            kept = ("logits", "cls_logits", "distillation_logits", "image_embeds", "pooler_output", "last_hidden_state", "features")
            for key in kept:
                if (value := outputs.get(key)) is not None:
                    arrays[f"{name}/{key}"] = value.float().numpy()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is a finding about this folder
            reports[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    Path(found).write_text(json.dumps(reports))
    np.savez(f"{found}.npz", **arrays)


def run(version, home, made, directory):
    """Lets a version open the folders; its reports and arrays."""
    found = directory / f"{version}.json"
    code = f"import sys; sys.argv = ['']; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import version_matrix, json;"
    code += f"version_matrix.open_all(json.load(open({str(directory / 'folders.json')!r})), {str(found)!r})"
    (directory / "folders.json").write_text(json.dumps({name: str(folder) for name, folder in made.items()}))
    path = {"PYTHONPATH": str(installed(version, home))}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **path}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"transformers {version}: {done.stderr[-3000:]}"
    return json.loads(found.read_text()), np.load(f"{found}.npz")


def compared(name, report, arrays, first):
    """What a version does otherwise than the first one that has the class: what is wrong, and the numbers."""
    if "error" in report:
        return [report["error"]], None
    first_report, first_arrays = first
    wrong = [f"{kind}: {', '.join(report[kind])}" for kind in ("missing", "unexpected") if report[kind]]
    keys = [key for key in first_arrays if key.startswith(f"{name}/")]
    outputs = levels = 0.0
    for key in keys:
        if key not in arrays or arrays[key].shape != first_arrays[key].shape:
            wrong.append(f"no {key.split('/')[1]} as before")
            continue
        apart = np.abs(arrays[key].astype(np.float64) - first_arrays[key])
        if key.endswith("/pixels"):
            levels = (apart * np.reshape(first_report["levels"], (-1, 1, 1))).max()
        else:
            outputs = max(outputs, apart.max() / np.sqrt((first_arrays[key].astype(np.float64) ** 2).mean()))
    if not outputs <= OUTPUTS:
        wrong.append(f"outputs differ by {outputs:.1e}")
    if not levels <= LEVELS:
        wrong.append(f"pixels differ by {levels:.1f} levels")
    return wrong, {"outputs": outputs, "levels": levels, "renamed": report["names"] != first_report["names"]}


def table(versions, results, names, classes):
    """The table in Markdown, and what is wrong, a sentence each."""
    problems, rows, renamed = [], [], {}
    for name in names:
        first, cells = None, []
        worst = {"outputs": 0.0, "levels": 0.0}
        for version in versions:
            report, arrays = results[version][0][name], results[version][1]
            if "absent" in report:
                cells.append((version, "absent"))
                continue
            if first is None and "error" not in report:
                first = report, arrays
            wrong, numbers = compared(name, report, arrays, first) if first else ([report["error"]], None)
            if wrong:
                problems.append(f"{name}, {version}: {'; '.join(wrong)}")
            else:
                worst = {key: max(worst[key], numbers[key]) for key in worst}
                if numbers["renamed"]:
                    renamed.setdefault(name, []).append(version)
            cells.append((version, "wrong" if wrong else "opens"))
        opens = [version for version, cell in cells if cell == "opens"]
        absent = [version for version, cell in cells if cell == "absent"]
        since = f"from {opens[0]} on" if absent and opens else "all"
        if len(opens) + len(absent) < len(cells):
            since = f"{len(opens)} of {len(cells) - len(absent)}"
        other = renamed.get(name)
        rows.append(f"| {name} | `{classes[name]}` | {since} | {worst['outputs']:.0e} | {worst['levels']:.2f} | {f'from {other[0]} on' if other else '–'} |")
    head = "| folder | class | versions that open it | outputs, at most | pixels, levels at most | other names in memory |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows]), problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", nargs="+", help="versions, or `ends`")
    parser.add_argument("--write", type=Path, help="a page whose table is replaced")
    arguments = parser.parse_args()
    import environment

    versions = released() if arguments.versions in (None, ["ends"]) else sorted(map(Version, arguments.versions))
    if arguments.versions == ["ends"]:
        versions = [versions[0], versions[len(versions) // 2], versions[-1]]
    home = environment.environments_home() / "versions"
    with tempfile.TemporaryDirectory() as scratch:
        made = folders(Path(scratch))
        classes = {name: json.loads((folder / "config.json").read_text())["architectures"][0] for name, folder in made.items()}
        results = {}
        for version in versions:
            print(f"transformers {version}", file=sys.stderr, flush=True)
            results[version] = run(version, home, made, Path(scratch))
        found, problems = table(versions, results, list(made), classes)
    listed = f"transformers {', '.join(map(str, versions))}:"
    print(f"{listed}\n\n{found}", *problems, sep="\n")
    if arguments.write:
        text = arguments.write.read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        arguments.write.write_text(f"{before}{BEGIN}\n\n{listed}\n\n{found}\n\n{END}{after}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
