//! Checks that a command that is asked to end by a signal leaves nothing unfinished behind, whatever it was doing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::{example, names, vitport};

const SIGNALS: [(&str, i32); 3] = [("INT", 2), ("TERM", 15), ("HUP", 1)];

/// The command, with the signals as they are on a terminal, even where the tests run under `nohup`.
fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM,HUP", env!("CARGO_BIN_EXE_vitport")]);
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn send(signal: &str, child: &Child) {
    let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Waits for the end, which has to come within a minute.
fn ended(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every file of a folder with its bytes.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

#[test]
fn at_any_moment_the_old_folder_or_the_new_one_is_there_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let old = ["convert", source.to_str().unwrap(), "-o", "out", "--no-head", "--no-verify"];
    let new = ["convert", source.to_str().unwrap(), "-o", "out", "--force", "--report", "report.json"];
    assert!(vitport(&old, place.path()).status.success());
    let before = contents(&place.path().join("out"));
    let start = Instant::now();
    assert!(vitport(&new, place.path()).status.success());
    let whole = start.elapsed();
    let after = contents(&place.path().join("out"));
    let mut interrupted = 0;
    for moment in 0..36_u32 {
        let (signal, number) = SIGNALS[moment as usize % 3];
        fs::remove_dir_all(place.path().join("out")).unwrap();
        let _ = fs::remove_file(place.path().join("report.json"));
        assert!(vitport(&old, place.path()).status.success());
        let child = command(&new, place.path()).spawn().unwrap();
        std::thread::sleep(whole * moment / 30);
        send(signal, &child);
        let status = ended(child);
        let mut left = names(place.path());
        left.retain(|name| name != "report.json");
        assert_eq!(left, ["out"], "{signal} at moment {moment}");
        let now = contents(&place.path().join("out"));
        assert!(
            now == before || now == after,
            "{signal} at moment {moment}: {:?}",
            names(&place.path().join("out"))
        );
        // Before the first instruction of ours, the system ends the process itself.
        let by_system = std::os::unix::process::ExitStatusExt::signal(&status) == Some(number);
        match status.code() {
            Some(0) => assert!(now == after),
            code => {
                assert!(by_system || code == Some(128 + number), "{signal} at moment {moment}: {status:?}")
            }
        }
        interrupted += usize::from(status.code() == Some(128 + number));
    }
    assert!(interrupted > 5, "only {interrupted} runs were interrupted at work");
}

#[test]
fn parents_that_were_made_go_too() {
    let place = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let arguments = ["convert", source.to_str().unwrap(), "-o", "a/b/out"];
    assert!(vitport(&arguments, place.path()).status.success());
    let whole = contents(&place.path().join("a/b/out"));
    fs::remove_dir_all(place.path().join("a")).unwrap();
    for moment in 0..12 {
        let child = command(&arguments, place.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment * 15));
        send("TERM", &child);
        let status = ended(child);
        // What was published before the signal came stays, whatever the exit code.
        if status.success() || place.path().join("a/b/out").exists() {
            assert_eq!(names(&place.path().join("a/b")), ["out"], "moment {moment}");
            assert!(contents(&place.path().join("a/b/out")) == whole, "moment {moment}");
            fs::remove_dir_all(place.path().join("a")).unwrap();
        }
        assert_eq!(names(place.path()), [""; 0], "moment {moment}");
    }
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let place = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let mut command = Command::new("env");
    command.args(["--ignore-signal=HUP", env!("CARGO_BIN_EXE_vitport"), "convert", source.to_str().unwrap()]);
    command.args(["-o", "out"]).current_dir(place.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(60));
    send("HUP", &child);
    assert!(ended(child).success());
    assert_eq!(names(place.path()), ["out"]);
}

/// Answers like a Hub with one model, sends half of its weights, and then nothing.
fn serve(mut stream: TcpStream, half_sent: &mpsc::Sender<()>) {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
        }
        let is_head = request.starts_with("HEAD");
        let (etag, body) = if request.contains("/api/") {
            let info = format!(
                "{{\"sha\": \"{COMMIT}\", \"siblings\": [{{\"rfilename\": \"model.safetensors\"}}]}}"
            );
            ("info", info.into_bytes())
        } else {
            ("weights", vec![0; 1 << 20])
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        if etag == "weights" && !is_head {
            stream.write_all(&body[..body.len() / 2]).unwrap();
            half_sent.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        if !is_head {
            stream.write_all(&body).unwrap();
        }
    }
}

#[test]
fn a_transfer_is_interrupted_and_can_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (half_sent, is_half_sent) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let half_sent = half_sent.clone();
            std::thread::spawn(move || serve(stream, &half_sent));
        }
    });
    for (signal, number) in SIGNALS {
        let place = tempfile::tempdir().unwrap();
        let cache = place.path().join("cache");
        let child = command(&["convert", "org/name", "-o", "out"], place.path())
            .env("HF_ENDPOINT", &endpoint)
            .env("HF_HUB_CACHE", &cache)
            .env("NO_PROXY", "*")
            .spawn()
            .unwrap();
        is_half_sent.recv_timeout(Duration::from_secs(30)).unwrap();
        send(signal, &child);
        assert_eq!(ended(child).code(), Some(128 + number), "{signal}");
        assert_eq!(names(place.path()), ["cache"]);
        // From where the next transfer goes on.
        assert_eq!(names(&cache.join("models--org--name/blobs")), ["weights.incomplete"]);
    }
}
