//! Tests the command as a user meets it: what it prints where, what it exits with, and that bad input gives one line and leaves
//! nothing behind.

use std::path::Path;
use std::process::Command;

use crate::support::{example, vitport};

fn refused(arguments: &[&str], code: i32, says: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = vitport(arguments, folder.path());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(says), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} left something behind");
}

/// Checks that clap refuses arguments, in its own lines.
fn misused(arguments: &[&str], says: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = vitport(arguments, folder.path());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains(says), "{arguments:?}: {stderr}");
    assert!(stderr.ends_with("For more information, try '--help'.\n"), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
}

/// Checks that facts are asked, each with its option, and that the last line is the command to run.
fn asked(arguments: &[&str], facts: &[(&str, &str)], command: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = vitport(arguments, folder.path());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{arguments:?}: {stderr}");
    for (fact, option) in facts {
        assert!(
            stderr.contains(&format!("\n  {fact}\n")) && stderr.contains(option),
            "{arguments:?}: {stderr}"
        );
    }
    let last = stderr.lines().last().unwrap().trim();
    assert!(last.starts_with("vitport ") && last.contains(command), "{last}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} left something behind");
}

#[test]
fn the_example_converts_and_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let output = vitport(&["convert", source.to_str().unwrap(), "-o", "out"], folder.path());
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("ViTForImageClassification") && stdout.contains("wrote"), "{stdout}");
    let files = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"];
    let mut found: Vec<_> = std::fs::read_dir(folder.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    found.sort();
    assert_eq!(found, files);
    let verify = vitport(&["verify", source.to_str().unwrap(), "out", "--json"], folder.path());
    let report: serde_json::Value = serde_json::from_slice(&verify.stdout).unwrap();
    assert_ne!(report["verdict"], "different");
    assert!(report["timings"]["source_forward_ms"].as_f64().unwrap() > 0.0);
    // A folder that is there already is replaced only on request.
    let again = vitport(&["convert", source.to_str().unwrap(), "-o", "out"], folder.path());
    assert_eq!(again.status.code(), Some(2));
    let forced = vitport(&["convert", source.to_str().unwrap(), "-o", "out", "--force", "-q"], folder.path());
    assert!(forced.status.success() && forced.stdout.is_empty());
}

#[test]
fn a_folder_that_was_tampered_with_is_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    vitport(&["convert", source.to_str().unwrap(), "-o", "out", "--no-verify"], folder.path());
    let config = folder.path().join("out/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("1e-06", "1e-12")).unwrap();
    let output = vitport(&["verify", source.to_str().unwrap(), "out"], folder.path());
    assert_eq!(output.status.code(), Some(5));
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains("layer_norm_eps: 1e-6 in the source, 1e-12 in the folder")
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("for the reasons above"));
    let quiet = vitport(&["verify", source.to_str().unwrap(), "out", "-q"], folder.path());
    assert!(String::from_utf8_lossy(&quiet.stderr).contains("layer_norm_eps"));
}

#[test]
fn a_cvt_asks_for_what_its_weights_do_not_say() {
    let source = example("cvt_tiny/tiny.pth");
    let source = source.to_str().unwrap();
    let (heads, size) = (("num_heads", "--num-heads N,N,N"), ("image_size", "--image-size"));
    asked(&["convert", source], &[heads, size], "tiny.pth --num-heads 'N,N,N' --image-size HEIGHTxWIDTH");
    let given = ["convert", source, "--num-heads", "1,2,4"];
    asked(&given, &[size], "--num-heads '1,2,4' --image-size HEIGHTxWIDTH");
    refused(&["convert", source, "--num-heads", "1,2,5", "--image-size", "64"], 4, "--num-heads");
    let folder = tempfile::tempdir().unwrap();
    let given = ["--num_heads", "1,2,4", "--image_size", "64", "--pytorch_dump_folder_path", "out"];
    let legacy: Vec<&str> = ["--cvt_file_name", source].into_iter().chain(given).collect();
    let output = vitport(&legacy, folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("known deviation"));
    let strict: Vec<&str> = legacy.iter().copied().chain(["--force", "--strict"]).collect();
    assert_eq!(vitport(&strict, folder.path()).status.code(), Some(5));
}

