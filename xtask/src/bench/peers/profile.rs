//! Where the time of a turn goes, from `perf`'s samples of the processors.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::output;

/// Samples per second of each processor.
const RATE: &str = "997";

/// The end of a turn, which consists of steps alone: loading and compiling come before it.
const STEADY: &str = "60%-100%";

/// Number of functions that are listed.
const NAMED: usize = 25;

/// Where the time of one way of one variant goes.
#[derive(Debug, PartialEq, Serialize)]
pub struct Profile {
    pub variant: String,
    pub way: &'static str,
    /// Shares of the samples by what the processor did, the largest first.
    pub kinds: Vec<(&'static str, f64)>,
    /// The functions with the most samples.
    pub functions: Vec<Function>,
}

/// A function, or what a library generated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    pub share: f64,
    pub library: String,
    pub name: String,
}

/// Fails if `perf` is missing or not permitted to take samples.
pub fn check() -> Result<()> {
    let mut command = Command::new("perf");
    command.args(["stat", "-e", "cpu-clock", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!(
            "perf is not permitted to take samples; as root, run \
             `sysctl kernel.perf_event_paranoid=1`, or leave --profile out"
        ),
        Err(_) => bail!("--profile needs perf (Debian's linux-perf), or leave it out"),
    }
}

/// Runs a turn under `perf` and reads where its time went.
pub fn profile(
    command: &Command,
    variant: &str,
    way: &'static str,
    scratch: &Path,
) -> Result<Profile> {
    let samples = scratch.join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "-q", "-e", "cpu-clock", "-F", RATE, "-o"]).arg(&samples).arg("--");
    record.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        record.env(name, value.unwrap_or_default());
    }
    output(&mut record)?;
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "-q", "--no-children", "-F", "overhead,dso,symbol"]);
    report.args(["-t", "\t", "--time", STEADY, "-i"]).arg(&samples);
    let functions = functions(&output(&mut report)?)?;
    let mut shares: BTreeMap<&'static str, f64> = BTreeMap::new();
    for function in &functions {
        *shares.entry(kind(&function.library, &function.name)).or_default() += function.share;
    }
    let mut kinds: Vec<_> = shares.into_iter().collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let functions = functions.into_iter().take(NAMED).collect();
    Ok(Profile { variant: variant.to_owned(), way, kinds, functions })
}

/// The rows of `perf report`: share, library and symbol, between tabs.
fn functions(report: &str) -> Result<Vec<Function>> {
    let row = |line: &str| {
        let mut fields = line.splitn(3, '\t').map(str::trim);
        let share = fields.next()?.strip_suffix('%')?.parse::<f64>().ok()? / 100.0;
        let library = fields.next()?.rsplit('/').next()?.to_owned();
        let symbol = fields.next()?;
        // `[.]` and `[k]` distinguish the user's functions from the kernel's.
        let name = symbol.split_once("] ").map_or(symbol, |(_, name)| name).to_owned();
        Some(Function { share, library, name })
    };
    let lines = report.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| row(line).with_context(|| format!("perf report has a line {line:?}")))
        .collect()
}

/// The kind of work that a processor does in a function.
fn kind(library: &str, name: &str) -> &'static str {
    let has = |part: &str| name.contains(part);
    if library.contains("kernel") {
        "the operating system"
    } else if library.contains("anon") || library.contains("JIT") || has("jit_") {
        "kernels that oneDNN generated"
    } else if has("mkl_") {
        "MKL"
    } else if library.starts_with("libgomp") || library.starts_with("libiomp") {
        "threads that wait"
    } else if has("dnnl") {
        "oneDNN around its kernels"
    } else if ["memmove", "memcpy", "memset"].iter().any(|&part| has(part)) {
        "memory moved and cleared"
    } else if library.starts_with("libtorch") || library.starts_with("libc10") {
        "libtorch's own functions"
    } else if library.starts_with("libc.") || library.starts_with("ld-") {
        "the C library"
    } else {
        "the program's own functions"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_report_are_read_and_put_under_kinds() {
        let report = "\n 61.50%\t[JIT] tid 77\t[.] 0x00007f3c\n  9.25%\t/lib/libgomp.so.1\t[.] gomp_team_barrier_wait_end\n  \
             7.00%\tlibtorch_cpu.so\t[.] mkl_blas_def_sgemm_kernel\n  1.00%\tlibtorch_cpu.so\t[.] void at::native::gelu<float>(int, int)\n  \
             0.50%\t[kernel.kallsyms]\t[k] clear_page_rep\n  0.25%\tlibc.so.6\t[.] __memmove_avx_unaligned_erms\n";
        let found = functions(report).unwrap();
        assert_eq!(found.len(), 6);
        assert_eq!((found[1].share, &*found[1].library), (0.0925, "libgomp.so.1"));
        assert_eq!(found[3].name, "void at::native::gelu<float>(int, int)");
        let kinds: Vec<_> = found.iter().map(|row| kind(&row.library, &row.name)).collect();
        assert_eq!(
            kinds,
            [
                "kernels that oneDNN generated",
                "threads that wait",
                "MKL",
                "libtorch's own functions",
                "the operating system",
                "memory moved and cleared",
            ]
        );
        assert!(functions("no share here\n").is_err());
    }
}
