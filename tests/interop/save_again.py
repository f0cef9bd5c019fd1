"""Opens folders and saves them again: python save_again.py FOLDER OUT [FOLDER OUT …]"""
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers

for folder, out in zip(sys.argv[1::2], sys.argv[2::2]):
    loader = json.loads((Path(folder) / "config.json").read_text())["architectures"][0]
    getattr(transformers, loader).from_pretrained(folder).save_pretrained(out)
    transformers.AutoImageProcessor.from_pretrained(folder).save_pretrained(out)
