//! numpy's archives: a zip with an array an entry, none of them compressed, made of a file of weights that is written already.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use vitport_checkpoint::Dtype;

use super::error::{FolderError, Result};
use super::layout::WeightFile;
use super::syncing::Syncing;
use crate::plan::Target;

/// Gives the name of the archive in a folder.
pub const ARCHIVE_NAME: &str = "model.npz";

/// Gives what an array begins with: the mark of the format, and its version 1.0 (numpy/lib/format.py).
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Gives the version of the format that a reader needs: 4.5, with lengths of 64 bits.
const VERSION: u16 = 45;

/// Gives the first day that the format has, 1 January 1980: when an archive was made is no part of it.
const FIRST_DAY: u16 = 0x21;

/// Gives the bytes that are copied at a time.
const COPIED_AT_A_TIME: usize = 1 << 16;

/// Gives the number of bytes of which an array's header takes a multiple.
const ALIGNMENT: usize = 64;

/// Returns numpy's name of a dtype; none if numpy has no such numbers.
pub fn type_string(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "<f8",
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::I64 => "<i8",
        Dtype::I32 => "<i4",
        Dtype::I16 => "<i2",
        Dtype::I8 => "|i1",
        Dtype::U64 => "<u8",
        Dtype::U32 => "<u4",
        Dtype::U16 => "<u2",
        Dtype::U8 => "|u1",
        Dtype::Bool => "|b1",
        _ => return None,
    })
}

/// Puts the tensors of a weight file of `folder` into [`ARCHIVE_NAME`] there, which takes the file's place, and returns its length in
/// bytes.
///
/// # Errors
/// Of class disk when a file cannot be read or written, of class bug for a tensor of a dtype that numpy has not.
pub fn take_place_of(file: &WeightFile<'_>, folder: &Path, syncing: &Syncing) -> Result<u64> {
    let (from, to) = (folder.join(&file.name), folder.join(ARCHIVE_NAME));
    let mut weights = File::open(&from).map_err(FolderError::disk("read", &from))?;
    let archive = File::options().write(true).create_new(true).open(&to);
    let archive = archive.map_err(FolderError::disk("create", &to))?;
    let arrays: Vec<(&Target, Vec<u8>)> =
        file.tensors.iter().map(|target| Ok((*target, header(target)?))).collect::<Result<_>>()?;
    let written = write(&mut weights, file.header.len() as u64, &arrays, &archive);
    let len = written.map_err(FolderError::disk("write", &to))?;
    syncing.begin(&archive, &to).map(drop)?;
    fs::remove_file(&from).map_err(FolderError::disk("remove", &from))?;
    Ok(len)
}

/// Writes arrays whose bytes follow one another in `weights` from `begin` on, and returns the archive's length.
fn write(weights: &mut File, begin: u64, arrays: &[(&Target, Vec<u8>)], archive: &File) -> io::Result<u64> {
    weights.seek(SeekFrom::Start(begin))?;
    let mut zip = BufWriter::with_capacity(COPIED_AT_A_TIME, archive);
    let mut entries = Vec::with_capacity(arrays.len());
    for (target, header) in arrays {
        let len = target.bytes().saturating_add(header.len() as u64);
        let entry = Entry { name: format!("{}.npy", target.name), len, at: zip.stream_position()?, crc: 0 };
        zip.write_all(&entry.local())?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(header);
        zip.write_all(header)?;
        copy(&mut weights.take(target.bytes()), &mut zip, &mut crc)?;
        let (entry, end) = (Entry { crc: crc.finalize(), ..entry }, zip.stream_position()?);
        // The checksum stands before what it is of.
        zip.seek(SeekFrom::Start(entry.at))?;
        zip.write_all(&entry.local())?;
        zip.seek(SeekFrom::Start(end))?;
        entries.push(entry);
    }
    let begin = zip.stream_position()?;
    for entry in &entries {
        zip.write_all(&entry.central())?;
    }
    let end = zip.stream_position()?;
    zip.write_all(&end_of(entries.len() as u64, begin, end))?;
    let len = zip.stream_position()?;
    zip.flush()?;
    Ok(len)
}

