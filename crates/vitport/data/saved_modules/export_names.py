"""Lists the names that the code of saved networks reads of modules, for names.txt:

    python export_names.py FILE_OR_FOLDER...

The files are those that define modules: torch/nn/modules of torch 2.15.0; of timm 0.5.4, 0.6.13, 0.9.16, 1.0.9 and 1.0.31 the folders
of layers (timm/layers, before 0.9 timm/models/layers) and the models that vitport knows (beit.py, convnext.py, deit.py, regnet.py,
resnet.py, swin_transformer.py, swin_transformer_v2.py, vision_transformer.py); torchvision 0.29.2's models of these names and its ops; Microsoft's lib/models/cls_cvt.py. They are
parsed, not run. Each run adds to the list what it does not have.

An attribute of another name, set by hand on a module, is read by no forward pass. So the list has too many names rather than too few:
every attribute of `self`, every other attribute that is not one of a tensor or of an imported module, the texts in `getattr` and
`hasattr`, all methods and functions, and all that stands in the body of a class.
"""

import ast
import sys
from pathlib import Path

import torch

NAMES = Path(__file__).parent / "names.txt"
OF_TENSORS = set(dir(torch.Tensor))
LOOKUPS = ("getattr", "hasattr", "setattr", "delattr", "register_buffer", "register_parameter", "add_module")


def imported(tree):
    """The short names of modules that a file imports."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {(name.asname or name.name).split(".")[0] for node in nodes for name in node.names}


def names(tree):
    modules = imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                yield name
            case ast.Attribute(value=ast.Name(id=owner)) if owner in modules:
                pass
            case ast.Attribute(attr=name) if name not in OF_TENSORS:
                yield name
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=arguments) if called in LOOKUPS:
                yield from (each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str))
            case ast.FunctionDef(name=name):
                yield name
            case ast.ClassDef(body=body):
                for line in body:
                    targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                    yield from (target.id for target in targets if isinstance(target, ast.Name))


found = set(NAMES.read_text().split()) if NAMES.exists() else set()
for path in map(Path, sys.argv[1:]):
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        found.update(name for name in names(ast.parse(file.read_text())) if name.isidentifier())
NAMES.write_text("".join(name + "\n" for name in sorted(found)))
