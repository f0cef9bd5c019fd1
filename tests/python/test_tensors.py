"""Tensors are, byte for byte, what torch, NumPy and safetensors read from the same files."""
import hashlib
import json
import math
import os
import subprocess
import sys

import numpy
import pytest
from conftest import FILES, TWIN

import vitport
from vitport._frameworks import TORCH


def described(state_dict, names):
    """Names, dtypes, shapes and sha256 of arrays, as the golden file has them."""
    of = {TORCH[name]: name for name in TORCH}
    return [
        [name, of[str(array.dtype)], list(array.shape), hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()]
        for name, array in zip(names, state_dict.values())
    ]


@pytest.mark.parametrize("mmap", [False, True])
def test_every_format_reads_as_its_own_library_reads_it(golden, mmap):
    for file, wanted in golden.items():
        state_dict = vitport.load_state_dict(FILES / file, mmap=mmap)
        found = described(state_dict, state_dict)
        if wanted.get("unordered"):
            found.sort(key=str)
        assert sorted(found, key=str) == sorted(wanted["tensors"], key=str), file
        if not wanted.get("unordered"):
            assert [row[0] for row in found] == [row[0] for row in wanted["tensors"]], file


def test_lazily_read_tensors_are_the_same(golden):
    for file, wanted in golden.items():
        with vitport.open(FILES / file) as state_dict:
            assert state_dict.root == wanted["root"], file
            found = described({name: state_dict.get_tensor(name) for name in state_dict}, state_dict)
        assert sorted(found, key=str) == sorted(wanted["tensors"], key=str), file


def test_a_key_selects_a_part():
    averaged = vitport.load_state_dict(FILES / "ema.pth")
    trained = vitport.load_state_dict(FILES / "ema.pth", key="state_dict")
    assert averaged.keys() == trained.keys()
    assert any((averaged[name] != trained[name]).any() for name in averaged)


@pytest.mark.parametrize("mmap", [False, True])
def test_arrays_are_writable_and_the_files_stay_as_they_are(tmp_path, mmap):
    file = tmp_path / "model.safetensors"
    file.write_bytes((TWIN / "model.safetensors").read_bytes())
    before = file.read_bytes()
    state_dict = vitport.load_state_dict(file, mmap=mmap)
    for array in state_dict.values():
        array[...] = 0
        assert array.flags.c_contiguous and array.flags.aligned
    assert file.read_bytes() == before
    assert any(array.any() for array in vitport.load_state_dict(file).values())


def test_damage_is_noticed_where_the_format_has_checksums(tmp_path):
    damaged = bytearray((FILES / "small.pth").read_bytes())
    with vitport.open(FILES / "small.pth") as state_dict:
        _, begin = state_dict._reader.place(next(iter(state_dict)))
    damaged[begin] ^= 1
    file = tmp_path / "damaged.pth"
    file.write_bytes(damaged)
    with pytest.raises(vitport.UnreadableError, match="CRC-32"):
        vitport.load_state_dict(file)
    vitport.load_state_dict(file, mmap=True)


INDICES = [
    (slice(None),),
    (slice(1, 3),),
    (slice(None, None, 2),),
    (slice(-2, None),),
    (slice(2, 1),),
    (0,),
    (-1,),
    (Ellipsis,),
    (Ellipsis, 0),
    (slice(1, 3), slice(0, 2)),
    (1, Ellipsis, slice(0, 1)),
    (),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_a_slice_is_numpys(index):
    with vitport.open(FILES / "views.pth") as state_dict:
        for name in state_dict:
            view = state_dict.get_slice(name)
            whole = state_dict[name]
            assert view.get_shape() == list(whole.shape) and view.get_dtype() in TORCH
            if len(view.get_shape()) >= max(1, len(index) - index.count(Ellipsis)) and 0 not in whole.shape:
                try:
                    wanted = whole[index]
                except IndexError:
                    with pytest.raises(IndexError):
                        view[index]
                    continue
                got = view[index[0]] if len(index) == 1 else view[index]
                assert numpy.array_equal(got, wanted) and got.shape == wanted.shape, (name, index)


def test_a_lazy_file_is_a_mapping():
    state_dict = vitport.open(FILES / "small.pth")
    assert len(state_dict) == len(list(state_dict.keys())) and "stem.weight" in state_dict
    assert "there is none" not in state_dict
    with pytest.raises(KeyError):
        state_dict["there is none"]
    with pytest.raises(KeyError):
        state_dict.get_slice("there is none")
    state_dict.close()
    with pytest.raises(ValueError, match="closed"):
        state_dict["stem.weight"]


def test_a_framework_that_is_not_there_is_an_import_error():
    with pytest.raises(ValueError, match="framework"):
        vitport.load_state_dict(FILES / "small.pth", framework="jax")
    script = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import vitport\n"
        "try: vitport.load_state_dict(sys.argv[1])\n"
        "except ImportError as error: print(error.name, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, FILES / "dtypes.pth"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("ml_dtypes NumPy has no bfloat16"), run


def test_tensors_are_torchs():
    """With torch, in the environment that has it: the same tensors as torch.load's, bit for bit, in the same order."""
    python = os.environ.get("VITPORT_TORCH_PYTHON")
    if not python:
        pytest.skip("VITPORT_TORCH_PYTHON names no interpreter with torch")
    site = os.path.dirname(os.path.dirname(vitport.__file__))
    script = """
import sys
site, folder = sys.argv[1:3]
import torch
sys.path.append(site)
import vitport
for file in sys.argv[3:]:
    wanted = torch.load(f"{folder}/{file}", weights_only=True, map_location="cpu")
    for mmap in (False, True):
        found = vitport.load_state_dict(f"{folder}/{file}", framework="torch", mmap=mmap, key="")
        assert list(found) == list(wanted), file
        for name, tensor in wanted.items():
            mine = found[name]
            assert mine.dtype == tensor.dtype and mine.shape == tensor.shape, (file, name)
            plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
            assert torch.equal(mine.reshape(-1).view(torch.uint8), plain.reshape(-1).view(torch.uint8)), (file, name)
        for mine in found.values():
            mine.zero_()
    with vitport.open(f"{folder}/{file}", framework="torch", key="") as lazy:
        assert all(lazy[name].shape == tensor.shape for name, tensor in wanted.items())
print("the same")
"""
    files = ["small.pth", "small.legacy.pth", "dtypes.pth", "views.pth", "zip64.pth"]
    run = subprocess.run([python, "-c", script, site, FILES, *files], capture_output=True, text=True)
    assert run.stdout == "the same\n", run.stderr
