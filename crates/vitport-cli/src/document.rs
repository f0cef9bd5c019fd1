//! Says what the documents of `--json` are: each has a type, which names its schema and the version of it, and of which the schema is
//! made that stands in `docs/schemas`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};
use vitport::verify::{Report, SCHEMA};

/// Describes a document of `--json`.
pub trait Document: Serialize + JsonSchema {
    /// Names its schema, and the version of it, which is raised when a field is removed or changes its meaning: `vitport/plan/2`.
    const SCHEMA: &'static str;
}

/// Adds the field `schema` to a document.
#[derive(Serialize)]
struct Named<'a, T> {
    schema: &'static str,
    #[serde(flatten)]
    document: &'a T,
}

/// Returns a document with the field `schema`.
///
/// # Errors
/// If the value cannot be written as JSON.
pub fn named<T: Document>(document: &T) -> serde_json::Result<Value> {
    serde_json::to_value(Named { schema: T::SCHEMA, document })
}

/// Returns the schema of a document, with its name.
pub fn schema_of<T: Document>() -> (&'static str, Value) {
    let mut schema = generated::<T>();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let own = json!({ "description": "Names the schema and its version.", "const": T::SCHEMA });
        properties.shift_insert(0, "schema".to_owned(), own);
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.insert(0, "schema".into());
    }
    (T::SCHEMA, titled(T::SCHEMA, schema))
}

/// Returns the schema of a report, which has its field `schema` itself, as it is written to files, too.
pub fn schema_of_report() -> (&'static str, Value) {
    (SCHEMA, titled(SCHEMA, generated::<Report>()))
}

fn titled(name: &str, mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".to_owned(), name.into());
    }
    schema
}

fn generated<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}
