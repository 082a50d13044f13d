//! Prints the losses of a run: `losses RUN_FOLDER`. The files of a run are read without libtorch.

#![allow(clippy::print_stdout, reason = "an example is a program")]

use std::path::PathBuf;

use bauta_report::{MetricsLog, Summary};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("give a run's folder")?);
    for record in MetricsLog::read(&folder.join("metrics.jsonl"))? {
        println!("{:12} step {:6}  loss {:.4}", record.phase, record.step, record.loss);
    }
    for (name, value) in Summary::read(&folder.join("summary.json"))?.eval {
        println!("{name} {value:.4}");
    }
    Ok(())
}
