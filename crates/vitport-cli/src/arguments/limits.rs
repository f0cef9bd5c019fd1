//! Declares the options that say how much a file may ask for: the same on every command that opens one.

use clap::Args;
use vitport::folder::layout::parse_size;
use vitport_checkpoint::{Limits, Stop};

/// Limits how much a file may ask for before it is refused. The defaults are far above what published models need.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits (a file that asks for more is refused)")]
pub struct LimitOptions {
    /// Limit the tensors of one checkpoint; a zip or tar may have twice as many entries, a pickle 200 times as many instructions
    /// [default: 100000]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub max_tensors: Option<usize>,
    /// Limit the dicts, lists and objects inside each other around a tensor, at most 200 [default: 100]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub max_nesting: Option<usize>,
    /// Limit the bytes in one tensor's name [default: 4096]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size)]
    pub max_name: Option<u64>,
    /// Limit the bytes of a safetensors header, an index, a zip's directory or a pickle [default: 32MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size)]
    pub max_header: Option<u64>,
    /// Limit the memory that the objects of a pickle may take while they are read [default: 100MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size)]
    pub max_pickle_memory: Option<u64>,
    /// Limit the numbers and texts that are kept from what lies next to the weights [default: 4096]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub max_metadata: Option<usize>,
    /// Limit the files of one shard index [default: 4096]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub max_shards: Option<usize>,
    /// Limit the bytes by which tensors may exceed what is stored for them, through compression or repetition, besides 64 times the
    /// file's length [default: 1GiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size)]
    pub max_expansion: Option<u64>,
    /// Take the tensors of a file whose pickle would execute code in Python; nothing is run here either, and the report and
    /// the model card name the call
    #[arg(long, hide_short_help = true)]
    pub allow_dangerous_pickle: bool,
    /// Ends all reading, for a program that runs the command.
    #[arg(skip)]
    pub stop: Stop,
}

impl LimitOptions {
    /// Returns the library's limits with those that are given.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        let bytes = |given: Option<u64>, default: usize| {
            given.map_or(default, |given| usize::try_from(given).unwrap_or(usize::MAX))
        };
        let max_tensors = self.max_tensors.unwrap_or(default.max_tensors);
        Limits {
            max_tensors,
            max_depth: self.max_nesting.unwrap_or(default.max_depth),
            max_name_len: bytes(self.max_name, default.max_name_len),
            max_header_bytes: self.max_header.unwrap_or(default.max_header_bytes),
            max_pickle_memory: bytes(self.max_pickle_memory, default.max_pickle_memory),
            max_metadata: self.max_metadata.unwrap_or(default.max_metadata),
            max_shards: self.max_shards.unwrap_or(default.max_shards),
            max_expansion_bytes: self.max_expansion.unwrap_or(default.max_expansion_bytes),
            allow_dangerous_pickle: self.allow_dangerous_pickle,
            // Every tensor may be an entry of its own, and every one takes a few dozen instructions.
            max_entries: default.max_entries.max(max_tensors.saturating_mul(2)),
            max_pickle_steps: default.max_pickle_steps.max((max_tensors as u64).saturating_mul(200)),
            stop: self.stop.clone(),
            ..default
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|_| "a size is a number of bytes, such as 65536, 64MB or 64MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_the_librarys() {
        assert_eq!(LimitOptions::default().limits(), Limits::default());
    }

    #[test]
    fn more_tensors_may_have_more_entries() {
        let given = LimitOptions { max_tensors: Some(1_000_000), ..LimitOptions::default() };
        let limits = given.limits();
        assert_eq!((limits.max_tensors, limits.max_entries), (1_000_000, 2_000_000));
        assert_eq!(limits.max_pickle_steps, 200_000_000);
    }
}
