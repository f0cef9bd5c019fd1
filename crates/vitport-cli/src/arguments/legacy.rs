//! Translates the flags of the two scripts that vitport replaces, understood as they are: both took no subcommand.

use std::ffi::OsString;

/// Lists the flags of `convert_vit_timm_to_pytorch.py` and
/// `convert_cvt_original_pytorch_checkpoint_to_pytorch.py`.
const FLAGS: [&str; 5] =
    ["--vit_name", "--cvt_model", "--cvt_file_name", "--image_size", "--pytorch_dump_folder_path"];

/// Names what the original ViT script converts when nothing is named.
pub const DEFAULT_NAME: &str = "vit_base_patch16_224";

/// Returns the arguments with `convert` in front if they begin with a flag of the original scripts.
pub fn with_subcommand(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(..2).is_some_and(is_meant) {
        arguments.insert(1, "convert".into());
    }
    arguments
}

/// Returns whether the arguments have a flag of the original scripts.
pub fn is_meant(arguments: &[OsString]) -> bool {
    let texts = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    texts.map(|text| text.split('=').next().unwrap_or(text)).any(|flag| FLAGS.contains(&flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_two(arguments: &[&str]) -> Vec<OsString> {
        with_subcommand(arguments.iter().map(OsString::from)).into_iter().skip(1).take(2).collect()
    }

    #[test]
    fn only_the_old_flags_imply_convert() {
        assert_eq!(first_two(&["vitport", "--vit_name", "x"]), ["convert", "--vit_name"]);
        assert_eq!(first_two(&["vitport", "--image_size=384"]), ["convert", "--image_size=384"]);
        assert_eq!(first_two(&["vitport", "plan", "--vit_name"]), ["plan", "--vit_name"]);
        assert_eq!(first_two(&["vitport", "--version"]), ["--version"]);
    }
}
