"""Writes the seed corpora of the fuzz targets out of the reader's test files.

Run from anywhere:  python fuzz/seeds.py
Then:               cargo fuzz run pickle      (in this folder; needs a nightly compiler)
"""

import pathlib
import struct
import tarfile
import zipfile

HERE = pathlib.Path(__file__).parent
DATA = HERE.parent / "crates/vitport-checkpoint/tests/data"


def seed(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


for path in sorted(DATA.iterdir()):
    if path.is_dir() or path.suffix in (".py", ".md", ".json"):
        continue
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        seed("safetensors", path.name, data)
        seed("safetensors", path.name + ".body", data[8:])
    elif path.name == "old.tar":
        with tarfile.open(path) as tar:
            members = [tar.extractfile(name).read() for name in ("storages", "tensors", "pickle")]
        seed("tar", path.name, b"".join(struct.pack("<H", len(m)) + m for m in members))
    elif data.startswith(b"PK") and path.name != "no_crc.pth":
        if len(data) < 8192:
            seed("zip", path.name, data)
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.endswith("data.pkl"):
                    seed("pickle", path.name, archive.read(entry))
                    if path.name in ("script.pt", "trace.pt"):
                        code = b"".join(archive.read(e) for e in archive.namelist() if e.endswith(".py"))
                        seed("script", path.name, code + b"\0" + archive.read(entry))
                if entry.endswith(".npy"):
                    seed("npy", path.name + entry.replace("/", "_"), archive.read(entry))
    else:
        seed("legacy", path.name, data)
seed("index", "a", b'{"weight_map": {"a": "1.safetensors"}}')
seed("index", "b", b'{"metadata": {}, "weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "../x"}}')
