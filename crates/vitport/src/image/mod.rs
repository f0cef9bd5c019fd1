//! Makes pixels of an image, on both sides: what timm and Microsoft do to an image before the source network sees it, and what
//! the folder's image processor does before the target network does.

mod as_timm;
mod direct;
mod error;
mod microsoft_transform;
mod processor;
mod processor_config;
mod resize;
mod rgb_image;
mod timm_transform;
mod torchvision;
mod whole;

pub(crate) use as_timm::crop_fraction;
pub use direct::DirectPixels;
pub use error::ImageError;
pub use microsoft_transform::MicrosoftTransform;
pub use processor::{ImageProcessor, PROCESSOR_KEYS};
pub use resize::{Filter, resize};
pub use rgb_image::{MOST_PIXELS, RgbImage};
pub use timm_transform::{CropMode, TimmTransform};
pub use torchvision::CropRounding;
pub use vitport_nn::Pixels;
