//! Wheels from PyPI into a folder, with a progress bar and advice when it fails.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bytes;
use crate::interrupts::Interrupts;

/// What pip fetches, as messages name it.
pub struct Pip {
    /// Its name.
    pub what: &'static str,
    /// What a user can do instead, after "or".
    pub instead: &'static str,
}

impl Pip {
    /// Checks that there is a pip at all.
    pub fn check(&self) -> Result<()> {
        let output = Command::new("python3").args(["-m", "pip", "--version"]).output();
        let instead = self.instead;
        match output {
            Err(_) => bail!("python3 is missing; install Python 3 with pip, or {instead}"),
            Ok(output) if !output.status.success() => bail!(
                "python3 has no pip; install it (Debian: apt install python3-pip), or {instead}"
            ),
            Ok(_) => Ok(()),
        }
    }

    /// Installs into `site`, with pip's own temporary files in `staging` too.
    ///
    /// pip checks each wheel against the hash that the index gives, and against those of
    /// the arguments. Ctrl-C stops it; what is half-written is the caller's to remove.
    pub fn install(
        &self,
        staging: &Path,
        site: &Path,
        bar: &ProgressBar,
        arguments: &[String],
    ) -> Result<()> {
        let interrupts = Interrupts::hold()?;
        let log = staging.join("pip.log");
        let mut child = Command::new("python3")
            .args(["-m", "pip", "install", "--no-input", "--no-cache-dir", "--progress-bar=off"])
            .args(["--disable-pip-version-check", "--only-binary=:all:", "--upgrade", "--target"])
            .arg(site)
            .args(arguments)
            .env("TMPDIR", staging)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start python3")?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if interrupts.seen() {
                // An interrupt from the keyboard has reached pip too; another one has not.
                let _ = child.kill();
            }
            bar.set_position(bytes::of_folder(staging).min(bar.length().unwrap_or(u64::MAX)));
            std::thread::sleep(Duration::from_millis(300));
        };
        if interrupts.seen() {
            bail!("interrupted; the partial download of {} was removed", self.what);
        }
        if !status.success() {
            return Err(self.error(status, &fs::read_to_string(&log).unwrap_or_default()));
        }
        Ok(())
    }

    /// Explains pip's last messages, and what to do.
    fn error(&self, status: ExitStatus, log: &str) -> anyhow::Error {
        let said = |words: &[&str]| words.iter().any(|word| log.contains(word));
        let advice = if said(&["No space left on device"]) {
            "the disk is full; make room and try again"
        } else if said(&["NewConnectionError", "name resolution", "ConnectTimeout", "unreachable"])
        {
            "PyPI cannot be reached; check the network and try again"
        } else if said(&["No matching distribution"]) {
            "pip finds no wheel; check the network or try another Python 3"
        } else if said(&["HASHES", "hash mismatch"]) {
            "a wheel does not have the expected hash: it is damaged or was replaced; try again"
        } else {
            "pip could not install it"
        };
        let last = log.lines().rev().find(|line| line.starts_with("ERROR"));
        let Self { what, instead } = self;
        match last {
            Some(line) => anyhow!("cannot fetch {what}: {advice}, or {instead}\n{line}"),
            None => anyhow!("cannot fetch {what}: {advice}, or {instead} (pip: {status})"),
        }
    }
}

/// Counts downloaded and unpacked bytes together.
pub fn progress_bar(total: u64) -> Result<ProgressBar> {
    let style = "{bar:40} {bytes} of about {total_bytes}, {elapsed}";
    Ok(ProgressBar::new(total).with_style(ProgressStyle::with_template(style)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    const PIP: Pip = Pip { what: "it", instead: "set X" };

    #[test]
    fn pip_failures_say_what_to_do() {
        let failed = ExitStatus::from_raw(256);
        for (log, advice) in [
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                "the disk is full",
            ),
            (
                "WARNING: NewConnectionError\nERROR: No matching distribution found for torch",
                "PyPI cannot be reached",
            ),
            ("ERROR: No matching distribution found for torch==2.11.0", "pip finds no wheel"),
            ("", "pip could not install it, or set X (pip: exit status: 1)"),
        ] {
            let error = PIP.error(failed, log).to_string();
            assert!(
                error.starts_with(&format!("cannot fetch it: {advice}"))
                    && error.lines().count() <= 2,
                "{error:?}"
            );
        }
    }
}
