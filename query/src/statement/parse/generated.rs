//! `GENERATED ALWAYS AS (expression)` and `GENERATED { ALWAYS | BY DEFAULT } AS IDENTITY`.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use floe_table_format::StructField;
use floe_table_format::schema::Identity;

use super::parenthesised_expression;
use crate::error::{QueryError, Result};
use crate::statement::words::Words;

/// What stands behind GENERATED, as part of the column.
pub(super) fn parse_generated(parser: &mut Parser<'_>, field: StructField) -> Result<StructField> {
    let by_default = parser.words(&["BY", "DEFAULT"]);
    if !by_default {
        parser.expect_word("ALWAYS")?;
    }
    parser.expect_word("AS")?;
    if parser.word("IDENTITY") {
        return Ok(field.with_identity(&parse_identity(parser, by_default)?));
    }
    if by_default {
        return Ok(parser.expected("IDENTITY: a column is generated from others always", parser.peek_token())?);
    }
    // Protocol section "Generated Columns".
    Ok(field.with_metadata("delta.generationExpression", parenthesised_expression(parser)?))
}

/// `(START WITH 1 INCREMENT BY 1)`, both parts in any order and both optional.
fn parse_identity(parser: &mut Parser<'_>, allow_explicit_insert: bool) -> Result<Identity> {
    let mut identity = Identity { start: 1, step: 1, high_water_mark: None, allow_explicit_insert };
    if !parser.consume_token(&Token::LParen) {
        return Ok(identity);
    }
    loop {
        if parser.words(&["START", "WITH"]) {
            identity.start = number(parser)?;
        } else if parser.words(&["INCREMENT", "BY"]) {
            identity.step = number(parser)?;
            if identity.step == 0 {
                return Err(QueryError::syntax("INCREMENT BY 0 gives every row the same value"));
            }
        } else if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(identity)
}

fn number(parser: &mut Parser<'_>) -> Result<i64> {
    let minus = if parser.consume_token(&Token::Minus) { "-" } else { "" };
    let token = parser.next_token();
    if let Token::Number(text, _) = &token.token
        && let Ok(number) = format!("{minus}{text}").parse()
    {
        return Ok(number);
    }
    Ok(parser.expected("a whole number of 64 bits", token)?)
}
