//! The place in a script that an error is about.

use datafusion::sql::sqlparser::tokenizer::{Location, Token};

use crate::error::QueryError;
use crate::statement::ParsedStatement;

/// A stretch of one line of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorPlace {
    /// The line, from 1.
    pub line: usize,
    /// The first character in that line, from 1.
    pub column: usize,
    /// How many characters.
    pub length: usize,
}

impl ErrorPlace {
    /// Where a script stops to be readable at all, by what [`split_statements`](super::split_statements) says.
    pub fn in_script(error: &QueryError) -> Option<ErrorPlace> {
        let QueryError::Syntax { what } = error else { return None };
        let (line, column) = said_location(what)?;
        Some(ErrorPlace { line, column, length: 1 })
    }
}

impl ParsedStatement {
    /// The place in the script that an error of this statement is about, if it is about a word or a sign in it.
    pub fn place_of(&self, error: &QueryError) -> Option<ErrorPlace> {
        let said;
        let name = match error {
            QueryError::Syntax { what } => {
                let (line, column) = said_location(what)?;
                let at = Location::new(line as u64, column as u64);
                let length =
                    self.tokens().iter().find(|token| token.span.start == at).map_or(1, |token| length(&token.token));
                return Some(ErrorPlace { line, column, length });
            }
            QueryError::UnknownColumn { name, .. }
            | QueryError::UnknownTable { name, .. }
            | QueryError::UnknownSchema { name, .. } => name.as_str(),
            QueryError::DataFusion(error) => {
                said = error.to_string();
                quoted_name(&said)?
            }
            _ => return None,
        };
        // Of a name with several parts, the last is what the error names in vain.
        let last = name.rsplit('.').next().unwrap_or(name).trim_matches(['`', '"', '\'']);
        let found = self.tokens().iter().find(|token| match &token.token {
            Token::Word(word) => word.value.eq_ignore_ascii_case(last),
            Token::SingleQuotedString(text) => text == name,
            _ => false,
        })?;
        let Location { line, column } = found.span.start;
        Some(ErrorPlace { line: line as usize, column: column as usize, length: length(&found.token) })
    }
}

fn length(token: &Token) -> usize {
    token.to_string().chars().count().max(1)
}

/// The parser says `at Line: 1, Column: 8`.
fn said_location(what: &str) -> Option<(usize, usize)> {
    let (_, rest) = what.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    Some((line.parse().ok()?, rest[..digits].parse().ok()?))
}

/// The first name in quotes of a planner's error, such as that of a function.
fn quoted_name(what: &str) -> Option<&str> {
    let (_, rest) = what.split_once('\'')?;
    rest.split_once('\'').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::split_statements;

    fn place(script: &str, error: &QueryError) -> Option<(usize, usize, usize)> {
        let statement = split_statements(script).expect("readable").pop().expect("a statement");
        statement.place_of(error).map(|place| (place.line, place.column, place.length))
    }

    #[test]
    fn an_error_is_found_in_the_line_of_the_script() {
        let unknown = |name: &str| QueryError::unknown_column(name, vec!["name".into()]);
        assert_eq!(place("SELECT 1;\nSELECT a,\n  nme FROM t", &unknown("nme")), Some((3, 3, 3)));
        assert_eq!(place("SELECT t.\"n m\" FROM t", &unknown("t.n m")), Some((1, 10, 5)));
        assert_eq!(place("SELECT 1", &unknown("nme")), None);
        let table = QueryError::unknown_table("s.duks", std::iter::empty());
        assert_eq!(place("SELECT * FROM s.duks", &table), Some((1, 17, 4)));
        let script = "SELECT 1;\nSELECT id FROM t WHRE id = 1";
        let statement = split_statements(script).expect("readable").pop().expect("a statement");
        let error = statement.parse().expect_err("a misspelled word");
        assert_eq!(place(script, &error), Some((2, 23, 2)), "{error}");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_found() {
        let error = split_statements("SELECT 1;\nSELECT 'a").expect_err("open");
        assert_eq!(ErrorPlace::in_script(&error).map(|place| (place.line, place.column)), Some((2, 8)), "{error}");
    }
}
