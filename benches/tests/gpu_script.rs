//! The script that checks a machine with a GPU, where there is none.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// It says what is missing, and leaves out what could not hold, instead of failing part by part.
#[test]
fn without_a_gpu_it_says_so_and_ends() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu-script");
    fs::create_dir_all(&folder).unwrap();
    // A driver without a device: nvidia-smi is there, and fails.
    let driver = folder.join("nvidia-smi");
    fs::remove_file(&driver).ok();
    symlink("/bin/false", &driver).unwrap();
    let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap());
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu/run"))
        .args(["--binary", "/bin/echo", "--out"])
        .arg(&folder)
        .envs([("PATH", &*path), ("CUDA_VISIBLE_DEVICES", ""), ("LIBTORCH", "/nowhere")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}{complaint}");
    assert!(said.contains("no GPU: nvidia-smi lists none"), "{said}");
    let record = fs::read(folder.join("gpu.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let parts = &record["parts"];
    assert_eq!(parts["machine"]["state"], "held");
    assert_eq!(parts["gpu"]["state"], "failed");
    for fact in ["processor", "commit", "python", "bauta", "torch", "timm"] {
        assert!(parts["machine"][fact].is_string(), "{fact} of {}", parts["machine"]);
    }
    for name in ["twenty_steps", "forward", "resume", "speed ViT-B/16 at 224 px", "training"] {
        assert_eq!(parts[name]["state"], "left out", "{name}");
    }
}

/// A difference is infinite where a number is not finite, wherever it stands.
#[test]
fn numbers_that_are_not_finite_are_found() {
    let program = "import sys; sys.path.insert(0, sys.argv[1])\n\
                   from math import nan\n\
                   from tensors import difference\n\
                   for other in ([1.0, nan], [nan, 1.0], [1.0, 2.0]):\n    \
                   print(difference(([2], other), ([2], [1.0, 4.0])))";
    let python = env::var("BAUTA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python)
        .args(["-B", "-c", program])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inf\ninf\n0.5\n");
}
