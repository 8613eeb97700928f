//! Why a run ended early.

use std::error::Error;
use std::fmt;
use std::io;

use floe_query::{ErrorPlace, QueryError};
use floe_storage::StorageError;
use unicode_width::UnicodeWidthStr;

use crate::render::{RenderError, escape_control};

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
    /// A statement failed; `at` says which of several, `shown` the line and the place in it.
    Statement { at: Option<String>, error: Box<QueryError>, shown: Option<String> },
    /// The session or a result failed outside any statement.
    Query(Box<QueryError>),
    /// The result could not be written.
    Output(RenderError),
    /// The file that results are to go to cannot be written.
    Destination { file: String, error: io::Error },
    /// The pager could not be started.
    Pager { command: String },
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
            Self::Statement { at: Some(at), error, .. } => write!(f, "{at}: {error}"),
            Self::Statement { at: None, error, .. } | Self::Query(error) => error.fmt(f),
            Self::Output(error) => error.fmt(f),
            Self::Destination { file, .. } => write!(f, "cannot write results to {file}"),
            Self::Pager { command } => {
                write!(f, "cannot run the pager {command}; .pager off does without, .pager COMMAND takes another")
            }
            Self::Storage(error) => error.fmt(f),
            Self::UnfitStore { uri } => {
                write!(f, "{uri} cannot hold tables that are written to: writers could overwrite each other")
            }
            Self::UnsoundTable { table } => write!(f, "{table} is not sound: see the findings"),
            Self::Terminal(error) => write!(f, "cannot read from the terminal: {error}"),
        }?;
        if let Self::Statement { shown: Some(shown), .. } = self {
            write!(f, "\n{shown}")?;
        }
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

/// The line of a script with marks below the place, no wider than a narrow terminal.
pub(crate) fn pointed_at(script: &str, place: ErrorPlace) -> Option<String> {
    const SHOWN: usize = 70;
    let line = script.lines().nth(place.line.checked_sub(1)?)?;
    // Escapes would move the marks.
    let plain = |c: char| if escape_control(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() { c } else { ' ' };
    let characters: Vec<char> = line.chars().map(plain).collect();
    let at = place.column.checked_sub(1)?.min(characters.len());
    let length = place.length.min(characters.len() - at).max(1);
    let from = if at + length <= SHOWN { 0 } else { at.saturating_sub(SHOWN / 2) };
    let to = characters.len().min(from + SHOWN);
    let text = |range: std::ops::Range<usize>| characters[range].iter().collect::<String>();
    let cut = |is_cut: bool| if is_cut { "..." } else { "" };
    let (before, after) = (cut(from > 0), cut(to < characters.len()));
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(before.len() + text(from..at).width());
    let marks = "^".repeat(text(at..(at + length).min(to).max(at)).width().max(1));
    Some(format!("  {number} | {before}{}{after}\n  {margin} | {indent}{marks}", text(from..to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked_in_its_line() {
        let marked = |script: &str, line, column, length| {
            pointed_at(script, ErrorPlace { line, column, length }).expect("a line")
        };
        assert_eq!(marked("SELECT 1;\nSELECT nme", 2, 8, 3), "  2 | SELECT nme\n    |        ^^^");
        // At the end, where something is missing.
        assert_eq!(marked("SELECT", 1, 7, 1), "  1 | SELECT\n    |       ^");
        // Wide characters take two columns, control characters one.
        assert_eq!(marked("SELECT '鸭\t', x", 1, 14, 1), "  1 | SELECT '鸭 ', x\n    |               ^");
        let long = format!("SELECT {}, nme", "a, ".repeat(100));
        let shown = marked(&long, 1, 310, 3);
        let (text, marks) = shown.split_once('\n').expect("two lines");
        assert!(text.starts_with("  1 | ...") && text.len() < 90, "{shown}");
        assert_eq!(text.find("nme"), marks.find("^^^"), "{shown}");
        assert_eq!(pointed_at("", ErrorPlace { line: 2, column: 1, length: 1 }), None);
    }

    #[test]
    fn a_closed_pipe_is_recognised() {
        let closed = Failure::Output(RenderError::Output(io::ErrorKind::BrokenPipe.into()));
        let full = Failure::Output(RenderError::Output(io::ErrorKind::StorageFull.into()));
        assert!(closed.output_closed() && !full.output_closed());
    }
}
