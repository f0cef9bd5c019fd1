//! Reads `preprocessor_config.json` as the image processors of transformers 4.57.6 read it: every class has its own defaults, a
//! missing field takes the default, a `null` switches a step off, and sizes come in several spellings
//! (image_processing_utils.py, `get_size_dict`).

use serde_json::{Map, Value};

use super::error::ImageError;
use super::resize::Filter;
use super::rgb_image::MOST_PIXELS;

/// Is `IMAGENET_STANDARD_MEAN` and `IMAGENET_STANDARD_STD` (image_utils.py).
const IMAGENET_STANDARD: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);
/// Is `OPENAI_CLIP_MEAN` and `OPENAI_CLIP_STD` (image_utils.py).
const OPENAI_CLIP: ([f64; 3], [f64; 3]) =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]);

/// Lists the image processors that can be run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ProcessorClass {
    ViT,
    /// Stands for DeiT's and BEiT's, which compute the same.
    DeiT,
    /// Stands for SigLIP's, which is ViT's with another filter where none is named.
    Siglip,
    /// Stands for CLIP's and BiT's, which compute the same.
    ClipOrBit,
    ConvNext {
        crop_pct: f64,
    },
    EfficientNet,
}

/// Says what the image is resized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    Sides { height: usize, width: usize },
    ShortestEdge(usize),
}

/// Holds a processor's steps; a step that is off is not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProcessorConfig {
    pub(super) class: ProcessorClass,
    pub(super) resize: Option<Resize>,
    pub(super) resample: Filter,
    /// Gives the (height, width) of the crop.
    pub(super) crop: Option<(usize, usize)>,
    pub(super) rescale_factor: Option<f64>,
    /// Gives the mean and standard deviation of red, green and blue.
    pub(super) normalize: Option<([f64; 3], [f64; 3])>,
    /// Gives the standard deviation by which the class of EfficientNet divides once more (`include_top`).
    pub(super) again: Option<[f64; 3]>,
    /// Says whether mean and standard deviation are of one channel, so that images have to come with one.
    pub(super) is_grey: bool,
}

impl ProcessorConfig {
    pub(super) fn from_json(json: &Map<String, Value>, fallback: Option<&str>) -> Result<Self, ImageError> {
        let fields = Fields { json };
        let class = fields.class(fallback)?;
        let (statistics, resample, size) = match class {
            ProcessorClass::ViT => {
                (IMAGENET_STANDARD, Filter::Bilinear, Resize::Sides { height: 224, width: 224 })
            }
            ProcessorClass::Siglip => {
                (IMAGENET_STANDARD, Filter::Bicubic, Resize::Sides { height: 224, width: 224 })
            }
            ProcessorClass::DeiT => {
                (IMAGENET_STANDARD, Filter::Bicubic, Resize::Sides { height: 256, width: 256 })
            }
            ProcessorClass::ClipOrBit => (OPENAI_CLIP, Filter::Bicubic, Resize::ShortestEdge(224)),
            ProcessorClass::ConvNext { .. } => {
                (IMAGENET_STANDARD, Filter::Bilinear, Resize::ShortestEdge(384))
            }
            ProcessorClass::EfficientNet => {
                (IMAGENET_STANDARD, Filter::Nearest, Resize::Sides { height: 346, width: 346 })
            }
        };
        let resize =
            if fields.flag("do_resize") { Some(fields.size("size", class)?.unwrap_or(size)) } else { None };
        let crops = match class {
            ProcessorClass::DeiT | ProcessorClass::ClipOrBit => fields.flag("do_center_crop"),
            ProcessorClass::EfficientNet => fields.flag_or("do_center_crop", false),
            _ => false,
        };
        let crop = if crops { Some(fields.crop_size(class)?) } else { None };
        let rescale_factor = if fields.flag("do_rescale") {
            Some(fields.number("rescale_factor", 1.0 / 255.0)?)
        } else {
            None
        };
        let normalize = if fields.flag("do_normalize") {
            let mean = fields.channels("image_mean")?.unwrap_or(statistics.0);
            Some((mean, fields.channels("image_std")?.unwrap_or(statistics.1)))
        } else {
            None
        };
        let is_of_efficientnet = class == ProcessorClass::EfficientNet;
        if is_of_efficientnet && rescale_factor.is_some() && fields.flag_or("rescale_offset", false) {
            return Err(wrong("rescale_offset", "is on, which is not defined here"));
        }
        let again = if is_of_efficientnet && fields.flag("include_top") {
            Some(fields.channels("image_std")?.unwrap_or(statistics.1))
        } else {
            None
        };
        let is_grey = normalize.is_some() && fields.has_one_channel()?;
        let resample = if resize.is_some() { fields.filter(resample)? } else { resample };
        Ok(Self { class, resize, resample, crop, rescale_factor, normalize, again, is_grey })
    }
}

