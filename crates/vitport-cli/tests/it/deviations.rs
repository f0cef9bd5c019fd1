//! Known deviations: each has a name and a remedy, wherever it is reported, and `--strict` fails on all that are not allowed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{example, names, vitport};

const FACTS: [&str; 4] = ["--num-heads", "1,2,4", "--image-size", "64"];

/// Converts the CvT example; returns the exit code, and what was printed on both outputs.
fn cvt(options: &[&str], folder: &Path) -> (i32, String) {
    let source = example("cvt_tiny/tiny.pth");
    converted(source.to_str().unwrap(), &[&FACTS[..], options].concat(), folder)
}

fn converted(source: &str, options: &[&str], folder: &Path) -> (i32, String) {
    let output = vitport(&[&["convert", source, "-o", "out"], options].concat(), folder);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), words(&String::from_utf8(text).unwrap()))
}

/// The text without its breaks into lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_deviation_is_told_by_its_name_and_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = cvt(&["--report", "out/report.html"], folder.path());
    assert_eq!(code, 0, "{said}");
    let remedy = "--with-exact-code adds Microsoft's exact network for trust_remote_code=True.";
    assert!(said.contains("known cvt-gelu: Microsoft's CvT computes QuickGELU"), "{said}");
    assert!(said.contains(&format!("Remedy: {remedy}")), "{said}");
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("cvt-gelu") && page.contains("Remedy: --with-exact-code"));
    let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
    assert!(
        card.contains("Known deviation `cvt-gelu`") && card.contains(&format!("remedy: {remedy}")),
        "{card}"
    );

    let source = example("cvt_tiny/tiny.pth");
    let verify = [&["verify", source.to_str().unwrap(), "out", "--json"][..], &FACTS].concat();
    let report: Value = serde_json::from_slice(&vitport(&verify, folder.path()).stdout).unwrap();
    let known = &report["known_deviation"];
    assert_eq!(known["name"], "cvt-gelu");
    assert_eq!(format!("{}.", known["remedy"].as_str().unwrap()), remedy);
    assert_eq!(known["each"].as_array().unwrap().len(), 1);
    assert_eq!(known["each"][0]["removed"], false);
}

#[test]
fn strict_fails_on_what_is_neither_allowed_nor_removed() {
    for (options, expected) in [
        (&["--strict"][..], 5),
        (&["--strict", "--allow", "crop-rounding"], 5),
        (&["--strict", "--allow", "cvt-gelu"], 0),
        (&["--strict", "--allow", "crop-rounding,cvt-gelu"], 0),
        (&["--strict", "--with-exact-code"], 0),
        (&["--allow", "cvt-gelu"], 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, said) = cvt(options, folder.path());
        assert_eq!(code, expected, "{options:?}: {said}");
        assert_eq!(folder.path().join("out").exists(), expected == 0, "{options:?}");
        let says = match expected {
            0 => "same weights, known deviation",
            _ => "--strict does not allow that without --allow cvt-gelu; --with-exact-code adds",
        };
        assert!(said.contains(says), "{options:?}: {said}");
    }
}

#[test]
fn exact_code_removes_a_deviation_only_while_it_is_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let (_, said) = cvt(&["--with-exact-code"], folder.path());
    assert!(said.contains("Removed with trust_remote_code=True by the code in the folder"), "{said}");
    assert!(!said.contains("Remedy"), "{said}");
    let source = example("cvt_tiny/tiny.pth");
    let verify = [&["verify", source.to_str().unwrap(), "out", "--strict"][..], &FACTS].concat();
    assert_eq!(vitport(&verify, folder.path()).status.code(), Some(0));
    let code = names(&folder.path().join("out")).into_iter().find(|name| name.ends_with(".py")).unwrap();
    let path = folder.path().join("out").join(code);
    fs::write(&path, fs::read_to_string(&path).unwrap() + "\n").unwrap();
    assert_eq!(vitport(&verify, folder.path()).status.code(), Some(5));
}

#[test]
fn a_name_that_no_deviation_has_is_a_usage_error_that_lists_them() {
    let folder = tempfile::tempdir().unwrap();
    for options in [&["--strict", "--allow", "cvt-glu"][..], &["--allow", "cvt-gelu,"]] {
        let (code, said) = cvt(options, folder.path());
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("the known ones are crop-rounding, cvt-gelu"), "{said}");
    }
    let (code, _) = cvt(&["--no-verify", "--allow", "cvt-gelu"], folder.path());
    assert_eq!(code, 2);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_rounded_crop_is_told_with_what_was_compared() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let source = source.to_str().unwrap();
    let (code, said) = converted(source, &["--crop-pct", "0.875"], folder.path());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("known crop-rounding: timm and torchvision round half a pixel to even"), "{said}");
    assert!(
        said.contains(
            "identical on 3 images, prepared by the source's transform and by the folder's processor (with the \
             source's crop rounded down as the folder's on 3 of them; as they are, these differ by up to 1."
        ),
        "{said}"
    );
    let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
    assert!(card.contains("with the source's crop rounded down as here on 3 of 3 images"), "{card}");
    for (allow, expected) in [("cvt-gelu", 5), ("crop-rounding", 0)] {
        let options = ["--crop-pct", "0.875", "--strict", "--allow", allow, "--force"];
        assert_eq!(converted(source, &options, folder.path()).0, expected, "{allow}");
    }
}

#[test]
fn a_crop_that_is_rounded_on_another_image_alone_is_a_deviation_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let source = source.to_str().unwrap();
    let (code, said) = converted(source, &["--crop-pct", "0.9", "--report", "page.html"], folder.path());
    assert_eq!(code, 0, "{said}");
    for says in [
        "same weights, known deviation crop-rounding, if the assumption holds",
        "so the folder's crop lies one pixel off on 1 of the 3 images that were prepared (middle of the image)",
        "outputs identical at all 7 points, embeddings to logits known",
        "The outputs of this image do not show it.",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("The outputs of this image do not show it."));
    for (options, expected) in [(&["--strict"][..], 5), (&["--strict", "--allow", "crop-rounding"], 0)] {
        let options = [&["--crop-pct", "0.9", "--force"], options].concat();
        assert_eq!(converted(source, &options, folder.path()).0, expected, "{options:?}");
    }
}

#[test]
fn weights_that_were_cast_are_not_called_the_same_bit_by_bit() {
    let source = example("vit_small_twin");
    for (dtype, says) in
        [("f16", "56 of 56 tensors are the source's, cast to float16"), ("f32", "bit-identical")]
    {
        let folder = tempfile::tempdir().unwrap();
        let options = ["--dtype", dtype, "--report", "page.html"];
        let (code, said) = converted(source.to_str().unwrap(), &options, folder.path());
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(says), "{said}");
        let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
        let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
        let (_, verdict) = said.split_once("same rests on").unwrap();
        for text in [verdict, &card, &page] {
            let is_said = text.contains("tensors are bit-identical")
                || text.contains("tensors are the same bit by bit");
            assert_eq!(is_said, dtype == "f32", "{text}");
        }
    }
}
