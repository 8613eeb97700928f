//! Folds a checkpoint and the commits after it into a [`TableState`].
//!
//! Protocol section "Action Reconciliation". There is one path: the rows of a checkpoint are the base, commits are applied
//! to it oldest first, exactly as [`TableState::apply`] applies them to a state that is already there.

use std::borrow::Borrow;

use arrow::record_batch::RecordBatch;

use crate::action::{Action, Sidecar};
use crate::checkpoint::{self, Rows};
use crate::error::Result;
use crate::state::TableState;
use crate::state::draft::Draft;
use crate::version::Version;

mod lines;
#[cfg(test)]
mod tests;

/// Builds a [`TableState`] from a checkpoint and commits.
///
/// Feed the checkpoint first, then commits oldest first, then [`finish`](Self::finish).
#[derive(Default)]
pub struct Replay {
    draft: Draft,
    base: checkpoint::Base,
    started: bool,
}

impl Replay {
    /// Nothing yet.
    pub fn new() -> Self {
        Replay::default()
    }

    /// Adds rows of a checkpoint file or of a sidecar, in any order. Returns the sidecars they name, to be read too.
    ///
    /// # Errors
    /// [`FormatError::CorruptCheckpoint`](crate::FormatError::CorruptCheckpoint) for columns of unusable types and for
    /// contradictions; also after the first commit, when the base is closed.
    pub fn add_checkpoint_batch(&mut self, batch: &RecordBatch) -> Result<Vec<Sidecar>> {
        let rows = checkpoint::read_batch(batch)?;
        self.add_rows(rows)
    }

    /// Adds the actions of a V2 checkpoint stored as JSON. Returns the sidecars they name, to be read too.
    ///
    /// # Errors
    /// As [`add_checkpoint_batch`](Self::add_checkpoint_batch).
    pub fn add_checkpoint_actions<A: Borrow<Action>>(
        &mut self,
        actions: impl IntoIterator<Item = A>,
    ) -> Result<Vec<Sidecar>> {
        let rows = checkpoint::rows_of_actions(actions)?;
        self.add_rows(rows)
    }

    fn add_rows(&mut self, rows: Rows) -> Result<Vec<Sidecar>> {
        if self.started {
            return Err(crate::FormatError::corrupt_checkpoint("checkpoint", "its rows come after a commit"));
        }
        self.base.add(rows, &mut self.draft)
    }

    /// Applies a commit. For a compacted log file, `version` is the last one it covers.
    ///
    /// # Errors
    /// As [`TableState::apply`].
    pub fn add_commit<A: Borrow<Action>>(
        &mut self,
        version: Version,
        actions: impl IntoIterator<Item = A>,
    ) -> Result<()> {
        self.close_base()?;
        let mut scope = self.draft.begin(version);
        for action in actions {
            self.draft.fold(&mut scope, action.borrow())?;
        }
        self.draft.end(scope);
        Ok(())
    }

    /// Applies a commit from the bytes of its file, without building an action for every file it adds: the way to read
    /// a commit of a million files.
    ///
    /// # Errors
    /// As [`parse_commit`](crate::parse_commit) and [`TableState::apply`].
    pub fn add_commit_bytes(&mut self, version: Version, path: &str, bytes: &[u8]) -> Result<()> {
        self.close_base()?;
        let mut scope = self.draft.begin(version);
        lines::fold(&mut self.draft, &mut scope, version, path, bytes)?;
        self.draft.end(scope);
        Ok(())
    }

    /// The state at this version.
    ///
    /// # Errors
    /// [`FormatError::CorruptLog`](crate::FormatError::CorruptLog) without protocol or metadata; errors of parsing the
    /// schema or the properties.
    pub fn finish(mut self, version: Version) -> Result<TableState> {
        self.close_base()?;
        self.draft.finish(version)
    }

    fn close_base(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            std::mem::take(&mut self.base).close(&mut self.draft)?;
        }
        Ok(())
    }
}
