//! Checks that a bit that flipped in the weights of a zip is noticed by every command that reads weights, and what a file asks
//! for is bounded by the same options everywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{example, vitport};

/// The facts that the CvT example does not say.
const FACTS: [&str; 4] = ["--num-heads", "1,2,4", "--image-size", "64"];

/// A copy of the CvT example in which one bit of the last tensor's values is flipped.
fn damaged(folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(example("cvt_tiny/tiny.pth")).unwrap();
    let whole = vitport_checkpoint::Checkpoint::open(
        &example("cvt_tiny/tiny.pth"),
        &vitport_checkpoint::Limits::default(),
    )
    .unwrap();
    let (_, at) = whole.plain_bytes(whole.tensors().last().unwrap()).unwrap();
    bytes[at as usize] ^= 0x10;
    let path = folder.join("damaged.pth");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn refused(arguments: &[&str], folder: &Path, says: &str) {
    let output = vitport(arguments, folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_command_that_reads_weights_checks_their_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, damaged) = (example("cvt_tiny/tiny.pth"), damaged(folder.path()));
    let (whole, damaged) = (whole.to_str().unwrap(), damaged.to_str().unwrap());
    let converted = vitport(&[&["convert", whole, "-o", "out", "-q"][..], &FACTS].concat(), folder.path());
    assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));

    assert!(vitport(&["inspect", damaged], folder.path()).status.success(), "no weights are read");
    refused(&["inspect", damaged, "--hash"], folder.path(), "CRC-32");
    refused(&["diff", whole, damaged], folder.path(), "CRC-32");
    refused(&["diff", damaged, damaged], folder.path(), "CRC-32");
    refused(&[&["convert", damaged, "-o", "other"][..], &FACTS].concat(), folder.path(), "CRC-32");
    refused(&[&["verify", damaged, "out"][..], &FACTS].concat(), folder.path(), "CRC-32");

    std::fs::remove_file(folder.path().join("out/model.safetensors")).unwrap();
    std::fs::copy(damaged, folder.path().join("out/pytorch_model.bin")).unwrap();
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport/data/image/harbour.png");
    refused(&["classify", "out", image.to_str().unwrap()], folder.path(), "CRC-32");
}

#[test]
fn limits_hold_for_every_command_that_opens_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = example("cvt_tiny/tiny.pth");
    let whole = whole.to_str().unwrap();
    vitport(&[&["convert", whole, "-o", "out", "-q"][..], &FACTS].concat(), folder.path());
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport/data/image/harbour.png");
    let image = image.to_str().unwrap();
    for (option, value, says) in [
        ("--max-tensors", "20", "20 "),
        ("--max-name", "8", "name"),
        ("--max-header", "200", "200"),
        ("--max-header", "0.2kB", "200"),
    ] {
        for command in [
            vec!["inspect", whole],
            vec!["plan", whole],
            vec!["convert", whole, "-o", "new"],
            vec!["verify", whole, "out"],
            vec!["diff", whole, whole],
            vec!["classify", "out", image],
        ] {
            let arguments = [&command[..], &[option, value]].concat();
            refused(&arguments, folder.path(), says);
            refused(&arguments, folder.path(), "under Limits in --help");
        }
    }
    refused(&["inspect", whole, "--max-pickle-memory", "1kB"], folder.path(), "1000 bytes");
    refused(&["inspect", whole, "--max-nesting", "0"], folder.path(), "0");
    let generous = ["inspect", whole, "--max-tensors", "18446744073709551615", "--max-header", "1TiB"];
    assert!(vitport(&generous, folder.path()).status.success());
    let wrong = vitport(&["inspect", whole, "--max-header", "lots"], folder.path());
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("64MiB"));
}

#[cfg(unix)]
#[test]
fn a_limit_on_file_sizes_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = example("vit_small_twin");
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -f 100 && exec "$0" convert "$1" -o out --no-verify"#])
        .args([env!("CARGO_BIN_EXE_vitport"), whole.to_str().unwrap()])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("ulimit -f"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
