"""Lists the architectures whose default preprocessing is not the same in every version of timm, for changed_defaults.txt:

    for v in 0.5.4 0.6.13 0.9.16 1.0.9 1.0.31; do pip install timm==$v; python changed_defaults.py write $v.json; done
    python changed_defaults.py compare *.json

timm's train.py takes what no argument says from the architecture's default tag (timm/data/config.py, `resolve_data_config`), and does not
record its version. So of these architectures a training checkpoint leaves open how images were prepared. Nothing is fetched.
"""

import importlib
import json
import sys
from pathlib import Path

LIST = Path(__file__).parent / "changed_defaults.txt"
MODULES = ("vision_transformer", "deit", "convnext", "resnet", "regnet", "beit")


def default(module, name):
    import timm
    from timm.data import resolve_data_config

    if timm.__version__ >= "0.9":
        config = timm.models.get_pretrained_cfg(name).to_dict()
    else:
        config = importlib.import_module(f"timm.models.{module}").default_cfgs.get(name)
    key = "pretrained_cfg" if timm.__version__ >= "0.8" else "default_cfg"
    resolved = resolve_data_config({}, **{key: config or {}})
    return [*map(list, (resolved["mean"], resolved["std"])), resolved["interpolation"], resolved["crop_pct"]]


def all_defaults():
    import timm

    for module in MODULES:
        for name in timm.list_models(module=module):
            try:
                yield name, default(module, name)
            except (TypeError, AttributeError) as error:
                print(timm.__version__, "has no default of", name, error)


match sys.argv[1:]:
    case ["write", path]:
        Path(path).write_text(json.dumps(dict(all_defaults())))
    case ["compare", *paths]:
        versions = [json.loads(Path(path).read_text()) for path in paths]
        names = sorted(set().union(*versions))
        said = {name: {json.dumps(version[name]) for version in versions if name in version} for name in names}
        LIST.write_text("".join(name + "\n" for name in names if len(said[name]) > 1))