#[test]
fn bad_command_lines_are_one_line_and_exit_with_their_class() {
    let vit = example("vit_small_twin");
    let vit = vit.to_str().unwrap();
    refused(&["convert", "no/such/file.pth"], 3, "no/such/file.pth");
    misused(&["convert", vit, "--dtype", "int4"], "possible values: f32, f16, bf16");
    misused(&["convert", vit, "--frobnicate"], "--frobnicate");
    misused(&["frobnicate"], "frobnicate");
    refused(&["convert", vit, "--num-heads", "5"], 4, "--num-heads");
    misused(&["convert", vit, "--image-size", "0"], "image size");
    refused(&["convert", vit, "--image-size", "96"], 4, "--image-size");
    refused(&["convert", vit, "--labels", "imagenet-1k"], 4, "10 classes");
    refused(&["convert", vit, "--labels", "absent.txt"], 2, "absent.txt");
    refused(&["convert", vit, "--arch", "vit_bse_patch16_224"], 4, "did you mean");
    refused(&["convert", vit, "--arch", "xcit_nano_12_p16_224"], 7, "xcit");
    refused(&["convert", vit, "--arch", "resnet50"], 4, "family `resnet`");
    refused(&["convert", vit, "--mapping", "absent.toml"], 2, "absent.toml");
    refused(&["convert", vit, "--key", "nothing"], 4, "nothing");
    misused(&["convert", vit, "--max-shard-size", "lots"], "lots");
    refused(&["models", "no-such-model"], 4, "no-such-model");
    refused(&["classify", vit, "x.png"], 4, "model_type");
}

#[test]
fn a_image_that_cannot_be_read_is_named_and_the_others_are_classified() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    vitport(&["convert", source.to_str().unwrap(), "-o", "out", "--no-verify", "-q"], folder.path());
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport/data/image/harbour.png");
    std::fs::write(folder.path().join("broken.png"), &std::fs::read(&image).unwrap()[..900]).unwrap();
    let output = vitport(&["classify", "out", "broken.png", image.to_str().unwrap()], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.starts_with("error: broken.png: ") && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches('%').count(), 5);
}

#[test]
fn what_the_terminal_gets_cannot_command_it() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [["plan", "\u{1b}[31m.pth"], ["inspect", "a\u{202e}b.pth"]] {
        let output = vitport(&arguments, folder.path());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains(['\u{1b}', '\u{202e}']), "{stderr:?}");
    }
}

