//! The shell: read a statement, run it, again.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

use crate::arguments::Request;
use crate::failure::Failure;
use crate::runtimes::Runtimes;
use crate::session::Runner;

const HELP: &str = "\
Statements end with a semicolon and may span lines. Commands begin with a dot:
  .help            this text
  .tables          the tables there are
  .schema [TABLE]  the columns of a table, or of all tables
  .quit, .exit     leave; so does Ctrl-D

Ctrl-C gives up the statement that runs, or the line being typed.

To begin with:
  CREATE TABLE ducks AS SELECT 'Alma' AS name, 1.2 AS weight;
  SELECT * FROM ducks;
  SELECT * FROM 'path/to/file.parquet';           -- also CSV, JSON, and Delta directories
  DESCRIBE HISTORY ducks;
  SELECT * FROM ducks VERSION AS OF 0;";

/// Talks until the person leaves.
pub(crate) fn converse(runner: &Runner, runtimes: &Runtimes, request: &Request) -> Result<(), Failure> {
    let config = Config::builder().auto_add_history(false).build();
    let mut editor = Editor::<Statements, FileHistory>::with_config(config).map_err(Failure::Terminal)?;
    editor.set_helper(Some(Statements));
    let history = history_file();
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    greet(runner, request);
    loop {
        match editor.readline("floe> ") {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                remember(&mut editor, history.as_deref(), &text);
                match obey(runner, runtimes, &text) {
                    Ok(Next::Read) => {}
                    Ok(Next::Leave) => return Ok(()),
                    Err(failure) if failure.output_closed() => return Err(failure),
                    Err(failure) => runner.messages().error(&failure),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(Failure::Terminal(error)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Read,
    Leave,
}

fn greet(runner: &Runner, request: &Request) {
    let read_only = if request.read_only { ", read-only" } else { "" };
    runner.messages().note(&format!(
        "Floe {} on warehouse {}{read_only}\n\
         End a statement with \";\". Type .help for help and examples, .tables for the tables, .quit to leave.",
        env!("CARGO_PKG_VERSION"),
        request.warehouse,
    ));
}

/// Runs what was typed.
fn obey(runner: &Runner, runtimes: &Runtimes, text: &str) -> Result<Next, Failure> {
    let statements = match Typed::parse(text) {
        Typed::Sql(sql) => sql,
        Typed::AllColumns => {
            runner.run_all_columns(runtimes)?;
            return Ok(Next::Read);
        }
        Typed::Help => {
            runner.messages().note(HELP);
            return Ok(Next::Read);
        }
        Typed::Leave => return Ok(Next::Leave),
        Typed::Unknown(command) => {
            runner.messages().note(&format!("unknown command {command}; .help lists the commands"));
            return Ok(Next::Read);
        }
    };
    runner.run_script(runtimes, statements, "input".to_owned())?;
    Ok(Next::Read)
}

/// What a person typed.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    /// Statements to run.
    Sql(String),
    /// The columns of every table.
    AllColumns,
    Help,
    Leave,
    Unknown(String),
}

impl Typed {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        if !text.starts_with('.') {
            return Self::Sql(text.to_owned());
        }
        let text = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        let (command, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let argument = argument.trim();
        match (command, argument) {
            (".help", _) => Self::Help,
            (".quit" | ".exit", _) => Self::Leave,
            (".tables", "") => Self::Sql("SHOW TABLES".to_owned()),
            (".schema", "") => Self::AllColumns,
            (".schema", table) => Self::Sql(format!("DESCRIBE {table}")),
            _ => Self::Unknown(text.to_owned()),
        }
    }
}

fn remember(editor: &mut Editor<Statements, FileHistory>, history: Option<&std::path::Path>, text: &str) {
    let added = editor.add_history_entry(text.trim_end()).unwrap_or(false);
    let (true, Some(history)) = (added, history) else { return };
    // History is a convenience: a home that cannot be written to is no reason to complain at every line.
    if let Some(folder) = history.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let _ = editor.append_history(history);
}

/// `$XDG_STATE_HOME/floe/history`, by default below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(state) => state,
        None => std::env::home_dir()?.join(".local/state"),
    };
    Some(state.join("floe/history"))
}

/// Tells the editor when Enter ends a statement and when it begins another line.
struct Statements;

impl Validator for Statements {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

fn is_whole(text: &str) -> bool {
    let trimmed = text.trim();
    trimmed.is_empty() || trimmed.starts_with('.') || floe_query::is_complete(text)
}

impl Helper for Statements {}
impl Highlighter for Statements {}
impl Hinter for Statements {
    type Hint = String;
}
impl Completer for Statements {
    type Candidate = String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_commands_are_understood() {
        let sql = |text: &str| Typed::Sql(text.to_owned());
        for (text, typed) in [
            (".help", Typed::Help),
            (" .quit ", Typed::Leave),
            (".exit;", Typed::Leave),
            (".tables", sql("SHOW TABLES")),
            (".schema", Typed::AllColumns),
            (".schema  ducks ;", sql("DESCRIBE ducks")),
            (".tabels", Typed::Unknown(".tabels".to_owned())),
            ("SELECT .5;", sql("SELECT .5;")),
        ] {
            assert_eq!(Typed::parse(text), typed, "{text}");
        }
    }

    #[test]
    fn enter_runs_whole_statements_only() {
        for whole in ["", ".tables", "SELECT 1;", "SELECT ';' ; -- done", "SELECT 1; SELECT 2;"] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1 /* ; ", "SELECT 1; SELECT 2"] {
            assert!(!is_whole(open), "{open:?}");
        }
    }
}
