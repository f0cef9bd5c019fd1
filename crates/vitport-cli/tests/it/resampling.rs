//! `--resample-to`: what the commands say of it, and with which codes they end.

use serde_json::Value;

use crate::support::{example, vitport};

#[test]
fn sizes_are_checked_and_commands_say_what_is_resampled() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let source = source.to_str().unwrap();
    for (option, code, says) in [
        ("--resample-to=0", 2, "an image size is one number of pixels, or HEIGHTxWIDTH, up to 65536"),
        ("--resample-to=90", 4, "its patches are 16×16 pixels, which do not divide that"),
        ("--resample-to=65536", 4, "65536 is the most"),
    ] {
        let output = vitport(&["plan", source, option], folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{option}: {stderr}");
        assert!(stderr.contains(says), "{option}: {stderr}");
    }
    let back = vitport(&["convert", source, "--to", "timm", "--resample-to", "128"], folder.path());
    assert_eq!(back.status.code(), Some(2));

    let sentence = "position embeddings resampled from 5×5 to 8×8 as timm does";
    let unbroken =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    let planned = vitport(&["plan", source, "--resample-to", "128"], folder.path());
    assert!(unbroken(&planned.stdout).contains(sentence), "{}", unbroken(&planned.stdout));
    let unverified =
        vitport(&["convert", source, "--resample-to", "128", "--no-verify", "-o", "a"], folder.path());
    assert!(unbroken(&unverified.stdout).contains(sentence), "{}", unbroken(&unverified.stdout));
    let json = vitport(&["convert", source, "--resample-to", "128", "--json", "-o", "b"], folder.path());
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["headline"], format!("same; {sentence}"));
    let resampled = &document["tensor_counts"]["resampled"];
    assert_eq!(resampled["to_patches"], serde_json::json!([8, 8]));
    assert_eq!(resampled["tensors"][0]["name"], "pos_embed");
    let verified = vitport(&["verify", source, "b", "--resample-to", "128"], folder.path());
    assert_eq!(verified.status.code(), Some(0), "{}", unbroken(&verified.stdout));
    let forgotten = vitport(&["verify", source, "b"], folder.path());
    assert_eq!(forgotten.status.code(), Some(5));
    let said = unbroken(&forgotten.stdout) + &unbroken(&forgotten.stderr);
    assert!(said.contains("made with --resample-to 128, give that to verify, too"), "{said}");
}

#[test]
fn options_without_an_effect_on_the_way_back_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (option, why) in [
        (&["--max-shard-size", "1GB"][..], "its weights are one file"),
        (&["--with-exact-code"], "adds code for transformers"),
    ] {
        let back = vitport(&[&["convert", "absent", "--to", "timm"][..], option].concat(), folder.path());
        let message = String::from_utf8_lossy(&back.stderr).into_owned();
        assert_eq!(back.status.code(), Some(2), "{message}");
        assert!(message.contains(option[0]) && message.contains(why), "{message}");
        // Elsewhere they are read as before, and what fails is the source.
        let there = vitport(&[&["convert", "absent", "-o", "out"][..], option].concat(), folder.path());
        assert_ne!(there.status.code(), Some(2));
    }
}
