//! What a table does, seen through its public API: one module a behaviour.

mod altering;
mod appending;
mod catalog_managed;
mod changing_rows;
mod checking;
mod checkpoints;
mod concurrency;
mod dropping_features;
mod faults;
mod generated;
mod hostile;
mod layout;
mod requests;
mod restoring;
mod time_travel;
mod upserting;
mod v2_checkpoints;
mod vacuuming;
mod world;
