//! Whether a local file is one that a framework published, unchanged. Two kinds of names say what the file holds: the name of a
//! blob in the Hub's cache is its sha256, and an official file name ends in the first eight digits of it
//! (`torch.hub.load_state_dict_from_url`, `check_hash`). A file is hashed only where its name is of such a kind and known.

use std::path::Path;

use crate::frameworks::{FRAMEWORKS, PublishedModel};
use crate::source::Source;
use crate::verify::Hashing;

/// Counts the digits of a sha256 in an official file name.
const DIGITS: usize = 8;

/// Returns the published model whose file this is, byte for byte; none if that cannot be shown.
pub(super) fn published_file(source: &Source) -> Option<PublishedModel> {
    let [file] = source.checkpoint.files() else { return None };
    let path = std::fs::canonicalize(&file.path).ok()?;
    let (published, digest) = in_cache(&path).or_else(|| released(&path))?;
    let hashes = Hashing::start(&source.checkpoint).ok()?.finish().ok()?;
    hashes.first()?.sha256.starts_with(&digest).then_some(published)
}

/// Returns the model of a blob in the Hub's cache, `models--org--name/blobs/<sha256>`, and its hash.
fn in_cache(path: &Path) -> Option<(PublishedModel, String)> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let blobs = path.parent().filter(|folder| folder.ends_with("blobs"))?;
    let repository = name(blobs.parent()?)?.strip_prefix("models--")?.replacen("--", "/", 1);
    let digest = name(path).filter(|name| is_hex(name, 64))?;
    let published = FRAMEWORKS.into_iter().find_map(|framework| framework.published_in(&repository))?;
    Some((published, digest))
}

/// Returns the model of a file under its official name, `vit_base_p16_224-1a2b3c4d.pth`, and the digits of its hash.
fn released(path: &Path) -> Option<(PublishedModel, String)> {
    let digest = path.file_stem()?.to_str()?.rsplit_once('-')?.1.to_owned();
    let name = path.file_name()?.to_str().filter(|_| is_hex(&digest, DIGITS))?;
    let published = FRAMEWORKS.into_iter().find_map(|framework| framework.released_as(name))?;
    Some((published, digest))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_what_was_published() {
        let known =
            |found: Option<(PublishedModel, String)>| found.map(|(it, digest)| (it.repository, digest));
        let repository = "timm/vit_tiny_patch16_224.augreg_in21k";
        let blob = "0".repeat(64);
        let path = format!("/cache/models--{}/blobs/{blob}", repository.replace('/', "--"));
        assert_eq!(known(in_cache(Path::new(&path))), Some((Some(repository.to_owned()), blob.clone())));
        assert_eq!(known(in_cache(Path::new(&format!("/cache/models--someone--own/blobs/{blob}")))), None);
        assert_eq!(known(in_cache(Path::new("/cache/models--timm--x/blobs/model"))), None);
        let official = Path::new("/tmp/jx_vit_base_p16_224-80ecf9dd.pth");
        assert_eq!(known(released(official)).unwrap().1, "80ecf9dd");
        assert_eq!(known(released(Path::new("/tmp/my_vit-80ecf9dd.pth"))), None);
        assert_eq!(known(released(Path::new("/tmp/jx_vit_base_p16_224.pth"))), None);
    }
}
