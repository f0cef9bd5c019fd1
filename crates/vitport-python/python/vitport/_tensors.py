"""Tensors of a checkpoint as arrays: all at once, or one after another as they are asked for. Nothing in a file is executed."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Optional, Union, overload

from ._frameworks import Framework, framework_of
from ._vitport import Reader

if TYPE_CHECKING:
    import numpy
    import torch
    from typing_extensions import Unpack

    from ._options import LimitOptions, Path

    Array = numpy.ndarray[Any, Any]
    Index = Union[int, slice, "ellipsis", tuple[Union[int, slice, "ellipsis"], ...]]  # noqa: F821


@overload
def load_state_dict(
    path: Path,
    *,
    key: Optional[str] = ...,
    framework: Literal["numpy"] = ...,
    mmap: bool = ...,
    **options: Unpack[LimitOptions],
) -> dict[str, Array]: ...
@overload
def load_state_dict(
    path: Path,
    *,
    key: Optional[str] = ...,
    framework: Literal["torch"],
    mmap: bool = ...,
    **options: Unpack[LimitOptions],
) -> dict[str, torch.Tensor]: ...
def load_state_dict(
    path: Path,
    *,
    key: Optional[str] = None,
    framework: Literal["numpy", "torch"] = "numpy",
    mmap: bool = False,
    **options: Unpack[LimitOptions],
) -> dict[str, Any]:
    """Loads the weights of a checkpoint, in the file's order: what ``torch.load`` is used for, without running what a pickle says.

    ``path`` is a file of PyTorch's in any of its formats, a safetensors file, a shard index, an ``.npz``, or a folder with one of them.
    ``key`` names the nested part that holds the weights, such as ``"model_ema"``; it is found if it is not given. ``framework`` says whether
    arrays are NumPy's or tensors PyTorch's; whichever it is must be installed, and the other is not needed. NumPy has no bfloat16 and no
    float8: they need the package ml_dtypes.

    Each tensor is one copy of its bytes from the file into memory of its own, row-major and writable, whatever its strides were; names
    that shared a storage do not share one here. Checksums are compared where the format has any.

    With ``mmap=True`` nothing is copied: tensors are views of the file, mapped into memory so that writing to them changes this process's
    copy alone; names that share a storage share it here, too. No checksum is looked at, and what the file says when it is changed later is what the tensors say. Tensors that do not lie
    in the file as they are in memory (compressed, with other strides, misaligned) are copies all the same.

    Raises :class:`vitport.FileError` where the file is refused, ``KeyError`` never, ``ImportError`` without the framework.
    """
    to = framework_of(framework)
    reader = Reader(path, {"key": key, **options})
    described = reader.tensors()
    if mmap:
        maps = _Maps(reader)
        return {name: maps.tensor(to, name, dtype, shape) for name, dtype, shape in described}
    for _, dtype, _ in described:
        to.check(dtype)
    return {
        name: to.tensor(memory, begin, dtype, shape)
        for (name, dtype, shape), (memory, begin) in zip(described, reader.read_all())
    }


def open(
    path: Path, *, key: Optional[str] = None, framework: Literal["numpy", "torch"] = "numpy", **options: Unpack[LimitOptions]
) -> StateDict:
    """Opens a checkpoint and reads no tensor yet: a mapping from names to tensors, each read when it is asked for.

        with vitport.open("model.pth") as state_dict:
            first_rows = state_dict.get_slice("head.weight")[:10]

    It takes the place of ``safetensors.safe_open`` for files of any format. Options and tensors are those of :func:`load_state_dict`, but
    checksums are not looked at. Several threads may use it.

    Raises :class:`vitport.FileError` where the file is refused.
    """
    return StateDict(Reader(path, {"key": key, **options}), framework_of(framework))


class StateDict(Mapping[str, Any]):
    """The tensors of an opened checkpoint, each read when it is asked for."""

    def __init__(self, reader: Reader, framework: Framework) -> None:
        self._reader: Optional[Reader] = reader
        self._framework = framework
        self._described = {name: (dtype, tuple(shape)) for name, dtype, shape in reader.tensors()}

    def __enter__(self) -> StateDict:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._reader = None

    def __len__(self) -> int:
        return len(self._described)

    def __iter__(self) -> Iterator[str]:
        return iter(self._described)

    def __contains__(self, name: object) -> bool:
        return name in self._described

    def __getitem__(self, name: str) -> Any:
        return self.get_tensor(name)

    def __repr__(self) -> str:
        state = "" if self._reader else ", closed"
        return f"<vitport.StateDict: {len(self)} tensors{state}>"

    def get_tensor(self, name: str) -> Any:
        """Reads a tensor. Raises ``KeyError`` if there is none of that name."""
        return self.get_slice(name)[...]

    def get_slice(self, name: str) -> Slice:
        """Returns a view of a tensor, of which parts can be read. Raises ``KeyError`` if there is none of that name."""
        dtype, shape = self._described[name]
        return Slice(self, name, dtype, shape)

    def metadata(self) -> dict[str, str]:
        """Returns what stands next to the weights: safetensors' ``__metadata__``, numbers and texts of a pickle as JSON."""
        _, entries = self._opened().about()
        return dict(entries)

    @property
    def root(self) -> str:
        """The path of the nested part that holds the tensors; empty for the whole file."""
        return self._opened().about()[0]

    def _opened(self) -> Reader:
        if self._reader is None:
            raise ValueError("the file is closed")
        return self._reader

    def _rows(self, name: str, first: int, count: int) -> Any:
        dtype, shape = self._described[name]
        self._framework.check(dtype)
        elements = 1
        for size in shape[1:]:
            elements *= size
        memory, begin = self._opened().read(name, first * elements, count * elements)
        return self._framework.tensor(memory, begin, dtype, (count, *shape[1:]) if shape else ())


