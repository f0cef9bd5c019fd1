//! The rows of `vitport models` that are Microsoft's.

use super::super::known_model::{Becomes, KnownModel};
use super::published::{PUBLISHED, PUBLISHED_AT, edge_in_name};
use crate::preprocessing::{DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD};

/// Returns a row for each released file.
pub(super) fn known_models() -> impl Iterator<Item = KnownModel> {
    let note = "transformers computes GELU for QuickGELU; --with-exact-code adds the exact network";
    let releases =
        PUBLISHED.iter().flat_map(|known| known.releases.iter().map(|release| (*release, known.parameters)));
    releases.map(move |(release, parameters)| {
        let edge = edge_in_name(release).unwrap_or(224);
        KnownModel {
            name: release.to_owned(),
            family: "cvt",
            module: None,
            exactness: None,
            parameters,
            classes: 1000,
            image: [usize::try_from(edge).unwrap_or(usize::MAX); 2],
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            interpolation: "bicubic".to_owned(),
            crop_pct: if edge >= 384 { 1.0 } else { DEFAULT_CROP_PCT },
            crop_mode: "center".to_owned(),
            license: None,
            becomes: Becomes::Class("CvtForImageClassification".to_owned()),
            is_asked_for: false,
            note: Some(note.to_owned()),
            published_at: Some(PUBLISHED_AT.to_owned()),
        }
    })
}
