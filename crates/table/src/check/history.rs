//! Replays the log from its oldest version, and holds everything derived from it against that: checkpoints, compacted
//! commits, version checksums, in-commit timestamps.
//!
//! Two states are held at a time, and the one that each range of compacted commits begins with.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use floe_storage::StorageError;
use floe_table_format::checksum::VersionChecksum;
use floe_table_format::replay::Replay;
use floe_table_format::segment::{CheckpointFiles, CommitFile, LogSurvey};
use floe_table_format::{Action, FormatError, LogEntry, LogSegment, TableState, TimestampMs, Version, parse_commit};
use futures::{StreamExt, stream};

use super::compare::differences;
use super::finding::{Finding, Findings, Rule, Severity};
use crate::error::{OnTable, Result, TableError};
use crate::load::{is_there, read_segment};
use crate::table::Table;

/// Commits read ahead.
const COMMITS_AHEAD: usize = 16;

/// What the replay came to.
pub(super) struct Replayed {
    /// The newest state that could be rebuilt.
    pub(super) newest: Option<Arc<TableState>>,
    /// The writer of the newest commit that names one.
    pub(super) writer: Option<String>,
}

/// The replay while it goes on.
struct Walk<'a> {
    table: &'a Table,
    survey: LogSurvey<'a>,
    findings: &'a mut Findings,
    state: Option<TableState>,
    /// The time of the commit before, with in-commit timestamps.
    time: Option<TimestampMs>,
    writer: Option<String>,
    /// Change files of the commit just read, as in the log.
    change_files: Vec<String>,
    /// States before ranges of compacted commits, by the version after them.
    bases: BTreeMap<Version, TableState>,
}

/// Replays the whole log.
///
/// # Errors
/// The failures of the store. What is wrong with the log is a finding.
pub(super) async fn replay(table: &Table, listing: &[LogEntry], findings: &mut Findings) -> Result<Replayed> {
    let survey = LogSurvey::of(listing);
    let mut versions: Vec<Version> = survey.commits.keys().chain(survey.checkpoints.keys()).copied().collect();
    versions.sort_unstable();
    versions.dedup();
    let mut walk = Walk {
        table,
        survey,
        findings,
        state: None,
        time: None,
        writer: None,
        change_files: Vec::new(),
        bases: BTreeMap::new(),
    };
    let names: Vec<(Version, Option<String>)> = versions
        .into_iter()
        .map(|version| (version, walk.survey.commits.get(&version).map(|entry| entry.name.clone())))
        .collect();
    let log = table.log_store().clone();
    let mut commits = stream::iter(names)
        .map(move |(version, name)| {
            let log = log.clone();
            async move {
                let bytes = match &name {
                    Some(name) => Some(log.read(name).await),
                    None => None,
                };
                (version, name, bytes)
            }
        })
        .buffered(COMMITS_AHEAD);
    while let Some((version, name, bytes)) = commits.next().await {
        walk.version(version, name.unwrap_or_default(), bytes).await?;
    }
    Ok(Replayed { newest: walk.state.map(Arc::new), writer: walk.writer })
}

