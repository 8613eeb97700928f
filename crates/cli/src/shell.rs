//! The shell: read a statement, run it, again.

mod commands;
mod completion;
mod helper;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::ValueEnum;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::arguments::Request;
use crate::care;
use crate::failure::Failure;
use crate::pager;
use crate::render::Format;
use crate::runtimes::Runtimes;
use crate::session::Runner;
use crate::shell::commands::{Switch, Typed, is_command};
use crate::shell::helper::Statements;

const HELP: &str = "\
Statements end with a semicolon and may span lines. Commands begin with a dot:
  .help            this text
  .tables          the tables there are                          \\dt
  .schemas         the schemas there are                         \\dn, \\l
  .schema [TABLE]  the columns of a table, or of all tables      \\d
  .show TABLE      what a table looks like: commits, files, log, health
  .mode [FORMAT]   how results are written: table, csv, tsv, json, jsonl, markdown,
                   html, line, insert [TABLE]                    \\x for line and back
  .output [FILE]   results go into a file, or to the screen      \\o
  .once FILE       the next result goes into a file
  .edit            the last statement in $EDITOR, then it runs   \\e
  .read FILE       runs a script                                 \\i
  .watch [SECONDS] runs the last statement again and again       \\watch
  .pager on|off    whether results longer than the screen go    \\pager
                   through $PAGER; .pager COMMAND names another
  .timing on|off   whether it is said how long a statement took  \\timing
  .echo on|off     whether statements of scripts are said
  .bail on|off     whether a script ends with its first error
  .quit, .exit     leave; so does Ctrl-D                         \\q

A command may be cut short as long as it is told from the others. What stands in ~/.floerc is
read first. Ctrl-C gives up the statement that runs, or the line being typed; Ctrl-R searches
what was typed before.

To begin with:
  CREATE TABLE ducks AS SELECT 'Alma' AS name, 1.2 AS weight;
  SELECT * FROM ducks;
  SELECT * FROM 'path/to/file.parquet';           -- also CSV, JSON, and Delta directories
  DESCRIBE HISTORY ducks;
  SELECT * FROM ducks VERSION AS OF 0;";

