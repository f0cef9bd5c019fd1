//! Says what can go wrong between an image file and a network's pixels.

/// Says why an image could not be made into pixels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Means that the bytes are not an image that this library decodes.
    #[error("the image cannot be decoded: {detail:?}; give a JPEG, PNG or WebP file")]
    Undecodable {
        /// Says what the decoder said.
        detail: String,
    },
    /// Means that the image, or what it would be resized to, has more pixels than are ever needed.
    #[error(
        "the image would take {width} × {height} pixels, more than the {limit} that vitport handles; give a smaller one"
    )]
    TooLarge {
        /// Counts the pixels in a row.
        width: usize,
        /// Counts the rows.
        height: usize,
        /// Limits the pixels.
        limit: usize,
    },
    /// Means that a side has zero pixels, in the file or after resizing.
    #[error(
        "the image would have {width} × {height} pixels after {step}; give an image whose sides are less different in length"
    )]
    Empty {
        /// Counts the pixels in a row.
        width: usize,
        /// Counts the rows.
        height: usize,
        /// Says what was done to it.
        step: &'static str,
    },
    /// Means that the image processor is not known here.
    #[error(
        "preprocessor_config.json names the image processor {class:?}, which cannot be run; known are those of ViT, DeiT, BEiT, SigLIP, CLIP, BiT and ConvNeXT"
    )]
    UnknownProcessor {
        /// Gives the class name in the file.
        class: String,
    },
    /// Means that the processor's class would refuse a field of preprocessor_config.json.
    #[error("preprocessor_config.json: {field} {problem}; correct the file or convert the model again")]
    Processor {
        /// Names the field.
        field: &'static str,
        /// Says what is wrong with it.
        problem: String,
    },
    /// Means that the numbers of a source-side transform make no sense.
    #[error(
        "the preprocessing cannot be run: {detail}; correct the model's mean, std, crop_pct or input size"
    )]
    Transform {
        /// Says what is wrong.
        detail: String,
    },
}
