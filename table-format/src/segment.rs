//! Which files of `_delta_log` rebuild a version.
//!
//! A listing holds commits, checkpoints of several kinds, compacted commits, checksums and things that mean nothing to
//! us. [`choose`] picks the least that gives the wanted version: the newest complete checkpoint not above it, and the
//! commits between the two.
//!
//! ```text
//!   0 1 2 3 4 5 6 7 8 9 10      target 10
//!             C                 newest complete checkpoint <= 10: version 5
//!               [6 . . 8]       compacted commits, fully inside 6..=10
//!                       9 10    single commits
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::Sidecar;
use crate::error::{FormatError, Result};
use crate::path::commit_name;
use crate::version::{TimestampMs, Version};

mod survey;
#[cfg(test)]
mod tests;

pub use survey::{IncompleteCheckpoint, LogSurvey};

/// A file of `_delta_log` as a listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// File name, without the folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When the store says it was written.
    pub modified: TimestampMs,
}

/// How a checkpoint is stored. Protocol section "Checkpoint Naming Scheme".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// One Parquet file named by the version: V1, or V2 with sidecars.
    Classic,
    /// One file named by version and UUID: V2.
    Uuid {
        /// JSON instead of Parquet.
        json: bool,
    },
    /// Several Parquet files that belong together: V1.
    MultiPart,
}

/// The files of one complete checkpoint. Sidecars are named inside and not in the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFiles {
    /// The version it stands for.
    pub version: Version,
    /// One file, or all parts in order.
    pub files: Vec<LogEntry>,
    /// How it is stored.
    pub kind: CheckpointKind,
}

/// A file of actions: one commit, or a range of them compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFile {
    /// The file.
    pub entry: LogEntry,
    /// First version it holds.
    pub from: Version,
    /// Last version it holds.
    pub to: Version,
}

/// The files that rebuild one version.
///
/// Promises: the checkpoint is complete and not above [`version`](Self::version); the commits cover every version after
/// it, or from zero, up to and including `version`, each exactly once and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSegment {
    /// The version that these files give.
    pub version: Version,
    /// Where to start.
    pub checkpoint: Option<CheckpointFiles>,
    /// What follows, oldest first.
    pub commits: Vec<CommitFile>,
    /// The checksum of exactly this version.
    pub checksum: Option<LogEntry>,
    /// The commit file of exactly this version, if it is still there: it knows the version's time even when a checkpoint
    /// or compacted commits hold its actions.
    pub tip: Option<LogEntry>,
}

/// The files that rebuild `target`, or the newest version without one.
///
/// Checkpoints of the versions in `exclude_checkpoints` are passed over: they turned out to be unreadable. Files of
/// versions above the target are ignored, as are incomplete multi-part checkpoints and checkpoints of zero bytes.
///
/// # Errors
/// [`FormatError::NotATable`] for a listing without commit and complete checkpoint; [`FormatError::VersionNotFound`] for
/// a target that is not there yet or no longer; [`FormatError::CorruptLog`] for a version missing in between;
/// [`FormatError::CorruptCheckpoint`] if only an excluded checkpoint would have done.
pub fn choose(listing: &[LogEntry], target: Option<Version>, exclude_checkpoints: &[Version]) -> Result<LogSegment> {
    let survey = LogSurvey::of(listing);
    let latest = survey.latest().ok_or(FormatError::NotATable)?;
    let version = target.unwrap_or(latest);
    let usable = |v: &Version| !exclude_checkpoints.contains(v);
    let checkpoint =
        survey.checkpoints.range(..=version).rev().find(|(v, _)| usable(v)).and_then(|(_, found)| found.first());
    let start = match checkpoint {
        Some(files) => files.version.next()?,
        None => Version::ZERO,
    };
    let earliest = survey.earliest(usable);
    if version > latest || earliest.is_some_and(|earliest| version < earliest) {
        let earliest = earliest.unwrap_or(latest);
        return Err(FormatError::VersionNotFound { requested: version, earliest, latest });
    }
    let commits = survey.cover(start, version).map_err(|missing| {
        let skipped = survey.checkpoints.range(..=version).rev().find(|(v, _)| !usable(v));
        match (skipped, earliest) {
            (Some((_, found)), _) => FormatError::corrupt_checkpoint(
                found.first().and_then(|files| files.files.first()).map_or_else(String::new, |f| f.name.clone()),
                format!("it cannot be read, and without it version {missing} is missing to rebuild version {version}"),
            ),
            _ => gap(missing, version, checkpoint.map(|c| c.version)),
        }
    })?;
    Ok(LogSegment {
        version,
        checkpoint: checkpoint.cloned(),
        commits,
        checksum: survey.checksums.get(&version).map(|entry| (*entry).clone()),
        tip: survey.commits.get(&version).map(|entry| (*entry).clone()),
    })
}

