//! Picture to pixels, on both sides: what timm and Microsoft do to a picture before the source
//! network sees it, and what the folder's image processor does before the target network does.

mod error;
mod microsoft_transform;
mod picture;
mod processor;
mod processor_config;
mod resize;
mod timm_transform;
mod torchvision;
mod whole;

pub use error::ImageError;
pub use microsoft_transform::MicrosoftTransform;
pub use picture::{MOST_PIXELS, Picture};
pub use processor::ImageProcessor;
pub use resize::{Filter, resize};
pub use timm_transform::{CropMode, TimmTransform};
pub use torchvision::CropRounding;
pub use vitport_nn::Pixels;
