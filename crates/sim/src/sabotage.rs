//! Planted bugs: what the checks must find, or they are worth nothing.
//!
//! Most bend bytes on their way to or from the store, as a version of Floe with that bug would have written or read them;
//! the code under test stays as it is. Each names the law it breaks.

mod bend;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use object_store::{Error, PutResult, Result};
use serde_json::Value;

use crate::disk::Disk;
use crate::executor::lock;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sabotage {
    /// Put-if-absent looks first and writes later: two writers own one version (law 2).
    CheckThenWrite,
    /// A commit is acknowledged and was never written (law 3).
    LostWrite,
    /// Commits carry no token, so a writer does not recognise its own commit after a lost answer (law 7).
    TokenForgotten,
    /// Commits do not carry an application's progress, so a batch sent again lands twice (law 7).
    ProgressForgotten,
    /// After a commit whose answer was lost, the writer cleans up the files it had staged (law 7).
    StagedFilesDeletedOnDoubt,
    /// Conflict rules do not look at what winners removed and added (law 3).
    WinnersIgnored,
    /// Reading and then appending claims to be a blind append (law 3).
    BlindAppendClaimed,
    /// A new deletion vector forgets the rows that the old one marked (law 3).
    VectorNotUnioned,
    /// A loser that marks rows of a file on top of the winner's marks forgets those (law 3).
    WinnersVectorForgotten,
    /// A `remove` does not name its deletion vector, so the old entry stays alive (law 9).
    RemoveWithoutVector,
    /// Readers lose the first row of each deletion vector, a deleted row comes back (law 3).
    VectorsMisread,
    /// Readers skip some `remove` actions before older entries are matched with them (law 1).
    RemovesSkippedOnRead,
    /// Checkpoints lack some live files (law 1).
    CheckpointDropsFiles,
    /// Statistics are narrower than the rows, so pruning drops matching files (law 4).
    StatisticsTooNarrow,
    /// Compaction loses a row (law 5).
    CompactionLosesRow,
    /// Vacuum takes every file for old, staged ones included (law 8).
    VacuumIgnoresAge,
    /// Log clean-up deletes commits that retained versions need (law 8).
    CleanupTooEager,
    /// In-commit timestamps follow the writer's clock, backwards too (law 3).
    ClockTrusted,
    /// After a lost race keys are not looked up in what the winners added: rule K5 for keys (law 3).
    WinnersAddsHidden,
    /// After a lost race it does not count what the winners removed: rules K6 and K7 (law 3).
    WinnersRemovesHidden,
    /// After a lost race it does not count how far applications have come: rule K4 (law 7).
    WinnersProgressHidden,
    /// After a lost race it does not count that winners changed the protocol: rule K1 (law 3).
    WinnersProtocolHidden,
    /// After a lost race it does not count that winners changed the metadata: rule K2 (law 3).
    WinnersMetadataHidden,
    /// After a lost race it does not count which domains winners set: rule K3 (law 3).
    WinnersDomainsHidden,
    /// Index runs lack a row of a file that they say they cover (law 6).
    IndexForgetsRow,
    /// Index runs have the row of a key in the place of another one's (law 6).
    IndexNamesOtherRow,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 26] = [
        Sabotage::CheckThenWrite,
        Sabotage::LostWrite,
        Sabotage::TokenForgotten,
        Sabotage::ProgressForgotten,
        Sabotage::StagedFilesDeletedOnDoubt,
        Sabotage::WinnersIgnored,
        Sabotage::BlindAppendClaimed,
        Sabotage::VectorNotUnioned,
        Sabotage::WinnersVectorForgotten,
        Sabotage::RemoveWithoutVector,
        Sabotage::VectorsMisread,
        Sabotage::RemovesSkippedOnRead,
        Sabotage::CheckpointDropsFiles,
        Sabotage::StatisticsTooNarrow,
        Sabotage::CompactionLosesRow,
        Sabotage::VacuumIgnoresAge,
        Sabotage::CleanupTooEager,
        Sabotage::ClockTrusted,
        Sabotage::WinnersAddsHidden,
        Sabotage::WinnersRemovesHidden,
        Sabotage::WinnersProgressHidden,
        Sabotage::WinnersProtocolHidden,
        Sabotage::WinnersMetadataHidden,
        Sabotage::WinnersDomainsHidden,
        Sabotage::IndexForgetsRow,
        Sabotage::IndexNamesOtherRow,
    ];
}

/// What a process does in the world; some bugs live in one kind only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Changes rows.
    Writer,
    /// Reads rows.
    Reader,
    /// Rewrites files.
    Compactor,
    /// Deletes files.
    Vacuum,
    /// Writes checkpoints and cleans up the log.
    Checkpointer,
    /// Builds, drops and damages the record index.
    Indexer,
    /// Makes the table and looks at the result. Never sabotaged on reading.
    World,
}

