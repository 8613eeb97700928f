//! Tests of the crate as its users see it, one binary.

mod changes;
mod hooks;
mod model;
mod scans;
mod sql;
mod support;
mod tpch;
