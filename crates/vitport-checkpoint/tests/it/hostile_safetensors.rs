//! safetensors headers that the format forbids are refused, whatever they forbid.

use vitport_checkpoint::{Limits, Reason};

use crate::support::{floats, one_line, open_bytes, open_bytes_with, refusal};

/// A file with this header and `data` zero bytes after it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.bytes());
    out.extend(vec![0; data]);
    out
}

/// An entry of one float32 dimension.
fn entry(name: &str, begin: u64, end: u64) -> String {
    format!(
        r#""{name}":{{"dtype":"F32","shape":[{}],"data_offsets":[{begin},{end}]}}"#,
        (end.max(begin) - begin) / 4
    )
}

#[test]
fn a_truthful_header() {
    let header = format!(r#"{{{},"__metadata__":{{"a":"b"}},{}}}"#, entry("y", 8, 16), entry("x", 0, 8));
    let c = open_bytes(&file(&header, 16)).unwrap();
    // In the order of the header.
    assert_eq!(c.tensors().iter().map(|t| &*t.name).collect::<Vec<_>>(), ["y", "x"]);
    assert_eq!(floats(&c, "x"), [0.0, 0.0]);
    assert_eq!(c.metadata()[0].path, "a");
    // Padding of spaces after the header is lawful.
    assert!(open_bytes(&file(&format!("{header}     "), 16)).is_ok());
}

#[test]
fn header_length_beyond_the_file() {
    for length in [3, 100, u64::from(u32::MAX), u64::MAX - 7, u64::MAX] {
        let mut bytes = file("{}", 0);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(refusal(&bytes).0, Reason::Truncated | Reason::UnknownFormat), "{length}");
    }
}

#[test]
fn header_that_is_no_text() {
    let mut bytes = file(&format!("{{{}}}", entry("xx", 0, 4)), 4);
    let at = bytes.windows(2).position(|w| w == b"xx").unwrap();
    bytes[at] = 0xff;
    let (reason, text) = refusal(&bytes);
    assert_eq!(reason, Reason::Malformed);
    assert!(text.contains("UTF-8"), "{text}");
}

#[test]
fn headers_that_are_no_headers() {
    for header in
        ["{", "{]", "{\"a\":1}", "{\"a\":{}}", "{}x", "{\"__metadata__\":{\"a\":1}}", "{\"__metadata__\":[]}"]
    {
        assert_eq!(refusal(&file(header, 0)).0, Reason::Malformed, "{header}");
    }
    assert_eq!(refusal(&file("{}", 0)).0, Reason::NoTensors);
    assert_eq!(refusal(&file(&"{\"a\":".repeat(100_000), 0)).0, Reason::Malformed);
}

#[test]
fn fields_that_are_wrong() {
    for fields in [
        r#""dtype":"F32","shape":[1]"#,
        r#""dtype":"F32","data_offsets":[0,4]"#,
        r#""shape":[1],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[1.0],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[1],"data_offsets":[0]"#,
        r#""dtype":"F32","shape":[1],"data_offsets":[0,4,8]"#,
        r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#,
        r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#,
        r#""dtype":"F64","shape":[1],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":1"#,
        r#""dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[18446744073709551615,18446744073709551615],"data_offsets":[0,4]"#,
        r#""dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551616]"#,
    ] {
        assert_eq!(refusal(&file(&format!(r#"{{"x":{{{fields}}}}}"#), 4)).0, Reason::Malformed, "{fields}");
    }
    let unknown = r#"{"x":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#;
    let (reason, text) = refusal(&file(unknown, 1));
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("'x'") && text.contains("'F4'"), "{text}");
}

#[test]
fn duplicate_keys() {
    let (reason, text) = refusal(&file(&format!("{{{},{}}}", entry("x", 0, 4), entry("x", 0, 4)), 4));
    assert_eq!(reason, Reason::Malformed);
    assert!(text.contains("'x' occurs twice"), "{text}");
    let escaped = format!("{{{},{}}}", entry("x", 0, 4), entry(r"\u0078", 4, 8));
    assert_eq!(refusal(&file(&escaped, 8)).0, Reason::Malformed);
    let metadata = format!(r#"{{"__metadata__":{{"a":"1","a":"2"}},{}}}"#, entry("x", 0, 4));
    assert_eq!(refusal(&file(&metadata, 4)).0, Reason::Malformed);
}

#[test]
fn gaps_and_overlaps() {
    for (entries, data, wanted) in [
        (vec![entry("x", 4, 8)], 8, "leaves a gap"),
        (vec![entry("x", 0, 4), entry("y", 8, 12)], 12, "leaves a gap"),
        (vec![entry("x", 0, 8), entry("y", 4, 12)], 12, "overlaps"),
        (vec![entry("x", 0, 4), entry("y", 0, 4)], 4, "overlaps"),
        (vec![entry("x", 0, 4)], 8, "belong to none"),
    ] {
        let (reason, text) = refusal(&file(&format!("{{{}}}", entries.join(",")), data));
        assert_eq!(reason, Reason::Contradiction);
        assert!(text.contains(wanted), "{text}");
    }
    assert_eq!(refusal(&file(&format!("{{{}}}", entry("x", 0, 8)), 4)).0, Reason::Truncated);
}

#[test]
fn names_are_escaped() {
    let (_, text) = refusal(&file(&format!("{{{}}}", entry(r"a\u001b[31m\n", 4, 8)), 8));
    assert!(text.contains(r"a\u{1b}[31m\n"), "{text}");
}

#[test]
fn limits() {
    let header = format!("{{{},{}}}", entry("x", 0, 4), entry("yyyyyyyyyy", 4, 8));
    let limited = |limits: Limits| {
        let (reason, _) = one_line(open_bytes_with(&file(&header, 8), &limits).unwrap_err());
        assert_eq!(reason, Reason::Limit);
    };
    limited(Limits { max_tensors: 1, ..Limits::default() });
    limited(Limits { max_name_len: 9, ..Limits::default() });
    limited(Limits { max_header_bytes: 10, ..Limits::default() });
    limited(Limits { max_dims: 0, ..Limits::default() });
    let metadata = format!(r#"{{"__metadata__":{{"a":"1","b":"2"}},{}}}"#, entry("x", 0, 4));
    let limits = Limits { max_metadata: 1, ..Limits::default() };
    let (reason, _) = one_line(open_bytes_with(&file(&metadata, 4), &limits).unwrap_err());
    assert_eq!(reason, Reason::Limit);
}