/// The planted bug of a world as it acts in one process. Without a bug it does nothing.
#[derive(Debug, Clone)]
pub struct Saboteur {
    bug: Option<Sabotage>,
    role: Role,
    /// Versions this process lost a race for, since it last won one.
    lost: Arc<Mutex<BTreeSet<u64>>>,
}

impl Saboteur {
    /// The saboteur in a process of this role.
    pub fn new(bug: Option<Sabotage>, role: Role) -> Self {
        Saboteur { bug, role, lost: Arc::default() }
    }

    fn is(&self, bug: Sabotage) -> bool {
        self.bug == Some(bug)
    }

    /// The bytes that are really written.
    pub(crate) fn put(&self, disk: &Disk, path: &str, bytes: Bytes, create: bool) -> Bytes {
        if create && let Some(version) = commit_version(path) {
            return self.bend_commit(disk, path, version, bytes);
        }
        if self.is(Sabotage::CheckpointDropsFiles) && path.ends_with(".checkpoint.parquet") {
            return bend::without_some_adds(&bytes).unwrap_or(bytes);
        }
        if self.is(Sabotage::CompactionLosesRow) && self.role == Role::Compactor && is_data_file(path) {
            return bend::without_last_row(&bytes).unwrap_or(bytes);
        }
        if path.ends_with(".run") {
            if self.is(Sabotage::IndexForgetsRow) {
                return bend::run_with(&bytes, |entries| entries.truncate(entries.len().saturating_sub(1)))
                    .unwrap_or(bytes);
            }
            if self.is(Sabotage::IndexNamesOtherRow) {
                let exchange = |entries: &mut Vec<floe_index::Entry>| {
                    if let [first, .., last] = entries.as_mut_slice() {
                        std::mem::swap(&mut first.file, &mut last.file);
                        std::mem::swap(&mut first.row, &mut last.row);
                    }
                };
                return bend::run_with(&bytes, exchange).unwrap_or(bytes);
            }
        }
        bytes
    }

    fn bend_commit(&self, disk: &Disk, path: &str, version: u64, bytes: Bytes) -> Bytes {
        let Some(mut actions) = bend::parse(&bytes) else { return bytes };
        match self.bug {
            Some(Sabotage::TokenForgotten) => bend::each(&mut actions, "commitInfo", |info| drop(info.remove("txnId"))),
            Some(Sabotage::ProgressForgotten) => actions.retain(|action| action.get("txn").is_none()),
            Some(Sabotage::BlindAppendClaimed) if actions.iter().all(|action| action.get("remove").is_none()) => {
                bend::each(&mut actions, "commitInfo", |info| {
                    drop(info.insert("isBlindAppend".into(), Value::Bool(true)))
                });
            }
            Some(Sabotage::VectorNotUnioned) => bend::forget_old_vectors(disk, path, &mut actions),
            Some(Sabotage::WinnersVectorForgotten) if !lock(&self.lost).is_empty() => {
                bend::forget_old_vectors(disk, path, &mut actions);
            }
            Some(Sabotage::RemoveWithoutVector) => {
                bend::each(&mut actions, "remove", |remove| drop(remove.remove("deletionVector")));
            }
            Some(Sabotage::StatisticsTooNarrow) => bend::each(&mut actions, "add", bend::narrow_statistics),
            Some(Sabotage::CompactionLosesRow) => {
                // The size in the log is that of the shorter file, or the loss would show at once.
                bend::each(&mut actions, "add", |add| bend::true_size(disk, path, add));
            }
            Some(Sabotage::ClockTrusted) => bend::each(&mut actions, "commitInfo", |info| {
                if info.contains_key("inCommitTimestamp")
                    && let Some(clock) = info.get("timestamp").cloned()
                {
                    let late = version.is_multiple_of(2).then(|| clock.as_i64().map(|ms| Value::from(ms - 3_600_000)));
                    info.insert("inCommitTimestamp".into(), late.flatten().unwrap_or(clock));
                }
            }),
            _ => return bytes,
        }
        bend::write(&actions)
    }

