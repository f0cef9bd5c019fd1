//! From what the user typed to an open source or picture: a path as it is, a name by way of the hub.

use std::ffi::OsStr;
use std::path::Path;

use vitport::source::Source;
use vitport::verify::Picture;
use vitport_checkpoint::{Limits, escape};

use crate::arguments::SourceArgument;
use crate::failure::Failure;

/// What the original ViT script converts when nothing is named.
pub const DEFAULT_NAME: &str = "vit_base_patch16_224";

impl SourceArgument {
    /// The source as it was typed.
    pub fn text(&self) -> &OsStr {
        let given = self.source.as_ref().or(self.vit_name.as_ref()).or(self.cvt_file_name.as_ref());
        given.map_or(OsStr::new(DEFAULT_NAME), |text| text.as_os_str())
    }

    /// Opens it.
    ///
    /// # Errors
    /// A refusal of the file, or an unknown name.
    pub fn open(&self, root: Option<&str>, limits: &Limits) -> Result<Source, Failure> {
        open(self.text(), root, limits)
    }
}

/// Opens a path or a name.
///
/// # Errors
/// A refusal of the file, or an unknown name.
pub fn open(text: &OsStr, root: Option<&str>, limits: &Limits) -> Result<Source, Failure> {
    let path = Path::new(text);
    if !path.exists() && is_model_name(&text.to_string_lossy()) {
        let name = escape(&text.to_string_lossy()).to_string();
        return Err(Failure::unknown(format!(
            "{name}: names are not fetched from the Hub yet; download the repository and give its folder"
        )));
    }
    Ok(Source::open(path, root, limits)?)
}

/// Opens a picture by its path.
///
/// # Errors
/// If it cannot be read or decoded.
pub fn open_picture(text: &OsStr) -> Result<Picture, Failure> {
    Ok(Picture::open(Path::new(text))?)
}

/// Whether a text that is no path reads like a model's name.
fn is_model_name(text: &str) -> bool {
    text.starts_with("hf-hub:") || text.starts_with("timm/") || vitport::zoo::find(text).is_some()
}
