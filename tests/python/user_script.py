"""A user's script, for type checkers: every call here must be accepted, and each line marked must not be."""
from __future__ import annotations

from pathlib import Path

import vitport


def show(step: vitport.Progress) -> None:
    print(step.what, step.done, step.total)


plan: vitport.Plan = vitport.plan("model.pth", arch="vit_small_patch16_224", num_heads=[1, 3, 6], image_size=(224, 192))
report: vitport.Conversion = vitport.convert(Path("model.pth"), "out", mean=0.5, dtype="bf16", progress=show)
verified: vitport.Report = vitport.verify("model.pth", report.out, strict=True, allow=["crop-rounding"])
if verified.verdict == "same":
    print(verified.headline.upper(), sum(report.files.values()))
labels: list[str] = [guess.label for result in vitport.classify("out", "cat.jpg", top_k=3) for guess in result.guesses]
names: list[str] = [model.name for model in vitport.models("vit_*", convertible=True)]
arrays = vitport.load_state_dict("model.pth", key="model_ema", max_header="64MiB")
shapes = {name: array.shape for name, array in arrays.items()}
with vitport.open("model.pth", framework="torch") as lazy:
    row = lazy.get_slice("head.weight")[0:10, ...]
try:
    vitport.diff("a.pth", "b.pth")
except vitport.QuestionError as error:
    print(error.questions[0]["option"], error.exit_code + 1)
except vitport.Error as error:
    print(error.kind.upper(), error.file)

vitport.plan("model.pth", number_of_heads=3)  # type: ignore[call-arg]
vitport.convert("model.pth", dtype="f64")  # type: ignore[arg-type]
vitport.load_state_dict("model.pth", framework="jax")  # type: ignore[call-overload]