    /// The bytes that the process gets to see.
    pub(crate) fn get(&self, disk: &Disk, path: &str, bytes: Bytes) -> Bytes {
        let Some(version) = commit_version(path) else { return bytes };
        if self.role == Role::World {
            return bytes;
        }
        let Some(mut actions) = bend::parse(&bytes) else { return bytes };
        let hidden: &[&str] = match self.bug {
            Some(Sabotage::WinnersIgnored) => &["add", "remove"],
            Some(Sabotage::WinnersAddsHidden) => &["add"],
            Some(Sabotage::WinnersRemovesHidden) => &["remove"],
            Some(Sabotage::WinnersProgressHidden) => &["txn"],
            Some(Sabotage::WinnersProtocolHidden) => &["protocol"],
            Some(Sabotage::WinnersMetadataHidden) => &["metaData"],
            Some(Sabotage::WinnersDomainsHidden) => &["domainMetadata"],
            _ => &[],
        };
        match self.bug {
            _ if !hidden.is_empty() && self.has_lost(version) => {
                actions.retain(|action| hidden.iter().all(|kind| action.get(kind).is_none()));
            }
            Some(Sabotage::VectorsMisread) => {
                bend::each(&mut actions, "add", |add| bend::lose_marked_row(disk, path, add));
                bend::each(&mut actions, "remove", |remove| bend::lose_marked_row(disk, path, remove));
            }
            Some(Sabotage::RemovesSkippedOnRead) if version.is_multiple_of(3) => {
                actions.retain(|action| action.get("remove").is_none());
            }
            _ => return bytes,
        }
        bend::write(&actions)
    }

    /// Whether a commit is one of those that won against this process.
    fn has_lost(&self, version: u64) -> bool {
        lock(&self.lost).first().is_some_and(|lost| version >= *lost)
    }

    /// What the process does after an answer to its create.
    pub(crate) fn created(&self, disk: &Disk, path: &str, bytes: &Bytes, answer: &Result<PutResult>, now_us: u64) {
        let Some(version) = commit_version(path) else { return };
        match answer {
            Ok(_) => lock(&self.lost).clear(),
            Err(Error::AlreadyExists { .. }) => drop(lock(&self.lost).insert(version)),
            Err(_) if self.is(Sabotage::StagedFilesDeletedOnDoubt) => {
                for path in bend::paths_of(path, bytes, "add") {
                    disk.delete(&path, now_us);
                }
            }
            Err(_) => {}
        }
        if self.is(Sabotage::CleanupTooEager)
            && version % 10 == 9
            && let Some((folder, _)) = path.rsplit_once('/')
        {
            disk.delete(&format!("{folder}/{:020}.json", version - 4), now_us);
        }
    }

    /// Whether this write is quietly dropped. A bug in the code would show in the version checksums it writes as well; bytes
    /// bent behind its back would not, and comparing the two would be too easy a find.
    pub(crate) fn drops(&self, path: &str) -> bool {
        self.bug.is_some() && path.ends_with(".crc")
    }

    /// Whether creating this object is not atomic.
    pub(crate) fn checks_then_writes(&self, path: &str) -> bool {
        self.is(Sabotage::CheckThenWrite) && commit_version(path).is_some()
    }

    /// Whether this write is acknowledged and dropped.
    pub(crate) fn loses_write(&self, path: &str) -> bool {
        self.is(Sabotage::LostWrite) && self.role == Role::Writer && commit_version(path).is_some_and(|v| v % 7 == 6)
    }

    /// The age of an object that the process gets to see.
    pub(crate) fn modified_us(&self, modified_us: u64) -> u64 {
        let all_old = self.is(Sabotage::VacuumIgnoresAge) && self.role == Role::Vacuum;
        if all_old { modified_us.saturating_sub(400 * 24 * 3_600 * 1_000_000) } else { modified_us }
    }
}

fn is_data_file(path: &str) -> bool {
    path.ends_with(".parquet") && !path.contains("_delta_log/")
}

/// The version, if the path is a commit's.
pub(crate) fn commit_version(path: &str) -> Option<u64> {
    let name = path.rsplit_once("_delta_log/")?.1.strip_suffix(".json")?;
    (name.len() == 20).then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_told_from_other_log_files() {
        assert_eq!(commit_version("t/_delta_log/00000000000000000012.json"), Some(12));
        assert_eq!(commit_version("t/_delta_log/00000000000000000012.crc"), None);
        assert_eq!(commit_version("t/_delta_log/00000000000000000001.00000000000000000003.compacted.json"), None);
        assert_eq!(commit_version("t/00000000000000000012.json"), None);
    }

    #[test]
    fn without_a_bug_nothing_is_bent() {
        let saboteur = Saboteur::new(None, Role::Writer);
        let bytes = Bytes::from_static(b"{\"commitInfo\":{\"txnId\":\"a\"}}\n");
        let path = "t/_delta_log/00000000000000000012.json";
        assert_eq!(saboteur.put(&Disk::default(), path, bytes.clone(), true), bytes);
        assert_eq!(saboteur.get(&Disk::default(), path, bytes.clone()), bytes);
    }
}
