"""Converts a vision model from the framework it was trained in to transformers, and verifies that it is still the same model.

    import vitport

    plan = vitport.plan("model.pth", arch="vit_small_patch16_224")
    report = vitport.convert("timm/vit_base_patch16_224.augreg_in21k_ft_in1k", "my-vit")
    state_dict = vitport.load_state_dict("model.pth", framework="torch")

Every function takes the options of the command of its name, with underscores: ``--num-heads 6`` is ``num_heads=6``. Files are read without
executing anything in them. What fails raises an :class:`Error`.
"""
from __future__ import annotations

from ._commands import classify, convert, diff, inspect, models, plan, verify
from ._documents import Checkpoint, Classification, Conversion, Diff, Guess, Model, Plan, Report
from ._errors import (
    AccessError,
    BugError,
    ContradictionError,
    DangerousError,
    DifferentError,
    Error,
    FileError,
    IdentificationError,
    IoError,
    NetworkError,
    NoTargetError,
    QuestionError,
    RefusedError,
    UnknownArchitectureError,
    UnreadableError,
    UsageError,
)
from ._progress import Progress
from ._tensors import Slice, StateDict, load_state_dict, open
from ._vitport import __version__

__all__ = [
    "AccessError",
    "BugError",
    "Checkpoint",
    "Classification",
    "ContradictionError",
    "Conversion",
    "DangerousError",
    "Diff",
    "DifferentError",
    "Error",
    "FileError",
    "Guess",
    "IdentificationError",
    "IoError",
    "Model",
    "NetworkError",
    "NoTargetError",
    "Plan",
    "Progress",
    "QuestionError",
    "RefusedError",
    "Report",
    "Slice",
    "StateDict",
    "UnknownArchitectureError",
    "UnreadableError",
    "UsageError",
    "__version__",
    "classify",
    "convert",
    "diff",
    "inspect",
    "load_state_dict",
    "models",
    "open",
    "plan",
    "verify",
]
