//! What can go wrong between this process and its bytes, as one enum.
//!
//! Stores report failures as free text that may hold request URLs, and those may hold signatures. Everything is therefore
//! turned into text once, here, with secrets taken out; no foreign error travels further up as a source.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use floe_table_format::error::printable;
use floe_table_format::{FormatError, Version};

use crate::local::LocalError;
use crate::options::Secrets;

/// The result of a function of this crate.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// A failure of I/O or of what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no such object.
    #[error("cannot {operation} {path}: not found")]
    NotFound {
        /// What was attempted: `read`, `write`, ...
        operation: &'static str,
        /// The object.
        path: String,
    },
    /// The object is there already, and the request was to create it.
    #[error("cannot create {path}: it exists already")]
    AlreadyExists {
        /// The object.
        path: String,
    },
    /// The credentials, or the user's rights in the file system, do not allow this.
    #[error("cannot {operation} {path}: permission denied: {what}")]
    PermissionDenied {
        /// What was attempted.
        operation: &'static str,
        /// The object.
        path: String,
        /// The store's words.
        what: String,
    },
    /// The disk or the quota is full.
    #[error("cannot {operation} {path}: out of space: {what}")]
    OutOfSpace {
        /// What was attempted.
        operation: &'static str,
        /// The object.
        path: String,
        /// The store's words.
        what: String,
    },
    /// The store asked to slow down, and still did so after retries.
    #[error("cannot {operation} {path}: throttled by the store: {what}")]
    Throttled {
        /// What was attempted.
        operation: &'static str,
        /// The object.
        path: String,
        /// The store's words.
        what: String,
    },
    /// The store did not answer in time.
    #[error("cannot {operation} {path}: no answer within {} s", .after.as_secs())]
    Timeout {
        /// What was attempted.
        operation: &'static str,
        /// The object.
        path: String,
        /// How long was waited.
        after: Duration,
    },
    /// The store could not be reached, or failed in another way.
    #[error("cannot {operation} {path}: {what}")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// The object.
        path: String,
        /// The store's words.
        what: String,
    },
    /// The store cannot create an object only if it is absent, so two writers would overwrite each other's commits.
    #[error("cannot write safely to {uri}: the store lacks put-if-absent: {why}")]
    StoreLacksConditionalPut {
        /// The location.
        uri: String,
        /// What was seen.
        why: String,
    },
    /// It is not known whether a commit was written. Read the version back and compare the commit's token.
    #[error("the outcome of writing version {version} is unknown: {what}")]
    UnknownOutcome {
        /// The version.
        version: Version,
        /// What happened.
        what: String,
    },
    /// A data file cannot be read as what the log says it is.
    #[error("corrupt data file {path}: {what}")]
    CorruptDataFile {
        /// The file, relative to the table.
        path: String,
        /// What was found, and what was expected.
        what: String,
    },
    /// The bytes decode, but not to something valid.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A batch cannot be written to a data file.
    #[error("cannot encode {path}: {what}")]
    Encode {
        /// The file, relative to the table.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A location or a path in it cannot be used.
    #[error("invalid location {uri}: {what}")]
    InvalidLocation {
        /// The location, without credentials.
        uri: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// A storage option is unknown or its value is not acceptable.
    #[error("invalid storage option {key}: {what}")]
    InvalidOption {
        /// The option's name; its value is never shown.
        key: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// This build leaves out the store that the location asks for.
    #[error("cannot open {uri}: this build lacks the cargo feature `{feature}`")]
    FeatureDisabled {
        /// The location, without credentials.
        uri: String,
        /// The feature to build with.
        feature: &'static str,
    },
}

impl StorageError {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, StorageError::Throttled { .. } | StorageError::Timeout { .. } | StorageError::Unavailable { .. })
    }

    /// Whether an object was missing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StorageError::NotFound { .. })
    }

    /// A [`StorageError::CorruptDataFile`].
    pub(crate) fn corrupt_file(path: &str, what: impl Into<String>) -> Self {
        StorageError::CorruptDataFile { path: printable(path), what: what.into() }
    }

    /// What an error of the store means, with secrets removed from its words.
    pub(crate) fn of_store(
        operation: &'static str,
        uri: &str,
        path: &str,
        error: &object_store::Error,
        secrets: &Secrets,
    ) -> Self {
        use object_store::Error as Store;

        let path = printable(path);
        let what = || secrets.redact(&chain_text(error));
        if let Some(LocalError::NoHardLinks { .. }) = find::<LocalError>(error) {
            return StorageError::StoreLacksConditionalPut { uri: uri.into(), why: what() };
        }
        match error {
            Store::NotFound { .. } => return StorageError::NotFound { operation, path },
            Store::AlreadyExists { .. } | Store::Precondition { .. } => return StorageError::AlreadyExists { path },
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
                return StorageError::PermissionDenied { operation, path, what: what() };
            }
            Store::InvalidPath { .. } => {
                return StorageError::InvalidLocation { uri: uri.into(), what: format!("{path}: {}", what()) };
            }
            _ => {}
        }
        match io_kind(error) {
            // Below a file there is nothing, as below a folder that is not there.
            Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => StorageError::NotFound { operation, path },
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
                StorageError::OutOfSpace { operation, path, what: what() }
            }
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                StorageError::PermissionDenied { operation, path, what: what() }
            }
            _ => match http_status(&chain_text(error)) {
                Some(429 | 503) => StorageError::Throttled { operation, path, what: what() },
                Some(507) => StorageError::OutOfSpace { operation, path, what: what() },
                _ => StorageError::Unavailable { operation, path, what: what() },
            },
        }
    }
}

