//! The native part of the Python module `vitport`: the command, the functions that run it, and reading tensors. What users call stands
//! in `python/vitport`; this is below it, and knows as little as it can.

mod call;
mod given;
mod raised;
mod reader;

use std::ffi::OsString;

use pyo3::prelude::*;
use vitport_cli::fields::{Takes, options};
use vitport_cli::program::error_kinds;

use crate::reader::Reader;

/// Runs the command as it was typed, the program's name first, and returns what the process is to exit with. Signals end the process.
#[pyfunction]
fn run(py: Python<'_>, typed: Vec<OsString>) -> u8 {
    py.detach(|| vitport_cli::run(typed))
}

/// Returns the names of a command's options, and whether each takes a value.
#[pyfunction]
fn options_of(command: &str) -> Vec<(String, bool)> {
    options(command).into_iter().map(|(name, takes)| (name, takes != Takes::Nothing)).collect()
}

/// Returns every kind of error and the number that the command exits with.
#[pyfunction]
fn kinds() -> Vec<(String, u8)> {
    error_kinds().collect()
}

/// Fills the module.
#[pymodule]
fn _vitport(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(run, module)?)?;
    module.add_function(wrap_pyfunction!(call::call, module)?)?;
    module.add_function(wrap_pyfunction!(call::leave_nothing_behind, module)?)?;
    module.add_function(wrap_pyfunction!(options_of, module)?)?;
    module.add_function(wrap_pyfunction!(kinds, module)?)?;
    module.add_class::<Reader>()
}
