//! Says whether a JPEG file is whole. The decoder fills what a cut file lacks with grey and says nothing; Pillow refuses such a
//! file, and a verdict on half an image would not be one.

use super::error::ImageError;

/// Marks the beginning of an image in the JPEG format (ITU-T T.81, table B.1).
const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

/// Refuses a JPEG without an end after its first scan. Within a scan 0xff is followed by 0, so an end found there is one.
///
/// # Errors
/// [`ImageError::Undecodable`].
pub(super) fn check_end(file: &[u8]) -> Result<(), ImageError> {
    let Some(segments) = file.strip_prefix(&START_OF_IMAGE) else { return Ok(()) };
    let is_whole = first_scan(segments).is_some_and(|scan| scan.windows(2).any(|pair| pair == END_OF_IMAGE));
    match is_whole {
        true => Ok(()),
        false => Err(ImageError::Undecodable { detail: "the file ends within the image".to_owned() }),
    }
}

/// Returns what lies after the header of the first scan, past thumbnails that application segments may hold.
fn first_scan(segments: &[u8]) -> Option<&[u8]> {
    let mut rest = segments;
    loop {
        // Any number of 0xff may stand before a marker.
        let marker = rest.iter().position(|&byte| byte != 0xff)?;
        let (&kind, after) = rest.get(marker..)?.split_first()?;
        let (length, _) = after.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_be_bytes(*length))..)?;
        if kind == START_OF_SCAN {
            return Some(rest);
        }
    }
}
