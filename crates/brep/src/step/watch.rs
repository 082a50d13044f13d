//! Supervision of the processes that prepare files: a file that crashes the kernel, keeps it busy
//! or uses too much memory is left out, and the others are still prepared.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The outcome of preparing a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A part with the given number of faces.
    Part(usize),
    /// Left out, with the reason.
    Skipped(String),
}

/// Prefixes of the lines that a process reports; the kernel prints others.
const PART: &str = "bauta part: ";
const LEFT: &str = "bauta left: ";

/// The signal of a process that has exceeded its processor time, SIGXCPU.
const OUT_OF_TIME: i32 = 24;

/// Messages of a process that ran out of memory: the kernel's, C++'s and Rust's.
const OUT_OF_MEMORY: [&str; 3] = ["Standard_OutOfMemory", "bad_alloc", "memory allocation of"];

/// Maximum bytes read of a line, and of a process's error output.
const MOST_BYTES: u64 = 1 << 16;

impl Outcome {
    /// The line by which a process reports it.
    pub fn line(&self) -> String {
        match self {
            Self::Part(faces) => format!("{PART}{faces}"),
            Self::Skipped(reason) => format!("{LEFT}{}", reason.replace(['\n', '\r'], " ")),
        }
    }

    fn of_line(line: &str) -> Option<Self> {
        match line.strip_prefix(PART) {
            Some(faces) => faces.parse().ok().map(Self::Part),
            None => line.strip_prefix(LEFT).map(|reason| Self::Skipped(reason.to_owned())),
        }
    }
}

/// Limits for a file.
pub(super) struct Watch {
    /// Seconds.
    pub seconds: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

impl Watch {
    /// Prepares files in processes: each continues where the one before has ended. Returns the
    /// outcome of each file.
    pub fn outcomes(
        &self,
        files: &[PathBuf],
        command: &impl Fn() -> Command,
        told: &impl Fn(&PathBuf, &Outcome),
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(files.len());
        while outcomes.len() < files.len() {
            let before = outcomes.len();
            let rest = &files[before..];
            let failed = self.in_a_process(command().args(rest), rest.len(), |outcome| {
                let outcome = self.plain(outcome);
                // The files before it can have used up the memory, so it is tried again without
                // them.
                if outcomes.len() > before && outcome == self.too_large() {
                    return false;
                }
                told(&files[outcomes.len()], &outcome);
                outcomes.push(outcome);
                true
            });
            let first = outcomes.len() == before;
            if let Some(failed) = failed.filter(|it| first || *it != self.too_large()) {
                told(&files[outcomes.len()], &failed);
                outcomes.push(failed);
            }
        }
        outcomes
    }

    /// Runs a process on some files for as long as `heard` returns true; if the process ends early,
    /// returns why the current file failed.
    fn in_a_process(
        &self,
        command: &mut Command,
        files: usize,
        mut heard: impl FnMut(Outcome) -> bool,
    ) -> Option<Outcome> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let reason = format!("no process could be started: {error}");
                return Some(Outcome::Skipped(reason));
            }
        };
        let (lines, errors) = listen(&mut child);
        let mut ended = None;
        for _ in 0..files {
            match lines.recv_timeout(Duration::from_secs(self.seconds)) {
                Ok(outcome) if heard(outcome.clone()) => {}
                Ok(_) => break,
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            }
        }
        // It has reported all files, or is no longer needed, or hangs, or has already ended.
        child.kill().ok();
        let status = child.wait();
        let reason = errors.join().unwrap_or_default();
        let ended = ended?;
        Some(match status {
            _ if ended == RecvTimeoutError::Timeout => self.too_long(),
            Ok(status) if status.signal() == Some(OUT_OF_TIME) => self.too_long(),
            _ if !reason.is_empty() => self.plain(Outcome::Skipped(reason)),
            Ok(status) => Outcome::Skipped(format!("the CAD kernel ended with {status}")),
            Err(error) => Outcome::Skipped(format!("its process was lost: {error}")),
        })
    }

    fn too_long(&self) -> Outcome {
        Outcome::Skipped(format!("it took more than {} seconds", self.seconds))
    }

    fn too_large(&self) -> Outcome {
        Outcome::Skipped(format!("it takes more than {} MiB of memory", self.bytes >> 20))
    }

    /// Replaces a message that a process ran out of memory by a uniform one.
    fn plain(&self, outcome: Outcome) -> Outcome {
        match &outcome {
            Outcome::Skipped(reason) if OUT_OF_MEMORY.iter().any(|it| reason.contains(it)) => {
                self.too_large()
            }
            _ => outcome,
        }
    }
}

/// Reads a process's output on separate threads, so that it never blocks: its outcomes, and at the
/// end the first line of its errors.
fn listen(child: &mut Child) -> (Receiver<Outcome>, thread::JoinHandle<String>) {
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output.expect("it has a pipe"));
        loop {
            let mut line = Vec::new();
            match output.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line);
                    // There is no receiver any more once the process is being ended.
                    if let Some(outcome) = Outcome::of_line(line.trim_end()) {
                        sender.send(outcome).ok();
                    }
                }
            }
        }
    });
    let errors = thread::spawn(move || {
        let (mut errors, mut bytes) = (errors.expect("it has a pipe"), Vec::new());
        errors.by_ref().take(MOST_BYTES).read_to_end(&mut bytes).ok();
        std::io::copy(&mut errors, &mut std::io::sink()).ok();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    });
    (receiver, errors)
}
