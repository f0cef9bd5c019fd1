//! Makes the library's requests of options.

use std::path::Path;

use vitport::labels::{LabelChoice, LabelSet};
use vitport::options;
use vitport::pipeline::Request;
use vitport_checkpoint::{escape, read_regular};

use crate::arguments::FactArguments;
use crate::failure::Failure;

/// Limits the bytes that a mapping may have; the built-in ones have some thousands.
const MAX_MAPPING: u64 = 1 << 20;

/// Returns the library's request for the options' facts.
///
/// # Errors
/// A usage failure for a mapping that cannot be read.
pub fn request(options: FactArguments) -> Result<Request, Failure> {
    let labels = options.labels.map(|labels| match labels.as_str() {
        "none" => LabelChoice::None,
        name => LabelSet::from_name(name).map_or_else(|| LabelChoice::File(name.into()), LabelChoice::Set),
    });
    let mapping = options.mapping.map(|path| match read_mapping(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => {
            let path = path.display().to_string();
            Err(Failure::usage(format!("{}: {error}; give a readable mapping", escape(&path))))
        }
    });
    Ok(Request {
        facts: options::FactOptions {
            arch: options.arch,
            like: options.like,
            num_heads: options.num_heads,
            image_size: options.image_size,
            resample_to: options.resample_to,
            labels,
            mean: options.mean,
            std: options.std,
            crop_pct: options.crop_pct,
            crop_mode: options.crop_mode,
            interpolation: options.interpolation,
            layer_norm_eps: options.layer_norm_eps,
            lora_alpha: options.lora_alpha,
            without_processor: options.no_processor,
            target: options.target,
            without_head: options.no_head,
            drop: options.drop,
        },
        root: options.key,
        mapping: mapping.transpose()?,
        dtype: options.dtype,
        limits: options.limits.limits(),
    })
}

/// Reads the text of a mapping.
fn read_mapping(path: &Path) -> std::io::Result<String> {
    String::from_utf8(read_regular(path, MAX_MAPPING)?)
        .map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}