/// What an error says about a conditional put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PutFailure {
    /// The object exists; perhaps an earlier try of our own made it.
    Taken,
    /// The store refused before it did anything.
    NotApplied,
    /// The store refuses conditions.
    ConditionRefused,
    /// The object may or may not have been written.
    Unknown,
}

/// Sorts the error of a put-if-absent by what it proves about the object.
///
/// Only what is certain counts as a refusal: a store's client may have retried behind our back, and an earlier try whose
/// answer was lost may have been applied whatever the last answer says.
pub(crate) fn classify_put(error: &object_store::Error) -> PutFailure {
    use object_store::Error as Store;

    match error {
        Store::AlreadyExists { .. } | Store::Precondition { .. } => return PutFailure::Taken,
        Store::InvalidPath { .. } => return PutFailure::NotApplied,
        // Raised by clients before anything is sent.
        Store::NotImplemented { .. } => return PutFailure::ConditionRefused,
        _ => {}
    }
    match find::<LocalError>(error) {
        Some(LocalError::NoHardLinks { .. }) => return PutFailure::ConditionRefused,
        Some(LocalError::NotDurable { .. }) => return PutFailure::Unknown,
        Some(LocalError::Io { .. } | LocalError::Symlink { .. }) => return PutFailure::NotApplied,
        None => {}
    }
    let text = chain_text(error);
    if text.contains(" retries, max_retries") {
        return PutFailure::Unknown;
    }
    match error {
        Store::NotFound { .. }
        | Store::PermissionDenied { .. }
        | Store::Unauthenticated { .. }
        | Store::NotSupported { .. }
        | Store::UnknownConfigurationKey { .. } => PutFailure::NotApplied,
        _ => match http_status(&text) {
            Some(501) => PutFailure::ConditionRefused,
            Some(300..=399 | 400 | 404 | 405 | 411 | 413) => PutFailure::NotApplied,
            _ => match io_kind(error) {
                Some(
                    io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem,
                ) => PutFailure::NotApplied,
                _ => PutFailure::Unknown,
            },
        },
    }
}

/// The first error of this type in the chain of sources.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    find::<io::Error>(error).map(io::Error::kind)
}

/// The HTTP status in the text of an error of object_store, whose own type for it is private.
fn http_status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The error and its sources on one line, without what is said twice.
fn chain_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn a_put_counts_as_refused_only_when_that_is_certain() {
        let server = "Server returned non-2xx status code";
        assert_eq!(classify_put(&generic(&format!("{server}: 400 Bad Request: "))), PutFailure::NotApplied);
        assert_eq!(classify_put(&generic(&format!("{server}: 501 Not Implemented: "))), PutFailure::ConditionRefused);
        assert_eq!(classify_put(&generic(&format!("{server}: 500 Internal Server Error: "))), PutFailure::Unknown);
        assert_eq!(classify_put(&generic(&format!("{server}: 503 Slow Down: "))), PutFailure::Unknown);
        assert_eq!(classify_put(&generic("connection reset by peer")), PutFailure::Unknown);
        let denied = object_store::Error::PermissionDenied { path: "a".into(), source: "no".into() };
        assert_eq!(classify_put(&denied), PutFailure::NotApplied);
    }

    #[test]
    fn a_refusal_after_a_retry_proves_nothing_about_the_first_try() {
        let denied = object_store::Error::PermissionDenied {
            path: "a".into(),
            source: "in 2s, after 1 retries, max_retries: 5, retry_timeout: 60s".into(),
        };
        assert_eq!(classify_put(&denied), PutFailure::Unknown);
    }

    #[test]
    fn io_errors_keep_their_meaning() {
        let of = |kind: io::ErrorKind| {
            let error = object_store::Error::Generic { store: "local", source: Box::new(io::Error::from(kind)) };
            StorageError::of_store("write", "file:///t", "a", &error, &Secrets::default())
        };
        assert!(matches!(of(io::ErrorKind::StorageFull), StorageError::OutOfSpace { .. }));
        assert!(matches!(of(io::ErrorKind::ReadOnlyFilesystem), StorageError::PermissionDenied { .. }));
        assert!(matches!(of(io::ErrorKind::PermissionDenied), StorageError::PermissionDenied { .. }));
        assert!(matches!(of(io::ErrorKind::ConnectionReset), StorageError::Unavailable { .. }));
    }
}
