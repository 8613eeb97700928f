//! COPY: rows into files, and files into rows.

use datafusion::sql::sqlparser::ast::{self, visit_relations_mut};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use std::ops::ControlFlow;

use super::select_all;
use crate::error::{QueryError, Result};
use crate::relation::{FileFormat, RelationName};
use crate::statement::copy_into::{CopyInto, FILES, Fits};
use crate::statement::words::Words;
use crate::statement::{Copy, Statement};

/// `COPY INTO t FROM ...`, `COPY t TO 'file'`, `COPY (query) TO 'file'`.
pub(super) fn parse_copy(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.advance_token();
    if parser.word("INTO") {
        return parse_copy_into(parser);
    }
    let query = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        query
    } else {
        let name = parser.table_name()?;
        if parser.peek_word("FROM") {
            return Err(QueryError::unsupported(
                "COPY table FROM",
                "COPY INTO t FROM 'files' loads each file once; INSERT INTO t SELECT * FROM 'files' whenever it is said",
            ));
        }
        select_all(&name)?
    };
    parser.expect_word("TO")?;
    let mut copy = Copy {
        query,
        target: parser.parse_literal_string()?,
        format: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
    };
    loop {
        if parser.words(&["STORED", "AS"]) {
            copy.format = Some(parser.parse_identifier()?.value.to_lowercase());
        } else if parser.words(&["PARTITIONED", "BY"]) {
            copy.partitioned_by = parser.column_list()?;
        } else if parser.word("OPTIONS") || parser.peek_token_ref().token == Token::LParen {
            // `('format.compression' 'zstd', FORMAT csv, header true)`, the words of DataFusion and of DuckDB.
            copy.options = parser.properties()?;
        } else {
            return Ok(Statement::Copy(Box::new(copy)));
        }
    }
}

/// What follows COPY INTO, in the words of Databricks.
fn parse_copy_into(parser: &mut Parser<'_>) -> Result<Statement> {
    let table = parser.table_name()?;
    let fits = if parser.words(&["BY", "POSITION"]) {
        Fits::ByPosition
    } else if parser.peek_token_ref().token == Token::LParen {
        Fits::Columns(parser.column_list()?)
    } else {
        Fits::ByName
    };
    parser.expect_word("FROM")?;
    let (name, query) = if parser.consume_token(&Token::LParen) {
        let mut query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        (take_files(&mut query)?, Some(query))
    } else {
        (parser.table_name()?, None)
    };
    let (path, format) = files_of(&name)?;
    let mut copy = CopyInto { table, fits, query, path, format, files: None, pattern: None, options: Vec::new() };
    loop {
        if parser.word("FILEFORMAT") || parser.word("FILE_FORMAT") {
            let _ = parser.consume_token(&Token::Eq);
            let named = parser.parse_identifier()?.value;
            copy.format = Some(FileFormat::named(&named).ok_or_else(|| {
                let what = format!("loading files of the format {}", floe_table_format::error::printable(&named));
                QueryError::unsupported(what, "PARQUET, CSV or JSON")
            })?);
        } else if parser.word("FILES") {
            let _ = parser.consume_token(&Token::Eq);
            copy.files = Some(texts(parser)?);
        } else if parser.word("PATTERN") {
            let _ = parser.consume_token(&Token::Eq);
            copy.pattern = Some(parser.parse_literal_string()?);
        } else if parser.word("FORMAT_OPTIONS") || parser.word("COPY_OPTIONS") {
            copy.options.extend(parser.properties()?);
        } else if parser.word("FORCE") {
            let _ = parser.consume_token(&Token::Eq);
            let force = if parser.word("FALSE") { "false" } else { "true" };
            parser.word("TRUE");
            copy.options.push(("force".into(), force.into()));
        } else {
            return Ok(Statement::CopyInto(Box::new(copy)));
        }
    }
}

/// Where a name says that files lie, and their format where it says that too.
fn files_of(name: &ast::ObjectName) -> Result<(String, Option<FileFormat>)> {
    match RelationName::of(name)? {
        RelationName::Path(path) => Ok((path, None)),
        RelationName::Files(format, path) => Ok((path, Some(format))),
        _ => Err(QueryError::unsupported(
            format!("COPY INTO from {name}"),
            "COPY INTO t FROM 'path' takes files; the rows of a table come by INSERT INTO t SELECT * FROM other",
        )),
    }
}

/// The one relation of a query, which gets the name by which it is planned.
fn take_files(query: &mut ast::Query) -> Result<ast::ObjectName> {
    let mut found = Vec::new();
    let _ = visit_relations_mut(query, |name| {
        found.push(std::mem::replace(name, ast::ObjectName::from(vec![ast::Ident::new(FILES)])));
        ControlFlow::<()>::Continue(())
    });
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        _ => Err(QueryError::unsupported(
            "COPY INTO from a query with other relations than its files",
            "COPY INTO t FROM (SELECT ... FROM 'path'), or INSERT INTO t SELECT ...",
        )),
    }
}

/// `('a', 'b')`.
fn texts(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    parser.expect_token(&Token::LParen)?;
    let mut out = vec![parser.parse_literal_string()?];
    while parser.consume_token(&Token::Comma) {
        out.push(parser.parse_literal_string()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(out)
}
