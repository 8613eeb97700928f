//! Reading words that are no keywords of the parser, and asking for the end of a statement.

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::statement::tokens::is_word;

/// What the parser lacks for statements of our own.
pub(crate) trait Words {
    /// Consumes the next token if it is this word.
    fn word(&mut self, word: &str) -> bool;
    /// Consumes these words if all of them come next.
    fn words(&mut self, words: &[&str]) -> bool;
    /// Consumes this word, or fails.
    fn expect_word(&mut self, word: &str) -> Result<()>;
    /// Whether this word comes next.
    fn peek_word(&self, word: &str) -> bool;
    /// Fails unless nothing is left.
    fn expect_end(&self) -> Result<()>;
    /// Consumes `IF EXISTS`.
    fn if_exists(&mut self) -> bool;
    /// Consumes `IF NOT EXISTS`.
    fn if_not_exists(&mut self) -> bool;
    /// The name of a table, or a path in quotes.
    fn table_name(&mut self) -> Result<ObjectName>;
    /// `('k' = 'v', a.b = 1)`.
    fn properties(&mut self) -> Result<Vec<(String, String)>>;
    /// `('k', a.b)`.
    fn property_names(&mut self) -> Result<Vec<String>>;
    /// The expression that comes next, as text another engine reads too.
    fn expression_text(&mut self) -> Result<String>;
    /// `(a, b, c)`.
    fn column_list(&mut self) -> Result<Vec<String>>;
}

impl Words for Parser<'_> {
    fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        if found {
            self.advance_token();
        }
        found
    }

    fn words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(at, word)| is_word(&self.peek_nth_token_ref(at).token, word));
        if found {
            for _ in words {
                self.advance_token();
            }
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) {
            return Ok(());
        }
        Ok(self.expected(word, self.peek_token())?)
    }

    fn peek_word(&self, word: &str) -> bool {
        is_word(&self.peek_token_ref().token, word)
    }

    fn expect_end(&self) -> Result<()> {
        match self.peek_token_ref().token {
            Token::EOF => Ok(()),
            _ => Ok(self.expected("end of statement", self.peek_token())?),
        }
    }

    fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    fn table_name(&mut self) -> Result<ObjectName> {
        Ok(self.parse_object_name(false)?)
    }

    fn properties(&mut self) -> Result<Vec<(String, String)>> {
        self.expect_token(&Token::LParen)?;
        let mut out = Vec::new();
        if self.consume_token(&Token::RParen) {
            return Ok(out);
        }
        loop {
            let key = property_name(self)?;
            let _ = self.consume_token(&Token::Eq);
            out.push((key, property_value(self)?));
            if !self.consume_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(out)
    }

    fn property_names(&mut self) -> Result<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let mut out = vec![property_name(self)?];
        while self.consume_token(&Token::Comma) {
            out.push(property_name(self)?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(out)
    }

    fn expression_text(&mut self) -> Result<String> {
        let mut expr = self.parse_expr()?;
        portable_quotes(&mut expr);
        Ok(expr.to_string())
    }

    fn column_list(&mut self) -> Result<Vec<String>> {
        self.expect_token(&Token::LParen)?;
        let mut out = vec![self.parse_identifier()?.value];
        while self.consume_token(&Token::Comma) {
            out.push(self.parse_identifier()?.value);
        }
        self.expect_token(&Token::RParen)?;
        Ok(out)
    }
}

/// `'delta.appendOnly'` or `delta.appendOnly`.
fn property_name(parser: &mut Parser<'_>) -> Result<String> {
    let mut name = parser.parse_identifier()?.value;
    while parser.consume_token(&Token::Period) {
        name.push('.');
        name.push_str(&parser.parse_identifier()?.value);
    }
    Ok(name)
}

fn property_value(parser: &mut Parser<'_>) -> Result<String> {
    let minus = if parser.consume_token(&Token::Minus) { "-" } else { "" };
    let token = parser.next_token();
    match token.token {
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => Ok(text),
        Token::Number(text, _) => Ok(format!("{minus}{text}")),
        Token::Word(word) => Ok(word.value),
        _ => Ok(parser.expected("the value of a property", token)?),
    }
}

/// Turns double-quoted names into backquoted ones: Spark reads double quotes as text.
fn portable_quotes(expr: &mut Expr) {
    use datafusion::sql::sqlparser::ast::visit_expressions_mut;
    fn fix(ident: &mut Ident) {
        if ident.quote_style == Some('"') {
            ident.quote_style = Some('`');
        }
    }
    let _ = visit_expressions_mut(expr, |inner| {
        match inner {
            Expr::Identifier(ident) => fix(ident),
            Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(fix),
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
}
