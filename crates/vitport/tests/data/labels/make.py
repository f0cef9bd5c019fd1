"""Writes timm.tsv: what timm 1.0.31 says of each ImageNet set, for tests/it/labels.rs.

    python make.py

One line a set: name, class count, sha256 of the synset ids joined by newlines, sha256 of the words joined by newlines.
"""
import hashlib
from pathlib import Path

from timm.data.imagenet_info import _NUM_CLASSES_TO_SUBSET, ImageNetInfo


def digest(lines):
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


rows = []
for count, name in sorted(_NUM_CLASSES_TO_SUBSET.items()):
    info = ImageNetInfo(name)
    rows.append(f"{name}\t{count}\t{digest(info.label_names())}\t{digest(info.label_descriptions())}\n")
(Path(__file__).parent / "timm.tsv").write_text("".join(rows))
