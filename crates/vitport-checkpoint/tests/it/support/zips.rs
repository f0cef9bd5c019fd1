//! A zip written field by field, so that any of them can lie.

/// One entry, as both places describe it.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub local_name: String,
    pub data: Vec<u8>,
    pub method: u16,
    pub local_method: u16,
    pub flags: u16,
    pub local_flags: u16,
    pub crc: u32,
    pub local_crc: u32,
    pub len: u64,
    pub local_len: u64,
    pub packed: u64,
    /// Overrides where the directory says that the entry is.
    pub offset: Option<u64>,
    pub extra: Vec<u8>,
    pub local_extra: Vec<u8>,
    pub descriptor: Vec<u8>,
}

/// A truthful stored entry.
pub fn entry(name: &str, data: &[u8]) -> Entry {
    let (crc, len) = (crc32fast::hash(data), data.len() as u64);
    Entry {
        name: name.into(),
        local_name: name.into(),
        data: data.to_vec(),
        method: 0,
        local_method: 0,
        flags: 0,
        local_flags: 0,
        crc,
        local_crc: crc,
        len,
        local_len: len,
        packed: len,
        offset: None,
        extra: Vec::new(),
        local_extra: Vec::new(),
        descriptor: Vec::new(),
    }
}

/// A truthful deflated entry.
pub fn deflated(name: &str, data: &[u8]) -> Entry {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    let packed = encoder.finish().unwrap();
    Entry { packed: packed.len() as u64, method: 8, local_method: 8, data: packed, ..entry(name, data) }
}

fn narrow(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

/// The archive, its directory and its end record.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for e in entries {
        let offset = e.offset.unwrap_or(out.len() as u64);
        out.extend(b"PK\x03\x04\x14\0");
        out.extend(e.local_flags.to_le_bytes());
        out.extend(e.local_method.to_le_bytes());
        out.extend([0; 4]);
        out.extend(e.local_crc.to_le_bytes());
        out.extend(narrow(if e.local_len == e.len { e.packed } else { e.local_len }));
        out.extend(narrow(e.local_len));
        out.extend((e.local_name.len() as u16).to_le_bytes());
        out.extend((e.local_extra.len() as u16).to_le_bytes());
        out.extend(e.local_name.bytes());
        out.extend(&e.local_extra);
        out.extend(&e.data);
        out.extend(&e.descriptor);

        directory.extend(b"PK\x01\x02\x14\0\x14\0");
        directory.extend(e.flags.to_le_bytes());
        directory.extend(e.method.to_le_bytes());
        directory.extend([0; 4]);
        directory.extend(e.crc.to_le_bytes());
        directory.extend(narrow(e.packed));
        directory.extend(narrow(e.len));
        directory.extend((e.name.len() as u16).to_le_bytes());
        directory.extend((e.extra.len() as u16).to_le_bytes());
        directory.extend([0; 10]);
        directory.extend(narrow(offset));
        directory.extend(e.name.bytes());
        directory.extend(&e.extra);
    }
    let start = out.len() as u64;
    let count = entries.len() as u16;
    out.extend(&directory);
    out.extend(end(count, directory.len() as u64, start));
    out
}

/// An end record.
pub fn end(count: u16, directory_len: u64, directory_start: u64) -> Vec<u8> {
    let mut out = b"PK\x05\x06\0\0\0\0".to_vec();
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(narrow(directory_len));
    out.extend(narrow(directory_start));
    out.extend([0; 2]);
    out
}

/// The entries of a PyTorch file with this pickle and one storage of four floats.
pub fn torch_entries(pickle: &[u8]) -> Vec<Entry> {
    let values: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    vec![entry("a/data.pkl", pickle), entry("a/data/0", &values), entry("a/version", b"3\n")]
}

/// A PyTorch file with this pickle and one storage of four floats.
pub fn torch_file(pickle: &[u8]) -> Vec<u8> {
    zip(&torch_entries(pickle))
}