/// The commits that lead from `base` to `target`, or to the newest version without one. Empty if there is nothing newer.
///
/// # Errors
/// [`FormatError::CorruptLog`] if a version in between is missing, also because it was cleaned up: then only [`choose`]
/// can tell whether a checkpoint covers it. [`FormatError::VersionNotFound`] for a target outside.
pub fn choose_newer(listing: &[LogEntry], base: Version, target: Option<Version>) -> Result<Vec<CommitFile>> {
    let survey = LogSurvey::of(listing);
    let latest = survey.latest().map_or(base, |latest| latest.max(base));
    let version = target.unwrap_or(latest);
    if version < base || version > latest {
        return Err(FormatError::VersionNotFound { requested: version, earliest: base, latest });
    }
    survey.cover(base.next()?, version).map_err(|missing| gap(missing, version, Some(base)))
}

fn gap(missing: Version, version: Version, base: Option<Version>) -> FormatError {
    let what = match base {
        Some(base) => format!("missing between version {base}, where replay starts, and version {version}"),
        None => format!("missing before version {version}, and no complete checkpoint covers it"),
    };
    FormatError::corrupt_log(Some(missing), commit_name(missing), what)
}

impl LogSurvey<'_> {
    /// The oldest version that can be rebuilt.
    fn earliest(&self, usable: impl Fn(&Version) -> bool) -> Option<Version> {
        if self.commits.contains_key(&Version::ZERO) {
            return Some(Version::ZERO);
        }
        self.checkpoints.keys().find(|v| usable(v)).copied()
    }

    /// The fewest files that hold every version from `start` to `end`, in order.
    ///
    /// `Err` is the first version that no chain of files reaches.
    fn cover(&self, start: Version, end: Version) -> Result<Vec<CommitFile>, Version> {
        // Shortest path over versions; every edge leads forward, so ascending order settles each version once. Only
        // versions that files lead to are visited: a hostile name cannot make the range long.
        let mut reached: BTreeMap<u64, (usize, Option<CommitFile>)> = BTreeMap::from([(start.get(), (0, None))]);
        let (mut at, last) = (start.get(), end.get());
        while at <= last {
            let steps = reached.get(&at).map_or(0, |(steps, _)| *steps) + 1;
            let mut offer = |to: Version, entry: &LogEntry, from: Version| {
                let next = reached.entry(to.get() + 1).or_insert((usize::MAX, None));
                if steps < next.0 {
                    *next = (steps, Some(CommitFile { entry: entry.clone(), from, to }));
                }
            };
            if let Ok(version) = Version::new(at) {
                if let Some(entry) = self.commits.get(&version) {
                    offer(version, entry, version);
                }
                for (to, entry) in self.compacted.get(&version).into_iter().flatten().filter(|(to, _)| *to <= end) {
                    offer(*to, entry, version);
                }
            }
            match reached.range(at + 1..).next() {
                Some((next, _)) => at = *next,
                None => return Err(Version::new(at).unwrap_or(end)),
            }
        }
        let mut files = Vec::new();
        while let Some((_, Some(file))) = reached.remove(&at) {
            at = file.from.get();
            files.push(file);
        }
        files.reverse();
        Ok(files)
    }
}

/// The content of `_last_checkpoint`. Protocol section "Last Checkpoint File Schema".
///
/// Only a hint where to start listing: it may be stale, missing or garbage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastCheckpointHint {
    /// The version of the checkpoint.
    pub version: Version,
    /// Actions in it.
    #[serde(default)]
    pub size: i64,
    /// Files of a multi-part checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_in_bytes: Option<i64>,
    /// `add` actions in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_of_add_files: Option<i64>,
    /// Schema of the file, in Delta's JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_schema: Option<serde_json::Value>,
    /// Where a V2 checkpoint lies, as Delta's own writer tells it; the protocol does not list it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v2_checkpoint: Option<V2CheckpointHint>,
}

/// What `_last_checkpoint` says of a V2 checkpoint, so that a reader can ask for its files at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct V2CheckpointHint {
    /// The manifest's file name.
    pub path: String,
    /// Bytes of the manifest.
    #[serde(default)]
    pub size_in_bytes: i64,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub modification_time: i64,
    /// All sidecars, or none named where there are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_files: Option<Vec<Sidecar>>,
}

impl LastCheckpointHint {
    /// The name of its file in the log folder.
    pub const NAME: &str = "_last_checkpoint";

    /// The hint in these bytes; none if they are not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let hint: LastCheckpointHint = serde_json::from_slice(bytes).ok()?;
        Version::new(hint.version.get()).is_ok().then_some(hint)
    }

    /// The bytes to write.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a hint holds only JSON values")
    }
}
