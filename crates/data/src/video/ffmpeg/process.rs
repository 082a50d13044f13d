//! A child process whose output is read while it runs, and that does not outlive its reader.
//!
//! Both of its pipes are read by one thread, which checks from time to time whether more is wanted.
//! Data are read directly into their final place: frames are large, and each thread or buffer in
//! between costs as much as decoding does.

use std::io::{self, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::log::Log;
use crate::prefetch::Cancel;

/// Interval between checks whether more is wanted.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// How long a program may produce no output before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a program that has closed its output may take to exit.
const ENDING: Duration = Duration::from_secs(1);
/// Capacity of a pipe in bytes, the most that Linux allows without privileges: a frame then takes
/// few switches between the program and its reader.
#[cfg(target_os = "linux")]
const PIPE: usize = 1 << 20;

/// A program that has exited, and its messages.
pub(super) struct Ended {
    status: ExitStatus,
    pub(super) log: Log,
}

impl Ended {
    /// Whether it exited successfully.
    pub(super) fn success(&self) -> bool {
        self.status.success()
    }

    /// The reason for its failure, in its own words if it gave any.
    pub(super) fn reason(&self) -> String {
        match &self.log.error {
            Some(error) => error.clone(),
            None => format!("ffmpeg ended ({})", self.status),
        }
    }
}

/// Runs a command and passes its output to `read`, which reads as much as it wants.
///
/// A program whose output was not read to the end is killed.
///
/// # Errors
/// When the program cannot be run, produces no output for [`PATIENCE`], or `read` fails, and soon
/// after `cancel` is set.
pub(super) fn run(
    command: &mut Command,
    cancel: &Cancel,
    read: impl FnOnce(&mut Output<'_>) -> Result<(), String>,
) -> Result<Ended, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let mut child = Running(child);
    let stdout = child.0.stdout.take().expect("standard output was piped");
    let stderr = child.0.stderr.take().expect("standard error was piped");
    // A smaller pipe is only slower.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE);
    let said = Said { stderr: Some(stderr), line: Vec::new(), log: Log::default() };
    let mut output = Output { stdout, said, cancel, ended: false };
    let outcome = read(&mut output);
    let Output { stdout, mut said, ended, .. } = output;
    // A program that is still writing learns that nobody reads.
    drop(stdout);
    let status = child.end(ended, &mut said).map_err(|error| format!("{program}: {error}"))?;
    let log = said.finish();
    outcome.map_err(|problem| match &log.error {
        Some(error) if !cancel.is_set() => format!("{problem} ({error})"),
        _ => problem,
    })?;
    Ok(Ended { status, log })
}

/// The message for an error in reading a program's output.
pub(super) fn problem(error: io::Error) -> String {
    match error.kind() {
        // This one is about the program, not its output.
        io::ErrorKind::Other => error.to_string(),
        _ => format!("the output of ffmpeg cannot be read: {error}"),
    }
}

/// The standard output of a running program.
pub(super) struct Output<'a> {
    stdout: ChildStdout,
    said: Said,
    cancel: &'a Cancel,
    /// Whether it was read to the end.
    ended: bool,
}

impl Output<'_> {
    /// Reads into the spare capacity of `buffer`, without filling it with zeros first; returns the
    /// number of bytes, 0 at the end.
    ///
    /// # Errors
    /// As [`Read::read`].
    ///
    /// # Panics
    /// In debug builds, when `buffer` has no capacity.
    pub(super) fn append(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.wait()?;
        let read = rustix::io::read(&self.stdout, spare_capacity(buffer))?;
        self.ended |= read == 0;
        Ok(read)
    }

    /// Waits until there is something to read, or the end is reached.
    fn wait(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            if self.cancel.is_set() {
                return Err(io::Error::other("it is no longer needed"));
            }
            let pipes = [Some(PollFd::new(&self.stdout, PollFlags::IN)), self.said.poll()];
            let mut pipes: Vec<PollFd<'_>> = pipes.into_iter().flatten().collect();
            wait_for(&mut pipes, LOOK)?;
            let [output, speaks] = [0, 1].map(|at| pipes.get(at).is_some_and(has_come));
            if speaks {
                self.said.take();
            }
            if output {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let patience = PATIENCE.as_secs();
                return Err(io::Error::other(format!(
                    "ffmpeg produced no output for {patience} s"
                )));
            }
        }
    }
}

impl Read for Output<'_> {
    /// # Errors
    /// When the pipe fails, the program produces no output for too long, or soon after nobody wants
    /// more.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        let read = self.stdout.read(buffer)?;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

/// The standard error of a running program.
struct Said {
    /// `None` once it has ended.
    stderr: Option<ChildStderr>,
    /// The start of a line.
    line: Vec<u8>,
    log: Log,
}

impl Said {
    fn poll(&self) -> Option<PollFd<'_>> {
        self.stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN))
    }

    /// Reads what has arrived.
    fn take(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut bytes = [0; 4096];
        match stderr.read(&mut bytes) {
            Ok(read @ 1..) => {
                for line in bytes[..read].split_inclusive(|&byte| byte == b'\n') {
                    self.line.extend_from_slice(line);
                    if line.ends_with(b"\n") {
                        self.log.take(&self.line);
                        self.line.clear();
                    }
                }
            }
            // A pipe that fails has nothing more to tell.
            _ => self.stderr = None,
        }
    }

    /// Reads what arrives within a time, and returns whether anything did.
    fn take_within(&mut self, time: Timespec) -> bool {
        let Some(pipe) = self.poll() else { return false };
        let mut pipes = [pipe];
        let came = wait_for(&mut pipes, time).is_ok() && has_come(&pipes[0]);
        if came {
            self.take();
        }
        came
    }

    /// The log of a program that has exited.
    fn finish(mut self) -> Log {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        while self.take_within(now) {}
        if !self.line.is_empty() {
            self.log.take(&self.line);
        }
        self.log
    }
}

/// Waits until something arrives on one of these, or the time is over.
fn wait_for(pipes: &mut [PollFd<'_>], time: Timespec) -> io::Result<()> {
    match poll(pipes, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether reading returns at once, possibly with the end.
fn has_come(pipe: &PollFd<'_>) -> bool {
    !pipe.revents().is_empty()
}

/// A program that does not outlive this value.
struct Running(Child);

impl Running {
    /// Lets it exit by itself if it has closed its output, and waits for it.
    fn end(&mut self, by_itself: bool, said: &mut Said) -> io::Result<ExitStatus> {
        let begun = Instant::now();
        let moment = Duration::from_millis(1);
        while by_itself && begun.elapsed() < ENDING {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            // It can have more messages than its pipe holds.
            let nap = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            if said.stderr.is_none() {
                thread::sleep(moment);
            } else {
                said.take_within(nap);
            }
        }
        // Fails only if it has exited in the meantime.
        self.0.kill().ok();
        self.0.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only if it has exited and was waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
