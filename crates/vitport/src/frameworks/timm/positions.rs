//! The size of an image by the number of positions that are embedded: those of the patches, and those of the tokens before them.

use super::super::source::Inquiry;
use super::image_size::SaidSize;
use crate::facts::{Evidence, FactError, Question};

/// Reads the size of the image off the number of positions, with what is said of it elsewhere. `prefix` counts the tokens before
/// the patches.
///
/// # Errors
/// Returns [`FactError::Contradiction`] where an option says another size.
pub(super) fn image_size(
    inquiry: &Inquiry<'_>,
    evidence: &mut Evidence,
    (tokens, prefix): (u64, u64),
    patch: [u64; 2],
) -> Result<(), FactError> {
    let said = SaidSize::of(inquiry)?;
    said.check(|size| image_of(tokens, prefix, patch, Some(*size)).is_ok_and(|(image, _)| image == *size))?;
    match image_of(tokens, prefix, patch, said.any()) {
        Err(question) => evidence.ask(question),
        Ok((image, are_embedded)) => {
            said.settle(image, ("pos_embed", "positions"), evidence)?;
            // Without such tokens it means nothing.
            if prefix > 0 {
                evidence.weights("no_embed_class", !are_embedded, "pos_embed");
            }
        }
    }
    Ok(())
}

/// Returns the image's size, and whether the first of `tokens` positions are those of the `prefix` tokens before the patches. Without
/// further word the grid of patches must be square.
fn image_of(
    tokens: u64,
    prefix: u64,
    patch: [u64; 2],
    wanted: Option<[u64; 2]>,
) -> Result<([u64; 2], bool), Question> {
    let [patch_height, patch_width] = patch;
    if let Some([height, width]) = wanted
        && height % patch_height == 0
        && width % patch_width == 0
    {
        let patches = (height / patch_height).saturating_mul(width / patch_width);
        if patches == tokens || patches.checked_add(prefix) == Some(tokens) {
            return Ok(([height, width], patches != tokens));
        }
    }
    let square = |patches: u64| {
        let side = patches.isqrt();
        (side > 0 && side * side == patches)
            .then(|| [side.saturating_mul(patch_height), side.saturating_mul(patch_width)])
    };
    let behind = tokens.checked_sub(prefix).filter(|_| prefix > 0).and_then(square);
    match (square(tokens), behind) {
        (Some(image), None) => Ok((image, false)),
        (None, Some(image)) => Ok((image, true)),
        _ => {
            let what = format!(
                "the size of the image is not known: {tokens} positions are not a square of patches of \
                 {patch_height}×{patch_width}"
            );
            let question = Question::new("img_size", what, "--image-size", "HEIGHTxWIDTH");
            Err(question.with_candidates(oblongs(tokens, patch)))
        }
    }
}

/// Returns the images in pixels whose grid of patches has one position each, with that of a class token first; those that are
/// nearest to a square first.
fn oblongs(tokens: u64, [patch_height, patch_width]: [u64; 2]) -> Vec<String> {
    const MOST: usize = 6;
    let sizes = |patches: u64| {
        let short = 1..=patches.isqrt();
        let sides = short.rev().filter(move |side| patches.is_multiple_of(*side)).take(MOST / 2);
        sides.flat_map(move |side| [[patches / side, side], [side, patches / side]])
    };
    let image = |[rows, columns]: [u64; 2]| {
        format!("{}x{}", rows.saturating_mul(patch_height), columns.saturating_mul(patch_width))
    };
    // A strip of single patches is nobody's image.
    let is_image = |[rows, columns]: &[u64; 2]| *rows > 1 && *columns > 1 && rows != columns;
    let with_token = tokens.saturating_sub(1);
    let mut all: Vec<String> = sizes(with_token).filter(is_image).map(image).collect();
    all.extend(sizes(tokens).filter(is_image).map(image));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oblong_images_are_listed_from_the_nearest_to_a_square() {
        assert_eq!(oblongs(33, [8, 8])[..2], ["64x32", "32x64"]);
        assert!(oblongs(1, [16, 16]).is_empty());
    }

    #[test]
    fn the_grid_tells_the_image_and_the_class_position() {
        assert_eq!(image_of(197, 1, [16, 16], None).unwrap(), ([224, 224], true));
        assert_eq!(image_of(225, 1, [16, 16], None).unwrap(), ([240, 240], false));
        assert_eq!(image_of(1370, 1, [14, 14], None).unwrap(), ([518, 518], true));
    }

    #[test]
    fn several_tokens_may_come_before_the_patches() {
        assert_eq!(image_of(1374, 5, [14, 14], None).unwrap(), ([518, 518], true));
        assert_eq!(image_of(1369, 5, [14, 14], None).unwrap(), ([518, 518], false));
        assert_eq!(image_of(196, 0, [16, 16], None).unwrap(), ([224, 224], false));
    }

    #[test]
    fn an_oblong_image_has_to_be_said() {
        assert_eq!(image_of(99, 1, [16, 16], None).unwrap_err().fact, "img_size");
        assert_eq!(image_of(99, 1, [16, 16], Some([112, 224])).unwrap(), ([112, 224], true));
        assert_eq!(image_of(98, 1, [16, 16], Some([112, 224])).unwrap(), ([112, 224], false));
    }

    #[test]
    fn two_positions_could_be_either() {
        assert_eq!(image_of(2, 1, [16, 16], None).unwrap(), ([16, 16], true));
        assert_eq!(image_of(1, 1, [16, 16], None).unwrap(), ([16, 16], false));
    }
}
