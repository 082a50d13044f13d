//! The criterion benches, and their estimates in one file.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use cargo_metadata::TargetKind;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::write_json;
use crate::cargo::{cargo, complete};
use crate::libtorch::Search;
use crate::rules::Graph;
use crate::workspace::{self, Workspace};

/// Runs all benches or the one named; with `json`, gathers their estimates in that file.
pub fn bench(workspace: &Workspace, name: Option<&str>, json: Option<&Path>) -> Result<()> {
    let metadata = workspace.metadata()?;
    let graph = Graph::new(&metadata)?;
    let mut command = cargo(workspace, "bench");
    let (mut known, mut chosen, mut needs_libtorch) = (Vec::new(), 0, false);
    for package in workspace::members(&metadata) {
        for target in package.targets.iter().filter(|t| t.kind.contains(&TargetKind::Bench)) {
            known.push(target.name.as_str());
            if name.is_none_or(|name| name == target.name) {
                command.args(["--package", &package.name, "--bench", &target.name]);
                needs_libtorch |= graph.builds_on_libtorch(&package.name);
                chosen += 1;
            }
        }
    }
    if chosen == 0 {
        bail!("no bench named {}; the benches are: {}", name.unwrap_or("…"), known.join(", "));
    }
    if needs_libtorch {
        Search::new(workspace)?.find_or_fetch()?;
    }
    let begin = SystemTime::now();
    complete(&mut command)?;
    if let Some(file) = json {
        let folder = metadata.target_directory.join("criterion");
        let measured = gather(folder.as_std_path(), begin)?;
        write_json(file, &measured)?;
        println!("{} measurements in {}", measured.len(), file.display());
    }
    Ok(())
}

/// One measurement, times in nanoseconds per iteration.
#[derive(Debug, PartialEq, Serialize)]
struct Measurement {
    name: String,
    mean: f64,
    /// 95 % confidence interval of the mean.
    mean_interval: [f64; 2],
    median: f64,
    std_dev: f64,
}

/// The contents of criterion's `new/estimates.json`.
#[derive(Deserialize)]
struct Estimates {
    mean: Estimate,
    median: Estimate,
    std_dev: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// The contents of criterion's `new/benchmark.json`.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

/// Reads every estimate in criterion's folder that is not older than `begin`, by name.
fn gather(folder: &Path, begin: SystemTime) -> Result<Vec<Measurement>> {
    let mut measured = Vec::new();
    for entry in WalkDir::new(folder) {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let path = entry.path();
        if !path.ends_with("new/estimates.json") || entry.metadata()?.modified()? < begin {
            continue;
        }
        let estimates: Estimates = read(path)?;
        let benchmark: Benchmark = read(&path.with_file_name("benchmark.json"))?;
        let interval = estimates.mean.confidence_interval;
        measured.push(Measurement {
            name: benchmark.full_id,
            mean: estimates.mean.point_estimate,
            mean_interval: [interval.lower_bound, interval.upper_bound],
            median: estimates.median.point_estimate,
            std_dev: estimates.std_dev.point_estimate,
        });
    }
    measured.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(measured)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_reader(std::io::BufReader::new(file))
        .with_context(|| format!("{} is not a result of criterion", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn gathers_this_runs_estimates_only() {
        let scratch = tempfile::tempdir().unwrap();
        let new = scratch.path().join("criterion/plan/196/new");
        fs::create_dir_all(&new).unwrap();
        let estimate = |value: f64| {
            format!(
                r#"{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":{value},
                "upper_bound":{value}}},"point_estimate":{value},"standard_error":0.1}}"#
            )
        };
        let text = format!(
            r#"{{"mean":{},"median":{},"median_abs_dev":{},"slope":null,"std_dev":{}}}"#,
            estimate(2.0),
            estimate(1.5),
            estimate(0.0),
            estimate(0.5)
        );
        fs::write(new.join("estimates.json"), text).unwrap();
        fs::write(new.join("benchmark.json"), r#"{"full_id":"plan/196","throughput":null}"#)
            .unwrap();

        let measured = gather(scratch.path(), SystemTime::UNIX_EPOCH).unwrap();
        let expected = Measurement {
            name: "plan/196".to_owned(),
            mean: 2.0,
            mean_interval: [2.0, 2.0],
            median: 1.5,
            std_dev: 0.5,
        };
        assert_eq!(measured, [expected]);
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        assert_eq!(gather(scratch.path(), later).unwrap(), []);

        let file = scratch.path().join("out.json");
        write_json(&file, &measured).unwrap();
        let read: serde_json::Value = read(&file).unwrap();
        assert_eq!(read[0]["name"], "plan/196");
    }
}