/// Copies all bytes, and adds them to a checksum.
fn copy(from: &mut io::Take<&mut File>, to: &mut impl Write, crc: &mut crc32fast::Hasher) -> io::Result<()> {
    let mut buffer = vec![0; COPIED_AT_A_TIME];
    while from.limit() > 0 {
        let read = from.read(&mut buffer)?;
        let bytes = buffer.get(..read).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        crc.update(bytes);
        to.write_all(bytes)?;
    }
    Ok(())
}

/// Describes an entry of the archive. As numpy does, all have lengths of 64 bits.
struct Entry {
    name: String,
    len: u64,
    /// Says where it begins in the archive.
    at: u64,
    crc: u32,
}

impl Entry {
    /// Returns what both descriptions of an entry share: version, flags, method (stored), time, date, checksum, lengths that stand
    /// elsewhere, and the lengths of the name and of what follows it.
    fn common(&self, extra: usize) -> Vec<u8> {
        let numbers = [VERSION, 0, 0, 0, FIRST_DAY].map(u16::to_le_bytes).concat();
        let lens = [self.name.len(), extra].map(|len| u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
        [numbers, self.crc.to_le_bytes().into(), vec![0xff; 8], lens.concat()].concat()
    }

    /// Returns what stands before the entry.
    fn local(&self) -> Vec<u8> {
        let extra = extra(&[self.len, self.len]);
        [b"PK\x03\x04".as_slice(), &self.common(extra.len()), self.name.as_bytes(), &extra].concat()
    }

    /// Returns what the table of contents has of it.
    fn central(&self) -> Vec<u8> {
        let extra = extra(&[self.len, self.len, self.at]);
        // No comment, the first disk, no attributes, and a place that stands elsewhere.
        let rest = [[0; 10].as_slice(), &[0xff; 4]].concat();
        let common = self.common(extra.len());
        let version = VERSION.to_le_bytes();
        [b"PK\x01\x02".as_slice(), &version, &common, &rest, self.name.as_bytes(), &extra].concat()
    }
}

/// Returns numbers of 64 bits, as an extra field of an entry.
fn extra(numbers: &[u64]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [1_u16.to_le_bytes(), len.to_le_bytes()].concat().into_iter().chain(bytes).collect()
}

/// Returns what follows a table of contents of `count` entries that lies from `begin` to `end`.
fn end_of(count: u64, begin: u64, end: u64) -> Vec<u8> {
    let numbers = [count, count, end.saturating_sub(begin), begin];
    let mut bytes = b"PK\x06\x06".to_vec();
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([VERSION, VERSION].map(u16::to_le_bytes).concat());
    bytes.extend([0; 8]);
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(end.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0; 2]);
    bytes
}

/// Returns what stands before the numbers of an array.
fn header(target: &Target) -> Result<Vec<u8>> {
    let plan = |why: String| FolderError::Plan { tensor: target.name.to_string(), why };
    let dtype = type_string(target.dtype)
        .ok_or_else(|| plan(format!("numpy has no numbers of the dtype {}", target.dtype)))?;
    let shape = target.shape.iter().map(|size| format!("{size}, ")).collect::<String>();
    // A tuple of one has a comma, one of several does not end with it.
    let shape = if target.shape.len() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + 2;
    let whole = (before + text.len() + 1).next_multiple_of(ALIGNMENT);
    let padded = format!("{text:<width$}\n", width = whole - before - 1);
    let len = u16::try_from(padded.len()).map_err(|_| plan("its shape is too long".to_owned()))?;
    Ok([MAGIC, &len.to_le_bytes(), padded.as_bytes()].concat())
}
