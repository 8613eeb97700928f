//! What maintenance has to do, decided from values: which files to compact, to vacuum, to clean up.
//!
//! Each plan is a function of a table state, a listing and a policy. The functions that carry the plans out live on the
//! floors above and hold no decisions.

pub mod cleanup;
pub mod cluster;
pub mod compact;
pub mod vacuum;

pub use cleanup::{plan_log_cleanup, plan_sidecar_cleanup};
pub use compact::{CompactionGroup, CompactionPolicy, plan_compaction};
pub use vacuum::{ListedFile, VacuumPlan, plan_vacuum, referenced_paths, required_paths};
