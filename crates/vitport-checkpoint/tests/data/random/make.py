"""Writes the files next to this script, and expected.json: what torch.load gives for each of them.

Run with torch installed:  python make.py
The objects are drawn at random from a fixed seed: nestings, keys, dtypes, strides, storages that several tensors
share, pickle protocols, zip or legacy stream. Running it again changes only the memory addresses that torch
writes into legacy streams.
"""

import argparse
import collections
import hashlib
import io
import json
import pathlib
import random

import torch

HERE = pathlib.Path(__file__).parent
FILES = 48
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64",
}
# torch writes these into a legacy stream, but does not read them back.
NOT_LEGACY = {torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2}
WORDS = ["weight", "bias", "attn", "mlp", "0", "norm.1", "größe", "a b", "pos_embed", "", "x" * 40, "line\nbreak", "頭"]
DICTS = [dict, collections.OrderedDict, lambda items: collections.defaultdict(list, items)]


def storage(draw, dtype):
    """A storage of random bytes as a flat tensor; booleans are 0 or 1."""
    count = draw.choice([1, 2, 7, 24, 60])
    size = torch.empty(0, dtype=dtype).element_size()
    data = bytearray(draw.randbytes(count * size))
    if dtype is torch.bool:
        data = bytearray(byte & 1 for byte in data)
    return torch.frombuffer(data, dtype=torch.uint8).clone().view(dtype)


def view(draw, flat):
    """A random view of a flat tensor."""
    n = flat.numel()
    kind = draw.randrange(10)
    if kind == 0:
        return flat
    if kind == 1:
        return flat[draw.randrange(n)]
    if kind == 2:
        return flat[n:]
    if kind == 3:
        return flat[draw.randrange(n)::draw.randint(1, 4)]
    if kind == 4:
        at = draw.randrange(n)
        return flat[at:at + 3].unsqueeze(draw.randrange(2)).expand(*draw.choice([(3, -1), (-1, -1)])) \
            if n - at >= 3 else flat[at:at + 1].expand(draw.randint(0, 5))
    if kind in (5, 6) and n >= 24:
        shape = draw.choice([(2, 3, 4), (4, 6), (24,), (3, 1, 8), (2, 2, 2, 3), (1, 24)])
        start = draw.randint(0, n - 24)
        cut = flat[start:start + 24].view(shape)
        cut = cut.permute(*draw.sample(range(cut.dim()), cut.dim()))
        return cut[..., draw.randrange(2)::draw.choice([1, 2])] if kind == 6 else cut
    # Any sizes and strides that fit, overlapping ones too.
    shape, stride, room = [], [], n - 1
    for _ in range(draw.randint(0, 4)):
        size = draw.randint(0, 4)
        step = draw.randint(0, room // max(size - 1, 1)) if size > 1 else draw.randint(0, 9)
        room -= max(size - 1, 0) * step
        shape.append(size)
        stride.append(step)
    return flat.as_strided(shape, stride, draw.randint(0, room))


class Pool:
    """The storages of one file."""

    def __init__(self, legacy):
        self.dtypes = [dtype for dtype in DTYPES if not (legacy and dtype in NOT_LEGACY)]
        self.storages = []


def tensor(draw, pool):
    if not pool.storages or draw.random() < 0.6:
        pool.storages.append(storage(draw, draw.choice(pool.dtypes)))
    out = view(draw, draw.choice(pool.storages))
    if out.dtype is torch.complex64 and draw.random() < 0.6:
        out = draw.choice([out.conj(), out.conj().imag])
    if out.dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16) and not out.is_neg() and draw.random() < 0.2:
        out = torch.nn.Parameter(out, requires_grad=draw.random() < 0.5)
    return out


def plain(draw):
    return draw.choice([
        None, True, 0, 255, 65536, -1, -(1 << 40), 1 << 70, 1.5, float("nan"), "", "text", "ünï", b"\xff\0", (), [], {},
        (1, "two"), [1, [2, [3]]], {"lr": 0.1}, {1, 2}, argparse.Namespace(lr=0.1, nested=argparse.Namespace(depth=2)),
        torch.Size([2, 3]), torch.float16, torch.device("cpu"), 1 + 2j, "long " * 60,
    ])


def key(draw, taken):
    """A key whose text no other key of the dict has."""
    while True:
        made = draw.choice(WORDS) if draw.random() < 0.7 else draw.choice([draw.randint(-3, 300), None, f"k{draw.random():.6f}"])
        if str(made) not in taken:
            taken.add(str(made))
            return made


def value(draw, pool, made, depth):
    chance = draw.random()
    if made and chance < 0.08:
        return draw.choice(made)
    if chance < 0.2:
        return plain(draw)
    if depth == 0 or chance < 0.65:
        out = tensor(draw, pool)
    else:
        out = nest(draw, pool, made, depth - 1)
    made.append(out)
    return out


def nest(draw, pool, made, depth):
    kind = draw.randrange(7)
    values = [value(draw, pool, made, depth) for _ in range(draw.randint(1, 6))]
    if kind < 4:
        taken = set()
        return draw.choice(DICTS)([(key(draw, taken), v) for v in values])
    if kind == 4:
        return values
    if kind == 5:
        return tuple(values)
    return argparse.Namespace(**{f"field_{i}": v for i, v in enumerate(values)})


def leaves(obj, path=()):
    """Every tensor with its dotted path, in the order of the object."""
    if isinstance(obj, torch.Tensor):
        yield ".".join(path) if path else "tensor", obj
    elif isinstance(obj, dict):
        for k, v in obj.items():
            yield from leaves(v, (*path, str(k)))
    elif isinstance(obj, (list, tuple)) and not isinstance(obj, torch.Size):
        for i, v in enumerate(obj):
            yield from leaves(v, (*path, str(i)))
    elif isinstance(obj, argparse.Namespace):
        yield from leaves(vars(obj), path)


def row(name, tensor):
    whole = tensor.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    data = whole.reshape(-1).view(torch.uint8).numpy().tobytes() if whole.numel() else b""
    return [name, DTYPES[tensor.dtype], list(tensor.shape), hashlib.sha256(data).hexdigest()]


def main():
    expected = {}
    number = 0
    draw = random.Random(1)
    while len(expected) < FILES:
        protocol, legacy = 2 + number % 4, number % 3 == 2
        number += 1
        pool, made = Pool(legacy), []
        obj = tensor(draw, pool) if draw.random() < 0.04 else nest(draw, pool, made, draw.randint(0, 4))
        if not 1 <= sum(1 for _ in leaves(obj)) <= 60:
            continue
        file = f"{len(expected):02}-protocol{protocol}{'-legacy' if legacy else ''}.pth"
        written = io.BytesIO()
        try:
            torch.save(obj, written, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
        except RuntimeError as refused:
            assert "view the same data as different types" in str(refused)
            continue
        (HERE / file).write_bytes(written.getvalue())
        loaded = torch.load(HERE / file, weights_only=False)
        rows = [row(name, t) for name, t in leaves(loaded)]
        assert rows == [row(name, t) for name, t in leaves(obj)], file
        expected[file] = rows
    lines = (f"{json.dumps(file)}: [\n" + ",\n".join(map(json.dumps, rows)) + "]" for file, rows in expected.items())
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "}\n")


main()
