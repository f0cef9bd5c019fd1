"""Writes the files next to this script, and expected.json: what torch and numpy say is in them.

Run with torch, numpy and safetensors installed:  python make.py
Small tensors with seeded values; running it again changes only the memory addresses and serialization
ids that torch writes into some files.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pathlib
import pickle
import struct
import sys
import tarfile
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
EXPECTED = {}
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64",
}


def row(name, tensor):
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().cpu()
    data = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return [name, NAMES[tensor.dtype], list(tensor.shape), hashlib.sha256(data).hexdigest()]


def array_row(name, array):
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    code = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "u1": "U8", "b1": "BOOL", "c8": "C64"}
    return [name, code[array.dtype.str[1:]], list(array.shape), hashlib.sha256(little.tobytes()).hexdigest()]


def expect(file, state_dict, root=""):
    rows = [array_row(k, v) if isinstance(v, np.ndarray) else row(k, v) for k, v in state_dict.items()]
    EXPECTED[file] = {"root": root, "tensors": rows}


def save(file, obj, state_dict, root="", **options):
    torch.save(obj, HERE / file, **options)
    expect(file, state_dict, root)


def rand(*shape):
    return torch.randn(*shape)


def small():
    """A plain state dict, in an order that is not the alphabet's."""
    return collections.OrderedDict(
        [("stem.weight", rand(4, 3, 2, 2)), ("stem.bias", rand(4)), ("blocks.0.norm.weight", rand(4)),
         ("blocks.0.attn.qkv.weight", rand(12, 4)), ("head.bias", rand(3)), ("a.counter", torch.tensor(7))]
    )


def all_dtypes():
    state = collections.OrderedDict()
    for dtype in NAMES:
        values = torch.arange(-3, 9).reshape(3, 4)
        state[f"t.{NAMES[dtype]}"] = (values + 2j * values if dtype.is_complex else values.abs()).to(dtype)
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.empty(0, 3)
    return state


def views():
    base = torch.arange(120.0).reshape(2, 3, 4, 5) + 0.25
    flat = torch.arange(40.0)
    z = torch.complex(rand(6), rand(6))
    state = collections.OrderedDict()
    state["contiguous"] = base
    state["shared"] = base
    state["transposed"] = base[0, 0].t()
    state["permuted"] = base.permute(3, 1, 0, 2)
    state["channels_last"] = rand(4, 3, 5, 5).to(memory_format=torch.channels_last)
    state["sliced"] = base[:, 1:, ::2, 1:4]
    state["offset"] = flat[7:19]
    state["stepped"] = flat[3::4]
    state["expanded"] = flat[5:8].unsqueeze(1).expand(3, 6)
    state["broadcast_scalar"] = torch.tensor(3.0).expand(2, 4)
    state["overlapping"] = flat.as_strided((5, 4), (2, 1), 1)
    state["one_by_one"] = base[:1, :1, :1, :1]
    state["empty_view"] = base[:, :0]
    state["half.transposed"] = rand(5, 7).half().t()
    state["conj"] = z.conj()
    state["conj.strided"] = z[::2].conj()
    state["neg"] = torch.complex(rand(4), rand(4)).conj().imag
    return state


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.register_buffer("index", torch.arange(4))
        self.register_buffer("mask", torch.ones(2), persistent=False)
        self.scale = torch.nn.Parameter(rand(2))
        self.unused = None
        self.cache = rand(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.fc(x)) * self.scale


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.token = torch.nn.Parameter(rand(1, 1, 3))
        self.first = Block()
        self.rest = torch.nn.Sequential(torch.nn.Linear(2, 3), Block())
        self.head = torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rest(self.first(x + self.token[0])))


def rezip(source, target, folder=None, swap=None, extra=(), **options):
    """The entries of a torch file in a zip of Python's."""
    with zipfile.ZipFile(HERE / source) as old, zipfile.ZipFile(HERE / target, "w", **options) as new:
        for entry in old.infolist():
            name = entry.filename.split("/", 1)[1]
            data = old.read(entry)
            if swap:
                name, data = swap(name, data)
            info = zipfile.ZipInfo(name if folder is None else f"{folder}/{name}", (2020, 1, 1, 0, 0, 0))
            info.compress_type = options.get("compression", zipfile.ZIP_STORED)
            with new.open(info, "w", force_zip64=True) as out:
                out.write(data)
        for name, data in extra:
            new.writestr(zipfile.ZipInfo(name), data)


