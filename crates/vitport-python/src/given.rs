//! Makes options of Python's values: a bool is a flag, anything else one value or a list of them, as on a command line.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyTuple};
use vitport_cli::fields::Given;

/// Returns options as the command takes them, without those that are `None`.
///
/// # Errors
/// A `TypeError` for a value that no option takes.
pub fn options(given: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Given)>> {
    let mut options = Vec::with_capacity(given.len());
    for (name, value) in given {
        if !value.is_none() {
            let name: String = name.extract()?;
            let value = one(&name, &value)?;
            options.push((name, value));
        }
    }
    Ok(options)
}

fn one(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Given> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Given::Flag(flag.is_true()));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let values = value.try_iter()?.map(|item| text(name, &item?)).collect::<PyResult<_>>()?;
        return Ok(Given::Values(values));
    }
    Ok(Given::Values(vec![text(name, value)?]))
}

fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<OsString> {
    if let Ok(path) = value.extract::<PathBuf>() {
        return Ok(path.into_os_string());
    }
    if let Ok(number) = value.extract::<i64>() {
        return Ok(number.to_string().into());
    }
    if let Ok(number) = value.extract::<f64>() {
        return Ok(number.to_string().into());
    }
    let kind = value.get_type();
    Err(PyTypeError::new_err(format!(
        "{name} is a {kind}; give text, a path, a number, or a list or tuple of them"
    )))
}
