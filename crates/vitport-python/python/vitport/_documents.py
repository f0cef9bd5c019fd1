"""What the functions return: the documents that the command prints with ``--json``, with names for what is asked for most."""
from __future__ import annotations

from typing import Any, NamedTuple, Optional

from . import _html


def parse(text: str) -> Any:
    """Parses a JSON document."""
    import json

    return json.loads(text)


def load(document: Any) -> Any:
    """Returns a copy of a document, at every depth."""
    if isinstance(document, dict):
        return {name: load(value) for name, value in document.items()}
    return [load(value) for value in document] if isinstance(document, list) else document


class Document:
    """A document. Two are equal if they say the same; it can be pickled."""

    __slots__ = ("_document", "_page")

    def __init__(self, document: dict[str, Any], page: Optional[str] = None) -> None:
        self._document = document
        self._page = page

    def to_dict(self) -> dict[str, Any]:
        """Returns the document, a copy: dicts, lists, texts, numbers, bools and None (the fields are those of ``--json``)."""
        copy: dict[str, Any] = load(self._document)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._document, self._page))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Document) and self._document == other._document

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<vitport.{type(self).__name__}: {self._summary()}>"

    def _repr_html_(self) -> str:
        return _html.table(self._summary(), self._rows())

    def _summary(self) -> str:
        raise NotImplementedError

    def _rows(self) -> list[tuple[Any, ...]]:
        raise NotImplementedError


class Plan(Document):
    """What :func:`vitport.convert` would do."""

    __slots__ = ()

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self._document["model"])

    @property
    def target(self) -> dict[str, Any]:
        """The class of transformers that it becomes."""
        target: dict[str, Any] = load(self._document["target"])
        return target

    @property
    def targets(self) -> list[dict[str, Any]]:
        """Every class that could hold it."""
        targets: list[dict[str, Any]] = load(self._document["targets"])
        return targets

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the model, by name, as text."""
        return {fact["name"]: fact["value"] for fact in self._document["facts"]}

    @property
    def assumptions(self) -> list[Any]:
        """What neither the weights nor the source's files say."""
        assumptions: list[Any] = load(self._document["assumptions"])
        return assumptions

    @property
    def config(self) -> dict[str, Any]:
        """The ``config.json`` that would be written."""
        config: dict[str, Any] = load(self._document["config"])
        return config

    @property
    def preprocessor(self) -> Optional[dict[str, Any]]:
        """The ``preprocessor_config.json`` that would be written."""
        preprocessor: Optional[dict[str, Any]] = load(self._document["preprocessor"])
        return preprocessor

    @property
    def tensors(self) -> list[dict[str, Any]]:
        """Each tensor that would be written: ``target``, ``dtype``, ``shape``, ``operation`` and its ``sources``."""
        tensors: list[dict[str, Any]] = load(self._document["tensors"])
        return tensors

    @property
    def bytes(self) -> int:
        """Bytes of all tensors that would be written."""
        return int(self._document["bytes"])

    @property
    def reversible(self) -> bool:
        """Whether the source's tensors can be recovered from the folder's bit for bit."""
        return bool(self._document["reversible"])

    def _summary(self) -> str:
        return f"{self.model}, {len(self._document['tensors'])} tensors, {self.bytes / 1e6:.1f} MB"

    def _rows(self) -> list[tuple[Any, ...]]:
        facts = ((fact["name"], fact["value"], fact.get("origin", "")) for fact in self._document["facts"])
        return [("fact", "value", "origin"), *facts]


class Report(Document):
    """What verifying found: the document of docs/report.md."""

    __slots__ = ()

    @property
    def _report(self) -> dict[str, Any]:
        return self._document

    @property
    def verdict(self) -> Optional[str]:
        """``"same"``, ``"same_with_known_deviation"``, ``"not_comparable"`` or ``"different"``; None if nothing was compared."""
        return self._report.get("verdict")

    @property
    def headline(self) -> str:
        """The verdict in words, with the condition under which it holds."""
        return str(self._report.get("headline", "not verified"))

    @property
    def reasons(self) -> list[str]:
        """What does not agree, a sentence each."""
        return list(self._report.get("reasons", []))

    @property
    def warnings(self) -> list[str]:
        """What is unusual about the source, a sentence each."""
        return list(self._document.get("warnings", []))

    @property
    def assumptions(self) -> list[Any]:
        """What the verdict rests on that neither the weights nor the source's files say."""
        assumptions: list[Any] = load(self._document.get("assumptions", []))
        return assumptions

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The comparison at each place of the networks, in their order."""
        layers: list[dict[str, Any]] = load(self._report.get("layers", []))
        return layers

    def _repr_html_(self) -> str:
        return _html.frame(self._page) if self._page else super()._repr_html_()

    def _summary(self) -> str:
        return f"{self._report.get('model', '')}: {self.headline}"

    def _rows(self) -> list[tuple[Any, ...]]:
        return [("reason",), *((reason,) for reason in self.reasons)]


class Conversion(Report):
    """What a conversion came to, and the :class:`Report` of its verification."""

    __slots__ = ()

    @property
    def _report(self) -> dict[str, Any]:
        return self._document.get("report") or {}

    @property
    def model(self) -> str:
        """The model's name; of a conversion to timm, the architecture."""
        return str(self._document.get("model", self._document.get("architecture")))

    @property
    def out(self) -> str:
        """The folder, as an absolute path."""
        return str(self._document["out"])

    @property
    def published(self) -> bool:
        """Whether the folder is there."""
        return bool(self._document["published"])

    @property
    def target_class(self) -> Optional[str]:
        """The class of transformers that opens it; of a conversion to timm, the class that it was."""
        return self._document["class"]  # type: ignore[no-any-return]

    @property
    def files(self) -> dict[str, int]:
        """The bytes of each file of the folder, by name."""
        return {file["name"]: file["bytes"] for file in self._document["files"]}

    def _summary(self) -> str:
        return f"{self.model} → {self.target_class} in {self.out}: {self.headline}"


