//! What can be wrong with a log, a checkpoint, a schema or a request, as one enum.

use crate::version::{TimestampMs, Version, VersionOutOfRange};

/// The result of a function of this crate.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// A protocol-level failure. Every variant says what was looked at and what was found there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A commit file, or the sequence of commit files, is not a valid log.
    #[error("corrupt log{}: {path}{}: {what}", at_version(.version), at_line(.line))]
    CorruptLog {
        /// The version being read, where one is known.
        version: Option<Version>,
        /// The log file, relative to the table.
        path: String,
        /// One-based line in that file.
        line: Option<usize>,
        /// What was found, and what was expected.
        what: String,
    },
    /// A checkpoint, a part of one or a sidecar cannot be used.
    #[error("corrupt checkpoint {path}: {what}")]
    CorruptCheckpoint {
        /// The checkpoint file, relative to the table.
        path: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// A deletion vector does not decode, or contradicts its descriptor.
    #[error("corrupt deletion vector {path}: {what}")]
    CorruptDv {
        /// The deletion vector's file, or `inline`.
        path: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// The table uses something this build cannot handle soundly.
    #[error("cannot {operation}: the table needs {}, which floe does not support", .features.join(", "))]
    UnsupportedFeature {
        /// What was attempted: `read the table`, `write to the table`, ...
        operation: String,
        /// The protocol features, versions or types in the way.
        features: Vec<String>,
    },
    /// A path in the log points outside the table's root.
    #[error("path escapes the table: {path:?}: {what}")]
    PathEscapesTable {
        /// The path as found in the log, escaped for printing.
        path: String,
        /// Which rule it breaks.
        what: String,
    },
    /// An input is larger or deeper than the limit that protects this process.
    #[error("limit exceeded: {which} is {found}, the limit is {limit}")]
    LimitExceeded {
        /// What is limited.
        which: String,
        /// What was found.
        found: u64,
        /// The largest accepted value.
        limit: u64,
    },
    /// A number stands where a version should.
    #[error(transparent)]
    VersionOutOfRange(#[from] VersionOutOfRange),
    /// There is no Delta log where one was looked for.
    #[error("not a Delta table: no commit and no checkpoint in _delta_log")]
    NotATable,
    /// The requested version cannot be rebuilt from the log.
    #[error("version {requested} not found: the log holds versions {earliest} to {latest}")]
    VersionNotFound {
        /// The version asked for.
        requested: Version,
        /// The oldest version that can be rebuilt.
        earliest: Version,
        /// The newest version.
        latest: Version,
    },
    /// The requested time lies outside the table's history.
    #[error("no version at {requested}: the history reaches from {earliest} to {latest}")]
    TimestampOutOfRange {
        /// The time asked for.
        requested: TimestampMs,
        /// Time of the oldest version that can be rebuilt.
        earliest: TimestampMs,
        /// Time of the newest version.
        latest: TimestampMs,
    },
    /// A schema string or an Arrow schema cannot be used for a Delta table.
    #[error("invalid schema: {what}")]
    InvalidSchema {
        /// The field and what is wrong with it.
        what: String,
    },
    /// A table property is unknown or its value is not acceptable.
    #[error("invalid table property {key} = {value:?}: {what}")]
    InvalidProperty {
        /// The property's name.
        key: String,
        /// The value found.
        value: String,
        /// What would be acceptable.
        what: String,
    },
    /// A change that may not be committed as it stands.
    #[error("invalid change: {what}")]
    InvalidChange {
        /// The rule broken, and by what.
        what: String,
    },
    /// A value does not fit its type.
    #[error("invalid value {value:?} for {target}: {what}")]
    InvalidValue {
        /// The value, escaped and shortened for printing.
        value: String,
        /// The type or column it was meant for.
        target: String,
        /// Why it does not fit.
        what: String,
    },
}

impl FormatError {
    /// A [`FormatError::CorruptLog`] without a line.
    pub fn corrupt_log(version: Option<Version>, path: impl Into<String>, what: impl Into<String>) -> Self {
        FormatError::CorruptLog { version, path: path.into(), line: None, what: what.into() }
    }

    /// A [`FormatError::CorruptCheckpoint`].
    pub fn corrupt_checkpoint(path: impl Into<String>, what: impl Into<String>) -> Self {
        FormatError::CorruptCheckpoint { path: path.into(), what: what.into() }
    }

    /// A [`FormatError::CorruptDv`].
    pub fn corrupt_dv(path: impl Into<String>, what: impl Into<String>) -> Self {
        FormatError::CorruptDv { path: path.into(), what: what.into() }
    }

    /// A [`FormatError::InvalidChange`].
    pub fn invalid_change(what: impl Into<String>) -> Self {
        FormatError::InvalidChange { what: what.into() }
    }

    /// A [`FormatError::InvalidSchema`].
    pub fn invalid_schema(what: impl Into<String>) -> Self {
        FormatError::InvalidSchema { what: what.into() }
    }
}

fn at_version(version: &Option<Version>) -> String {
    version.map(|v| format!(" at version {v}")).unwrap_or_default()
}

fn at_line(line: &Option<usize>) -> String {
    line.map(|l| format!(" line {l}")).unwrap_or_default()
}

/// Text from outside, made safe to print: control characters escaped, length bounded.
///
/// Values from a log or a file may hold terminal escape codes or be megabytes long; neither belongs in an error message.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