/// Holds the fields of the file.
struct Fields<'a> {
    json: &'a Map<String, Value>,
}

fn wrong(field: &'static str, problem: impl Into<String>) -> ImageError {
    ImageError::Processor { field, problem: problem.into() }
}

impl Fields<'_> {
    /// Returns `image_processor_type`, or `feature_extractor_type` in old folders. The `Fast` classes of
    /// torchvision are run as their PIL namesakes.
    fn class(&self, fallback: Option<&str>) -> Result<ProcessorClass, ImageError> {
        let name = ["image_processor_type", "feature_extractor_type"]
            .into_iter()
            .find_map(|field| self.json.get(field)?.as_str())
            .or(fallback)
            .unwrap_or_default();
        let family = name.strip_suffix("Fast").unwrap_or(name);
        let family =
            ["ImageProcessor", "FeatureExtractor"].into_iter().find_map(|kind| family.strip_suffix(kind));
        Ok(match family {
            Some("ViT") => ProcessorClass::ViT,
            Some("DeiT" | "Beit") => ProcessorClass::DeiT,
            Some("Siglip") => ProcessorClass::Siglip,
            Some("CLIP" | "Bit") => ProcessorClass::ClipOrBit,
            Some("EfficientNet") => ProcessorClass::EfficientNet,
            Some("ConvNext") => {
                let crop_pct = match self.json.get("crop_pct") {
                    None | Some(Value::Null) => 224.0 / 256.0,
                    Some(_) => self.number("crop_pct", 0.0)?,
                };
                if crop_pct <= 0.0 {
                    return Err(wrong("crop_pct", format!("is {crop_pct}, not above 0")));
                }
                ProcessorClass::ConvNext { crop_pct }
            }
            _ => return Err(ImageError::UnknownProcessor { class: name.to_owned() }),
        })
    }

    /// Returns whether a step is on: by default it is, and it is off for what Python takes for false.
    fn flag(&self, field: &'static str) -> bool {
        self.flag_or(field, true)
    }

    /// Returns whether a step is on that is on or off by default.
    fn flag_or(&self, field: &'static str, default: bool) -> bool {
        match self.json.get(field) {
            None => default,
            Some(Value::Null) => false,
            Some(Value::Bool(on)) => *on,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(entries)) => !entries.is_empty(),
            Some(Value::Object(members)) => !members.is_empty(),
        }
    }

    fn number(&self, field: &'static str, default: f64) -> Result<f64, ImageError> {
        match self.json.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_finite())
                .ok_or_else(|| wrong(field, "is not a number")),
        }
    }

    /// Returns whether mean and standard deviation are lists of one number: then images must not be converted to RGB.
    fn has_one_channel(&self) -> Result<bool, ImageError> {
        let lengths = ["image_mean", "image_std"]
            .map(|field| self.json.get(field).and_then(Value::as_array).map_or(3, Vec::len));
        match lengths {
            [1, 1] if self.json.get("do_convert_rgb") == Some(&Value::Bool(false)) => Ok(true),
            [1, 1] => Err(wrong("do_convert_rgb", "is not false, but there is a mean of one channel only")),
            [1, _] | [_, 1] => Err(wrong("image_std", "has not as many numbers as image_mean")),
            _ => Ok(false),
        }
    }

    /// Reads one number for each channel; a single number stands for all.
    fn channels(&self, field: &'static str) -> Result<Option<[f64; 3]>, ImageError> {
        let numbers = match self.json.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(values)) => match values.as_slice() {
                [one] => one.as_f64().map(|number| vec![number; 3]),
                values => values.iter().map(Value::as_f64).collect(),
            },
            Some(value) => value.as_f64().map(|number| vec![number; 3]),
        };
        let numbers: Option<[f64; 3]> = numbers.and_then(|numbers| numbers.try_into().ok());
        numbers
            .map(Some)
            .ok_or_else(|| wrong(field, "is not a number for each of three channels, or for one"))
    }

    fn filter(&self, default: Filter) -> Result<Filter, ImageError> {
        match self.json.get("resample") {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .and_then(Filter::from_pillow_number)
                .ok_or_else(|| wrong("resample", "is not the number of one of Pillow's filters, 0 to 5")),
        }
    }

    /// Reads `size`, in the keys that the class can resize to.
    fn size(&self, field: &'static str, class: ProcessorClass) -> Result<Option<Resize>, ImageError> {
        let one_number_is_an_edge =
            matches!(class, ProcessorClass::ClipOrBit | ProcessorClass::ConvNext { .. });
        let resize = match self.json.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(keys)) => {
                let edge = keys.get("shortest_edge");
                match (edge, keys.get("height"), keys.get("width")) {
                    (Some(edge), None, None) => Resize::ShortestEdge(side(field, edge)?),
                    (None, Some(height), Some(width)) => {
                        Resize::Sides { height: side(field, height)?, width: side(field, width)? }
                    }
                    _ => return Err(wrong(field, "has neither height and width nor shortest_edge")),
                }
            }
            Some(Value::Array(sides)) => match sides.as_slice() {
                [height, width] => Resize::Sides { height: side(field, height)?, width: side(field, width)? },
                _ => return Err(wrong(field, "is not a list of height and width")),
            },
            Some(number) if one_number_is_an_edge => Resize::ShortestEdge(side(field, number)?),
            Some(number) => {
                let side = side(field, number)?;
                Resize::Sides { height: side, width: side }
            }
        };
        match (class, resize) {
            (
                ProcessorClass::ViT
                | ProcessorClass::DeiT
                | ProcessorClass::Siglip
                | ProcessorClass::EfficientNet,
                Resize::ShortestEdge(_),
            ) => Err(wrong(field, "has a shortest_edge where its class needs height and width")),
            (ProcessorClass::ConvNext { .. }, Resize::Sides { .. }) => {
                Err(wrong(field, "has height and width where its class needs a shortest_edge"))
            }
            _ => Ok(Some(resize)),
        }
    }

    /// Reads `crop_size`: 224 × 224 unless the file says otherwise, and 289 × 289 of EfficientNet's class.
    fn crop_size(&self, class: ProcessorClass) -> Result<(usize, usize), ImageError> {
        match self.size("crop_size", ProcessorClass::DeiT)? {
            Some(Resize::Sides { height, width }) => Ok((height, width)),
            _ if class == ProcessorClass::EfficientNet => Ok((289, 289)),
            _ => Ok((224, 224)),
        }
    }
}

/// Reads a side in pixels, small enough to be allocated.
fn side(field: &'static str, value: &Value) -> Result<usize, ImageError> {
    value
        .as_u64()
        .and_then(|side| usize::try_from(side).ok())
        .filter(|&side| side > 0 && side.checked_mul(side).is_some_and(|area| area <= MOST_PIXELS))
        .ok_or_else(|| wrong(field, "is not a side in pixels"))
}
