//! Checks that a disk that is full, and a folder that may not be written into, end in one line of class disk and leave nothing.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use vitport::folder::publish::{Options, Staging};
use vitport::folder::{FolderError, FolderErrorClass};

use super::{config, generation_of};
use crate::child;

const PLACE: &str = "VITPORT_TEST_DISK_PLACE";

/// Runs `test` again in another process, where `PLACE` is set to `place`, by way of `command`.
fn again<T: Fn()>(mut command: Command, test: T, place: &Path) -> io::Result<Output> {
    command
        .arg(std::env::current_exe().unwrap())
        .args(child::only(test))
        .arg("--nocapture")
        .env(PLACE, place)
        .output()
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The place given by [`again`], when this is that other process.
fn given_place() -> Option<std::path::PathBuf> {
    std::env::var_os(PLACE).map(Into::into)
}

/// Replaces `out` by a folder with more bytes than the disk has space for.
fn overfill(out: &Path) -> FolderError {
    let staging = Staging::begin(out, &[], Options { force: true, fsync: true }).unwrap();
    staging.write("config.json", b"{}").unwrap();
    let error = staging.write("model.safetensors", &vec![1; 4 << 20]).unwrap_err();
    assert_eq!(error.class(), FolderErrorClass::Disk, "{error}");
    error
}

#[test]
fn a_full_disk_leaves_the_old_folder() {
    if let Some(place) = given_place() {
        let out = place.join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("config.json"), config("old")).unwrap();
        let message = overfill(&out).to_string();
        assert!(message.contains("free some space"), "{message}");
        assert_eq!(generation_of(&out), "old");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        println!("tried");
        return;
    }
    // A disk of one megabyte, in a name space of its own.
    let place = tempfile::tempdir().unwrap();
    let mount = r#"mount -t tmpfs -o size=1m none "$VITPORT_TEST_DISK_PLACE" || exit 77; exec "$0" "$@""#;
    for new in ["--mount", "--mount --map-root-user"] {
        let mut command = Command::new("unshare");
        command.args(new.split(' ')).args(["sh", "-c", mount]);
        let Ok(output) = again(command, a_full_disk_leaves_the_old_folder, place.path()) else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("running 1 test") {
            assert!(output.status.success() && text.contains("tried"), "{output:?}");
            return;
        }
    }
    eprintln!("skipped: no file system can be mounted here");
}

#[test]
fn a_file_beyond_the_size_limit_leaves_nothing() {
    if let Some(place) = given_place() {
        let message = overfill(&place.join("out")).to_string();
        assert!(message.contains("ulimit -f"), "{message}");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        println!("tried");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes; ignored, the signal becomes an error of the write.
    let command = shell(r#"trap '' XFSZ; ulimit -f 2000 && exec "$0" "$@""#);
    let output = again(command, a_file_beyond_the_size_limit_leaves_nothing, place.path()).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("tried"), "{output:?}");
}

#[test]
fn a_folder_that_may_not_be_written_into_is_named() {
    if let Some(place) = given_place() {
        for out in ["out", "a/b/out"] {
            let error =
                Staging::begin(&place.join(out), &[], Options { force: false, fsync: false }).unwrap_err();
            assert_eq!(error.class(), FolderErrorClass::Disk, "{error}");
            let message = error.to_string();
            assert!(message.contains("that you may write to"), "{message}");
        }
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        println!("tried");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut command = shell(r#"exec "$0" "$@""#);
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        // Permissions do not bind root.
        command.uid(65534).gid(65534);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    } else {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let executable = std::env::current_exe().unwrap();
    if is_root
        && !executable
            .ancestors()
            .all(|path| fs::metadata(path).unwrap().permissions().mode() & 0o005 == 0o005)
    {
        eprintln!("skipped: another user cannot run this test's executable");
        return;
    }
    let output = again(command, a_folder_that_may_not_be_written_into_is_named, place.path()).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("tried"), "{output:?}");
}
