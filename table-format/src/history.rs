//! The versions of a table in time.

use serde_json::{Map, Value};

use crate::action::{Action, CommitInfo};
use crate::error::{FormatError, Result};
use crate::version::{TimestampMs, Version};

/// The newest version whose commit is not later than `at`.
///
/// `commits` are in ascending order of version, with the in-commit timestamp or else the store's file time. File times
/// may stand still or run backwards; versions do not, so each counts as at least a millisecond after the one before.
///
/// # Errors
/// [`FormatError::TimestampOutOfRange`] before the first and after the last commit, as Spark has it: a time to come could
/// mean another version tomorrow. [`FormatError::NotATable`] without commits.
pub fn resolve_timestamp(commits: &[(Version, TimestampMs)], at: TimestampMs) -> Result<Version> {
    let times = monotonic(commits);
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Err(FormatError::NotATable) };
    if at < first.1 || at > last.1 {
        return Err(FormatError::TimestampOutOfRange { requested: at, earliest: first.1, latest: last.1 });
    }
    let after = times.partition_point(|(_, time)| *time <= at);
    Ok(times[after - 1].0)
}

/// The same commits with strictly ascending times.
pub fn monotonic(commits: &[(Version, TimestampMs)]) -> Vec<(Version, TimestampMs)> {
    let mut previous: Option<i64> = None;
    let adjusted = commits.iter().map(|(version, time)| {
        let time = previous.map_or(time.0, |p| time.0.max(p.saturating_add(1)));
        previous = Some(time);
        (*version, TimestampMs(time))
    });
    adjusted.collect()
}

/// One version as `DESCRIBE HISTORY` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The version.
    pub version: Version,
    /// In-commit timestamp, or else the writer's clock, or else the store's file time.
    pub timestamp: TimestampMs,
    /// `WRITE`, `DELETE`, ...
    pub operation: Option<String>,
    /// How it was called.
    pub parameters: Map<String, Value>,
    /// Counts of what was done.
    pub metrics: Map<String, Value>,
    /// The version the writer read.
    pub read_version: Option<i64>,
    /// How strict the writer was.
    pub isolation_level: Option<String>,
    /// Whether the commit only added rows and read nothing.
    pub is_blind_append: Option<bool>,
    /// The writer's name and version.
    pub engine_info: Option<String>,
    /// The commit token.
    pub txn_id: Option<String>,
    /// User metadata and other fields of other writers.
    pub rest: Map<String, Value>,
}

impl HistoryEntry {
    /// The entry of a commit. `modified` is the store's time of its file.
    pub fn of_commit(version: Version, modified: TimestampMs, actions: &[Action]) -> Self {
        let info = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => Some(info.clone()),
            _ => None,
        });
        let CommitInfo {
            in_commit_timestamp,
            timestamp,
            operation,
            operation_parameters,
            read_version,
            isolation_level,
            is_blind_append,
            operation_metrics,
            engine_info,
            txn_id,
            rest,
        } = info.unwrap_or_default();
        HistoryEntry {
            version,
            timestamp: in_commit_timestamp.or(timestamp).map_or(modified, TimestampMs),
            operation,
            parameters: operation_parameters.unwrap_or_default(),
            metrics: operation_metrics.unwrap_or_default(),
            read_version,
            isolation_level,
            is_blind_append,
            engine_info,
            txn_id,
            rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(times: &[i64]) -> Vec<(Version, TimestampMs)> {
        let version = |v: usize| Version::new(v as u64).expect("small");
        times.iter().enumerate().map(|(v, t)| (version(v), TimestampMs(*t))).collect()
    }

    #[test]
    fn newest_version_not_later_is_found() {
        let commits = commits(&[100, 200, 300]);
        let at = |t| resolve_timestamp(&commits, TimestampMs(t)).map(Version::get);
        assert_eq!(at(100), Ok(0));
        assert_eq!(at(199), Ok(0));
        assert_eq!(at(200), Ok(1));
        assert_eq!(at(300), Ok(2));
        let outside = |t| FormatError::TimestampOutOfRange {
            requested: TimestampMs(t),
            earliest: TimestampMs(100),
            latest: TimestampMs(300),
        };
        assert_eq!(at(99), Err(outside(99)));
        assert_eq!(at(301), Err(outside(301)));
    }

    #[test]
    fn times_that_run_backwards_follow_the_versions() {
        let commits = commits(&[100, 100, 50, 400]);
        assert_eq!(resolve_timestamp(&commits, TimestampMs(101)).map(Version::get), Ok(1));
        assert_eq!(resolve_timestamp(&commits, TimestampMs(102)).map(Version::get), Ok(2));
        assert_eq!(resolve_timestamp(&[], TimestampMs(1)), Err(FormatError::NotATable));
    }
}
