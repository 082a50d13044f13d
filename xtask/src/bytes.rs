//! Sizes of folders, disks and memory, and how they are written.

use std::path::Path;
use std::process::Command;

use walkdir::WalkDir;

/// Formats bytes: `545 MB`, `1.2 GB`, in decimal units, as registries and disks count.
pub fn show(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Bytes of all files in a folder; files that vanish meanwhile are not counted.
pub fn of_folder(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().filter_map(Result::ok);
    files.filter_map(|entry| entry.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
}

/// Bytes that a user can still write on the disk that holds `path` or would hold it.
pub fn free_at(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.is_dir())?;
    let output = Command::new("df").arg("-Pk").arg(existing).output().ok()?;
    available_kilobytes(&String::from_utf8_lossy(&output.stdout)).map(|kilobytes| kilobytes * 1024)
}

/// The fourth column of the second line of `df -Pk`.
fn available_kilobytes(output: &str) -> Option<u64> {
    output.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// Bytes of this machine's memory, if Linux reports them.
pub fn of_memory() -> Option<u64> {
    total_kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?)
        .map(|kilobytes| kilobytes * 1024)
}

/// The number of the line `MemTotal:` of `/proc/meminfo`.
fn total_kilobytes(told: &str) -> Option<u64> {
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_that_of_its_line() {
        let told = "MemTotal:       24684092 kB\nMemFree:         9471808 kB\n";
        assert_eq!(total_kilobytes(told), Some(24_684_092));
        assert_eq!(total_kilobytes("MemFree: 7 kB\n"), None);
        assert_eq!(total_kilobytes("MemTotal: many kB\n"), None);
    }

    #[test]
    fn sizes_read_like_sizes() {
        let shown = [900, 545_000_000, 1_240_000_000].map(show);
        assert_eq!(shown, ["1 kB", "545 MB", "1.2 GB"]);
    }

    #[test]
    fn reads_the_portable_output_of_df() {
        let output = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                      /dev/vda 263174212 14000000 82000000 15% /\n";
        assert_eq!(available_kilobytes(output), Some(82_000_000));
        assert_eq!(available_kilobytes("df: no such file"), None);
        assert!(free_at(Path::new("/no/such/folder")).is_some());
    }
}
