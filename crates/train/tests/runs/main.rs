//! Whole runs of small objectives: phases, interruptions, hooks, divergence, refusals.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod arithmetic;
mod example;
mod interrupted;
mod objectives;
mod phases;
mod refusals;
mod sharded;
mod toy;
mod watched;