/// Talks until the person leaves.
pub(crate) fn converse(runner: &Runner, runtimes: &Runtimes, request: &Request) -> Result<(), Failure> {
    let config = Config::builder().auto_add_history(false).completion_type(CompletionType::List).build();
    let mut editor = Editor::<Statements<'_>, FileHistory>::with_config(config).map_err(Failure::Terminal)?;
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    editor.set_helper(Some(Statements { runner, runtimes, colours }));
    let history = history_file();
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    greet(runner, request);
    let mut talk = Talk { runner, runtimes, last: None, before_lines: None, scripts_deep: 0 };
    if let Some(start) = std::env::home_dir().map(|home| home.join(".floerc")).filter(|file| file.is_file()) {
        match talk.read(&start.to_string_lossy()) {
            Ok(Next::Read) => talk.last = None,
            Ok(Next::Leave) => return Ok(()),
            Err(failure) => runner.messages().error(&failure),
        }
    }
    loop {
        match editor.readline("floe> ") {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                remember(&mut editor, history.as_deref(), &text);
                match talk.take_in(&text) {
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

/// Runs a script in which commands may stand among statements, up to the first error.
pub(crate) fn run_script(runner: &Runner, runtimes: &Runtimes, text: &str) -> Result<(), Failure> {
    runner.settings().bail = true;
    Talk { runner, runtimes, last: None, before_lines: None, scripts_deep: 0 }.lines(text).map(drop)
}

/// Whether a line of a script may be a command.
pub(crate) fn has_commands(text: &str) -> bool {
    text.lines().any(is_command)
}

/// Scripts that read scripts, at most.
const SCRIPTS_DEEP_MAX: usize = 16;

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

/// A conversation: what was said before matters to some commands.
struct Talk<'a> {
    runner: &'a Runner,
    runtimes: &'a Runtimes,
    /// The statements that ran last.
    last: Option<String>,
    /// The format before `\x`.
    before_lines: Option<Format>,
    scripts_deep: usize,
}

impl Talk<'_> {
    /// Does what was typed, or pasted: then commands may stand among statements.
    fn take_in(&mut self, text: &str) -> Result<Next, Failure> {
        let mixed = text.trim().lines().skip(1).any(is_command);
        if mixed { self.lines(text) } else { self.obey(text) }
    }

    /// Does what one command or some statements say.
    fn obey(&mut self, text: &str) -> Result<Next, Failure> {
        let runner = self.runner;
        let note = |text: &str| runner.messages().note(text);
        match Typed::parse(text) {
            Typed::Sql(sql) => self.run(sql)?,
            Typed::AllColumns => runner.run_all_columns(self.runtimes)?,
            Typed::Show(table) => care::draw(runner, self.runtimes, table)?,
            Typed::Help => note(HELP),
            Typed::Leave => return Ok(Next::Leave),
            Typed::Mode(None, _) => note(&format!("results are written as {}", name_of(runner.settings().format))),
            Typed::Mode(Some(name), table) => match Format::from_str(&name, true) {
                Ok(format) => {
                    let mut settings = runner.settings();
                    settings.format = format;
                    if let Some(table) = table {
                        settings.insert_into = table;
                    }
                }
                Err(_) => {
                    let known: Vec<String> = Format::value_variants().iter().map(|format| name_of(*format)).collect();
                    note(&format!("there is no format {name}; there are {}", known.join(", ")));
                }
            },
            Typed::Lines => {
                let mut settings = runner.settings();
                match self.before_lines.take() {
                    Some(before) => settings.format = before,
                    None => self.before_lines = Some(std::mem::replace(&mut settings.format, Format::Line)),
                }
            }
            Typed::Output(file) => runner.settings().send_to(file.as_deref())?,
            Typed::Once(file) => runner.settings().send_next_to(&file)?,
            Typed::Switch(which, given) => {
                let on = {
                    let mut settings = runner.settings();
                    let switch = match which {
                        Switch::Timing => &mut settings.timing,
                        Switch::Echo => &mut settings.echo,
                        Switch::Bail => &mut settings.bail,
                    };
                    *switch = given.unwrap_or(!*switch);
                    *switch
                };
                note(&format!("{} is {}", which.name(), if on { "on" } else { "off" }));
            }
            Typed::Pager(given) => {
                let mut settings = runner.settings();
                match given.as_deref() {
                    None => {}
                    Some(off) if off.eq_ignore_ascii_case("off") => settings.pager = None,
                    Some(on) if on.eq_ignore_ascii_case("on") => settings.pager = Some(pager::chosen()),
                    Some(command) => settings.pager = Some(command.to_owned()),
                }
                note(&match &settings.pager {
                    Some(command) => format!("results longer than the screen go through {command}"),
                    None => "long results are cut".to_owned(),
                });
            }
            Typed::Edit => {
                let text = edited(self.last.as_deref().unwrap_or_default())?;
                if !text.trim().is_empty() {
                    note(text.trim_end());
                    return self.take_in(&text);
                }
            }
            Typed::Read(file) => return self.read(&file),
            Typed::Watch(seconds) => self.watch(Duration::from_secs_f64(seconds))?,
            Typed::Unknown(what) => note(&what),
        }
        Ok(Next::Read)
    }

    fn run(&mut self, sql: String) -> Result<(), Failure> {
        if self.runner.settings().echo {
            self.runner.messages().note(sql.trim());
        }
        self.last = Some(sql.clone());
        self.runner.run_script(self.runtimes, sql, "input".to_owned())
    }

    /// Runs the last statements again and again, until Ctrl-C or an error.
    fn watch(&mut self, pause: Duration) -> Result<(), Failure> {
        let Some(sql) = self.last.clone() else {
            self.runner.messages().note("there is no statement to run again yet");
            return Ok(());
        };
        // Ctrl-C may come while nobody waits for it, between a statement and the pause after it.
        let pressed = self.runner.note_interrupt(self.runtimes);
        while !pressed.load(Ordering::Acquire) {
            let ran = self.runner.run_script(self.runtimes, sql.clone(), "input".to_owned());
            match ran.and_then(|()| self.runner.pause(self.runtimes, pause)) {
                Err(Failure::Interrupted) => break,
                other => other?,
            }
        }
        Ok(())
    }

    /// Does what the lines of a file say, as if they were typed. Errors are said, and end it where `.bail` is on.
    fn read(&mut self, file: &str) -> Result<Next, Failure> {
        if self.scripts_deep == SCRIPTS_DEEP_MAX {
            self.runner
                .messages()
                .note(&format!("{file} is not read: {SCRIPTS_DEEP_MAX} scripts read each other already"));
            return Ok(Next::Read);
        }
        let text = std::fs::read_to_string(file).map_err(|error| Failure::Input { from: file.to_owned(), error })?;
        self.scripts_deep += 1;
        let next = self.lines(&text);
        self.scripts_deep -= 1;
        next
    }

    fn lines(&mut self, text: &str) -> Result<Next, Failure> {
        let mut open = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if open.trim().is_empty() {
                open.clear();
            }
            open.push_str(line);
            open.push('\n');
            let whole = is_whole(&open) || lines.peek().is_none();
            if !whole || open.trim().is_empty() {
                continue;
            }
            match self.obey(&std::mem::take(&mut open)) {
                Ok(Next::Read) => {}
                Ok(Next::Leave) => return Ok(Next::Leave),
                Err(failure @ Failure::Interrupted) => return Err(failure),
                Err(failure) if failure.output_closed() || self.runner.settings().bail => return Err(failure),
                Err(failure) => self.runner.messages().error(&failure),
            }
        }
        Ok(Next::Read)
    }
}

/// The text after a person has had it in their editor: `$VISUAL`, `$EDITOR` or vi.
fn edited(text: &str) -> Result<String, Failure> {
    let said = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = said("VISUAL").or_else(|| said("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let file = std::env::temp_dir().join(format!("floe-{}.sql", std::process::id()));
    let failed = |error: io::Error| Failure::Destination { file: file.display().to_string(), error };
    // Never a file of somebody else's.
    let mut new = std::fs::OpenOptions::new().write(true).create_new(true).open(&file).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    drop(new);
    let ran = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&file).status();
    let back = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    match ran {
        Ok(status) if status.success() => back.map_err(failed),
        Ok(status) => Err(failed(io::Error::other(format!("{editor} ended with {status}; nothing is run")))),
        Err(error) => Err(failed(error)),
    }
}

fn name_of(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn remember(editor: &mut Editor<Statements<'_>, FileHistory>, history: Option<&std::path::Path>, text: &str) {
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

fn is_whole(text: &str) -> bool {
    let trimmed = text.trim();
    trimmed.is_empty() || is_command(trimmed) || floe_query::is_complete(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_runs_whole_statements_only() {
        for whole in ["", ".tables", "\\dt", "SELECT 1;", "SELECT ';' ; -- done", "SELECT 1; SELECT 2;"] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1 /* ; ", "SELECT 1; SELECT 2"] {
            assert!(!is_whole(open), "{open:?}");
        }
    }
}
