//! What can go wrong between an image file and a network's pixels.

/// Why an image could not be turned into pixels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The bytes are not an image that this library decodes.
    #[error("the image cannot be decoded: {detail:?}; give a JPEG, PNG or WebP file")]
    Undecodable {
        /// What the decoder said.
        detail: String,
    },
    /// The image, or what it would be resized to, has more pixels than are ever needed.
    #[error(
        "the image would take {width} × {height} pixels, more than the {limit} that vitport handles; give a smaller one"
    )]
    TooLarge {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Most pixels allowed.
        limit: usize,
    },
    /// A side of zero pixels, in the file or after resizing.
    #[error("the image would have {width} × {height} pixels after {step}; give one that is less narrow")]
    Empty {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// What was done to it.
        step: &'static str,
    },
    /// An image processor that is not known here.
    #[error(
        "preprocessor_config.json names the image processor {class:?}, which cannot be run; known are those of ViT, DeiT, CLIP, BiT and ConvNeXT"
    )]
    UnknownProcessor {
        /// The class name in the file.
        class: String,
    },
    /// A field of preprocessor_config.json that its class would refuse.
    #[error("preprocessor_config.json: {field} {problem}; correct the file or convert the model again")]
    Processor {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A source-side transform whose numbers make no sense.
    #[error(
        "the preprocessing cannot be run: {detail}; correct the model's mean, std, crop_pct or input size"
    )]
    Transform {
        /// What is wrong.
        detail: String,
    },
}