#[test]
fn a_report_in_a_file_cannot_command_the_terminal_that_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    std::fs::copy(example("vit_small_twin/model.safetensors"), model.join("model.safetensors")).unwrap();
    let config = std::fs::read_to_string(example("vit_small_twin/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let evil = |number: usize| format!("\u{1b}]0;a\u{7}\u{9b}31m\u{202e}{number}\u{2066}");
    config["label_names"] = (0..10).map(evil).collect();
    std::fs::write(model.join("config.json"), config.to_string()).unwrap();
    for report in ["report.json", "report.html"] {
        let arguments = ["convert", "model", "-o", "out", "--force", "--report", report];
        let output = vitport(&arguments, folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let files = [report, "out/README.md", "out/config.json"];
        for file in files {
            let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains("31m"), "{file} shows no label");
            let unsafe_to_show = |c: char| c != '\n' && vitport_checkpoint::is_unsafe_to_show(c);
            assert!(
                !text.contains(unsafe_to_show),
                "{file}: {:?}",
                text.matches(unsafe_to_show).collect::<Vec<_>>()
            );
        }
    }
    let report = std::fs::read(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert!(report.to_string().contains('\u{202e}'), "a program reads the label as it is");
}

#[test]
fn programs_get_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let vit = example("vit_small_twin");
    let vit = vit.to_str().unwrap();
    let file = example("cvt_tiny/tiny.pth");
    for arguments in [
        vec!["plan", vit, "--json"],
        vec!["inspect", file.to_str().unwrap(), "--hash", "--json"],
        vec!["models", "cvt", "--json"],
        vec!["diff", vit, vit, "--json"],
        vec!["convert", vit, "-o", "out", "--json"],
        vec!["plan", "absent.pth", "--json"],
    ] {
        let output = vitport(&arguments, folder.path());
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
        assert!(parsed.is_ok(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn an_error_is_a_document_with_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let vit = example("vit_small_twin");
    let vit = vit.to_str().unwrap();
    let cvt = example("cvt_tiny/tiny.pth");
    let cvt = cvt.to_str().unwrap();
    std::fs::write(folder.path().join("cut.pth"), &std::fs::read(cvt).unwrap()[..900]).unwrap();
    // GLOBAL os.system, a text, a tuple of it, REDUCE.
    std::fs::write(folder.path().join("danger.pkl"), b"\x80\x02cos\nsystem\nU\x04true\x85R.").unwrap();
    four_channels(&folder.path().join("four.safetensors"));
    assert!(vitport(&["convert", vit, "-o", "other", "--no-verify"], folder.path()).status.success());
    let config = folder.path().join("other/config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("1e-06", "1e-12");
    std::fs::write(&config, text).unwrap();
    for (arguments, code, kind, field, value) in [
        (vec!["plan", vit, "--frobnicate"], 2, "usage", "", ""),
        (vec!["frobnicate"], 2, "usage", "", ""),
        (vec!["convert", vit, "--labels", "absent.txt"], 2, "usage", "fact", "labels"),
        (vec!["plan", "absent.pth"], 3, "unreadable", "file", "absent.pth"),
        (vec!["plan", "cut.pth"], 3, "unreadable", "file", "cut.pth"),
        (vec!["plan", cvt, "--max-tensors", "3"], 3, "refused", "file", cvt),
        (vec!["plan", "danger.pkl"], 3, "dangerous", "file", "danger.pkl"),
        (vec![], 2, "usage", "", ""),
        (vec!["plan", cvt], 4, "question", "file", cvt),
        (vec!["plan", vit, "--num-heads", "5"], 4, "contradiction", "fact", "num_heads"),
        (vec!["plan", vit, "--num-heads", "5"], 4, "contradiction", "file", vit),
        (vec!["plan", vit, "--arch", "nothing_like_it"], 4, "unknown_architecture", "fact", "architecture"),
        (vec!["plan", vit, "--like", "nothing_like_it"], 4, "unknown_architecture", "fact", "architecture"),
        (
            vec!["plan", "four.safetensors"],
            7,
            "no_target",
            "tensor",
            "patch_embed.proj.weight, whose second axis is 4",
        ),
        (vec!["plan", "timm/vit_base_patch16_224"], 6, "network", "", ""),
        (vec!["verify", vit, "other"], 5, "different", "", ""),
        (vec!["convert", vit, "--no-verify", "-o", "/proc/x"], 6, "io", "file", "/proc"),
        (vec!["plan", vit, "--arch", "resnet50"], 4, "contradiction", "", ""),
        (vec!["plan", vit, "--arch", "xcit_nano_12_p16_224"], 7, "no_target", "", ""),
        (vec!["plan", "vit_base_patch16_rpn_224.sw_in1k"], 7, "no_target", "", ""),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_vitport"))
            .args([&arguments[..], &["--json"]].concat())
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env("HF_HOME", folder.path())
            .current_dir(folder.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&document["schema"], &document["kind"]),
            (&"vitport/error/2".into(), &kind.into()),
            "{arguments:?}"
        );
        assert_eq!(document["error"]["exit_code"], code, "{arguments:?}");
        assert!(stderr.contains(document["message"].as_str().unwrap()), "{arguments:?}: {stderr}");
        if !field.is_empty() {
            assert_eq!(document[field], value, "{arguments:?}");
        }
    }
}

/// Writes a ViT for images of four channels: zeros, 16 wide.
fn four_channels(path: &Path) {
    let shapes = [
        ("cls_token", "[1,1,16]", 16),
        ("pos_embed", "[1,5,16]", 80),
        ("patch_embed.proj.weight", "[16,4,2,2]", 256),
        ("patch_embed.proj.bias", "[16]", 16),
        ("blocks.0.mlp.fc1.weight", "[32,16]", 512),
        ("blocks.0.mlp.fc1.bias", "[32]", 32),
        ("blocks.0.mlp.fc2.weight", "[16,32]", 512),
        ("blocks.0.mlp.fc2.bias", "[16]", 16),
        ("blocks.0.attn.qkv.bias", "[48]", 48),
        ("norm.weight", "[16]", 16),
        ("norm.bias", "[16]", 16),
    ];
    let mut end = 0;
    let entries = shapes.map(|(name, shape, count)| {
        let begin = end;
        end += 4 * count;
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    });
    let header = format!("{{{}}}", entries.join(","));
    let mut file = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + end, 0);
    std::fs::write(path, file).unwrap();
}

#[test]
fn questions_are_a_document_with_what_is_known_and_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let cvt = example("cvt_tiny/tiny.pth");
    let output = vitport(&["plan", cvt.to_str().unwrap(), "--json"], folder.path());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let question = &document["questions"][1];
    assert_eq!((&question["fact"], &question["option"]), (&"image_size".into(), &"--image-size".into()));
    assert_eq!(question["candidates"], serde_json::json!(["224", "384"]));
    let facts = document["facts"].as_array().unwrap();
    assert!(facts.iter().any(|fact| fact["name"] == "embed_dim" && fact["origin"].is_string()));
    assert!(document["command"].as_str().unwrap().ends_with("--num-heads 'N,N,N' --image-size HEIGHTxWIDTH"));
    // On the terminal, too, what is known stands on standard output.
    let output = vitport(&["plan", cvt.to_str().unwrap(), "--no-input"], folder.path());
    assert!(String::from_utf8(output.stdout).unwrap().contains("embed_dim"));
}

#[test]
fn diff_exits_with_1_where_something_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (vit, cvt) = (example("vit_small_twin"), example("cvt_tiny/tiny.pth"));
    let diff = |a: &Path, b: &Path, option: &str| {
        vitport(&["diff", a.to_str().unwrap(), b.to_str().unwrap(), option], folder.path())
    };
    assert_eq!(diff(&vit, &vit, "-q").status.code(), Some(0));
    let output = diff(&vit, &cvt, "--json");
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        output.stderr.is_empty()
            && document["differences"].is_array()
            && document["schema"] == "vitport/diff/2"
    );
}

