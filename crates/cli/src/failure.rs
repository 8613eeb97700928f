//! Why a run ended early.

use std::error::Error;
use std::fmt;
use std::io;

use floe_query::QueryError;
use floe_storage::StorageError;

use crate::render::RenderError;

/// Why a run, or a statement of the shell, ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Ctrl-C.
    Interrupted,
    /// The task of the statement ended without a word, which only a defect can do.
    Crashed,
    /// The statements could not be read.
    Input { from: String, error: io::Error },
    /// The table, file or directory of the command line cannot be opened.
    Place { place: String, what: String },
    /// A statement failed; `at` says which of several.
    Statement { at: Option<String>, error: Box<QueryError> },
    /// The session or a result failed outside any statement.
    Query(Box<QueryError>),
    /// The result could not be written.
    Output(RenderError),
    /// The file that results are to go to cannot be written.
    Destination { file: String, error: io::Error },
    /// The store could not be examined.
    Storage(Box<StorageError>),
    /// The store was examined and cannot hold tables.
    UnfitStore { uri: String },
    /// The table was checked and is not sound.
    UnsoundTable { table: String },
    /// The terminal failed.
    Terminal(rustyline::error::ReadlineError),
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::Query(Box::new(error))
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(Box::new(error))
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// Whether the reader of standard output went away, which is no error of ours to talk about.
    pub(crate) fn output_closed(&self) -> bool {
        matches!(self, Self::Output(RenderError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What would help.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Statement { error, .. } | Self::Query(error) => error.hint(),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str(
                "interrupted; nothing of the statement is committed unless its commit was already on the way, \
                 which DESCRIBE HISTORY shows",
            ),
            Self::Crashed => f.write_str("the statement met a defect of Floe and was stopped; please report it"),
            Self::Input { from, .. } => write!(f, "cannot read statements from {from}"),
            Self::Place { place, what } => write!(f, "cannot open {place}: {what}"),
            Self::Statement { at: Some(at), error } => write!(f, "{at}: {error}"),
            Self::Statement { at: None, error } | Self::Query(error) => error.fmt(f),
            Self::Output(error) => error.fmt(f),
            Self::Destination { file, .. } => write!(f, "cannot write results to {file}"),
            Self::Storage(error) => error.fmt(f),
            Self::UnfitStore { uri } => {
                write!(f, "{uri} cannot hold tables that are written to: writers could overwrite each other")
            }
            Self::UnsoundTable { table } => write!(f, "{table} is not sound: see the findings"),
            Self::Terminal(error) => write!(f, "cannot read from the terminal: {error}"),
        }?;
        match self.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Input { error, .. } | Self::Destination { error, .. } => Some(error),
            Self::Statement { error, .. } | Self::Query(error) => error.source(),
            Self::Output(error) => error.source(),
            Self::Storage(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_recognised() {
        let closed = Failure::Output(RenderError::Output(io::ErrorKind::BrokenPipe.into()));
        let full = Failure::Output(RenderError::Output(io::ErrorKind::StorageFull.into()));
        assert!(closed.output_closed() && !full.output_closed());
    }
}
