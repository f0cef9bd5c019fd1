//! Declares the options that say where a model comes from.

use std::ffi::{OsStr, OsString};

use clap::Args;

use super::legacy;

/// Says where the model comes from.
#[derive(Debug, Args)]
pub struct SourceArgument {
    /// Take a weight file (.pth .pt .bin .safetensors), a folder with one, a timm model name, or a repository on the Hub
    #[arg(value_name = "SOURCE", conflicts_with_all = ["vit_name", "cvt_file_name"])]
    pub source: Option<OsString>,
    /// Take SOURCE under the original ViT script's name for it
    #[arg(long = "vit_name", value_name = "NAME", hide = true, conflicts_with = "cvt_file_name")]
    pub vit_name: Option<OsString>,
    /// Take SOURCE under the original CvT script's name for it
    #[arg(long = "cvt_file_name", value_name = "FILE", hide = true)]
    pub cvt_file_name: Option<OsString>,
}

/// Says how a SOURCE that is not a path is fetched.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The Hub")]
pub struct HubOptions {
    /// Take this branch, tag or commit of a repository on the Hub
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,
    /// Use only what is in the cache
    #[arg(long)]
    pub offline: bool,
}

impl SourceArgument {
    /// Returns the source as it was typed, or what the original ViT script converts when nothing is named.
    pub fn text(&self) -> &OsStr {
        self.given().unwrap_or(OsStr::new(legacy::DEFAULT_NAME))
    }

    /// Returns the source as it was typed, if it was.
    pub fn given(&self) -> Option<&OsStr> {
        let given = self.source.as_ref().or(self.vit_name.as_ref()).or(self.cvt_file_name.as_ref());
        given.map(OsString::as_os_str)
    }
}

/// Returns whether a text begins as the address of a page or an image does.
pub fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}