class Unseekable(io.RawIOBase):
    """Makes zipfile write its sizes after the data."""

    def __init__(self, path):
        self.file = open(path, "wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()
        super().close()


def old_legacy(file):
    """A legacy stream with a storage that is a part of another one, as PyTorch 0.3 wrote them."""
    root = torch.arange(20.0)

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return obj.id if isinstance(obj, Storage) else None

    class Storage:
        def __init__(self, view):
            self.id = ("storage", torch.FloatStorage, "10", "cpu", 20, view)

    class Tensor:
        def __init__(self, *args):
            self.args = args

        def __reduce__(self):
            return (torch._utils._rebuild_tensor, self.args)

    obj = collections.OrderedDict(
        [("whole", Tensor(Storage(None), 2, (3, 4), (4, 1))), ("part", Tensor(Storage(("11", 5, 10)), 1, (2, 3), (1, 2)))]
    )
    out = io.BytesIO()
    for thing in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
        pickle.dump(thing, out, 2)
    Pickler(out, 2).dump(obj)
    pickle.dump(["10"], out, 2)
    out.write(struct.pack("<q", 20) + root.numpy().tobytes())
    (HERE / file).write_bytes(out.getvalue())
    expect(file, {"whole": root[2:14].reshape(3, 4), "part": root[5:15].clone().as_strided((2, 3), (1, 2), 1)})
    loaded = torch.load(HERE / file, weights_only=False)
    assert all(row(k, loaded[k]) == r for k, r in zip(loaded, EXPECTED[file]["tensors"]))


def old_tar(file):
    """PyTorch's tar format, written after its reader, `legacy_load` in torch/serialization.py."""
    a, b = torch.arange(12.0), torch.arange(6)
    storages = io.BytesIO()
    pickle.dump(2, storages, 2)
    for key, kind, tensor in ((1001, torch.FloatStorage, a), (1002, torch.LongStorage, b)):
        pickle.dump((key, "cpu", kind), storages, 2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
    pickle.dump([(1003, 1001, 4, 8)], storages, 2)
    tensors = io.BytesIO()
    pickle.dump(3, tensors, 2)
    for key, storage, kind, size, stride, offset in (
        (2001, 1001, torch.FloatTensor, (3, 4), (4, 1), 0),
        (2002, 1002, torch.LongTensor, (6,), (1,), 0),
        (2003, 1003, torch.FloatTensor, (2, 3), (1, 2), 1),
    ):
        pickle.dump((key, storage, kind), tensors, 2)
        tensors.write(struct.pack(f"<i4x{2 * len(size)}qq", len(size), *size, *stride, offset))

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return obj.key if isinstance(obj, Tensor) else None

    class Tensor:
        def __init__(self, key):
            self.key = key

    obj = collections.OrderedDict([("float", Tensor(2001)), ("long", Tensor(2002)), ("part", Tensor(2003))])
    pickled = io.BytesIO()
    Pickler(pickled, 2).dump(obj)
    with tarfile.open(HERE / file, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("sys_info", b""), ("pickle", pickled.getvalue()), ("tensors", tensors.getvalue()),
                           ("storages", storages.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    expect(file, {"float": a.reshape(3, 4), "long": b, "part": a[4:12].clone().as_strided((2, 3), (1, 2), 1)})
    loaded = torch.load(HERE / file, weights_only=False)
    assert all(row(k, loaded[k]) == r for k, r in zip(loaded, EXPECTED[file]["tensors"]))


def main():
    os.chdir(HERE)
    torch.manual_seed(0)
    sys.modules["net"] = sys.modules["__main__"]

    dtypes = all_dtypes()
    save("dtypes.pth", dtypes, dtypes)
    state = small()
    save("small.pth", state, state)
    save("small.legacy.pth", state, state, _use_new_zipfile_serialization=False)
    seen = views()
    save("views.pth", seen, seen)
    unlazy = {k: v for k, v in seen.items() if k not in ("conj", "conj.strided", "neg")}
    save("views.legacy.pth", unlazy, unlazy, _use_new_zipfile_serialization=False)
    old_legacy("old_views.legacy.pth")
    old_tar("old.tar")

    # Protocols.
    for protocol in (1, 2, 3, 4, 5):
        save(f"protocol{protocol}.pth", state, state, pickle_protocol=protocol)
    save("protocol1.legacy.pth", state, state, pickle_protocol=1, _use_new_zipfile_serialization=False)
    for protocol in (0, 1, 2, 3, 4, 5):
        with open(f"plain{protocol}.pkl", "wb") as out:
            pickle.dump(state, out, protocol)
        expect(f"plain{protocol}.pkl", state)
    arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
              "i": np.arange(3), "big": np.arange(4, dtype=">f4")}
    for protocol in (2, 4, 5):
        with open(f"arrays{protocol}.pkl", "wb") as out:
            pickle.dump({"model": arrays, "__author__": "me"}, out, protocol)
        expect(f"arrays{protocol}.pkl", arrays, "model")

    # Devices.
    tag = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: "cuda:1"
    save("cuda.pth", state, state)
    torch.serialization.location_tag = tag

    # Training runs.
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    net(rand(4, 3)).sum().backward()
    optimizer.step()
    averaged = collections.OrderedDict((k, v + 1) for k, v in net.state_dict().items())
    args = argparse.Namespace(model="vit_tiny", lr=1e-3, mean=[0.5, 0.25], nested=argparse.Namespace(depth=12))
    run = {"epoch": 3, "arch": "vit_tiny_patch16_224", "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(),
           "args": args, "best": np.float64(0.75), "step": np.int64(12), "flag": np.bool_(True), "single": np.float32(0.5),
           "rng": torch.get_rng_state()[:8], "random": np.random.RandomState(0).get_state()}
    save("train.pth", run, net.state_dict(), "state_dict")
    save("train.legacy.pth", run, net.state_dict(), "state_dict", _use_new_zipfile_serialization=False)
    save("ema.pth", {"state_dict": net.state_dict(), "state_dict_ema": averaged, "epoch": 1}, averaged, "state_dict_ema")
    save("dino.pth", {"student": averaged, "teacher": net.state_dict()}, net.state_dict(), "teacher")
    save("deep.pth", {"ckpt": {"model": {"weights": net.state_dict()}}}, net.state_dict(), "ckpt.model.weights")
    save("gan.pth", {"left": net.state_dict(), "right": averaged}, net.state_dict())
    del EXPECTED["gan.pth"]
    counter = collections.Counter(a=2)
    default = collections.defaultdict(list, {"history": [1, 2]})
    odd = {"state_dict": net.state_dict(), "counter": counter, "default": default, "set": {1, 2}, "frozen": frozenset("a"),
           "bytes": b"\xff\x00", "array": bytearray(b"ab"), "complex": 1 + 2j, "big": 1 << 80, "negative": -(1 << 40),
           "size": torch.Size([2, 3]), "device": torch.device("cpu"), "dtype": torch.float16, "none": None,
           "text": "größe\n", "float": 1.5, 3: "three", (1, 2): "pair"}
    save("odd.pth", odd, net.state_dict(), "state_dict")
    alone = rand(2, 3)
    save("tensor.pth", alone, {"tensor": alone})
    pair = [rand(2), rand(3)]
    save("list.pth", pair, {"0": pair[0], "1": pair[1]})
    parameters = collections.OrderedDict(
        plain=torch.nn.Parameter(rand(3)), buffer=torch.nn.Buffer(rand(2)), frozen=torch.nn.Parameter(rand(2), False)
    )
    parameters["plain"].tag = "kept beside"
    save("parameters.pth", parameters, parameters)

    # Whole modules.
    module = Net().eval()
    for kind in (Block, Net):
        kind.__module__ = "net"
    save("module.pt", module, module.state_dict())
    save("module.legacy.pt", module, module.state_dict(), _use_new_zipfile_serialization=False)
    save("module_inside.pt", {"epoch": 1, "model": module}, module.state_dict(), "model")
    for kind in (Block, Net):
        kind.__module__ = "__main__"
    scripted = torch.jit.script(Net().eval())
    scripted.save("script.pt")
    expect("script.pt", torch.jit.load("script.pt").state_dict())
    traced = torch.jit.trace(Net().eval(), rand(2, 3))
    traced.save("trace.pt")
    expect("trace.pt", torch.jit.load("trace.pt").state_dict())

    # Zips of other writers.
    rezip("small.pth", "deflated.pth", "another name", compression=zipfile.ZIP_DEFLATED)
    rezip("small.pth", "zip64.pth", "archive")
    rezip("small.pth", "no_folder.pth")
    with zipfile.ZipFile("small.pth") as old, zipfile.ZipFile(Unseekable("streamed.pth"), "w") as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry))
    small_bytes = pathlib.Path("small.pth").read_bytes()
    pathlib.Path("padded.pth").write_bytes(b"\0" * 512 + small_bytes + b"\0" * 64)
    pathlib.Path("trailing.pth").write_bytes(small_bytes + b"\0" * 100)
    for file in ("deflated.pth", "zip64.pth", "no_folder.pth", "streamed.pth", "padded.pth", "trailing.pth"):
        expect(file, state)
    torch.serialization.set_crc32_options(False)
    save("no_crc.pth", state, state)
    torch.serialization.set_crc32_options(True)

    # Big-endian.
    sizes = {f"data/{i}": t.element_size() for i, t in enumerate(state.values())}

    def swap(name, data):
        if name == "byteorder":
            return name, b"big"
        if name in sizes:
            data = np.frombuffer(data, f"<u{sizes[name]}").astype(f">u{sizes[name]}").tobytes()
        return name, data

    rezip("small.pth", "big_endian.pth", "archive", swap)
    expect("big_endian.pth", state)
    assert torch.equal(torch.load("big_endian.pth")["stem.weight"], state["stem.weight"])

    # Tensors without plain elements.
    torch.save({"w": rand(2), "sparse": torch.eye(3).to_sparse()}, "sparse.pth")
    torch.save({"w": rand(2), "csr": torch.eye(3).to_sparse_csr()}, "sparse_csr.pth")
    torch.save({"w": torch.quantize_per_tensor(rand(3), 0.1, 0, torch.qint8)}, "quantized.pth")
    torch.save({"w": torch.nested.nested_tensor([rand(2), rand(3)])}, "nested.pth")
    torch.save({"w": torch.empty(2, device="meta")}, "meta.pth")
    torch.save({"w": rand(2).to(torch.complex128)}, "complex128.pth")
    save("sparse_beside.pth", {"state_dict": net.state_dict(), "extra": {"s": torch.eye(3).to_sparse()}},
         net.state_dict(), "state_dict")

    # numpy archives.
    stored = {"Transformer/encoderblock_0/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
              "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)), "half": np.arange(5, dtype=np.float16),
              "bool": np.array([True, False]), "big": np.arange(6, dtype=">f4"), "step": np.int64(7),
              "complex": np.array([1 + 2j], np.complex64), "empty": np.zeros((0, 2), np.int32), "byte": np.arange(3, dtype=np.uint8)}
    stored = {k: np.asarray(v) for k, v in stored.items()}
    np.savez("arrays.npz", **stored)
    np.savez_compressed("arrays_compressed.npz", **stored)
    np.savez("text.npz", w=stored["half"], names=np.array(["a", "bc"]))
    expect("arrays.npz", stored)
    expect("arrays_compressed.npz", stored)
    expect("text.npz", {"w": stored["half"]})
    np.savez("object.npz", w=np.array([1, "a", None], dtype=object))

    # safetensors, single and in shards.
    plain = {k: v.contiguous() for k, v in dtypes.items()}
    save_file(plain, "dtypes.safetensors", metadata={"format": "pt", "note": "größe"})
    from safetensors import safe_open

    with safe_open("dtypes.safetensors", "pt") as file:
        order = json.loads(pathlib.Path("dtypes.safetensors").read_bytes()[8:].split(b"}}")[0] + b"}}")
        expect("dtypes.safetensors", {k: file.get_tensor(k) for k in order if k != "__metadata__"})
    for folder, ending, index in (("shards", "safetensors", "model.safetensors.index.json"),
                                  ("bins", "bin", "pytorch_model.bin.index.json")):
        os.makedirs(folder, exist_ok=True)
        names = list(state)
        parts = {f"part-{i}-of-2.{ending}": names[i - 1::2] for i in (1, 2)}
        rows = {}
        for part, keys in parts.items():
            shard = {k: state[k].clone() for k in keys}
            if ending == "bin":
                torch.save(shard, f"{folder}/{part}")
            else:
                save_file(shard, f"{folder}/{part}")
            rows.update(shard)
        weight_map = {k: part for part, keys in parts.items() for k in keys}
        (HERE / folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}, indent=2))
        expect(folder, rows)
        EXPECTED[folder]["tensors"].sort()
        EXPECTED[folder]["unordered"] = True

    (HERE / "expected.json").write_text(
        "{\n" + ",\n".join(f' "{k}": {json.dumps(v)}' for k, v in EXPECTED.items()) + "\n}\n"
    )


main()
