"""Writes the folders next to this script with torch.distributed.checkpoint, and expected.json: what torch reads back of each.

Run with torch 2.15 and numpy installed:  python make.py
`tiny` and `alone` are saved by one process; `sharded` by two (gloo), with a model of FSDP (fully_shard), a tensor cut along its second axis,
one of which the second process has less, one that both have whole, and an empty one.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

HERE = pathlib.Path(__file__).parent
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}


def row(name, tensor):
    """A tensor in the form of the other expected.json."""
    data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.dim() else tensor.numpy().tobytes()
    return [name, NAMES[tensor.dtype], list(tensor.shape), hashlib.sha256(data).hexdigest()]


def network():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 2), torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.LayerNorm(5)))


def run(net, optimizer):
    return {"model": net, "optimizer": optimizer, "epoch": 3, "lr": 0.5, "classes": ["a", "b"],
            "args": argparse.Namespace(name="vit", mean=(0.5, 0.25), drop=None)}


def one(rank, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29571", RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo")
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor
    mesh = init_device_mesh("cpu", (2,))
    net = network()
    fully_shard(net, mesh=mesh)
    optimizer = torch.optim.Adam(net.parameters())
    state, of_optimizer = get_state_dict(net, optimizer)
    torch.manual_seed(8)
    state["by_columns"] = distribute_tensor(torch.randn(4, 6, 3), mesh, [Shard(1)])
    state["uneven"] = distribute_tensor(torch.randn(3, 2), mesh, [Shard(0)])
    state["both"] = distribute_tensor(torch.randn(3, 2), mesh, [Replicate()])
    state["half"] = torch.randn(5).half()
    state["empty"] = torch.empty(0, 3)
    state["count"] = torch.tensor(7)
    dcp.save(run(state, of_optimizer), checkpoint_id=str(folder))
    dist.destroy_process_group()


def flat(value, prefix=""):
    if isinstance(value, torch.Tensor):
        return {prefix: value}
    if isinstance(value, dict):
        return {name: tensor for key, inner in value.items()
                for name, tensor in flat(inner, f"{prefix}.{key}" if prefix else str(key)).items()}
    return {}


def main():
    for name in ("tiny", "alone", "sharded"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    torch.manual_seed(6)
    dcp.save({"w": torch.randn(2, 3), "n": 4}, checkpoint_id=str(HERE / "tiny"))
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    sum(p.sum() for p in net.parameters()).backward()
    optimizer.step()
    dcp.save(run(net.state_dict(), optimizer.state_dict()), checkpoint_id=str(HERE / "alone"))
    torch.multiprocessing.spawn(one, args=(HERE / "sharded",), nprocs=2)
    expected = {}
    for name in ("tiny", "alone", "sharded"):
        dcp_to_torch_save(HERE / name, "/tmp/together.pth")
        whole = torch.load("/tmp/together.pth", weights_only=False)
        expected[name] = sorted(row(*pair) for pair in flat(whole).items())
    (HERE / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