class Checkpoint(Document):
    """What is in a checkpoint."""

    __slots__ = ()

    @property
    def tensors(self) -> list[dict[str, Any]]:
        """Every tensor: ``name``, ``dtype``, ``shape``, ``bytes``, how it lies in its storage, and ``sha256`` if that was asked for."""
        tensors: list[dict[str, Any]] = load(self._document["tensors"])
        return tensors

    @property
    def evidence(self) -> dict[str, Any]:
        """What the file shows of itself: its container, and everything that its pickle names."""
        evidence: dict[str, Any] = load(self._document["evidence"])
        return evidence

    @property
    def roots(self) -> list[dict[str, Any]]:
        """The nested parts that hold tensors."""
        roots: list[dict[str, Any]] = load(self._document["roots"])
        return roots

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """Plain values next to the weights."""
        metadata: list[dict[str, Any]] = load(self._document["metadata"])
        return metadata

    @property
    def dangerous_call(self) -> Optional[str]:
        """What loading the file in Python would run; None if nothing."""
        return self._document["evidence"].get("dangerous_call")  # type: ignore[no-any-return]

    def _summary(self) -> str:
        files = ", ".join(file["path"] for file in self._document["files"])
        return f"{files}, {len(self._document['tensors'])} tensors"

    def _rows(self) -> list[tuple[Any, ...]]:
        tensors = ((tensor["name"], tensor["dtype"], tensor["shape"]) for tensor in self._document["tensors"])
        return [("tensor", "dtype", "shape"), *tensors]


class Diff(Document):
    """What differs between two checkpoints. It is true where something does."""

    __slots__ = ()

    @property
    def same(self) -> int:
        """How many tensors are the same."""
        return int(self._document["same"])

    @property
    def through(self) -> dict[str, Any]:
        """How names were brought together: ``by`` is ``"names"``, ``"mapping"`` (with its ``file``) or ``"layouts"``."""
        through: dict[str, Any] = load(self._document["through"])
        return through

    @property
    def differences(self) -> list[dict[str, Any]]:
        """Each tensor that differs: ``name``, ``difference``, its form in ``a`` and ``b``, and ``values``, how far apart they are."""
        differences: list[dict[str, Any]] = load(self._document["differences"])
        return differences

    @property
    def equal(self) -> list[dict[str, Any]]:
        """Each tensor that is the same: ``name``, and its form in ``a`` and ``b``."""
        equal: list[dict[str, Any]] = load(self._document["equal"])
        return equal

    def __bool__(self) -> bool:
        return bool(self._document["differences"])

    def _summary(self) -> str:
        return f"{self.same} tensors are the same, {len(self._document['differences'])} differ"

    def _rows(self) -> list[tuple[Any, ...]]:
        def numbers(row: dict[str, Any]) -> tuple[Any, ...]:
            values = row["values"] or {}
            return tuple(values.get(key) for key in ("max_abs", "relative", "cosine"))

        rows = ((row["name"], row["difference"], *numbers(row)) for row in self._document["differences"])
        return [("tensor", "difference", "max abs", "relative", "cosine"), *rows]


class Guess(NamedTuple):
    """A class and how probable a network holds it."""

    class_id: int
    """The class's number."""
    label: str
    """Its name."""
    probability: float
    """From 0 to 1."""


class Classification(Document):
    """The most probable classes of an image."""

    __slots__ = ()

    @property
    def image(self) -> str:
        """The image, as it was given."""
        return str(self._document["image"])

    @property
    def guesses(self) -> list[Guess]:
        """The classes, the most probable first."""
        return [Guess(guess["class"], guess["label"], guess["probability"]) for guess in self._document["top"]]

    def _summary(self) -> str:
        best = ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in self.guesses[:1])
        return f"{self.image}: {best}"

    def _rows(self) -> list[tuple[Any, ...]]:
        return [("class", "probability"), *((guess.label, f"{guess.probability:.1%}") for guess in self.guesses)]


class Model(Document):
    """An architecture or a tag of timm's or Microsoft's."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its name, with the tag if it has one."""
        return str(self._document["name"])

    @property
    def becomes(self) -> Optional[str]:
        """The class of transformers that it becomes; None if it becomes none."""
        return self._document["becomes"]  # type: ignore[no-any-return]

    @property
    def why_not(self) -> Optional[str]:
        """Why it becomes none."""
        return self._document["why_not"]  # type: ignore[no-any-return]

    @property
    def parameters(self) -> int:
        """How many numbers its weights are."""
        return int(self._document["parameters"])

    @property
    def license(self) -> Optional[str]:
        """Its licence, where it is known."""
        return self._document["license"]  # type: ignore[no-any-return]

    def _summary(self) -> str:
        return f"{self.name} → {self.becomes or f'nothing: {self.why_not}'}"

    def _rows(self) -> list[tuple[Any, ...]]:
        return [("", ""), *self._document.items()]
