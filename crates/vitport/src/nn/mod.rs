//! The few float32 kernels that the forward passes need.
