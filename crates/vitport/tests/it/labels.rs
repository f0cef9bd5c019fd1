//! Tests class names: the embedded ImageNet sets against timm's own, and every form of a user's file, good and bad.

use std::collections::HashSet;
use std::io::Write;

use serde_json::json;
use sha2::{Digest, Sha256};
use vitport::frameworks::timm::labels::hub_labels;
use vitport::labels::{ClassNames, LabelError, LabelSet, from_file, parse, placeholder};

fn digest(lines: &[String]) -> String {
    Sha256::digest(lines.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn names(text: &str) -> Vec<String> {
    parse(text.as_bytes(), "labels.txt").unwrap_or_else(|error| panic!("{text:?}: {error}")).names().to_vec()
}

fn refusal(bytes: &[u8]) -> String {
    let message = parse(bytes, "labels.txt").expect_err("should be refused").to_string();
    assert!(!message.contains('\n') && message.contains("labels.txt"), "{message}");
    message
}

#[test]
fn the_sets_are_timms() {
    let golden = include_str!("../data/labels/timm.tsv");
    assert_eq!(golden.lines().count(), LabelSet::ALL.len());
    for line in golden.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let set = LabelSet::from_name(fields[0]).expect("known set");
        assert_eq!(set.name(), fields[0]);
        let count: usize = fields[1].parse().unwrap();
        assert_eq!(LabelSet::by_class_count(count), Some(set));
        let synsets: Vec<String> = set.synsets().into_iter().map(str::to_owned).collect();
        assert_eq!((synsets.len(), set.class_count()), (count, count));
        assert_eq!(digest(&synsets), fields[2], "{set:?}: ids");
        // Without the ids that tell equal words apart, the labels are timm's descriptions.
        let plain: Vec<String> = set
            .labels()
            .into_iter()
            .zip(&synsets)
            .map(|(label, synset)| label.strip_suffix(&format!(" ({synset})")).unwrap_or(&label).to_owned())
            .collect();
        assert_eq!(digest(&plain), fields[3], "{set:?}: words");
    }
}

#[test]
fn every_class_of_every_set_has_its_own_label() {
    for set in LabelSet::ALL {
        let labels = set.labels();
        let distinct: HashSet<&String> = labels.iter().collect();
        assert_eq!(distinct.len(), set.class_count(), "{set:?}");
    }
}

#[test]
fn only_shared_words_have_their_synset() {
    let labels = LabelSet::Imagenet1k.labels();
    assert_eq!(labels[0], "tench, Tinca tinca");
    assert_eq!(labels[134], "crane (n02012849)");
    assert_eq!(labels[517], "crane (n03126707)");
    assert_eq!(labels.iter().filter(|label| label.contains('(')).count(), 2);
}

#[test]
fn microsofts_22k_begins_with_the_1k() {
    assert_eq!(LabelSet::Imagenet22kMs.synsets()[..1000], LabelSet::Imagenet1k.synsets());
}

#[test]
fn other_class_counts_and_names_are_no_set() {
    for count in [0, 1, 10, 999, 1001, 10450, 115_217, 21_840, 21_844] {
        assert_eq!(LabelSet::by_class_count(count), None);
    }
    for name in ["", "none", "imagenet", "ImageNet-1k", "imagenet-1k "] {
        assert_eq!(LabelSet::from_name(name), None);
    }
}

#[test]
fn text_is_one_label_a_line() {
    for text in ["cat\ndog", "cat\ndog\n", "cat\r\ndog\r\n", "\u{feff}cat\ndog\n\n\n", " cat \n\tdog"] {
        assert_eq!(names(text), ["cat", "dog"], "{text:?}");
    }
    assert_eq!(names("tench, Tinca tinca\n日本犬"), ["tench, Tinca tinca", "日本犬"]);
}

#[test]
fn json_comes_in_five_forms() {
    let forms = [
        r#"["cat", "dog", "eel"]"#,
        r#"{"2": "eel", "0": "cat", "1": "dog"}"#,
        r#"{"dog": 1, "cat": 0, "eel": 2}"#,
        r#"{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "eel"]}"#,
        "\u{feff}{\"model_type\": \"vit\", \"id2label\": {\"0\": \"cat\", \"1\": \"dog\", \"2\": \"eel\"}, \"label2id\": {}}\r\n",
    ];
    for form in forms {
        assert_eq!(names(form), ["cat", "dog", "eel"], "{form}");
    }
}

#[test]
fn repeated_names_stay_reachable_and_are_counted() {
    let labels = parse(b"crane\ntench\ncrane\n", "labels.txt").unwrap();
    assert_eq!(labels.names(), ["crane (0)", "tench", "crane (2)"]);
    assert_eq!(labels.made_unique(), 2);
    let pairs = parse(br#"{"0": ["n02012849", "crane"], "1": ["n03126707", "crane"]}"#, "i.json").unwrap();
    assert_eq!(pairs.names(), ["crane (n02012849)", "crane (n03126707)"]);
    assert_eq!(parse(b"a\nb", "l").unwrap().made_unique(), 0);
}

#[test]
fn what_is_unclear_is_refused_with_its_place() {
    let cases: [(&[u8], &str); 17] = [
        (b"", "holds no label"),
        (b"\n \r\n", "holds no label"),
        (b"[]", "holds no label"),
        (b"{}", "holds no label"),
        (b"cat\n\ndog", "class 1 has an empty name"),
        (br#"["cat", ""]"#, "class 1 has an empty name"),
        (b"c\xe4t\n", "not UTF-8 text (byte 1)"),
        (b"\xff\xfec\x00a\x00t\x00", "not UTF-8 text (byte 0)"),
        (br#"["cat", "#, "starts like JSON"),
        (br#"["cat", 7]"#, "entry 1 of the list"),
        (br#"{"0": "cat", "2": "dog"}"#, "class 1 is missing"),
        (br#"{"1": "cat", "2": "dog"}"#, "class 0 is missing"),
        (br#"{"0": "cat", "0": "dog"}"#, "class 0 is named twice"),
        (br#"{"0": "cat", "99999999999999999999": "dog"}"#, "is not a class number"),
        (br#"{"0": "cat", "+1": "dog"}"#, "is not a class number"),
        (br#"{"cat": 0, "dog": 0}"#, "class 0 is named twice"),
        (br#"{"model_type": "vit", "hidden_size": 8}"#, "is not a class number"),
    ];
    for (bytes, place) in cases {
        let message = refusal(bytes);
        assert!(message.contains(place), "{message}");
    }
}

#[test]
fn text_from_the_file_is_escaped_in_messages() {
    let message = refusal("{\"a\\n\u{202e}\\u001b[31m\": \"cat\"}".as_bytes());
    assert!(!message.chars().any(|c| c.is_control() || c == '\u{202e}'), "{message:?}");
    let long = refusal(format!("{{\"{}\": \"cat\"}}", "k".repeat(5000)).as_bytes());
    assert!(long.len() < 300, "{long}");
}

#[test]
fn the_count_must_be_the_heads() {
    let labels = parse(b"cat\ndog\n", "labels.txt").unwrap();
    assert_eq!(labels.clone().for_classes(2, "labels.txt").unwrap(), ["cat", "dog"]);
    let message = labels.for_classes(10, "labels.txt").unwrap_err().to_string();
    assert!(message.contains("2 labels") && message.contains("10 classes"), "{message}");
}

#[test]
fn files_are_read_up_to_a_size() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"cat\ndog\n").unwrap();
    assert_eq!(from_file(file.path()).unwrap().names(), ["cat", "dog"]);
    file.as_file().set_len(9 << 20).unwrap();
    assert!(matches!(from_file(file.path()), Err(LabelError::TooLarge { .. })));
    for many in ["a\n".repeat(1_000_002), format!("[{}0]", "0,".repeat(1_000_001))] {
        assert!(refusal(many.as_bytes()).contains("more than 1000000 values"));
    }
    assert!(matches!(from_file("no/such/labels.txt".as_ref()), Err(LabelError::Read { .. })));
    assert!(matches!(from_file(std::env::temp_dir().as_ref()), Err(LabelError::Read { .. })));
}

fn timm(
    names: serde_json::Value,
    descriptions: Option<serde_json::Value>,
    classes: usize,
) -> Result<ClassNames, LabelError> {
    hub_labels(&names, descriptions.as_ref(), classes, "config.json")
}

#[test]
fn timm_folders_name_classes_and_describe_them() {
    let ids = json!(["n02012849", "n03126707", "n01440764"]);
    let words = json!({"n02012849": "crane", "n03126707": "crane", "n01440764": "tench, Tinca tinca"});
    let distinct = ["crane (n02012849)", "crane (n03126707)", "tench, Tinca tinca"];
    assert_eq!(timm(ids.clone(), Some(words), 3).unwrap().names(), distinct);
    let listed = Some(json!(["crane", "crane", "tench, Tinca tinca"]));
    assert_eq!(timm(ids.clone(), listed, 3).unwrap().names(), distinct);
    let some = Some(json!({"n01440764": "tench"}));
    assert_eq!(timm(ids.clone(), some, 3).unwrap().names(), ["n02012849", "n03126707", "tench"]);
    assert_eq!(timm(ids, None, 3).unwrap().names(), ["n02012849", "n03126707", "n01440764"]);
    assert_eq!(timm(json!(["left", "up", "left"]), None, 3).unwrap().names(), ["left (0)", "up", "left (2)"]);
    // timm allows gaps between the numbers of an object.
    assert_eq!(timm(json!({"2": "c", "0": "a"}), None, 3).unwrap().names(), ["a", "LABEL_1", "c"]);
}

#[test]
fn timm_folders_with_other_forms_are_refused() {
    let cases = [
        (json!(["a", "b"]), None, "2 labels and the model 3 classes"),
        (json!({"0": "a", "3": "d"}), None, "4 labels and the model 3 classes"),
        (json!({"a": "0"}), None, "is not a number"),
        (json!("abc"), None, "is not a list or object"),
        (json!(["a", 1, "c"]), None, "entry 1 of label_names"),
        (json!(["a", "", "c"]), None, "class 1 has an empty name"),
        (json!(["a", "b", "c"]), Some(json!("words")), "label_descriptions"),
        (json!(["a", "b", "c"]), Some(json!({"b": 7})), "description of class 1"),
    ];
    for (names, descriptions, place) in cases {
        let message = timm(names, descriptions, 3).unwrap_err().to_string();
        assert!(message.contains(place) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn unnamed_classes_are_called_as_transformers_calls_them() {
    assert_eq!(placeholder(3), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    assert!(placeholder(0).is_empty());
}
