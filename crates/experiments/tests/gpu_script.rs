//! The GPU script's dry run, on the CPU: every part but the comparison with PyTorch holds.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn the_dry_run_holds() {
    let scratch = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/gpu/run");
    let output = Command::new(script)
        .args(["--dry-run", "--minutes", "20", "--binary", env!("CARGO_BIN_EXE_bauta"), "--out"])
        .arg(scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    let record = std::fs::read(scratch.path().join("gpu.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let parts = record["parts"].as_object().unwrap();
    for name in ["machine", "twenty_steps", "forward", "resume", "speed a miniature at 16 px"] {
        assert_eq!(parts[name]["state"], "held", "{name}: {}", parts[name]);
    }
    assert_eq!(parts["resume"]["equal_bits"], true);
    assert_eq!(parts["forward"]["largest_differences"]["fp32"]["logits"], 0.0);
    assert_eq!(parts["training"]["state"], "left out");
    let page = std::fs::read_to_string(scratch.path().join("gpu.md")).unwrap();
    assert!(page.contains("PyTorch: left out of the dry run"), "{page}");
}
