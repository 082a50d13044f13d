//! The published systems, composed from Bauta's parts, and how they are run.
//!
//! Each file of `systems` reads like its paper's algorithm. [`run`] takes a
//! recipe to a run folder: metrics, checkpoints, pictures, summary, report.
//! [`reproduce`] makes the runs of a claim, [`compare`] sets runs side by side.
//! [`evaluate`] measures any model folder by the same protocols.
//! [`throughput`] times its training steps and nothing else.

#![allow(clippy::print_stderr, reason = "this crate is the program; it talks to people")]
#![allow(clippy::print_stdout, reason = "this crate is the program; it talks to people")]

pub mod compare;
pub mod data;
pub mod dense;
pub mod evaluate;
mod evaluation;
pub mod finetuning;
pub mod forward;
pub mod interchange;
pub mod looking;
mod pictures;
pub mod prepared;
mod progress;
pub mod report;
pub mod reproduce;
pub mod run;
mod separability;
pub mod summary;
pub mod systems;
pub mod teacher;
pub mod throughput;
