//! The clauses of ALTER TABLE that are about columns.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use floe_table::{ColumnChange, NewColumn};
use floe_table_format::schema::Place;

use super::parse_column_of;
use crate::error::{QueryError, Result};
use crate::statement::AlterAction;
use crate::statement::words::Words;
use crate::types::parse_type;

/// RENAME, DROP, ALTER, REPLACE and ADD of columns; none if something else comes.
pub(super) fn parse_column_action(parser: &mut Parser<'_>) -> Result<Option<AlterAction>> {
    if parser.word("RENAME") {
        if parser.peek_word("TO") {
            return Err(QueryError::unsupported("renaming a table", "a table's name is its folder's: move the folder"));
        }
        parser.expect_word("COLUMN")?;
        let path = column_path(parser)?;
        parser.expect_word("TO")?;
        return Ok(Some(AlterAction::RenameColumn { path, to: parser.parse_identifier()?.value }));
    }
    if parser.words(&["DROP", "COLUMN"]) || parser.words(&["DROP", "COLUMNS"]) {
        let if_exists = parser.if_exists();
        return Ok(Some(AlterAction::DropColumns { paths: column_paths(parser)?, if_exists }));
    }
    if parser.words(&["REPLACE", "COLUMNS"]) {
        parser.expect_token(&Token::LParen)?;
        let mut columns = vec![super::parse_column(parser)?];
        while parser.consume_token(&Token::Comma) {
            columns.push(super::parse_column(parser)?);
        }
        parser.expect_token(&Token::RParen)?;
        return Ok(Some(AlterAction::ReplaceColumns(columns)));
    }
    if parser.word("ADD") {
        return Ok(Some(AlterAction::AddColumns(parse_added_columns(parser)?)));
    }
    if parser.word("CHANGE") {
        return Err(QueryError::unsupported("CHANGE COLUMN", "ALTER COLUMN c ..., or RENAME COLUMN c TO d"));
    }
    if parser.word("ALTER") {
        parser.word("COLUMN");
        let path = column_path(parser)?;
        if parser.words(&["SYNC", "IDENTITY"]) {
            return Ok(Some(AlterAction::SyncIdentity(path.join("."))));
        }
        let typed = parser.word("TYPE") || parser.words(&["SET", "DATA", "TYPE"]);
        if typed {
            return Ok(Some(AlterAction::WidenColumn { path, to: parse_type(parser)? }));
        }
        return Ok(Some(AlterAction::ChangeColumn { path, change: parse_change(parser)? }));
    }
    Ok(None)
}

/// What ALTER COLUMN says of the column.
fn parse_change(parser: &mut Parser<'_>) -> Result<ColumnChange> {
    if let Some(place) = parse_place(parser)? {
        return Ok(ColumnChange::Place(place));
    }
    if parser.word("COMMENT") {
        return Ok(ColumnChange::Comment(parser.parse_literal_string()?));
    }
    if parser.words(&["DROP", "NOT", "NULL"]) {
        return Ok(ColumnChange::DropNotNull);
    }
    if parser.words(&["DROP", "DEFAULT"]) {
        return Ok(ColumnChange::DropDefault);
    }
    if parser.words(&["SET", "DEFAULT"]) {
        return Ok(ColumnChange::SetDefault(parser.expression_text()?));
    }
    if parser.words(&["SET", "NOT", "NULL"]) {
        return Err(QueryError::unsupported(
            "making a column of an existing table NOT NULL",
            "ALTER TABLE t ADD CONSTRAINT name CHECK (column IS NOT NULL), which looks at the rows that are there",
        ));
    }
    Ok(parser.expected(
        "TYPE, COMMENT, FIRST, AFTER, SET DEFAULT, DROP DEFAULT, DROP NOT NULL or SYNC IDENTITY after ALTER COLUMN",
        parser.peek_token(),
    )?)
}

/// `FIRST` or `AFTER column`; none if neither comes.
fn parse_place(parser: &mut Parser<'_>) -> Result<Option<Place>> {
    if parser.word("FIRST") {
        return Ok(Some(Place::First));
    }
    match parser.word("AFTER") {
        true => Ok(Some(Place::After(parser.parse_identifier()?.value))),
        false => Ok(None),
    }
}

fn parse_added_columns(parser: &mut Parser<'_>) -> Result<Vec<NewColumn>> {
    let _ = parser.word("COLUMNS") || parser.word("COLUMN");
    let parenthesised = parser.consume_token(&Token::LParen);
    let mut columns = vec![parse_added_column(parser)?];
    while parser.consume_token(&Token::Comma) {
        columns.push(parse_added_column(parser)?);
    }
    if parenthesised {
        parser.expect_token(&Token::RParen)?;
    }
    Ok(columns)
}

/// `a.b INT COMMENT 'x' AFTER c`.
fn parse_added_column(parser: &mut Parser<'_>) -> Result<NewColumn> {
    let mut parent = column_path(parser)?;
    let name = parent.pop().unwrap_or_default();
    let field = parse_column_of(parser, name)?;
    let place = parse_place(parser)?.unwrap_or_default();
    Ok(NewColumn { parent, field, place })
}

/// `a.b.c`.
pub(super) fn column_path(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    let mut path = vec![parser.parse_identifier()?.value];
    while parser.consume_token(&Token::Period) {
        path.push(parser.parse_identifier()?.value);
    }
    Ok(path)
}

/// `a.b`, or `(a, b.c)`.
fn column_paths(parser: &mut Parser<'_>) -> Result<Vec<Vec<String>>> {
    let parenthesised = parser.consume_token(&Token::LParen);
    let mut paths = vec![column_path(parser)?];
    while parser.consume_token(&Token::Comma) {
        paths.push(column_path(parser)?);
    }
    if parenthesised {
        parser.expect_token(&Token::RParen)?;
    }
    Ok(paths)
}
