"""What `verify` says of mutants of a folder, next to what both versions of transformers make of them.

One Python process for each version stays alive. Mutants are made, judged and removed a batch at a time. All that `verify` calls
the same are opened; of the others, which can only be needless alarms, a fixed share.
"""
import json
import os
import shutil
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor

import environment
import mutants

BATCH = 40


def verdict(source, flags, place):
    """The exit code of `verify`, and its reasons."""
    process = environment.run("verify", source, place, *flags, "--json")
    try:
        document = json.loads(process.stdout)
    except ValueError:
        return process.returncode, process.stderr[-300:]
    report = document.get("report", document)
    return process.returncode, report.get("reasons") or document.get("error")


class Judge:
    """Opens, of the mutants that `verify` does not call the same, one in `share`. The file that `VITPORT_MUTANTS_REPORT` names gets
    each row as it is found."""

    def __init__(self, directory, share=1):
        self.directory, self.share = directory, share
        self.report = open(os.environ.get("VITPORT_MUTANTS_REPORT") or os.devnull, "a")

    def __enter__(self):
        self.versions = {}
        for major in environment.MAJORS:
            python = environment.environments_home() / f"v{major}/bin/python"
            command = [python, environment.ROOT / "tests/interop/open_mutants.py"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.versions[major] = subprocess.Popen(command, text=True, **pipes)
        return self

    def __exit__(self, *_):
        for process in self.versions.values():
            process.stdin.close()
            process.wait()
        self.report.close()

    def rows(self, family, folder, source, flags, count=None):
        """A row of every mutant of a folder, or of a fixed sample of them."""
        changes = mutants.changes(folder, count)
        for start in range(0, len(changes), BATCH):
            place = self.directory / "batch"
            try:
                yield from self.batch(family, folder, source, flags, mutants.make(folder, place, changes[start : start + BATCH]))
            finally:
                shutil.rmtree(place)

    def batch(self, family, folder, source, flags, places):
        with ThreadPoolExecutor(2) as pool:
            found = dict(zip(places, pool.map(lambda place: verdict(source, flags, place), places.values())))
        opened = {name: str(place) for name, place in places.items() if found[name][0] == 0 or self.is_tried(family, name)}
        for process in self.versions.values():
            print(json.dumps({"folder": str(folder), "mutants": opened}), file=process.stdin, flush=True)
        said = {major: json.loads(process.stdout.readline()) for major, process in self.versions.items()}
        for name, (code, reasons) in found.items():
            of_versions = {f"v{major}": said[major].get(name, "not tried") for major in said}
            row = {"family": family, "name": name, "exit": code, "reasons": reasons, **of_versions}
            print(json.dumps(row), file=self.report, flush=True)
            yield row

    def is_tried(self, family, name):
        return zlib.crc32(f"{family} {name}".encode()) % self.share == 0
