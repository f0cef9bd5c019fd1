"""Writes imagenet.tsv from the installed timm.

    pip install timm==1.0.31 && python export.py

README.md next to this file says what it holds. Running it twice gives the same bytes.
"""
import sys
from pathlib import Path

import timm
from timm.data.imagenet_info import ImageNetInfo

TIMM = "1.0.31"

# One letter for each label set, and timm's name of the set.
LABEL_SETS = {
    "1": "imagenet-1k",
    "2": "imagenet-12k",
    "g": "imagenet-21k-goog",
    "m": "imagenet-21k-miil",
    "w": "imagenet-22k",
    "s": "imagenet-22k-ms",
}


def main():
    if timm.__version__ != TIMM:
        sys.exit(f"timm {timm.__version__} is installed, this file is made from {TIMM}")
    sets = {letter: ImageNetInfo(name).label_names() for letter, name in LABEL_SETS.items()}
    words = ImageNetInfo("imagenet-1k")._lemmas
    first = sets["1"]
    # The order of every set is known from the table alone: ascending synset ids, but 22k-ms, which has
    # the classes of 1k in front of its others.
    for letter, names in sets.items():
        front = first if letter == "s" else []
        assert names == front + sorted(set(names) - set(front)), letter
    member = {}
    for letter, names in sets.items():
        for name in names:
            member[name] = member.get(name, "") + letter
    # The 1k in front, so that who asks for them reads no further.
    rows = [f"{name}\t{member[name]}\t{words[name]}" for name in first + sorted(set(member) - set(first))]
    (Path(__file__).resolve().parent / "imagenet.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
