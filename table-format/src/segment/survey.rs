//! Everything that a listing of `_delta_log` holds, sorted: also what no reader uses.

use std::collections::BTreeMap;

use super::{CheckpointFiles, CheckpointKind, LogEntry};
use crate::path::LogFile;
use crate::version::Version;

/// A multi-part checkpoint of which parts are missing. Protocol section "Checkpoints": readers ignore it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompleteCheckpoint {
    /// The version it was to stand for.
    pub version: Version,
    /// How many parts its files say there are.
    pub parts: u32,
    /// Those that are there, ascending.
    pub found: Vec<u32>,
}

/// A listing, sorted into what it holds.
#[derive(Debug, Default)]
pub struct LogSurvey<'a> {
    /// Commits by version.
    pub commits: BTreeMap<Version, &'a LogEntry>,
    /// Compacted commits by their first version, with the last.
    pub compacted: BTreeMap<Version, Vec<(Version, &'a LogEntry)>>,
    /// Complete checkpoints by version; the one that readers take comes first.
    pub checkpoints: BTreeMap<Version, Vec<CheckpointFiles>>,
    /// Checkpoints of which parts are missing.
    pub incomplete: Vec<IncompleteCheckpoint>,
    /// Checkpoint files of zero bytes: never written to their end.
    pub empty_checkpoints: Vec<(Version, &'a LogEntry)>,
    /// Version checksums.
    pub checksums: BTreeMap<Version, &'a LogEntry>,
    /// Names that mean nothing to a reader.
    pub others: Vec<&'a LogEntry>,
}

impl<'a> LogSurvey<'a> {
    /// Sorts a listing, in whatever order it comes.
    pub fn of(listing: &'a [LogEntry]) -> Self {
        let mut survey = LogSurvey::default();
        let mut parts: BTreeMap<(Version, u32), BTreeMap<u32, &LogEntry>> = BTreeMap::new();
        for entry in listing {
            match LogFile::parse(&entry.name) {
                LogFile::Commit(version) => drop(survey.commits.insert(version, entry)),
                LogFile::CompactedCommits { from, to } => {
                    survey.compacted.entry(from).or_default().push((to, entry));
                }
                LogFile::Checksum(version) => drop(survey.checksums.insert(version, entry)),
                LogFile::Other => survey.others.push(entry),
                file if file.is_checkpoint() && entry.size == 0 => {
                    survey.empty_checkpoints.extend(file.version().map(|version| (version, entry)));
                }
                LogFile::ClassicCheckpoint(version) => survey.offer(version, vec![entry], CheckpointKind::Classic),
                LogFile::UuidCheckpoint { version, json, .. } => {
                    survey.offer(version, vec![entry], CheckpointKind::Uuid { json });
                }
                LogFile::MultiPartCheckpoint { version, part, parts: count } => {
                    parts.entry((version, count)).or_default().insert(part, entry);
                }
            }
        }
        // Protocol section "Checkpoints": multi-part checkpoints with missing parts must be ignored.
        for ((version, count), found) in parts {
            // A part's number is from 1 to the count, so that as many are all.
            if found.len() == count as usize {
                survey.offer(version, found.into_values().collect(), CheckpointKind::MultiPart);
            } else {
                survey.incomplete.push(IncompleteCheckpoint {
                    version,
                    parts: count,
                    found: found.into_keys().collect(),
                });
            }
        }
        // Fewer files first, then by kind.
        for found in survey.checkpoints.values_mut() {
            found.sort_by_key(|checkpoint| (checkpoint.files.len(), checkpoint.kind));
        }
        survey
    }

    fn offer(&mut self, version: Version, files: Vec<&LogEntry>, kind: CheckpointKind) {
        let files = files.into_iter().cloned().collect();
        self.checkpoints.entry(version).or_default().push(CheckpointFiles { version, files, kind });
    }

    /// The newest version of which there is a commit or a complete checkpoint.
    pub fn latest(&self) -> Option<Version> {
        self.commits.keys().next_back().max(self.checkpoints.keys().next_back()).copied()
    }
}
