//! The published systems, composed from Bauta's parts, and how they are run.
//!
//! Each file of `systems` reads like its paper's algorithm. [`run`] takes a
//! recipe to a run folder: metrics, checkpoints, pictures, summary, report.
//! [`throughput`] times its training steps and nothing else.

#![allow(clippy::print_stderr, reason = "this crate is the program; it talks to people")]
#![allow(clippy::print_stdout, reason = "this crate is the program; it talks to people")]

pub mod data;
pub mod dense;
mod evaluation;
pub mod forward;
pub mod interchange;
mod pictures;
pub mod prepared;
mod progress;
pub mod report;
pub mod run;
pub mod summary;
pub mod systems;
pub mod throughput;
