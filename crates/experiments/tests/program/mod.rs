//! The program as a user starts it: run, killed in the middle, and resumed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A call of `bauta run` with a recipe of the repository.
pub fn run(recipe: &str, set: impl IntoIterator<Item = String>, out: &Path) -> Command {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recipes/{recipe}.toml"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_bauta"));
    command.arg("run").arg(file).arg("--out").arg(out);
    for text in set {
        command.args(["--set", &text]);
    }
    command
}

/// Starts the command.
pub fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A port that is free at present.
#[allow(dead_code, reason = "some tests start one process")]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts the command as one of several processes.
#[allow(dead_code, reason = "some tests start one process")]
pub fn start_rank(mut command: Command, [rank, count]: [usize; 2], port: u16) -> Child {
    let set = [("RANK", rank), ("WORLD_SIZE", count), ("LOCAL_RANK", rank)];
    command.envs(set.map(|(name, value)| (name, value.to_string())));
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    start(&mut command)
}

/// The messages of a process that must fail.
#[allow(dead_code, reason = "some tests start what goes well")]
pub fn failure(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "it went well");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for the process to end, which must succeed.
pub fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Kills the run once it has left its `checkpoint`.
#[allow(dead_code, reason = "some tests kill within a phase")]
pub fn kill_after(child: Child, checkpoint: &Path) {
    kill_when(child, || checkpoint.exists(), &checkpoint.display().to_string());
}

/// Kills the run in this folder once it has left a checkpoint in the middle of a phase.
#[allow(dead_code, reason = "some tests kill at a checkpoint")]
pub fn kill_within(child: Child, folder: &Path, phase: &str) {
    let state = folder.join("checkpoints/last/state.json");
    let within = |text: String| {
        let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        state["phase"] == phase && state["phase_step"] != state["phase_steps"]
    };
    kill_when(child, || fs::read_to_string(&state).is_ok_and(within), phase);
}

fn kill_when(mut child: Child, come: impl Fn() -> bool, what: &str) {
    let start = Instant::now();
    while !come() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before {what}");
        assert!(start.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Compares files of two runs, byte by byte.
#[allow(dead_code, reason = "some tests compare by hand")]
pub fn same_files(one: &Path, other: &Path, files: &[&str]) {
    for file in files {
        let [one, other] = [one, other].map(|run| fs::read(run.join(file)).unwrap());
        assert!(one == other, "{file} differs after a kill");
    }
}
