//! Whether this machine has an NVIDIA driver, and so needs CUDA's libraries.

use std::fs;
use std::process::Command;

/// The driver's description, such as `NVIDIA H200, driver 580.95`, if there is one.
pub fn nvidia_driver() -> Option<String> {
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    if let Ok(output) = Command::new("nvidia-smi").args(query).output() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if let (true, Some(line)) = (output.status.success(), text.lines().next()) {
            return Some(line.replacen(", ", ", driver ", 1));
        }
    }
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    Some(text.lines().next().unwrap_or("NVIDIA driver").trim().to_owned())
}
