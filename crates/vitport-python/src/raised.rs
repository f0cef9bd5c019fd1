//! Makes exceptions of errors' documents. The classes stand in `vitport._errors`.

use pyo3::prelude::*;
use serde_json::Value;

/// Returns the exception of a document, with the page of the report that is in it, if there is one.
pub fn raised(py: Python<'_>, document: &Value, page: Option<String>) -> PyErr {
    let exception = || {
        let errors = PyModule::import(py, "vitport._errors")?;
        errors.getattr("from_json")?.call1((document.to_string(), page))
    };
    exception().map_or_else(|error| error, PyErr::from_value)
}
