//! Tests whether two networks are the same model: faults that must be seen, and noise that must not.

mod bias_by_stage;
mod cast;
mod control;
mod convert;
mod kin;
mod loading;
mod quiet;
