//! Holds one file for each subcommand.

pub mod batch;
pub mod classify;
pub mod completions;
pub mod convert;
mod convert_back;
pub mod diff;
pub mod inspect;
pub mod models;
pub mod plan;
pub mod report;
pub mod verify;

use serde_json::Value;

use crate::document::{schema_of, schema_of_report};
use crate::failure::ErrorDocument;

/// Returns the schemas of all documents, by their names.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        schema_of::<verify::AttestationDocument>(),
        schema_of::<batch::BatchDocument>(),
        schema_of::<classify::ClassifyDocument>(),
        schema_of::<crate::conversion::ConvertDocument<'_>>(),
        schema_of::<convert_back::ConvertBackDocument<'_>>(),
        schema_of::<diff::DiffDocument<'_>>(),
        schema_of::<ErrorDocument<'_>>(),
        schema_of::<inspect::InspectDocument<'_>>(),
        schema_of::<plan::MappingDocument<'_>>(),
        schema_of::<models::ModelsDocument<'_>>(),
        schema_of::<report::OverviewDocument>(),
        schema_of::<plan::PlanDocument<'_>>(),
        schema_of_report(),
    ]
}
