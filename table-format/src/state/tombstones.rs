//! Files that were removed.

use std::collections::HashSet;
use std::sync::Arc;

use super::chunk::{DvKey, FileKey};
use super::files::FileTable;
use crate::action::Remove;
use crate::path::DataPath;

/// Batches beyond which tombstones are merged, so that a table handle that lives long does not grow with every commit.
const BATCHES_MAX: usize = 64;

/// The removes of one commit, or of one part of a checkpoint.
pub type TombstoneBatch = Arc<[Remove]>;

/// The removes of the log, oldest first. Immutable; a clone shares the batches.
///
/// A tombstone counts until its file is added again. Protocol section "Action Reconciliation": the newest reference to a
/// logical file wins. That is found out when somebody asks, because most readers never do.
#[derive(Debug, Clone, Default)]
pub struct Tombstones {
    batches: Vec<TombstoneBatch>,
}

impl Tombstones {
    pub(crate) fn push(&mut self, batch: Vec<Remove>) {
        if !batch.is_empty() {
            self.batches.push(batch.into());
        }
    }

    /// Removes whose file is not part of the table, the newest one for each logical file, oldest first.
    ///
    /// Expired ones are among them: what is expired depends on the clock of whoever asks.
    pub fn live(&self, files: &FileTable) -> Vec<&Remove> {
        let mut seen = HashSet::new();
        let mut live: Vec<&Remove> = self
            .batches
            .iter()
            .rev()
            .flat_map(|batch| batch.iter().rev())
            .filter(|remove| seen.insert(key(remove)))
            .filter(|remove| files.find_logical(&remove.path, remove.deletion_vector.as_ref()).is_none())
            .collect();
        live.reverse();
        live
    }

    /// Upper bound of how many there are, without looking.
    pub fn len_at_most(&self) -> usize {
        self.batches.iter().map(|batch| batch.len()).sum()
    }

    /// Merges small batches if there are many; the large ones stay shared with older states.
    pub(crate) fn merge(&mut self, files: &FileTable) {
        if self.batches.len() <= BATCHES_MAX {
            return;
        }
        // Batches double in size towards the front, so each tombstone is copied a logarithmic number of times.
        let mut tail = 0;
        let mut from = self.batches.len();
        while from > 0 && (self.batches[from - 1].len() <= tail * 2 || self.batches.len() - from < BATCHES_MAX / 2) {
            from -= 1;
            tail += self.batches[from].len();
        }
        let merged = Tombstones { batches: self.batches.split_off(from) };
        let kept: Vec<Remove> = merged.live(files).into_iter().cloned().collect();
        if !kept.is_empty() {
            self.batches.push(kept.into());
        }
    }
}

fn key(remove: &Remove) -> FileKey<'_> {
    FileKey { path: DataPath::identity(&remove.path), dv: remove.deletion_vector.as_ref().map(DvKey::from) }
}
