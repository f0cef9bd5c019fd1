"""The errors of vitport: a class for each kind, in a tree that follows what one can do about them (docs/errors.md)."""
from __future__ import annotations

from typing import Any, Optional

from ._documents import Conversion, Report, load


class Error(Exception):
    """What failed, in one line: what, in which file or tensor, why, and what to do next.

    It can be pickled, and it has the fields of the document that the command prints with ``--json``.
    """

    def __init__(self, document: dict[str, Any], page: Optional[str] = None) -> None:
        super().__init__(document["message"])
        self._document = document
        self._page = page

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._document, self._page))

    def to_dict(self) -> dict[str, Any]:
        """Returns the error's document, a copy."""
        copy: dict[str, Any] = load(self._document)
        return copy

    @property
    def kind(self) -> str:
        """The kind, such as ``"contradiction"``."""
        return str(self._document["kind"])

    @property
    def message(self) -> str:
        """What failed, in one line."""
        return str(self._document["message"])

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return int(self._document["error"]["exit_code"])

    @property
    def file(self) -> Optional[str]:
        """The file or source that it is about, where that is known."""
        return self._document.get("file")

    @property
    def tensor(self) -> Optional[str]:
        """The tensor that it is about, where that is known."""
        return self._document.get("tensor")

    @property
    def fact(self) -> Optional[str]:
        """The fact that it is about, where that is known."""
        return self._document.get("fact")


class BugError(Error):
    """A mistake of vitport's."""


class UsageError(Error, ValueError):
    """Options that cannot be meant, or would overwrite something."""


class FileError(Error):
    """Something is wrong with a file."""


class UnreadableError(FileError):
    """A file is missing, damaged, or of no known format."""


class RefusedError(FileError):
    """A file can be read and is not accepted."""


class DangerousError(FileError):
    """A pickle would execute code in Python, or reach processes, files or the network."""


class IdentificationError(Error):
    """What the source is cannot be said without an option, or with this one."""


class QuestionError(IdentificationError):
    """Several answers fit, and options have to say which."""

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The open questions: of each ``fact``, ``what`` is not known, ``candidates`` that fit, and the command's ``option``."""
        questions: list[dict[str, Any]] = load(self._document.get("questions", []))
        return questions


class ContradictionError(IdentificationError):
    """An option contradicts the source, or there is nothing to convert."""


class UnknownArchitectureError(IdentificationError):
    """An unknown network or name."""


class DifferentError(Error):
    """The two networks, or facts, disagree or cannot be compared."""

    @property
    def report(self) -> Optional[Report]:
        """What was compared, if it came to that; of a conversion the :class:`Conversion`."""
        document = self.to_dict()
        if document.get("report") is not None:
            return Conversion(document, self._page)
        return Report(document, self._page) if "verdict" in document else None


class AccessError(Error):
    """The disk or the network failed."""


class IoError(AccessError):
    """The disk failed."""


class NetworkError(AccessError):
    """The network or the Hub failed."""


class NoTargetError(Error):
    """vitport knows the network, but no class of transformers can hold it."""


CLASSES: dict[str, type[Error]] = {
    "bug": BugError,
    "usage": UsageError,
    "unreadable": UnreadableError,
    "refused": RefusedError,
    "dangerous": DangerousError,
    "question": QuestionError,
    "contradiction": ContradictionError,
    "unknown_architecture": UnknownArchitectureError,
    "different": DifferentError,
    "io": IoError,
    "network": NetworkError,
    "no_target": NoTargetError,
}


def from_json(document: str, page: Optional[str] = None) -> Error:
    """Makes the error of a document."""
    import json

    fields = json.loads(document)
    return CLASSES.get(fields["kind"], Error)(fields, page)
