//! What the line editor asks while a person types.

use std::borrow::Cow;

use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::completion::{Catalog, complete};
use super::words::{Kind, is_keyword, parts};
use crate::runtimes::Runtimes;
use crate::session::Runner;

/// Tells the editor when Enter ends a statement, what could be meant by half a word, and in which colours words are shown.
pub(super) struct Statements<'a> {
    pub(super) runner: &'a Runner,
    pub(super) runtimes: &'a Runtimes,
    pub(super) colours: bool,
}

impl Validator for Statements<'_> {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if super::is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Helper for Statements<'_> {}

impl Hinter for Statements<'_> {
    type Hint = String;
}

impl Completer for Statements<'_> {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&line[..at], line, self))
    }
}

impl Catalog for Statements<'_> {
    fn tables(&self, schema: Option<&str>) -> Vec<String> {
        self.runner.table_names(self.runtimes, schema)
    }

    fn schemas(&self) -> Vec<String> {
        self.runner.schema_names(self.runtimes)
    }

    fn columns(&self, table: &str) -> Vec<String> {
        self.runner.column_names(self.runtimes, table)
    }

    fn functions(&self) -> Vec<String> {
        self.runner.function_names()
    }

    fn newest_version(&self, table: &str) -> Option<i64> {
        self.runner.newest_version(self.runtimes, table)
    }

    fn properties(&self) -> Vec<String> {
        floe_query::property_names().map(str::to_owned).collect()
    }

    fn folder(&self, path: &str) -> Vec<String> {
        let folder = if path.is_empty() { "." } else { path };
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok().filter(|name| !name.contains(char::is_control))?;
                Some(if entry.path().is_dir() { name + "/" } else { name })
            })
            .collect()
    }
}

const KEYWORD: &str = "\x1b[1;34m";
const TEXT: &str = "\x1b[32m";
const NUMBER: &str = "\x1b[36m";
const COMMENT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

impl Highlighter for Statements<'_> {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colours { Cow::Owned(coloured(line)) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        // A word may become a keyword with any letter.
        self.colours && kind != CmdKind::MoveCursor
    }
}

/// The text in colours; without them it is the same.
fn coloured(text: &str) -> String {
    if super::commands::is_command(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut at = 0;
    for part in parts(text) {
        out.push_str(&text[at..part.start]);
        let colour = match part.kind {
            Kind::Word if is_keyword(part.of(text)) => Some(KEYWORD),
            Kind::Text => Some(TEXT),
            Kind::Number => Some(NUMBER),
            Kind::Comment => Some(COMMENT),
            Kind::Word | Kind::Quoted | Kind::Sign => None,
        };
        match colour {
            Some(colour) => out.extend([colour, part.of(text), PLAIN]),
            None => out.push_str(part.of(text)),
        }
        at = part.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_texts_numbers_and_comments_have_colours() {
        let shown = coloured("select 'a', 1 FROM t -- x");
        assert_eq!(
            shown,
            "\x1b[1;34mselect\x1b[0m \x1b[32m'a'\x1b[0m, \x1b[36m1\x1b[0m \x1b[1;34mFROM\x1b[0m t \x1b[2m-- x\x1b[0m"
        );
        assert_eq!(coloured(".mode csv"), ".mode csv");
        assert_eq!(coloured("  größe = ü "), "  größe = ü ");
    }
}
