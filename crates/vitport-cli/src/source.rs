//! From what the user typed to an open source: a path as it is, a name by way of the hub.

use std::ffi::OsStr;
use std::path::Path;

use vitport::source::Source;
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
        let text = self.text();
        let path = Path::new(text);
        let is_name =
            self.cvt_file_name.is_none() && !path.exists() && is_model_name(&text.to_string_lossy());
        if is_name {
            let name = escape(&text.to_string_lossy()).to_string();
            return Err(Failure::unknown(format!(
                "{name}: names are not fetched from the Hub yet; download the repository and give its folder"
            )));
        }
        Ok(Source::open(path, root, limits)?)
    }
}

/// Whether a text that is no path reads like a model's name.
fn is_model_name(text: &str) -> bool {
    text.starts_with("hf-hub:") || text.starts_with("timm/") || vitport::zoo::find(text).is_some()
}