impl Walk<'_> {
    async fn version(
        &mut self,
        version: Version,
        name: String,
        bytes: Option<floe_storage::Result<Bytes>>,
    ) -> Result<()> {
        let before = self.state.take().filter(|state| state.version.get() + 1 == version.get());
        if let Some(before) = before.as_ref().filter(|_| self.survey.compacted.contains_key(&version)) {
            self.bases.insert(version, before.clone());
        }
        self.state = match bytes {
            Some(Ok(bytes)) => self.commit(before, version, &name, &bytes),
            // Somebody cleaned the log up meanwhile.
            Some(Err(StorageError::NotFound { .. })) if !is_there(self.table, version).await? => None,
            Some(Err(error @ (StorageError::NotFound { .. } | StorageError::Format(_)))) => {
                self.unreadable(version, &name, error.to_string());
                None
            }
            Some(Err(error)) => return Err(error).on(self.table.uri()),
            None => None,
        };
        self.change_files(version).await?;
        for checkpoint in self.survey.checkpoints.get(&version).cloned().unwrap_or_default() {
            self.checkpoint(checkpoint).await?;
        }
        self.compactions(version).await?;
        self.checksum(version).await
    }

    /// The state after a commit; none if it does not follow from anything, or does not parse.
    fn commit(&mut self, before: Option<TableState>, version: Version, name: &str, bytes: &[u8]) -> Option<TableState> {
        let path = format!("_delta_log/{name}");
        let actions = match parse_commit(version, &path, bytes) {
            Ok(actions) => actions,
            Err(error) => {
                self.unreadable(version, name, error.to_string());
                return None;
            }
        };
        let info = actions.iter().enumerate().find_map(|(at, action)| match action {
            Action::CommitInfo(info) => Some((at, info)),
            _ => None,
        });
        self.change_files = actions
            .iter()
            .filter_map(|action| match action {
                Action::Cdc(file) => Some(file.path.clone()),
                _ => None,
            })
            .collect();
        self.writer = info.and_then(|(_, info)| info.engine_info.clone()).or(self.writer.take());
        let first = info.is_some_and(|(at, _)| at == 0);
        let time = info.and_then(|(_, info)| info.in_commit_timestamp).map(TimestampMs);
        let state = match before {
            Some(state) => state.apply(&[(version, actions)]),
            None if version == Version::ZERO => {
                let mut replay = Replay::new();
                replay.add_commit(version, actions).and_then(|()| replay.finish(version))
            }
            // After a gap a checkpoint has to begin anew.
            None => return None,
        };
        match state {
            Ok(state) => {
                self.times(&state, time, first, name);
                Some(state)
            }
            // What this build cannot read is told of with the newest version.
            Err(FormatError::UnsupportedFeature { .. }) => None,
            Err(error) => {
                self.unreadable(version, name, error.to_string());
                None
            }
        }
    }

    /// Protocol section "In-Commit Timestamps": commitInfo comes first and its time is later than that of the commit before.
    fn times(&mut self, state: &TableState, time: Option<TimestampMs>, first: bool, name: &str) {
        let before = std::mem::replace(&mut self.time, time);
        if !state.properties.enable_in_commit_timestamps {
            self.time = None;
            return;
        }
        let what = match (before, time) {
            (_, None) => "in-commit timestamps are on, and the commit carries none".to_owned(),
            (_, Some(_)) if !first => "commitInfo with the in-commit timestamp is not the first action".to_owned(),
            (Some(before), Some(time)) if time <= before => {
                format!("its time is {time}, that of the commit before {before}")
            }
            _ => return,
        };
        let finding = Finding::new(Rule::TimesRise, what).at(state.version).of(name).by(self.writer.as_deref());
        self.findings.push(finding);
    }

    /// Looks for the change files of a version. Where the retention of deleted files has passed, vacuum may have them taken.
    async fn change_files(&mut self, version: Version) -> Result<()> {
        let paths = std::mem::take(&mut self.change_files);
        let retention = self.state.as_ref().map_or(i64::MAX, |state| state.properties.deleted_file_retention_ms);
        let written = self.survey.commits.get(&version).map(|entry| entry.modified);
        let kept = written.is_some_and(|written| written >= self.table.env().now().minus_ms(retention));
        for path in paths {
            let what = match self.table.root().decode(&path) {
                Ok(relative) => match self.table.data_store().head(&relative).await {
                    Ok(_) => continue,
                    Err(StorageError::NotFound { .. }) => "the change file is missing in the store".to_owned(),
                    Err(error) => return Err(error).on(self.table.uri()),
                },
                Err(error) => error.to_string(),
            };
            let finding = Finding::new(Rule::ChangeFileThere, what).at(version).of(&path);
            self.findings.push(if kept { finding } else { finding.with_severity(Severity::Note) });
        }
        Ok(())
    }

    fn unreadable(&mut self, version: Version, name: &str, what: String) {
        let finding = Finding::new(Rule::CommitReadable, what).at(version).of(name);
        self.findings.push(finding);
    }

    async fn checkpoint(&mut self, checkpoint: CheckpointFiles) -> Result<()> {
        let version = checkpoint.version;
        let name = checkpoint.files.first().map(|file| file.name.clone()).unwrap_or_default();
        let segment =
            LogSegment { version, checkpoint: Some(checkpoint), commits: Vec::new(), checksum: None, tip: None };
        let found = match read_segment(self.table, &segment).await {
            Ok(found) => found,
            Err(error) => {
                let what = what_is_wrong(error)?;
                self.findings.push(Finding::new(Rule::CheckpointReadable, what).at(version).of(&name));
                return Ok(());
            }
        };
        match &self.state {
            Some(replayed) => {
                let differing = differences(replayed, &found);
                if !differing.is_empty() {
                    let what = format!("replaying the commits gives another state: {}", differing.join("; "));
                    self.findings.push(Finding::new(Rule::CheckpointAgrees, what).at(version).of(&name));
                }
            }
            None => self.state = Some(found),
        }
        Ok(())
    }

    /// Holds the compacted commits that end here against the commits.
    async fn compactions(&mut self, version: Version) -> Result<()> {
        let ending: Vec<CommitFile> = self
            .survey
            .compacted
            .iter()
            .flat_map(|(from, ranges)| ranges.iter().map(move |(to, entry)| (*from, *to, *entry)))
            .filter(|(_, to, _)| *to == version)
            .map(|(from, to, entry)| CommitFile { entry: entry.clone(), from, to })
            .collect();
        for CommitFile { entry, from, to } in ending {
            let (Some(base), Some(replayed)) = (self.bases.get(&from), &self.state) else { continue };
            let bytes = match self.table.log_store().read(&entry.name).await {
                Ok(bytes) => bytes,
                Err(StorageError::NotFound { .. }) => continue,
                Err(error) => return Err(error).on(self.table.uri()),
            };
            let compacted = parse_commit(to, &format!("_delta_log/{}", entry.name), &bytes)
                .and_then(|actions| base.apply(&[(to, actions)]));
            let what = match compacted {
                Ok(compacted) => {
                    let differing = differences(replayed, &compacted);
                    if differing.is_empty() {
                        continue;
                    }
                    format!("the commits it covers give another state: {}", differing.join("; "))
                }
                Err(error) => error.to_string(),
            };
            self.findings.push(Finding::new(Rule::CompactionAgrees, what).at(to).of(&entry.name));
        }
        let needed = |from: &Version| {
            self.survey.compacted.get(from).is_some_and(|ranges| ranges.iter().any(|(to, _)| *to > version))
        };
        self.bases.retain(|from, _| needed(from));
        Ok(())
    }

    async fn checksum(&mut self, version: Version) -> Result<()> {
        let (Some(entry), Some(state)) = (self.survey.checksums.get(&version), &self.state) else { return Ok(()) };
        let bytes = match self.table.log_store().read(&entry.name).await {
            Ok(bytes) => bytes,
            Err(StorageError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error).on(self.table.uri()),
        };
        let finding = match VersionChecksum::parse(&bytes) {
            Err(error) => Finding::new(Rule::ChecksumReadable, error.to_string()),
            Ok(checksum) => match checksum.verify(state) {
                Ok(()) => return Ok(()),
                Err(error) => Finding::new(Rule::ChecksumAgrees, error.to_string()),
            },
        };
        self.findings.push(finding.at(version).of(&entry.name).by(self.writer.as_deref()));
        Ok(())
    }
}

/// What an error says about the table; an error of the store is not about the table.
///
/// # Errors
/// The error itself if the store failed.
pub(super) fn what_is_wrong(error: TableError) -> Result<String> {
    match error.format_error() {
        Some(found) => Ok(found.to_string()),
        None if is_about_file(&error) => Ok(error.to_string()),
        None => Err(error),
    }
}

/// Whether a file is missing or damaged.
fn is_about_file(error: &TableError) -> bool {
    match error {
        TableError::Storage { source, .. } => {
            matches!(source.as_ref(), StorageError::NotFound { .. } | StorageError::CorruptDataFile { .. })
        }
        _ => false,
    }
}
