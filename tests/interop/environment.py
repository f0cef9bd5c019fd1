"""The binary under test, and the two Python environments that open what it writes."""
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAJORS = (4, 5)


def environments_home():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VITPORT_INTEROP_HOME") or Path(cache) / "vitport-interop")


def binary():
    return Path(os.environ.get("VITPORT") or ROOT / "target/release/vitport").resolve()


def run(*arguments, timeout=120):
    """Runs vitport where its output cannot be a terminal; returns the finished process, never raises."""
    command = [str(binary()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def convert(source, folder, *flags):
    return run("convert", source, "-o", folder, *flags)


def open_folders(jobs, images, directory):
    """Opens every folder in both versions; {4: {name: report}, 5: …}."""
    work = directory / "work.json"
    work.write_text(json.dumps({"images": [str(p) for p in images], "jobs": jobs}))
    running = {}
    for major in MAJORS:
        python = environments_home() / f"v{major}" / "bin" / "python"
        script = Path(__file__).with_name("open_folders.py")
        with (directory / f"v{major}.log").open("w") as log:
            command = [python, script, work, directory / f"v{major}.json"]
            running[major] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    reports = {}
    for major, process in running.items():
        process.wait()
        log = (directory / f"v{major}.log").read_text()
        assert process.returncode == 0, f"transformers {major} could not be run:\n{log[-3000:]}"
        result = json.loads((directory / f"v{major}.json").read_text())
        assert result["transformers"].startswith(f"{major}."), result["transformers"]
        reports[major] = result["reports"]
    return reports