#[test]
fn inspect_names_every_tensor_of_a_training_run() {
    let file = example("cvt_tiny/tiny.pth");
    let folder = tempfile::tempdir().unwrap();
    let output = vitport(&["inspect", file.to_str().unwrap(), "--json", "--hash"], folder.path());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["tensors"].as_array().unwrap();
    assert_eq!((rows.len(), &document["schema"]), (221, &"vitport/inspect/2".into()));
    let row = rows.iter().find(|row| row["name"] == "head.weight").unwrap();
    assert_eq!((&row["dtype"], &row["shape"]), (&"F32".into(), &serde_json::json!([10, 64])));
    assert_eq!(row["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn the_list_of_models_can_be_filtered_sorted_and_fits_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let output = vitport(&[&["models", "--json"], arguments].concat(), folder.path());
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        document["models"].as_array().unwrap().clone()
    };
    let all = rows(&[]);
    assert_eq!(all.len(), 2052 + 7 + 115);
    assert_eq!(rows(&["--family", "cvt"]).len(), 7);
    let vits = rows(&["--family", "vit"]);
    assert_eq!(vits.len(), 354 + 10);
    // torchvision's have no module of timm's.
    assert!(vits.iter().all(|row| {
        row["module"].is_null() || row["module"] == "vision_transformer" || row["module"] == "deit"
    }));
    assert_eq!(rows(&["--family", "swin_*"]).len(), rows(&["--family", "swin_transformer*"]).len());
    let convertible = rows(&["--convertible"]);
    let published = || convertible.iter().filter(|row| row["published_at"].is_string());
    assert_eq!(published().count(), 694);
    assert_eq!(published().filter(|row| row["only_asked_for"] == true).count(), 6);
    assert!(convertible.iter().all(|row| row["becomes"] == row["target"] && row["why_not"].is_null()));
    for (name, target, exactness, why_not) in [
        (
            "resnetv2_50x1_bit.goog_in21k",
            "BitForImageClassification".into(),
            "exact",
            "BitForImageClassification could hold it, not written yet",
        ),
        ("xcit_tiny_12_p8_224.fb_in1k", serde_json::Value::Null, "none", "no class in transformers holds it"),
        ("csatv2.r512_in1k", serde_json::Value::Null, "not examined", "not examined"),
    ] {
        let row = all.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!((&row["becomes"], &row["target"]), (&serde_json::Value::Null, &target), "{name}");
        assert_eq!((&row["exactness"], &row["why_not"]), (&exactness.into(), &why_not.into()), "{name}");
    }
    assert!(rows(&["--license", "cc-by-nc"]).iter().all(|row| row["license"] == "cc-by-nc-4.0"));
    let models = rows(&["--becomes", "ViTModel", "--sort", "params", "--reverse"]);
    assert!(!models.is_empty() && models.iter().all(|row| row["becomes"] == "ViTModel"));
    let parameters: Vec<u64> = models.iter().map(|row| row["parameters"].as_u64().unwrap()).collect();
    assert!(parameters.is_sorted_by(|a, b| a >= b) && parameters.first() > parameters.last());
    // What is not known is not said.
    assert!(
        rows(&["--family", "cvt"]).iter().all(|row| row["license"].is_null() && row.get("sha256").is_none())
    );
    for columns in ["100", "80"] {
        let output = Command::new(env!("CARGO_BIN_EXE_vitport"))
            .arg("models")
            .env("COLUMNS", columns)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let width = columns.parse().unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= width), "{columns}");
        assert!(all.iter().all(|row| text.contains(row["name"].as_str().unwrap())));
    }
    refused(&["models", "--license", "nobody's"], 4, "these filters");
}

#[test]
fn a_plan_fits_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let arguments = ["plan", source.to_str().unwrap()];
    let wide = String::from_utf8(vitport(&arguments, folder.path()).stdout).unwrap();
    let widest = wide.lines().skip(2).map(|line| line.chars().count()).max().unwrap();
    assert!(widest > 100, "the table is wide where nothing bounds it");
    let narrow = Command::new(env!("CARGO_BIN_EXE_vitport")).args(arguments).env("COLUMNS", "80").output();
    let narrow = String::from_utf8(narrow.unwrap().stdout).unwrap();
    assert!(narrow.lines().skip(2).all(|line| line.chars().count() <= 80), "{narrow}");
    let names = |text: &str| text.split_whitespace().filter(|word| word.starts_with("vit.")).count();
    assert_eq!(names(&narrow), names(&wide));
}
