"""What has to be true of an opened folder. Each check raises AssertionError with the numbers that are wrong."""
import numpy as np

# float32, a few layers: transformers' and timm's attention round differently in the last bits only.
OUTPUT_TOLERANCE = 1e-5
EIGHT_BIT_LEVEL = 1 / 255


def check_opens(report):
    assert "error" not in report, report.get("error")


def check_loading(report):
    assert report["class"] == report["architectures"][0]
    for key, entries in report["loading"].items():
        assert entries == [], (key, entries)
    # A classifier opened as a bare model lacks a pooler and leaves its head behind, and nothing else.
    base = report["base_loading"]
    assert all("pooler" in key for key in base["missing_keys"]), base
    head = {
        "ViTForImageClassification": ["classifier"],
        "ConvNextForImageClassification": ["classifier"],
        "ConvNextV2ForImageClassification": ["classifier"],
        "ResNetForImageClassification": ["classifier"],
        "RegNetForImageClassification": ["classifier"],
        "SwinForImageClassification": ["classifier"],
        "Swinv2ForImageClassification": ["classifier"],
        "EfficientNetForImageClassification": ["classifier"],
        "CvtForImageClassification": ["classifier", "layernorm"],
    }
    left = {key.split(".")[0] for key in base["unexpected_keys"]}
    assert left <= set(head.get(report["class"], [])), base
    assert base["mismatched_keys"] == [], base


def check_config(report, facts):
    config = report["config"]
    for key, wanted in facts.items():
        if key == "architecture":
            assert report["architectures"] == [wanted]
        elif key != "labels":
            assert config[key] == wanted, (key, config[key], wanted)


def check_labels(report, labels):
    assert report["labels"] == labels
    assert report["label2id"] == {label: i for i, label in enumerate(labels)}, "label2id is not the inverse"


def close(name, found, wanted):
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape, (name, found.shape, wanted.shape)
    worst = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert worst <= OUTPUT_TOLERANCE, f"{name} differs by {worst:.2e} of its largest value"


def check_outputs(arrays, truth, headless):
    close("last_hidden_state", arrays["last_hidden_state"], truth["tokens"])
    if headless:
        close("pooler_output", arrays["pooler_output"], truth["output"])
    else:
        close("logits", arrays["logits"], truth["output"])


def check_pixels(arrays, truth, std, major):
    """Exact with version 4's Pillow processors; within two 8-bit levels with version 5's, which resize in torchvision."""
    levels = 1e-3 if major == 4 else 2 + 1e-3
    step = EIGHT_BIT_LEVEL / np.asarray(std, np.float64)[:, None, None]
    for key in sorted(key for key in truth if key.startswith("pixels_")):
        assert arrays[key].shape == truth[key].shape, (key, arrays[key].shape, truth[key].shape)
        worst = (np.abs(arrays[key].astype(np.float64) - truth[key]) / step).max()
        assert worst <= levels, f"{key} is off by {worst:.3f} 8-bit levels"


def check_pipeline(report, arrays):
    """The pipeline's answer is the softmax of the logits, with the labels in their places."""
    logits = arrays["pipeline_logits"].astype(np.float64)
    share = np.exp(logits - logits.max())
    share /= share.sum()
    order = np.argsort(-share)[: len(report["pipeline"])]
    assert [entry["label"] for entry in report["pipeline"]] == [report["labels"][i] for i in order]
    np.testing.assert_allclose([entry["score"] for entry in report["pipeline"]], share[order], rtol=1e-4)


def check_all(report, facts, truth, std, major):
    check_opens(report)
    arrays = dict(np.load(report["arrays"]))
    check_loading(report)
    check_config(report, facts)
    check_outputs(arrays, truth, headless=facts["labels"] is None)
    check_pixels(arrays, truth, std, major)
    if facts["labels"] is not None:
        check_labels(report, facts["labels"])
        check_pipeline(report, arrays)
