"""Networks that a framework ran, converted, and opened in both versions."""
import numpy as np
import torch
from PIL import Image

import checks
import environment
import pixels


@torch.no_grad()
def enliven(model, seed):
    """Random weights and statistics with which logits spread by about one and every layer matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            value.fill_(seed + 1)
        elif name.endswith("running_var"):
            value.copy_(0.5 + noise.abs())
        elif not value.is_floating_point() or name.endswith("coords_table"):
            continue
        elif value.ndim < 2 or name.endswith(("layer_scale", "token", "embedding", "table")):
            value.copy_(0.3 * noise + (1.0 if name.endswith(("weight", "layer_scale")) else 0.0))
        else:
            value.copy_(noise * (1.4 if value.ndim == 4 else 1.0) / value[0].numel() ** 0.5)
    return model.eval()


@torch.no_grad()
def open_all(directory, image_files, networks):
    """Converts each network and opens what came of it; {name: (conversion, truth, reports by version)}.

    A network is (model, size, source, flags, transform, last hidden state of a batch): `source` is saved already.
    """
    images = [Image.open(path).convert("RGB") for path in image_files]
    results, jobs = {}, []
    for seed, (name, (model, size, source, flags, transform, tokens)) in enumerate(networks.items()):
        folder, truth = directory / f"{seed}", directory / f"{seed}.npz"
        batch = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))
        values = {"input": batch.numpy(), "output": model(batch).numpy(), "tokens": tokens(batch).numpy()}
        values |= {f"pixels_{i}": pixels.reference(transform, image) for i, image in enumerate(images)}
        np.savez(truth, **values)
        conversion = environment.convert(source, folder, *flags)
        results[name] = (conversion, values)
        if conversion.returncode == 0:
            jobs.append({"name": name, "folder": str(folder), "truth": str(truth)})
    reports = environment.open_folders(jobs, image_files, directory)
    return {
        name: (*result, {major: reports[major].get(name) for major in environment.MAJORS})
        for name, result in results.items()
    }


def check(result, wanted, std):
    """What must be true of a network that becomes the class `wanted`."""
    conversion, truth, reports = result
    assert conversion.returncode == 0, conversion.stderr
    assert "different" not in conversion.stdout, conversion.stdout
    for major in environment.MAJORS:
        report = reports[major]
        checks.check_opens(report)
        checks.check_loading(report)
        assert report["architectures"] == [wanted]
        arrays = dict(np.load(report["arrays"]))
        if arrays.get("pooler_output") is not None and arrays["pooler_output"].ndim == 4:
            arrays["pooler_output"] = arrays["pooler_output"][:, :, 0, 0]
        headless = wanted.endswith("Model")
        checks.check_outputs(arrays, truth, headless=headless)
        checks.check_pixels(arrays, truth, std, major)
        if not headless:
            checks.check_labels(report, report["labels"])
            checks.check_pipeline(report, arrays)
