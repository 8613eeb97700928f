//! Which log files no version inside the retention needs.
//!
//! Protocol section "Metadata Cleanup". What is left is always a checkpoint and every commit after it, so every version
//! from that checkpoint on can be rebuilt. Stopped anywhere in the order of the plan, the log is still whole.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::path::LogFile;
use crate::segment::LogEntry;
use crate::version::{TimestampMs, Version};

/// The names of the log files to delete, oldest version first.
///
/// `listing` is everything directly inside `_delta_log`. Kept are the newest complete checkpoint of a version committed
/// before the horizon, and everything of its version or later: with it every version committed at the horizon or later
/// can be rebuilt, and the one that was current then. Without such a checkpoint nothing is deleted.
///
/// Commit times are file times made monotonic: a commit counts as no older than the commits before it.
///
/// Before `protected` checkpoints go all at once or not at all: readers that do not know a feature which was dropped there
/// rely on the checkpoints that are left. Protocol change "Checkpoint Protection".
pub fn plan_log_cleanup(listing: &[LogEntry], horizon: TimestampMs, protected: Option<Version>) -> Vec<String> {
    let parsed: Vec<(LogFile, &LogEntry)> = listing.iter().map(|entry| (LogFile::parse(&entry.name), entry)).collect();
    let commits: BTreeMap<Version, TimestampMs> = parsed
        .iter()
        .filter_map(|(file, entry)| match file {
            LogFile::Commit(version) => Some((*version, entry.modified)),
            _ => None,
        })
        .collect();
    let Some(kept) = kept_checkpoint(&parsed, &commits, horizon) else { return Vec::new() };
    if protected.is_some_and(|protected| kept < protected) {
        return Vec::new();
    }
    let mut doomed: Vec<(Version, u8, &str)> = parsed
        .iter()
        .filter_map(|(file, entry)| doomed_at(file, kept).map(|(version, order)| (version, order, entry.name.as_str())))
        .collect();
    doomed.sort_unstable();
    doomed.into_iter().map(|(_, _, name)| name.to_owned()).collect()
}

/// The newest complete checkpoint of a version committed before the horizon.
fn kept_checkpoint(
    parsed: &[(LogFile, &LogEntry)],
    commits: &BTreeMap<Version, TimestampMs>,
    horizon: TimestampMs,
) -> Option<Version> {
    let mut latest = TimestampMs(i64::MIN);
    let newest = *commits.keys().next_back()?;
    let cut = commits
        .iter()
        .map(|(version, modified)| {
            latest = latest.max(*modified);
            (*version, latest)
        })
        .take_while(|(_, time)| *time < horizon)
        .last()?
        .0;
    complete_checkpoints(parsed)
        .into_iter()
        .rev()
        .filter(|version| *version <= cut)
        // Rebuilding what follows needs the commits from there on without a gap.
        .find(|version| is_contiguous(commits, *version, newest))
}

fn is_contiguous(commits: &BTreeMap<Version, TimestampMs>, after: Version, newest: Version) -> bool {
    let expected = newest.get().saturating_sub(after.get());
    commits.range(after..).filter(|(version, _)| **version > after).count() as u64 == expected
}

fn complete_checkpoints(parsed: &[(LogFile, &LogEntry)]) -> BTreeSet<Version> {
    let mut complete = BTreeSet::new();
    let mut parts: BTreeMap<(Version, u32), HashSet<u32>> = BTreeMap::new();
    for (file, entry) in parsed {
        if entry.size == 0 {
            continue;
        }
        match file {
            LogFile::ClassicCheckpoint(version) | LogFile::UuidCheckpoint { version, .. } => {
                complete.insert(*version);
            }
            LogFile::MultiPartCheckpoint { version, part, parts: of } => {
                parts.entry((*version, *of)).or_default().insert(*part);
            }
            _ => {}
        }
    }
    let whole = parts.into_iter().filter(|((_, of), found)| found.len() as u64 == u64::from(*of));
    complete.extend(whole.map(|((version, _), _)| version));
    complete
}

/// The version a file goes with, and its place within that version: what depends on a commit goes before it.
fn doomed_at(file: &LogFile, kept: Version) -> Option<(Version, u8)> {
    let (version, order) = match file {
        LogFile::CompactedCommits { from, to } if *to < kept => (*from, 0),
        LogFile::Checksum(version) => (*version, 1),
        // A checkpoint is what the commits after it start from: it goes before them.
        LogFile::ClassicCheckpoint(version)
        | LogFile::MultiPartCheckpoint { version, .. }
        | LogFile::UuidCheckpoint { version, .. } => (*version, 2),
        LogFile::Commit(version) => (*version, 3),
        LogFile::CompactedCommits { .. } | LogFile::Other => return None,
    };
    (version < kept).then_some((version, order))
}

/// The names of the sidecars to delete, from everything inside `_delta_log/_sidecars`: those that no remaining
/// checkpoint refers to and that are older than a day, because a checkpoint may be in the making.
pub fn plan_sidecar_cleanup(sidecars: &[LogEntry], referenced: &HashSet<String>, now: TimestampMs) -> Vec<String> {
    const DAY_MS: i64 = 86_400_000;
    let mut doomed: Vec<String> = sidecars
        .iter()
        .filter(|entry| !referenced.contains(&entry.name) && entry.modified < now.minus_ms(DAY_MS))
        .map(|entry| entry.name.clone())
        .collect();
    doomed.sort_unstable();
    doomed
}
