//! Class names that training programs record next to the weights: Lightning's hyper parameters, mmengine's `dataset_meta`,
//! torchvision's `class_to_idx`.

use std::collections::BTreeMap;

use serde_json::Value;
use vitport_checkpoint::escape;

use super::{ClassNames, LabelError, class_number, make_unique, shape};
use crate::facts::{Origin, Sourced};
use crate::training::Records;

/// Lists where names stand in the order of the classes.
const LISTS: [&str; 6] = ["class_names", "classes", "CLASSES", "label_names", "labels", "idx_to_class"];

/// Lists where the number of a class stands under its name.
const NUMBERS: [&str; 2] = ["class_to_idx", "label2id"];

/// Lists where names stand under the number of the class.
const BY_NUMBER: [&str; 2] = ["idx_to_class", "id2label"];

/// Lists the objects that hold them; an empty one is the top of the file.
const ROOTS: [&str; 7] = ["meta.dataset_meta", "meta", "hyper_parameters", "hparams", "args", "config", ""];

/// Returns the names that a checkpoint records for a head of `classes` classes, with the path at which they stand.
///
/// # Errors
/// Returns [`LabelError::Count`] for as many names as there are no classes, [`LabelError::Blank`] for an empty one,
/// [`LabelError::Shape`] for names of which two have one number.
pub fn recorded(records: &Records, classes: usize) -> Result<Option<Sourced<ClassNames>>, LabelError> {
    for root in ROOTS {
        let path = |key: &str| if root.is_empty() { key.to_owned() } else { format!("{root}.{key}") };
        let by_list = LISTS.into_iter().filter_map(|key| Some((path(key), list(records, &path(key))?)));
        let by_name = NUMBERS
            .into_iter()
            .filter_map(|key| Some((path(key), in_order(pairs(records, &path(key), false)?))));
        let by_number = BY_NUMBER
            .into_iter()
            .filter_map(|key| Some((path(key), in_order(pairs(records, &path(key), true)?))));
        let Some((path, names)) = by_list.chain(by_name).chain(by_number).next() else { continue };
        let source_name = format!("{} in the checkpoint", escape(&path));
        let names = names.map_err(|reason| shape(&source_name, reason))?;
        if names.len() != classes {
            return Err(LabelError::Count { source_name, labels: names.len(), classes });
        }
        if let Some(class) = names.iter().position(|name| name.trim().is_empty()) {
            return Err(LabelError::Blank { source_name, class });
        }
        let names = make_unique(names, &vec![None; classes]);
        let origin = if path.contains('.') { Origin::Argument(path) } else { Origin::Checkpoint(path) };
        return Ok(Some(Sourced::new(names, origin)));
    }
    Ok(None)
}

/// Names in order, or what is wrong with them.
type Names = Result<Vec<String>, String>;

/// Returns a list of texts.
fn list(records: &Records, path: &str) -> Option<Names> {
    let list = records.value(path)?.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(|name| name.as_str().map(|name| name.trim().to_owned())).collect::<Option<_>>().map(Ok)
}

/// Returns the entries of a dict as class numbers with names. `by_number` says whether its keys are the numbers.
fn pairs(records: &Records, path: &str, by_number: bool) -> Option<Vec<(usize, String)>> {
    let entry = |key: &str, value: &Value| match by_number {
        true => Some((class_number(key)?, value.as_str()?.trim().to_owned())),
        false => Some((usize::try_from(value.as_u64()?).ok()?, key.trim().to_owned())),
    };
    let entries: Vec<_> =
        records.under(path).map(|(key, record)| entry(key, &record.value)).collect::<Option<_>>()?;
    (!entries.is_empty()).then_some(entries)
}

/// Returns names by their numbers, which must be all from 0 on.
fn in_order(pairs: Vec<(usize, String)>) -> Names {
    let count = pairs.len();
    let by_number: BTreeMap<usize, String> = pairs.into_iter().collect();
    match by_number.len() == count && by_number.keys().copied().eq(0..count) {
        true => Ok(by_number.into_values().collect()),
        false => Err(format!("its numbers are not 0 to {}, each once", count.saturating_sub(1))),
    }
}
