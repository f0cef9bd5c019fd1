//! Picture to pixels.

mod pixels;

pub use pixels::Pixels;
