"""Tries keys that folders often have, with values of every kind, and writes which change nothing.

    python try_keys.py FOLDERS OUT      # once with each version of transformers
    python try_keys.py merge OUT OUT    # writes neutral.json
    python try_keys.py again FOLDERS OUT    # for folders of other classes: tries only what neutral.json has, once with each …
    python try_keys.py narrow OUT OUT       # … and keeps of neutral.json what holds in these folders too

FOLDERS holds a small folder of every class (tests/interop/targets.py). A kind of value is neutral for a key if, in both
versions and in every folder, each value of that kind leaves the model and the image processor open and their outputs as they
were. Keys are tried together and, where that changes something, in ever smaller groups.
Texts, lists and objects are not tried: which of their values mean something cannot be known from a few.
"""
import io
import json
import shutil
import sys
import tempfile
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

HERE = Path(__file__).parent
NEUTRAL = HERE / "neutral.json"
KINDS = {
    "null": [None],
    "false": [False],
    "true": [True],
    "zero": [0],
    "fraction": [0.0, 0.25, 1.0],
    "count": [1, 2, 1000],
    "number": [-1, -0.5, 1.5],
}


def opener():
    import numpy
    import torch
    import transformers
    from PIL import Image

    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    noise = numpy.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=numpy.uint8)
    image = Image.fromarray(noise)

    def opened(folder):
        """What the folder computes: pixels of a colour image, and the outputs for them."""
        config = transformers.AutoConfig.from_pretrained(folder)
        cls = getattr(transformers, config.architectures[0])
        if "Classification" in cls.__name__:
            pipe = transformers.pipeline("image-classification", model=str(folder))
            model, processor = pipe.model, pipe.image_processor
            answers = [(answer["label"], answer["score"]) for answer in pipe(image)]
        else:
            model, processor = cls.from_pretrained(folder), transformers.AutoImageProcessor.from_pretrained(folder)
            answers = []
        pixels = processor(image, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            outputs = model(pixel_values=pixels)
        named = {key: value for key, value in outputs.items() if isinstance(value, torch.Tensor)}
        return {"pixels": pixels, **named}, answers

    def same(one, other):
        (tensors, answers), (others, other_answers) = one, other
        return (
            tensors.keys() <= others.keys()
            and all(value.shape == others[key].shape for key, value in tensors.items())
            and all(torch.allclose(value, others[key], rtol=1e-5, atol=1e-6) for key, value in tensors.items())
            and [label for label, _ in answers] == [label for label, _ in other_answers]
            and all(abs(score - other) < 1e-5 for (_, score), (_, other) in zip(answers, other_answers))
        )

    return opened, same


# Keys that a config of version 4 or 5 writes when it is saved, whatever its class, and some that people add.
CONFIG_KEYS = """
    _attn_implementation_autoset _commit_hash _name_or_path _output_attentions add_cross_attention attn_implementation
    bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward classifier_dropout
    cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample early_stopping
    encoder_no_repeat_ngram_size eos_token_id experts_implementation exponential_decay_length_penalty finetuning_task
    forced_bos_token_id forced_eos_token_id gradient_checkpointing is_causal is_decoder is_encoder_decoder
    label_smoothing layer_types length_penalty logit_scale_init_value max_length max_position_embeddings min_length
    name_or_path no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions
    output_hidden_states output_scores pad_token_id per_layer_config prefix pruned_heads remove_invalid_values
    repetition_penalty return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature
    tf_legacy_loss tie_encoder_decoder tie_word_embeddings tokenizer_class top_k top_p torchscript typical_p
    use_bfloat16 use_cache use_pretrained_backbone use_timm_backbone vocab_size
""".split()
PROCESSOR_KEYS = "_valid_processor_keys do_reduce_labels is_fast processor_class use_fast use_square_size video_processor".split()


def neutral_names(names, is_same):
    """Those of the names of which `is_same(names)` holds; tried together, and apart where that fails."""
    if not names or is_same(names):
        return list(names)
    half = len(names) // 2
    return [] if not half else neutral_names(names[:half], is_same) + neutral_names(names[half:], is_same)


def measure(folders, out, known=None):
    import transformers

    opened, same = opener()
    result = {}
    for folder in sorted(folders.iterdir()):
        if not hasattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0]):
            continue
        with tempfile.TemporaryDirectory() as place:
            place = Path(place) / folder.name
            shutil.copytree(folder, place)
            usual = opened(place)
            for document, names in (("config.json", CONFIG_KEYS), ("preprocessor_config.json", PROCESSOR_KEYS)):
                path, text = place / document, (folder / document).read_text()
                values = json.loads(text)
                names = sorted({*names} - values.keys())

                def is_same(names, value):
                    path.write_text(json.dumps(values | dict.fromkeys(names, value)))
                    try:
                        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
                            return same(usual, opened(place))
                    except Exception:  # noqa: BLE001 - whatever it is, the value is not neutral
                        return False

                neutral = {name: [] for name in names}
                for kind, examples in KINDS.items():
                    left = [name for name in names if known is None or kind in known[document].get(name, [])]
                    for value in examples:
                        left = neutral_names(left, lambda names: is_same(names, value))
                    for name in left:
                        neutral[name].append(kind)
                path.write_text(text)
                result.setdefault(document, {})[folder.name] = neutral
            out.write_text(json.dumps(result))
            print(folder.name, flush=True)


def merge(outs, known=None):
    documents = [json.loads(Path(out).read_text()) for out in outs]
    neutral = {}
    for document in documents[0]:
        tried = [of_folder for measured in documents for of_folder in measured[document].values()]
        tried += [known[document]] if known else []
        names = sorted(known[document] if known else set().union(*tried))
        kinds = {name: [kind for kind in KINDS if all(kind in of.get(name, KINDS) for of in tried)] for name in names}
        neutral[document] = {name: kinds for name, kinds in kinds.items() if kinds}
    NEUTRAL.write_text(json.dumps(neutral, indent=1) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    known = json.loads(NEUTRAL.read_text()) if sys.argv[1] in ("again", "narrow") else None
    match sys.argv[1:]:
        case ["merge" | "narrow", *outs]:
            merge(outs, known)
        case ["again", folders, out] | [folders, out]:
            measure(Path(folders), Path(out), known)
