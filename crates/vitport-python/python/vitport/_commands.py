"""The functions of vitport: each runs the command of its name, with the interpreter's lock released, and returns its document."""
from __future__ import annotations

import atexit
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _vitport
from ._documents import Checkpoint, Classification, Conversion, Diff, Model, Plan, Report, parse
from ._errors import CLASSES, Error, UsageError
from ._progress import Listener, Shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import (
        ClassifyOptions,
        ConvertOptions,
        DiffOptions,
        InspectOptions,
        ModelsOptions,
        Path,
        PlanOptions,
        VerifyOptions,
    )

atexit.register(_vitport.leave_nothing_behind)

OTHER_DOCUMENT = {"plan": ("print_mapping",), "inspect": ("summary",), "verify": ("attestation",)}
"""Options that make a command print something other than its document, which a function does not take."""


def plan(source: Path, *, progress: Listener = None, **options: Unpack[PlanOptions]) -> Plan:
    """Plans a conversion: what :func:`convert` would do, tensor by tensor, and the origin of every fact. Writes nothing.

    ``source`` is a weight file, a folder that holds one, a name of timm's, or a repository on the Hub.

    Raises :class:`QuestionError` where options have to say what the weights do not, and other :class:`Error`.
    """
    document, _ = _run("plan", [source], options, progress)
    return Plan(document)


def convert(
    source: Path, out: Optional[Path] = None, *, progress: Listener = None, **options: Unpack[ConvertOptions]
) -> Conversion:
    """Converts a model into the folder ``out``, runs both networks, and publishes the folder only if they agree.

    ``out`` is the model's name if it is not given. The folder appears in one step, or not at all: also when Ctrl-C interrupts.

    Raises :class:`DifferentError` where the networks disagree, :class:`UsageError` where ``out`` exists and ``force`` is not given, and
    other :class:`Error`.
    """
    document, page = _run("convert", [source], {**options, "out": out}, progress)
    return Conversion(document, page)


def verify(source: Path, folder: Path, *, progress: Listener = None, **options: Unpack[VerifyOptions]) -> Report:
    """Compares a transformers folder with its source in everything: weights, facts, pixels, and both networks layer by layer.

    Raises :class:`DifferentError`, whose ``report`` says where they part, and other :class:`Error`.
    """
    document, page = _run("verify", [source, folder], options, progress)
    return Report(document, page)


def inspect(path: Path, *, progress: Listener = None, **options: Unpack[InspectOptions]) -> Checkpoint:
    """Shows what is in a checkpoint, also in one that no other function would open: container, tensors, everything its pickle names.

    Nothing in it is executed. Raises :class:`FileError`.
    """
    document, _ = _run("inspect", [path], options, progress)
    return Checkpoint(document)


def diff(a: Path, b: Path, *, progress: Listener = None, **options: Unpack[DiffOptions]) -> Diff:
    """Compares two checkpoints or folders by names, dtypes, shapes and values of their tensors.

    The result is true where something differs. Raises :class:`FileError`.
    """
    document, _ = _run("diff", [a, b], options, progress)
    return Diff(document)


def classify(
    folder: Path,
    images: Union[Path, Sequence[Path]],
    top_k: int = 5,
    *,
    progress: Listener = None,
    **options: Unpack[ClassifyOptions],
) -> list[Classification]:
    """Runs a transformers folder's model on images (JPEG, PNG or WebP), as transformers would run it.

    Returns one :class:`Classification` an image, in their order, with the ``top_k`` most probable classes. Raises the :class:`Error` of
    the first image that cannot be read, or of the folder.
    """
    many = list(images) if isinstance(images, (list, tuple)) else [images]
    if not many:
        return []
    document, _ = _run("classify", [folder, *many], {**options, "top_k": top_k}, progress)
    results = document["images"]
    for result in results:
        if "error" in result:
            error = {"message": result["error"], "exit_code": dict(_vitport.kinds())[result["kind"]]}
            failed = {"kind": result["kind"], "message": result["error"], "file": result["image"], "error": error}
            raise CLASSES.get(result["kind"], Error)(failed)
    return [Classification(result) for result in results]


def models(pattern: Optional[str] = None, *, progress: Listener = None, **options: Unpack[ModelsOptions]) -> list[Model]:
    """Lists every known architecture and tag whose name holds ``pattern`` (``*`` and ``?`` are wildcards), and what each becomes."""
    document, _ = _run("models", [] if pattern is None else [pattern], options, progress)
    return [Model(row) for row in document["models"]]


def _run(command: str, arguments: list[Any], options: Any, progress: Listener) -> tuple[Any, Optional[str]]:
    for name in OTHER_DOCUMENT.get(command, ()):
        if name in options:
            message = f"{command}() does not take {name}; run the command `vitport {command}` for that"
            raise UsageError({"kind": "usage", "message": message, "error": {"message": message, "exit_code": 2}})
    shown = Shown(progress)
    try:
        document, page, notes = _vitport.call(command, arguments, dict(options), shown.native)
    finally:
        shown.close()
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return parse(document), page