class Slice:
    """A tensor of which parts can be read, as those of ``safe_open``."""

    __slots__ = ("_dtype", "_name", "_of", "_shape")

    def __init__(self, of: StateDict, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        self._of, self._name, self._dtype, self._shape = of, name, dtype, shape

    def get_shape(self) -> list[int]:
        """Returns the whole tensor's shape."""
        return list(self._shape)

    def get_dtype(self) -> str:
        """Returns its dtype by safetensors' name, such as ``"F32"``."""
        return self._dtype

    def __getitem__(self, index: Index) -> Any:
        """Reads a part: integers, slices and ``...`` as in NumPy. Only the rows that are asked for are read."""
        parts = index if isinstance(index, tuple) else (index,)
        if not self._shape or not parts or parts[0] is Ellipsis:
            whole = self._of._rows(self._name, 0, self._shape[0] if self._shape else 1)
            return whole if parts in ((), (Ellipsis,)) else whole[parts]
        rows: Any = parts[0]
        rest = parts[1:]
        if isinstance(rows, slice):
            begin, end, step = rows.indices(self._shape[0])
            if step < 1:
                raise ValueError("a step of a slice is positive")
            read = self._of._rows(self._name, begin, max(0, end - begin))
            within: Any = slice(None, None, step)
        else:
            row = rows.__index__()
            row += self._shape[0] if row < 0 else 0
            if not 0 <= row < self._shape[0]:
                raise IndexError(f"row {rows} of {self._shape[0]}")
            read, within = self._of._rows(self._name, row, 1), 0
        return read[(within,) + rest]


class _Maps:
    """The files of a checkpoint, mapped into memory."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._maps: dict[int, Any] = {}

    def tensor(self, to: Framework, name: str, dtype: str, shape: list[int]) -> Any:
        to.check(dtype)
        place = self._reader.place(name)
        if place is not None and 0 not in shape and place[1] % to.size(dtype) == 0:
            file, begin = place
            return to.tensor(self._map(file), begin, dtype, shape)
        elements = 1
        for size in shape:
            elements *= size
        memory, begin = self._reader.read(name, 0, elements)
        return to.tensor(memory, begin, dtype, shape)

    def _map(self, file: int) -> Any:
        import io
        import mmap

        if file not in self._maps:
            with io.open(self._reader.files()[file], "rb") as opened:
                self._maps[file] = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
        return self._maps[file]


if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("vitport reads tensors into memory as they lie in files, which is little-endian")
