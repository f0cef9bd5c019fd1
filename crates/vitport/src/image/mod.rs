//! Picture to pixels.
