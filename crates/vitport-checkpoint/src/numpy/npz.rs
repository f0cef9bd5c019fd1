//! `.npz`: a zip with one array an entry, as the original JAX releases of ViT are.

use super::{column_major, npy};
use crate::contents::Contents;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{Container, FileEvidence, Unsupported};
use crate::limits::Limits;
use crate::source::Source;
use crate::storage::Storage;
use crate::tensor::{LazyBits, Tensor, extent, row_major};
use crate::zip::{Archive, Entry};

const ENDING: &str = ".npy";

/// Returns true when every entry is an array.
pub(crate) fn looks_like(entries: &[Entry]) -> bool {
    !entries.is_empty() && entries.iter().all(|entry| entry.name.ends_with(ENDING))
}

/// Reads the header of every array.
pub(crate) fn read(
    source: &Source,
    archive: &Archive,
    file: usize,
    limits: &Limits,
) -> Result<Contents, Fault> {
    if archive.entries.len() > limits.max_tensors {
        return refuse(Reason::Limit, format!("the archive holds more than {} arrays", limits.max_tensors));
    }
    let mut tensors = Vec::new();
    let mut storages = Vec::new();
    let mut unsupported = Vec::new();
    let mut evidence = FileEvidence::of(Container::Npz);
    for entry in &archive.entries {
        let name = entry.name.strip_suffix(ENDING).unwrap_or(&entry.name);
        let start = archive.beginning(source, entry, npy::LONGEST + 12)?;
        let header = npy::parse(&start).map_err(|fault| in_entry(fault, entry))?;
        let Some(dtype) = header.array_type.dtype() else {
            let code = header.array_type.code.as_str();
            if header.array_type.is_text() {
                // Nobody reads it later, and one damaged letter in the header of weights makes text of them.
                archive.check(source, entry, limits)?;
                evidence.note(format!("array '{}' holds text and is left out", escape(name)));
                continue;
            }
            let kind = match code {
                "O" => "an array of Python objects, which are pickles".to_owned(),
                _ => format!("an array of numpy type '{}'", escape(code)),
            };
            unsupported.push(Unsupported {
                path: name.to_owned(),
                kind,
                dtype: None,
                shape: Some(header.shape.clone()),
            });
            continue;
        };
        if header.shape.len() > limits.max_dims {
            return refuse(Reason::Limit, format!("array '{}' has too many dimensions", escape(name)));
        }
        let strides =
            if header.fortran_order { column_major(&header.shape) } else { row_major(&header.shape) };
        let bytes = extent(&header.shape, &strides, 0)
            .and_then(|elements| elements.checked_mul(dtype.size()))
            .and_then(|bytes| bytes.checked_add(header.len));
        if bytes != Some(entry.len) {
            return refuse(
                Reason::Contradiction,
                format!(
                    "array '{}' of shape {:?} does not fill its entry of {} bytes",
                    escape(name),
                    header.shape,
                    entry.len
                ),
            );
        }
        let storage = archive.storage(entry, file, entry.name.to_string());
        storages.push(Storage { origin: header.len, big_endian: header.array_type.big_endian, ..storage });
        tensors.push(Tensor {
            name: name.into(),
            dtype,
            shape: header.shape,
            strides,
            offset: 0,
            storage: storages.len() - 1,
            lazy_bits: LazyBits::default(),
        });
    }
    let mut contents = Contents::flat(tensors, storages, evidence);
    if let Some(top) = contents.branches.first_mut() {
        top.unsupported = 0..unsupported.len();
        top.direct += unsupported.len();
    }
    contents.unsupported = unsupported;
    Ok(contents)
}

fn in_entry(fault: Fault, entry: &Entry) -> Fault {
    match fault {
        Fault::Refused(mut refusal) => {
            refusal.detail = format!("entry '{}': {}", escape(&entry.name), refusal.detail);
            Fault::Refused(refusal)
        }
        other => other,
    }
}
