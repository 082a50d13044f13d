//! Writes generated parts as STEP files, in which each face is named after its class.
//!
//! `cargo run -p bauta-brep --no-default-features --example step_parts -- DIR 20`

#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::path::PathBuf;

use bauta_brep::generate::Parts;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "step-parts".to_owned()));
    let count = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(20);
    std::fs::create_dir_all(&folder)?;
    for number in 0..count {
        let text = Parts { seed: 0 }.solid(number).to_step().expect("its surfaces are simple");
        std::fs::write(folder.join(format!("part-{number:04}.step")), text)?;
    }
    println!("{count} parts in {}", folder.display());
    Ok(())
}
