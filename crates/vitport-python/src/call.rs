//! Runs commands on threads of their own, while the thread of Python that asked waits without the interpreter's lock, shows progress and
//! listens for Ctrl-C.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use vitport_cli::program::{Answer, Call};
use vitport_cli::watch::{Unit, Watch};

use crate::given::options;
use crate::raised::raised;

/// Says how often Ctrl-C is looked for, and progress shown.
const LOOK: Duration = Duration::from_millis(50);

/// Says how long a command that is to stop is waited for. It stops at its next read; a thread that waits for the disk or the network stops
/// later, and publishes nothing.
const PATIENCE: Duration = Duration::from_millis(400);

/// Names the process in which a command was run first: its forks have none of its threads, and not its temporary folders.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// Runs a command and returns its document as JSON, its report's page, and remarks. `progress` is called now and then, with what is
/// being done, how much is done, how much there is to do, and whether both are bytes.
///
/// # Errors
/// Raises the exception of the command's error, and what `progress` raises.
#[pyfunction]
#[pyo3(signature = (command, arguments, given, progress=None))]
pub fn call(
    py: Python<'_>,
    command: String,
    arguments: Vec<PathBuf>,
    given: &Bound<'_, PyDict>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<(String, Option<String>, Vec<String>)> {
    check_process()?;
    let arguments = arguments.into_iter().map(PathBuf::into_os_string).collect();
    let call = Call { command, arguments, options: options(given)? };
    let watch = Watch::default();
    let (sender, receiver) = channel();
    let followed = watch.clone();
    thread::Builder::new().name("vitport".to_owned()).spawn(move || {
        // Whoever asked may have gone.
        let _ = sender.send(call.run(&followed));
    })?;
    let answer = answer(py, Mutex::new(receiver), &watch, progress)?;
    match answer.is_error {
        true => Err(raised(py, &answer.document, answer.page)),
        false => Ok((answer.document.to_string(), answer.page, answer.notes)),
    }
}

/// Waits for the answer.
fn answer(
    py: Python<'_>,
    receiver: Mutex<Receiver<Answer>>,
    watch: &Watch,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Answer> {
    let wait = |time: Duration| {
        py.detach(|| receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(time))
    };
    loop {
        match wait(LOOK) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the thread of the command is gone; please report this"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(error) = py.check_signals().and_then(|()| show(watch, progress)) {
            watch.stop();
            // What it says after that is of no interest.
            let _ = wait(PATIENCE);
            return Err(error);
        }
    }
}

fn show(watch: &Watch, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if let Some((progress, step)) = progress.zip(watch.step()) {
        progress.call1((step.what, step.done, step.total, step.unit == Unit::Bytes))?;
    }
    Ok(())
}

/// Refuses a fork of a process in which commands were run: the threads that compute exist only in the first one.
fn check_process() -> PyResult<()> {
    let own = std::process::id();
    match *PROCESS.get_or_init(|| own) == own {
        true => Ok(()),
        false => Err(PyRuntimeError::new_err(
            "this process was forked from one in which vitport had been used; start it with multiprocessing's \"spawn\" method",
        )),
    }
}

/// Removes the temporary folders of commands that are still running, for a process that is about to end, and lets nothing be made or
/// published any more.
#[pyfunction]
pub fn leave_nothing_behind(py: Python<'_>) {
    if PROCESS.get() == Some(&std::process::id()) {
        py.detach(vitport_cli::program::end);
    }
}
