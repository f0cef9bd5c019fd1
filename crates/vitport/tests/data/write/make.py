"""Writes the golden values of the tests of writing next to this file.

Run with torch 2.15, numpy, huggingface_hub 0.36 and transformers 4.57.6:  python make.py
"""

import json
import pathlib

import numpy
import torch
from huggingface_hub import split_torch_state_dict_into_shards

HERE = pathlib.Path(__file__).parent


def bits(tensor):
    """The elements' bits, as numbers."""
    width = tensor.element_size()
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
    return [value & (1 << 8 * width) - 1 for value in tensor.view(integer).tolist()]


def casts():
    """Every cast that is written, on values that tell roundings apart, as bits of the source and of the target."""
    torch.manual_seed(0)
    edges = [0.0, -0.0, 1.0, 65504.0, 65519.0, -65519.9, 2**-24, 2**-25, 2**-25 * 1.0001, 2**-14, 6.1e-5, 3e38, 1e-40]
    edges += [float("inf"), float("-inf"), 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-24, 1 + 3 * 2**-24]
    normal = torch.cat([torch.tensor(edges, dtype=torch.float64), torch.randn(43, dtype=torch.float64)])
    single = normal.to(torch.float32)
    small = single[(single.abs() < 65520) | single.isinf()]
    double = normal[(normal.abs() < 65520) | normal.isinf()]
    # Between two float16 values, nearer to one of them by less than float32 shows.
    double = torch.cat([double, torch.tensor([1 + 2**-11 + 2**-40, -1 - 3 * 2**-11 + 2**-40], dtype=torch.float64)])
    bytes_ = torch.arange(256, dtype=torch.int16).to(torch.uint8)
    # NaN has many spellings, and which one a cast writes is nobody's concern.
    e4m3 = bytes_[(bytes_ & 127) != 127].view(torch.float8_e4m3fn)
    e5m2 = bytes_[(bytes_ & 127) <= 124].view(torch.float8_e5m2)
    cases = []

    def case(source, target, dtype):
        cases.append({"from": dtype, "to": target[0], "source": bits(source), "target": target[1]})

    for name, dtype in [("F64", torch.float64), ("F16", torch.float16), ("BF16", torch.bfloat16)]:
        source = small if name == "F16" else single
        case(source, (name, bits(source.to(dtype))), "F32")
    case(normal, ("F32", bits(normal.to(torch.float32))), "F64")
    # torch goes from float64 to float16 by float32 and rounds twice; numpy rounds once.
    case(double, ("F16", double.numpy().astype(numpy.float16).view(numpy.uint16).tolist()), "F64")
    for name, dtype in [("F64", torch.float64), ("F32", torch.float32)]:
        case(small.half(), (name, bits(small.half().to(dtype))), "F16")
        case(single.bfloat16(), (name, bits(single.bfloat16().to(dtype))), "BF16")
    case(small.half(), ("BF16", bits(small.half().bfloat16())), "F16")
    brief = small.bfloat16()
    brief = brief[(brief.abs() < 65520) | brief.isinf()]
    case(brief, ("F16", bits(brief.half())), "BF16")
    for name, dtype in [("F32", torch.float32), ("F16", torch.float16), ("BF16", torch.bfloat16)]:
        case(e4m3, (name, bits(e4m3.to(dtype))), "F8_E4M3")
        case(e5m2, (name, bits(e5m2.to(dtype))), "F8_E5M2")
    return cases


def shards():
    """How huggingface_hub splits tensors of these sizes, and the index that transformers' save_pretrained writes then."""
    cases = []
    for sizes, limit in [
        ([6, 6, 2, 6, 2, 2], 40),
        ([1, 20, 1, 1, 30, 1], 40),
        ([10, 10, 10], 40),
        ([3, 3, 3, 3, 3, 3, 3], 24),
        ([5, 1], 1000),
        ([9, 0, 9], 20),
    ]:
        state = {f"layer.{number}.weight": torch.zeros(size) for number, size in enumerate(sizes)}
        state["norm.running_mean"] = torch.zeros(1)
        split = split_torch_state_dict_into_shards(
            state, filename_pattern="model{suffix}.safetensors", max_shard_size=limit
        )
        index = None
        if split.is_sharded:
            parameters = sum(sizes)
            index = {
                "metadata": {"total_parameters": parameters, **split.metadata},
                "weight_map": split.tensor_to_filename,
            }
            index = json.dumps(index, indent=2, sort_keys=True) + "\n"
        cases.append({"sizes": sizes, "limit": limit, "files": split.filename_to_tensors, "index": index})
    return cases


(HERE / "casts.json").write_text(json.dumps(casts()) + "\n")
(HERE / "shards.json").write_text(json.dumps(shards()) + "\n")
