"""Arrays of NumPy and tensors of PyTorch on memory that was filled; neither is imported before it is asked for."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

TORCH = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}
"""Dtypes by safetensors' names, and PyTorch's, which are NumPy's too."""

BEYOND_NUMPY = {"BF16", "F8_E4M3", "F8_E5M2"}


class Framework(Protocol):
    """Makes arrays of memory."""

    def check(self, dtype: str) -> None:
        """Raises ``ImportError`` or ``TypeError`` if there is no such dtype here."""

    def size(self, dtype: str) -> int:
        """Returns the bytes of one element."""
        raise NotImplementedError

    def tensor(self, memory: Any, begin: int, dtype: str, shape: Sequence[int]) -> Any:
        """Makes an array of the memory from byte ``begin`` on, which stays the memory's."""


def framework_of(name: str) -> Framework:
    """Returns the framework of that name. Raises ``ImportError`` if it is not installed."""
    if name == "numpy":
        return Numpy()
    if name == "torch":
        return Torch()
    raise ValueError(f'framework is "numpy" or "torch", not {name!r}')


def _elements(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


class Numpy:
    """NumPy's arrays."""

    def __init__(self) -> None:
        import numpy

        self._numpy = numpy
        self._dtypes: dict[str, Any] = {}

    def check(self, dtype: str) -> None:
        self._dtype(dtype)

    def size(self, dtype: str) -> int:
        return int(self._dtype(dtype).itemsize)

    def tensor(self, memory: Any, begin: int, dtype: str, shape: Sequence[int]) -> Any:
        flat = self._numpy.frombuffer(memory, self._dtype(dtype), _elements(shape), begin)
        return flat.reshape(shape)

    def _dtype(self, name: str) -> Any:
        if name not in self._dtypes:
            self._dtypes[name] = self._numpy.dtype(self._made(name))
        return self._dtypes[name]

    def _made(self, name: str) -> Any:
        if name not in BEYOND_NUMPY:
            return TORCH[name]
        try:
            import ml_dtypes
        except ImportError as error:
            raise ImportError(
                f'NumPy has no {TORCH[name]}: install ml_dtypes, or take framework="torch"', name="ml_dtypes"
            ) from error
        return getattr(ml_dtypes, TORCH[name])


class Torch:
    """PyTorch's tensors."""

    def __init__(self) -> None:
        import torch

        self._torch = torch

    def check(self, dtype: str) -> None:
        self._dtype(dtype)

    def size(self, dtype: str) -> int:
        return int(self._dtype(dtype).itemsize)

    def tensor(self, memory: Any, begin: int, dtype: str, shape: Sequence[int]) -> Any:
        made, count = self._dtype(dtype), _elements(shape)
        if count == 0:
            return self._torch.empty(tuple(shape), dtype=made)
        return self._torch.frombuffer(memory, dtype=made, count=count, offset=begin).view(tuple(shape))

    def _dtype(self, name: str) -> Any:
        dtype = getattr(self._torch, TORCH[name], None)
        if dtype is None:
            raise TypeError(f"this PyTorch ({self._torch.__version__}) has no {TORCH[name]}")
        return dtype
