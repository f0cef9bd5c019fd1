//! Files of tensors, read safely and lazily: what is in them, and where the bytes lie.
