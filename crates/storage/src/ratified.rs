//! What a catalog says of a table that it manages: how far the log goes, and the commits that are not in its place yet.
//!
//! Protocol section "Catalog-managed tables". The folder alone does not tell which commits count: a commit is ratified by the
//! catalog, which keeps it itself or leaves it among the staged ones, and is published into the log only later.

use std::collections::BTreeMap;

use bytes::Bytes;
use floe_table_format::error::printable;
use floe_table_format::path::{LogFile, commit_name};
use floe_table_format::{FormatError, LogEntry, TimestampMs, Version};

use crate::error::{Result, StorageError};

/// The folder of commits that were proposed, below `_delta_log`.
pub(crate) const STAGED_FOLDER: &str = "_staged_commits";

/// The commits of a table that a catalog has ratified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatifiedCommits {
    newest: Version,
    staged: BTreeMap<Version, Staged>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Staged {
    /// A file in [`STAGED_FOLDER`].
    File(String),
    /// The commit itself.
    Inline(Bytes),
}

impl RatifiedCommits {
    /// A table whose newest version is this one. Commits are looked for in the log, but for those named by the functions below.
    pub fn up_to(newest: Version) -> Self {
        RatifiedCommits { newest, staged: BTreeMap::new() }
    }

    /// Says that a version's commit is the file of this name in `_delta_log/_staged_commits`: `<version>.<uuid>.json`.
    ///
    /// # Errors
    /// [`FormatError::PathEscapesTable`] inside [`StorageError::Format`] for what is not the plain name of such a file.
    pub fn with_staged_file(mut self, version: Version, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let stem = name.strip_suffix(".json").and_then(|stem| stem.strip_prefix(&format!("{:020}.", version.get())));
        let plain = stem.is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        if !plain {
            let what = format!("it is not the name of a staged commit of version {version}");
            return Err(FormatError::PathEscapesTable { path: printable(&name), what }.into());
        }
        self.staged.insert(version, Staged::File(name));
        Ok(self)
    }

    /// Gives a version's commit itself, as JSON lines.
    pub fn with_inline(mut self, version: Version, commit: impl Into<Bytes>) -> Self {
        self.staged.insert(version, Staged::Inline(commit.into()));
        self
    }

    /// The newest version.
    pub fn newest(&self) -> Version {
        self.newest
    }

    /// The listing of a log with what was not published yet, and without what is not ratified. `from` is where it begins.
    pub(crate) fn completed(&self, mut entries: Vec<LogEntry>, from: Version) -> Vec<LogEntry> {
        entries.retain(|entry| LogFile::parse(&entry.name).version().is_none_or(|version| version <= self.newest));
        for (version, staged) in self.staged.range(from..).filter(|(version, _)| **version <= self.newest) {
            let name = commit_name(*version);
            if !entries.iter().any(|entry| entry.name == name) {
                let size = match staged {
                    Staged::Inline(bytes) => bytes.len() as u64,
                    Staged::File(_) => 0,
                };
                // Commits of such tables carry their time themselves.
                entries.push(LogEntry { name, size, modified: TimestampMs(0) });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// Where a file of the log is instead, if it is a commit that was not published.
    pub(crate) fn instead_of(&self, name: &str) -> Instead<'_> {
        match LogFile::parse(name) {
            LogFile::Commit(version) if version > self.newest => Instead::Nowhere,
            LogFile::Commit(version) => match self.staged.get(&version) {
                Some(Staged::File(name)) => Instead::File(format!("{STAGED_FOLDER}/{name}")),
                Some(Staged::Inline(bytes)) => Instead::Here(bytes),
                None => Instead::InPlace,
            },
            _ => Instead::InPlace,
        }
    }
}

/// Where a commit is.
pub(crate) enum Instead<'a> {
    /// In the log.
    InPlace,
    /// Nowhere: it does not count.
    Nowhere,
    /// In another file below the log.
    File(String),
    /// At hand.
    Here(&'a Bytes),
}

impl Instead<'_> {
    /// The error of a commit that does not count.
    pub(crate) fn not_found(name: &str) -> StorageError {
        StorageError::NotFound { operation: "read", path: name.to_owned() }
    }
}
