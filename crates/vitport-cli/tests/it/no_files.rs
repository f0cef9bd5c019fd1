//! Checks that a pipe or a socket where a file is expected is refused, and nobody waits for what never comes.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::example;

/// Runs the command, which has to end within a minute.
fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitport"));
    command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{arguments:?} waits for ever");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn make_link_to_nothing(path: &Path) {
    std::os::unix::fs::symlink("nothing", path).unwrap();
}

#[test]
fn a_pipe_or_a_socket_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    assert!(Command::new("mkfifo").arg(place.join("pipe")).status().unwrap().success());
    let _listener = UnixListener::bind(place.join("socket")).unwrap();
    let source = example("vit_small_twin");
    let source = source.to_str().unwrap();
    for what in ["pipe", "socket"] {
        for (arguments, code) in [
            (vec!["convert", what, "-o", "out"], 3),
            (vec!["inspect", what], 3),
            (vec!["convert", source, "-o", "out", "--labels", what], 2),
            (vec!["convert", source, "-o", "out", "--mapping", what], 2),
            (vec!["convert", source, "-o", "out", "--image", what], 3),
            (vec!["batch", what], 3),
        ] {
            let output = run(&arguments, place);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
            assert!(stderr.contains("not a regular file"), "{arguments:?}: {stderr}");
        }
    }
    // Next to weights that are files.
    let model = place.join("model");
    fs::create_dir(&model).unwrap();
    fs::copy(example("vit_small_twin").join("model.safetensors"), model.join("model.safetensors")).unwrap();
    for name in ["config.json", "README.md"] {
        assert!(Command::new("mkfifo").arg(model.join(name)).status().unwrap().success());
        run(&["convert", "model", "-o", "out"], place);
        fs::remove_file(model.join(name)).unwrap();
    }
    // In the place of the weights, or of something that nobody reads: refused or named, never passed over.
    for make in [make_pipe as fn(&Path), make_link_to_nothing] {
        for (name, code) in [("README.md", 0), ("LICENSE", 0), ("config.json", 3), ("model.safetensors", 3)] {
            let model = place.join("copy");
            fs::create_dir(&model).unwrap();
            for file in ["config.json", "model.safetensors"] {
                fs::copy(example("vit_small_twin").join(file), model.join(file)).unwrap();
            }
            fs::copy(model.join("model.safetensors"), model.join("pytorch_model.bin")).unwrap();
            let _ = fs::remove_file(model.join(name));
            make(&model.join(name));
            let output = run(&["plan", "copy"], place);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
            assert!(stderr.contains(name), "{name}: {stderr}");
            fs::remove_dir_all(&model).unwrap();
        }
    }
    for name in ["config.json", "preprocessor_config.json", "processor_config.json", "adapter_config.json"] {
        let out = place.join("verified");
        assert!(
            run(&["convert", source, "-o", "verified", "--no-verify", "--force"], place).status.success()
        );
        let _ = fs::remove_file(out.join(name));
        assert!(Command::new("mkfifo").arg(out.join(name)).status().unwrap().success());
        let output = run(&["verify", source, "verified"], place);
        assert!(
            !["config.json", "preprocessor_config.json"].contains(&name) || !output.status.success(),
            "{name}"
        );
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_report_waits_for_nobody_who_would_read_it() {
    let folder = tempfile::tempdir().unwrap();
    make_pipe(&folder.path().join("pipe"));
    let source = example("vit_small_twin");
    let convert = ["convert", source.to_str().unwrap(), "-o", "out", "--report", "pipe"];
    let output = run(&convert, folder.path());
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.path().join("out").exists());
    // Open at both ends, so that it need not wait for the writer.
    let mut pipe = fs::OpenOptions::new().read(true).write(true).open(folder.path().join("pipe")).unwrap();
    let output = run(&convert, folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut read = vec![0; 1 << 20];
    let length = pipe.read(&mut read).unwrap();
    let _: serde_json::Value = serde_json::from_slice(&read[..length]).unwrap();
}
