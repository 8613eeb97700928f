//! From a script to its statements.

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::dialect::FloeDialect;
use crate::error::{QueryError, Result};
use crate::statement::ParsedStatement;

/// The longest script that is read at once, in bytes.
const SCRIPT_BYTES_MAX: usize = 64 << 20;

/// The statements of a script, separated by semicolons.
///
/// Semicolons in quotes, comments and dollar quotes separate nothing. Statements that hold only comments are left out.
///
/// # Errors
/// [`QueryError::Syntax`] if a quote or comment is not closed; [`QueryError::InvalidArgument`] above 64 MiB.
pub fn split_statements(text: &str) -> Result<Vec<ParsedStatement>> {
    if text.len() > SCRIPT_BYTES_MAX {
        return Err(QueryError::invalid_argument(format!(
            "the script has {} bytes, the limit is {SCRIPT_BYTES_MAX}",
            text.len()
        )));
    }
    let tokens = tokenize(text)?;
    let lines = LineStarts::new(text);
    let mut statements = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    for token in tokens {
        match token.token {
            Token::SemiColon => finish(&mut current, text, &lines, &mut statements),
            Token::EOF => {}
            _ => current.push(token),
        }
    }
    finish(&mut current, text, &lines, &mut statements);
    Ok(statements)
}

/// Whether this text ends a statement, so that a shell can run it rather than ask for another line: its last token is a
/// semicolon, and no quote or comment is open. Text without any statement is complete too.
pub fn is_complete(text: &str) -> bool {
    match tokenize(text) {
        // Not closed yet; if it is wrong for another reason, the shell learns so after the next semicolon.
        Err(_) => text.trim_end().ends_with(';') && !open_quote(text),
        Ok(tokens) => match tokens.iter().rev().find(|t| !is_blank(&t.token)) {
            None => true,
            Some(last) => last.token == Token::SemiColon,
        },
    }
}

/// Whether the tokenizer stopped because something was not closed.
fn open_quote(text: &str) -> bool {
    match Tokenizer::new(&FloeDialect, text).tokenize() {
        Ok(_) => false,
        Err(error) => {
            let what = error.to_string().to_lowercase();
            what.contains("unterminated")
                || what.contains("expected close delimiter")
                || what.contains("unexpected eof")
        }
    }
}

fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&FloeDialect, text).tokenize_with_location().map_err(|e| QueryError::syntax(e.to_string()))
}

fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::EOF)
}

fn finish(current: &mut Vec<TokenWithSpan>, text: &str, lines: &LineStarts, out: &mut Vec<ParsedStatement>) {
    let tokens: Vec<TokenWithSpan> = std::mem::take(current).into_iter().filter(|t| !is_blank(&t.token)).collect();
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
        return;
    };
    let start = lines.offset(text, first.span.start);
    let end = lines.offset(text, last.span.end);
    let source = text.get(start..end).unwrap_or(text).trim().to_owned();
    out.push(ParsedStatement::new(source, tokens));
}

/// Where each line of a text begins, in bytes: token positions are lines and characters.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(text: &str) -> Self {
        LineStarts(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn offset(&self, text: &str, at: Location) -> usize {
        let line = (at.line.max(1) - 1) as usize;
        let Some(start) = self.0.get(line) else {
            return text.len();
        };
        let column = (at.column.max(1) - 1) as usize;
        text[*start..].char_indices().nth(column).map_or(text.len(), |(at, _)| start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = split_statements(text).expect("splits").iter().map(|s| s.text().to_owned()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn semicolons_separate_statements_outside_quotes_and_comments() {
        check("SELECT 1; SELECT 2", &["SELECT 1", "SELECT 2"]);
        check("SELECT ';' ; ;; SELECT \"a;b\", `c;d`", &["SELECT ';'", "SELECT \"a;b\", `c;d`"]);
        check("-- only a comment; nothing\n", &[]);
        check("SELECT 1 -- tail; of line\n; /* ; */ SELECT 'it''s;'", &["SELECT 1", "SELECT 'it''s;'"]);
        check("SELECT $$;$$", &["SELECT $$;$$"]);
        check("SELECT 'ä;ö'\n ;\nSELECT 'ü'", &["SELECT 'ä;ö'", "SELECT 'ü'"]);
    }

    #[test]
    fn an_open_quote_is_an_error_and_not_complete() {
        assert!(matches!(split_statements("SELECT 'open"), Err(QueryError::Syntax { .. })));
        assert!(!is_complete("SELECT 'open;"));
        assert!(!is_complete("SELECT 1"));
        assert!(!is_complete("SELECT 1; SELECT"));
        assert!(is_complete("SELECT 1;"));
        assert!(is_complete("SELECT 1; -- done"));
        assert!(is_complete("  "));
    }
}
