//! Floe in the simulated world: many seeds, every planted bug, and the same run twice.

mod determinism;
mod planted_bugs;
mod seeds;
