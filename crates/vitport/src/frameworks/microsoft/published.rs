//! The CvT models that Microsoft published: sizes, heads and images that a file of weights does not show.
//!
//! Source: the experiment files of Microsoft's CvT repository (experiments/imagenet/cvt/*.yaml) and its list of released
//! weights. The names of released files say the resolution (`CvT-13-384x384-IN-22k.pth`), their contents do not.

/// Describes a published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedCvt {
    /// Gives the short name, as `--arch` and the original script's `--cvt_model` take it.
    pub name: &'static str,
    /// Counts the blocks of each stage.
    pub depth: [u64; 3],
    /// Gives the channels of each stage.
    pub embed_dim: [u64; 3],
    /// Counts the attention heads of each stage.
    pub num_heads: [u64; 3],
    /// Lists the edges of the images, in pixels, that weights were published for.
    pub image_sizes: &'static [u64],
    /// Counts the parameters with a head of 1000 classes.
    pub parameters: u64,
    /// Lists the names of the released files without `.pth`.
    pub releases: &'static [&'static str],
}

/// Lists all of them.
pub const PUBLISHED: [PublishedCvt; 3] = [
    PublishedCvt {
        name: "cvt-13",
        depth: [1, 2, 10],
        embed_dim: [64, 192, 384],
        num_heads: [1, 3, 6],
        image_sizes: &[224, 384],
        parameters: 19_997_480,
        releases: &["CvT-13-224x224-IN-1k", "CvT-13-384x384-IN-1k", "CvT-13-384x384-IN-22k"],
    },
    PublishedCvt {
        name: "cvt-21",
        depth: [1, 4, 16],
        embed_dim: [64, 192, 384],
        num_heads: [1, 3, 6],
        image_sizes: &[224, 384],
        parameters: 31_622_696,
        releases: &["CvT-21-224x224-IN-1k", "CvT-21-384x384-IN-1k", "CvT-21-384x384-IN-22k"],
    },
    PublishedCvt {
        name: "cvt-w24",
        depth: [2, 2, 20],
        embed_dim: [192, 768, 1024],
        num_heads: [3, 12, 16],
        image_sizes: &[384],
        parameters: 277_196_392,
        releases: &["CvT-w24-384x384-IN-22k"],
    },
];

/// Says where Microsoft publishes the weights.
pub const PUBLISHED_AT: &str = "https://github.com/microsoft/CvT (README, \"Models\": a OneDrive folder)";

/// Returns a published model by the names that people write: `cvt-13`, `CvT_21`, `microsoft/cvt-13`, `cvt-w24-384`.
pub fn by_name(name: &str) -> Option<&'static PublishedCvt> {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let plain = plain.strip_prefix("microsoft/").unwrap_or(&plain);
    PUBLISHED.iter().find(|known| {
        plain.strip_prefix(known.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

/// Returns the image's edge that a name such as `CvT-13-384x384-IN-1k` or `cvt-13-384` says.
pub fn edge_in_name(name: &str) -> Option<u64> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| match word.split_once('x') {
        Some((height, width)) if height == width => height.parse().ok(),
        _ => word.parse().ok().filter(|edge| matches!(edge, 224 | 384)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_write_them() {
        assert_eq!(by_name("cvt-13").unwrap().name, "cvt-13");
        assert_eq!(by_name("CvT-21-384x384-IN-22k").unwrap().name, "cvt-21");
        assert_eq!(by_name("microsoft/cvt-w24-384-22k").unwrap().name, "cvt-w24");
        assert!(by_name("cvt-1").is_none());
        assert!(by_name("cvt-130").is_none());
    }

    #[test]
    fn the_resolution_in_a_name() {
        assert_eq!(edge_in_name("CvT-13-384x384-IN-1k"), Some(384));
        assert_eq!(edge_in_name("cvt-13-224"), Some(224));
        assert_eq!(edge_in_name("cvt-13"), None);
        assert_eq!(edge_in_name("tiny"), None);
    }
}
