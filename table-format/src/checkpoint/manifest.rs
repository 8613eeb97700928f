//! V2 checkpoints: protocol section "V2 Spec".
//!
//! ```text
//!   <version>.checkpoint.<uuid>.json      protocol, metadata, applications, domains, and the names of ...
//!   _sidecars/<uuid>.parquet              ... files and tombstones, SIDECAR_ACTIONS at a time
//! ```
//!
//! The sidecars are written first and the manifest last: without it they are files that nobody reads.

use std::iter::Peekable;

use arrow::record_batch::RecordBatch;

use super::LastCheckpoint;
use super::write::{CheckpointBatches, file_batches, kept_txns};
use crate::action::{Action, CheckpointMetadata, Sidecar};
use crate::error::Result;
use crate::segment::V2CheckpointHint;
use crate::state::TableState;
use crate::version::TimestampMs;

pub use super::schema::sidecar_schema;

/// Actions after which the next sidecar begins: a table of fewer files and tombstones has one sidecar. Some tens of
/// megabytes, and enough of them in a large table for readers to share.
pub const SIDECAR_ACTIONS: usize = 1 << 19;

/// Sidecars up to which `_last_checkpoint` names them, so that it stays small.
const SIDECARS_IN_HINT: usize = 30;

/// The live files, then the tombstones not yet expired at `now`, to be cut into sidecars of so many actions.
///
/// A batch holds at most `rows_per_batch` rows, and belongs to one sidecar as a whole. All have the schema that
/// [`sidecar_schema`] gives.
///
/// # Errors
/// As [`checkpoint_batches`](super::checkpoint_batches).
pub fn sidecar_batches(
    state: &TableState,
    now: TimestampMs,
    rows_per_batch: usize,
    actions_per_sidecar: usize,
) -> Result<SidecarBatches> {
    let limit = actions_per_sidecar.max(1);
    let batches = file_batches(state, now, rows_per_batch.min(limit))?.peekable();
    Ok(SidecarBatches { batches, limit })
}

/// The batches of all sidecars, one sidecar after the other. One batch at a time is in memory.
pub struct SidecarBatches {
    batches: Peekable<CheckpointBatches>,
    limit: usize,
}

impl SidecarBatches {
    /// The batches of the next sidecar; none when all has been taken. What is not taken of one begins the next.
    pub fn next_sidecar(&mut self) -> Option<impl Iterator<Item = Result<RecordBatch>> + Send + '_> {
        self.batches.peek()?;
        let (limit, mut rows) = (self.limit, 0);
        Some(std::iter::from_fn(move || {
            self.batches.next_if(|batch| match batch {
                Ok(batch) => {
                    rows += batch.num_rows();
                    rows <= limit
                }
                Err(_) => true,
            })
        }))
    }
}

/// The actions of the manifest of a V2 checkpoint whose files and tombstones lie in these sidecars.
///
/// What is in it grows with applications and domains, and not with files.
pub fn manifest(state: &TableState, now: TimestampMs, sidecars: &[Sidecar]) -> Vec<Action> {
    let metadata = CheckpointMetadata { version: state.version.as_i64(), tags: None };
    let mut actions = vec![
        Action::CheckpointMetadata(metadata),
        Action::Protocol(state.protocol.clone()),
        Action::Metadata(state.metadata.clone()),
    ];
    actions.extend(kept_txns(state, now).cloned().map(Action::Txn));
    let domains = state.domains.values().filter(|domain| !domain.removed);
    actions.extend(domains.cloned().map(Action::DomainMetadata));
    actions.extend(sidecars.iter().cloned().map(Action::Sidecar));
    actions
}

/// The content of `_last_checkpoint` for a V2 checkpoint written from this state: its manifest's name, size in bytes and
/// time, its sidecars, and how many actions all have together.
pub fn last_v2_checkpoint(
    state: &TableState,
    manifest: (&str, u64, TimestampMs),
    sidecars: Vec<Sidecar>,
    actions: u64,
) -> LastCheckpoint {
    let (path, bytes, time) = manifest;
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let all = sidecars.iter().fold(bytes, |sum, sidecar| sum.saturating_add(sidecar.size_in_bytes));
    LastCheckpoint {
        version: state.version,
        size: i64::try_from(actions).unwrap_or(i64::MAX),
        size_in_bytes: Some(all),
        num_of_add_files: i64::try_from(state.files.len()).ok(),
        v2_checkpoint: Some(V2CheckpointHint {
            path: path.to_owned(),
            size_in_bytes: bytes,
            modification_time: time.0,
            sidecar_files: (sidecars.len() <= SIDECARS_IN_HINT).then_some(sidecars),
        }),
        ..LastCheckpoint::default()
    }
}
