//! The published systems, composed from Bauta's parts, and how they are run.
//!
//! Each file of [`systems`] reads like its paper's algorithm, and drives its [`run`]: what it
//! trains, how it is measured, what its report shows. [`images`] is shared by the systems for
//! images. [`start`] takes a recipe's file to a finished run folder, [`reproduce`] makes the runs
//! of a claim, [`throughput`] times training steps or computes their sizes. [`evaluate`],
//! [`finetune`] and [`dense`] work on any model folder; [`commands`] are those of the program.
//! [`settings`] converts recipes to the libraries' own types.

pub mod commands;
pub mod dense;
pub mod evaluate;
pub mod finetune;
pub mod images;
pub mod reproduce;
pub mod run;
pub mod settings;
pub mod start;
mod stopped;
pub mod systems;
pub mod throughput;
