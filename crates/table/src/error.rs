//! What can go wrong with a table, and what its caller can do about it.

use arrow::error::ArrowError;
use floe_index::IndexError;
use floe_storage::StorageError;
use floe_table_format::version::VersionOutOfRange;
use floe_table_format::{FormatError, Version, Why};

/// The result of an operation on a table.
pub type Result<T, E = TableError> = std::result::Result<T, E>;

/// A failed operation on a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The log, a checkpoint, a schema or the request breaks a rule of the protocol.
    #[error("table {table}: {source}")]
    Format {
        /// Where the table lies.
        table: String,
        /// The rule.
        source: FormatError,
    },
    /// Storage failed.
    #[error("table {table}: {source}")]
    Storage {
        /// Where the table lies.
        table: String,
        /// How.
        source: Box<StorageError>,
    },
    /// Another writer committed something this change cannot stand beside.
    #[error(
        "table {table}: {operation} conflicts with version {}{}: {}; read the table again and retry",
        .why.version, .why.file.as_ref().map(|f| format!(", file {f}")).unwrap_or_default(), .why.rule
    )]
    Conflict {
        /// Where the table lies.
        table: String,
        /// The operation that lost.
        operation: String,
        /// The winner and the rule.
        why: Why,
    },
    /// The version a change was made on is so old that its log was cleaned up.
    #[error(
        "table {table}: the change was made on version {version}, whose commit is no longer in the log; \
         read the table again and retry"
    )]
    SnapshotExpired {
        /// Where the table lies.
        table: String,
        /// The version.
        version: Version,
    },
    /// Other writers were faster too often.
    #[error("table {table}: {operation} lost {attempts} races for a version; retry when fewer writers are active")]
    TooManyAttempts {
        /// Where the table lies.
        table: String,
        /// The operation that lost.
        operation: String,
        /// How many versions were tried.
        attempts: u32,
    },
    /// The store did not tell whether the commit landed.
    #[error(
        "table {table}: it is not known whether version {version} was written (commit token {token}): {source}; \
         its files are kept, look for the token in the history before writing the same rows again"
    )]
    CommitOutcomeUnknown {
        /// Where the table lies.
        table: String,
        /// The version in question.
        version: Version,
        /// The token of the commit, found in `commitInfo.txnId` if it landed.
        token: String,
        /// What the store said last.
        source: Box<StorageError>,
    },
    /// Rows that a constraint of the table refuses.
    #[error("table {table}: constraint {constraint} is violated by row {row}; nothing was committed")]
    ConstraintViolation {
        /// Where the table lies.
        table: String,
        /// `NOT NULL column`, or the constraint's name and expression.
        constraint: String,
        /// The first offending row.
        row: String,
    },
    /// A row whose primary key another row of the table, or of the rows to write, has already.
    #[error(
        "table {table}: the key {key} {}; nothing was committed{}",
        if *.in_table { "has several rows in the table, which a writer without the key must have added" } else { "is there already" },
        if *.in_table {
            "; floe check lists such keys, and floe.duplicateKeys = latest makes upserts keep the latest"
        } else {
            "; an upsert replaces the row that is there"
        }
    )]
    DuplicateKey {
        /// Where the table lies.
        table: String,
        /// Columns and values of the key.
        key: String,
        /// Whether the table itself holds the key more than once.
        in_table: bool,
    },
    /// Rows that do not fit the table's schema.
    #[error("table {table}: {what}")]
    SchemaMismatch {
        /// Where the table lies.
        table: String,
        /// The column, what was found and what the table holds.
        what: String,
    },
    /// There is a table already.
    #[error("table {table} exists already, at version {version}")]
    AlreadyExists {
        /// Where the table lies.
        table: String,
        /// Its newest version.
        version: Version,
    },
    /// The request makes no sense for this table.
    #[error("table {table}: cannot {operation}: {what}")]
    InvalidRequest {
        /// Where the table lies.
        table: String,
        /// What was attempted.
        operation: String,
        /// Why not, and what would help.
        what: String,
    },
    /// A computation over Arrow arrays failed.
    #[error("arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// A stream of rows given by the caller failed.
    #[error("reading the rows to write failed: {0}")]
    Input(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the caller of a failed operation can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Try the same again later.
    Retry,
    /// Read the table again, then decide anew.
    Refresh,
    /// Change the request or the rows.
    FixInput,
    /// The table or its storage needs repair.
    Repair,
    /// The table uses what this build does not support.
    Unsupported,
}

impl TableError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TableError::Format { source, .. } => format_kind(source),
            TableError::Storage { source, .. } => match source.as_ref() {
                StorageError::Format(source) => format_kind(source),
                other if other.is_retryable() => ErrorKind::Retry,
                _ => ErrorKind::Repair,
            },
            TableError::Conflict { .. } | TableError::SnapshotExpired { .. } => ErrorKind::Refresh,
            TableError::TooManyAttempts { .. } => ErrorKind::Retry,
            TableError::CommitOutcomeUnknown { .. } => ErrorKind::Refresh,
            TableError::DuplicateKey { in_table: true, .. } => ErrorKind::Repair,
            TableError::ConstraintViolation { .. }
            | TableError::DuplicateKey { .. }
            | TableError::SchemaMismatch { .. }
            | TableError::AlreadyExists { .. }
            | TableError::InvalidRequest { .. }
            | TableError::Arrow(_)
            | TableError::Input(_) => ErrorKind::FixInput,
        }
    }

    /// Whether there is no Delta table at the location.
    pub fn is_not_a_table(&self) -> bool {
        self.format_error().is_some_and(|e| matches!(e, FormatError::NotATable))
    }

    /// The broken protocol rule, if that is what failed.
    pub fn format_error(&self) -> Option<&FormatError> {
        match self {
            TableError::Format { source, .. } => Some(source),
            TableError::Storage { source, .. } => match source.as_ref() {
                StorageError::Format(source) => Some(source),
                _ => None,
            },
            _ => None,
        }
    }
}

fn format_kind(error: &FormatError) -> ErrorKind {
    match error {
        FormatError::CorruptLog { .. }
        | FormatError::CorruptCheckpoint { .. }
        | FormatError::CorruptDv { .. }
        | FormatError::PathEscapesTable { .. } => ErrorKind::Repair,
        FormatError::UnsupportedFeature { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::FixInput,
    }
}

/// Adds where the table lies to errors from lower floors.
pub(crate) trait OnTable<T> {
    fn on(self, table: &str) -> Result<T>;
}

impl<T> OnTable<T> for std::result::Result<T, FormatError> {
    fn on(self, table: &str) -> Result<T> {
        self.map_err(|source| TableError::Format { table: table.into(), source })
    }
}

impl<T> OnTable<T> for std::result::Result<T, VersionOutOfRange> {
    fn on(self, table: &str) -> Result<T> {
        self.map_err(FormatError::from).on(table)
    }
}

impl<T> OnTable<T> for std::result::Result<T, IndexError> {
    fn on(self, table: &str) -> Result<T> {
        self.map_err(|error| TableError::InvalidRequest {
            table: table.into(),
            operation: "use the primary key".into(),
            what: error.to_string(),
        })
    }
}

impl<T> OnTable<T> for std::result::Result<T, StorageError> {
    fn on(self, table: &str) -> Result<T> {
        self.map_err(|source| match source {
            StorageError::Format(source) => TableError::Format { table: table.into(), source },
            source => TableError::Storage { table: table.into(), source: Box::new(source) },
        })
    }
}
