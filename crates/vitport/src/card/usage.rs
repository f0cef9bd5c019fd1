//! How the model is used: Python that runs as it stands, in the folder, in each version of transformers that opens it.

use std::fmt::Write as _;

use super::Card;
use crate::frameworks::Transform;
use crate::frameworks::transformers::Task;
use crate::mapping::TargetClass;
use crate::model::Model;

/// Names what is opened.
const REPOSITORY: &str = "repository = \".\"  # or \"your-name/your-model\"\n";

// Writing to a String cannot fail, so results of writing are dropped throughout.

/// Adds the code that runs the model.
pub(super) fn write(out: &mut String, card: &Card<'_>) {
    let (task, auto, result) = match card.task() {
        Task::Classification => (
            "image-classification",
            "AutoModelForImageClassification",
            "    logits = model(**inputs).logits\nprint(model.config.id2label[logits.argmax(-1).item()])"
                .to_owned(),
        ),
        Task::Features { loader, output, .. } => (
            "image-feature-extraction",
            loader,
            format!("    features = model(**inputs).{output}\nprint(features.shape)"),
        ),
    };
    let model = &card.prepared.model;
    let target = model.target_class();
    let versions = match target.as_ref().and_then(|target| target.since) {
        Some(since) => format!("in transformers {since} only, which is the first version with its class"),
        None => "alike in transformers 4 and 5".to_owned(),
    };
    let _ = write!(
        out,
        "## How to use\n\nThe model opens {versions}. `repository` is this folder here; put the model's id on the Hub in its place.\n\n"
    );
    if model.processor.is_some() && !model.is_grey() {
        let _ = write!(
            out,
            "```python\n\
             from transformers import pipeline\n\n\
             {REPOSITORY}\
             print(pipeline(\"{task}\", model=repository)(\"image.jpg\"))\n\
             ```\n\n"
        );
    }
    let (imports, processor, inputs) = inputs(model);
    let _ = write!(
        out,
        "```python\n\
         {imports}\n\
         {REPOSITORY}\
         {processor}\
         model = {auto}.from_pretrained(repository)\n\
         {inputs}\n\
         with torch.no_grad():\n\
         {result}\n\
         ```\n\n",
        imports = imports.replace("{auto}", auto)
    );
    if model.is_grey() {
        out.push_str(
            "Images have one channel. The image processor takes arrays of shape [height, width, 1] or [1, height, width] in \
             transformers 4 and 5, and in version 5 grey images (Pillow's mode `L`) as they are. `pipeline` makes RGB of every \
             image and fails.\n\n",
        );
    }
    if let Some(states) = target.as_ref().and_then(TargetClass::of_states) {
        let _ = write!(
            out,
            "Some weights are scaled to make up for what the class computes otherwise: {states}.\n\n"
        );
    }
    if let Some(outside) = target.and_then(|target| target.outside) {
        let _ = write!(
            out,
            "Not in this folder is {}. With `outputs = model(**inputs)`:\n\n```python\n{}\n```\n\n",
            outside.what, outside.code
        );
    } else if let Task::Features { remark: Some(remark), .. } = card.task() {
        let _ = write!(out, "{remark}\n\n");
    }
    if let Some(exact) = card.prepared.model.target.exact_code().filter(|_| card.exact_code) {
        let _ = write!(
            out,
            "With `trust_remote_code=True` the source's exact network is loaded instead, by `{}`, which lies in this \
             folder; read it before you trust it:\n\n\
             ```python\n\
             from transformers import {auto}\n\n\
             {REPOSITORY}\
             model = {auto}.from_pretrained(repository, trust_remote_code=True)\n\
             ```\n\n",
            exact.file,
            auto = exact.auto_class
        );
    }
}

/// Returns the lines of Python that import what is needed, load the image processor and make the inputs.
fn inputs(model: &Model) -> (&'static str, &'static str, String) {
    let processor = "processor = AutoImageProcessor.from_pretrained(repository)\n";
    if model.processor.is_none() {
        let [channels, height, width] = match &model.transform {
            Transform::Direct(pixels) => pixels.shape,
            _ => [3, 0, 0],
        };
        let inputs = format!(
            "inputs = {{\"pixel_values\": torch.zeros(1, {channels}, {height}, {width})}}  # your pixels"
        );
        return ("import torch\nfrom transformers import {auto}\n", "", inputs);
    }
    if model.is_grey() {
        let imports = "import numpy as np\nimport torch\nfrom PIL import Image\nfrom transformers import AutoImageProcessor, {auto}\n";
        let inputs = "pixels = np.array(Image.open(\"image.jpg\").convert(\"L\"))[:, :, None]\n\
                      inputs = processor(pixels, input_data_format=\"channels_last\", return_tensors=\"pt\")";
        return (imports, processor, inputs.to_owned());
    }
    let imports =
        "import torch\nfrom PIL import Image\nfrom transformers import AutoImageProcessor, {auto}\n";
    let inputs = "inputs = processor(Image.open(\"image.jpg\").convert(\"RGB\"), return_tensors=\"pt\")";
    (imports, processor, inputs.to_owned())
}
