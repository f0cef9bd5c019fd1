//! Tests a network that its class holds with scaled weights alone: it has to be asked for, and everything that describes the folder says
//! what its hidden states are.

use std::path::Path;

use crate::support::vitport;

const CLASS: &str = "ConvNextForImageClassification";
const SAID: &str =
    "hidden states are 0.3162 times the source's; the pooled output and what follows from it are the same";

/// Runs the command, and returns its exit code and what it printed, with single spaces between words.
fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = vitport(arguments, folder);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code(), text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn file(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn scaled_weights_are_asked_for_and_told_of() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport/tests/data/convnext/scaled");
    let source = fixture.canonicalize().unwrap().to_str().unwrap().to_owned();

    let (code, refusal) = run(&["convert", &source, "-o", "out"], folder);
    assert!(code == Some(7) && refusal.contains(&format!("with --target {CLASS} one with")), "{refusal}");

    let (code, plan) = run(&["plan", &source, "--target", CLASS], folder);
    assert!(code == Some(0) && plan.contains(SAID), "{plan}");
    assert!(
        plan.contains("stem.0.weight × 0.3162 scale convnext.embeddings.patch_embeddings.weight"),
        "{plan}"
    );

    let convert = ["convert", &source, "-o", "out", "--target", CLASS, "--report", "report.html"];
    let (code, converted) = run(&convert, folder);
    assert!(code == Some(0) && converted.contains(SAID), "{converted}");
    assert!(converted.contains("(22 with a factor multiplied in)"), "{converted}");
    for document in ["report.html", "out/README.md"] {
        let text = file(folder, document).replace("&#39;", "'");
        assert!(text.contains(SAID), "{document}");
    }
    let (code, verified) = run(&["verify", &source, "out", "--target", CLASS], folder);
    assert!(code == Some(0) && verified.contains(SAID), "{verified}");
    let (code, unasked) = run(&["verify", &source, "out"], folder);
    assert!(code == Some(7) && unasked.contains(&format!("with --target {CLASS}")), "{unasked}");

    // Whoever gives the mapping asks for it.
    let printed = vitport(&["plan", &source, "--target", CLASS, "--print-mapping"], folder);
    std::fs::write(folder.join("own.toml"), printed.stdout).unwrap();
    let (code, own) = run(&["plan", &source, "--mapping", "own.toml"], folder);
    assert!(code == Some(0) && own.contains(SAID), "{own}");

    let half = ["convert", &source, "-o", "half", "--target", CLASS, "--dtype", "bf16"];
    let (code, refused) = run(&half, folder);
    assert!(code == Some(3) && refused.contains("give --dtype f32"), "{code:?} {refused}");
}
