//! Small changes to the tokens of a statement, for words that the parser below does not read.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

/// Stands for `*` in `UPDATE SET *` and `INSERT *` of a MERGE until the columns are known.
pub(crate) const ALL_COLUMNS: &str = "__floe_all_columns__";

/// Rewrites what the parser refuses into what it reads.
///
/// - `t FOR VERSION AS OF 3`, `t FOR SYSTEM_VERSION AS OF 3`, `t FOR TIMESTAMP AS OF ...` lose their `FOR`;
/// - `UPDATE SET *` and `INSERT *` of a MERGE get a placeholder column ([`ALL_COLUMNS`]);
/// - `>>` that closes two nested types becomes `>` `>`;
/// - `FROM t` without a SELECT gets `SELECT *`;
/// - the query of `INSERT INTO t SELECT 1 ON CONFLICT ...` gets parentheses: its last column would else be named `ON`.
pub(crate) fn prepare(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // EXPLAIN and a word or two may stand before it.
    let merge = tokens.iter().take(3).any(|t| is_word(&t.token, "MERGE"));
    let tokens = with_everything_selected(with_source_in_parentheses(tokens));
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut type_depth = 0usize;
    let mut index = 0;
    while index < tokens.len() {
        let token = &tokens[index];
        let word_at = |offset: usize, word: &str| tokens.get(index + offset).is_some_and(|t| is_word(&t.token, word));
        let as_of = word_at(2, "AS") && word_at(3, "OF");
        match &token.token {
            Token::Word(_)
                if is_word(&token.token, "FOR") && as_of && (word_at(1, "VERSION") || word_at(1, "TIMESTAMP")) => {}
            Token::Word(_) if is_word(&token.token, "FOR") && as_of && word_at(1, "SYSTEM_VERSION") => {
                out.push(keyword(Keyword::VERSION, "VERSION", token.span));
                index += 1;
            }
            Token::Mul if merge && ends_with(&out, &["UPDATE", "SET"]) => {
                let at = token.span;
                out.extend([name(ALL_COLUMNS, at), TokenWithSpan::new(Token::Eq, at), name(ALL_COLUMNS, at)]);
            }
            Token::Mul if merge && ends_with(&out, &["INSERT"]) => {
                let at = token.span;
                out.push(TokenWithSpan::new(Token::LParen, at));
                out.push(name(ALL_COLUMNS, at));
                out.push(TokenWithSpan::new(Token::RParen, at));
                out.push(keyword(Keyword::VALUES, "VALUES", at));
                out.push(TokenWithSpan::new(Token::LParen, at));
                out.push(name(ALL_COLUMNS, at));
                out.push(TokenWithSpan::new(Token::RParen, at));
            }
            Token::Lt
                if out.last().is_some_and(|t| ["ARRAY", "MAP", "STRUCT"].iter().any(|w| is_word(&t.token, w))) =>
            {
                type_depth += 1;
                out.push(token.clone());
            }
            Token::Gt if type_depth > 0 => {
                type_depth -= 1;
                out.push(token.clone());
            }
            Token::ShiftRight if type_depth > 1 => {
                type_depth -= 2;
                out.push(TokenWithSpan::new(Token::Gt, token.span));
                out.push(TokenWithSpan::new(Token::Gt, token.span));
            }
            _ => out.push(token.clone()),
        }
        index += 1;
    }
    out
}

/// Puts `SELECT *` before each FROM that begins a query which selects nothing.
fn with_everything_selected(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const BEFORE: &[&str] = &[
        "UNION",
        "ALL",
        "EXCEPT",
        "INTERSECT",
        "AS",
        "EXPLAIN",
        "ANALYZE",
        "VERBOSE",
        "DESCRIBE",
        "QUERY",
        "SUMMARIZE",
    ];
    let begins_query = |at: usize| match at.checked_sub(1).map(|before| &tokens[before].token) {
        None | Some(Token::LParen) => true,
        // Behind the common table expressions.
        Some(Token::RParen) => is_word(&tokens[0].token, "WITH") && !selects(tokens[..at].iter().rev(), &Token::RParen),
        Some(before) => BEFORE.iter().any(|word| is_word(before, word)),
    };
    let mut out = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let alone = is_word(&token.token, "FROM") && begins_query(at) && !selects(tokens[at..].iter(), &Token::LParen);
        if alone {
            out.push(keyword(Keyword::SELECT, "SELECT", token.span));
            out.push(TokenWithSpan::new(Token::Mul, token.span));
        }
        out.push(token.clone());
    }
    out
}

/// Whether a SELECT comes before the query that these tokens walk through ends; what `opens` goes deeper.
fn selects<'t>(tokens: impl Iterator<Item = &'t TokenWithSpan>, opens: &Token) -> bool {
    let mut depth = 0usize;
    for token in tokens {
        match &token.token {
            paren @ (Token::LParen | Token::RParen) if paren == opens => depth += 1,
            Token::LParen | Token::RParen => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            word if depth == 0 && is_word(word, "SELECT") => return true,
            word if depth == 0 && ["UNION", "EXCEPT", "INTERSECT"].iter().any(|w| is_word(word, w)) => return false,
            _ => {}
        }
    }
    false
}

/// What is said of a statement beside what the parser below reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Modifiers {
    /// `INSERT WITH SCHEMA EVOLUTION`, `MERGE WITH SCHEMA EVOLUTION`: the table gets columns that it lacks.
    pub(crate) grows: bool,
    /// `INSERT INTO t BY NAME`: columns are matched by name.
    pub(crate) by_name: bool,
}

/// Takes the words of [`Modifiers`] out of an INSERT or a MERGE.
pub(crate) fn take_modifiers(tokens: &mut Vec<TokenWithSpan>) -> Modifiers {
    let mut modifiers = Modifiers::default();
    let is = |token: Option<&TokenWithSpan>, word: &str| token.is_some_and(|token| is_word(&token.token, word));
    let inserts = is(tokens.first(), "INSERT");
    if !inserts && !is(tokens.first(), "MERGE") {
        return modifiers;
    }
    let growing = ["WITH", "SCHEMA", "EVOLUTION"];
    if growing.iter().enumerate().all(|(at, word)| is(tokens.get(at + 1), word)) {
        tokens.drain(1..4);
        modifiers.grows = true;
    }
    // Behind the table and before the rows: an order by a column of that name is elsewhere.
    let rows = tokens.iter().position(|token| {
        token.token == Token::LParen
            || ["SELECT", "WITH", "VALUES", "TABLE", "FROM"].iter().any(|w| is_word(&token.token, w))
    });
    let head = rows.unwrap_or(tokens.len());
    let by_name = (1..head).find(|at| is(tokens.get(*at), "BY") && is(tokens.get(*at + 1), "NAME"));
    if let Some(at) = by_name.filter(|_| inserts) {
        tokens.drain(at..at + 2);
        modifiers.by_name = true;
    }
    modifiers
}

fn with_source_in_parentheses(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.first().is_some_and(|t| is_word(&t.token, "INSERT")) {
        return tokens;
    }
    let mut depth = 0usize;
    let (mut start, mut end) = (None, None);
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            word if depth == 0 && start.is_none() && (is_word(word, "SELECT") || is_word(word, "WITH")) => {
                start = Some(at);
            }
            word if depth == 0
                && is_word(word, "ON")
                && tokens.get(at + 1).is_some_and(|next| is_word(&next.token, "CONFLICT")) =>
            {
                end = Some(at);
            }
            _ => {}
        }
    }
    if let (Some(start), Some(end)) = (start, end)
        && start < end
    {
        tokens.insert(end, TokenWithSpan::new(Token::RParen, tokens[end].span));
        tokens.insert(start, TokenWithSpan::new(Token::LParen, tokens[start].span));
    }
    tokens
}

/// Whether a token is this word, unquoted, in any case.
pub(crate) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

fn ends_with(tokens: &[TokenWithSpan], words: &[&str]) -> bool {
    tokens.len() >= words.len()
        && tokens[tokens.len() - words.len()..].iter().zip(words).all(|(token, word)| is_word(&token.token, word))
}

fn keyword(keyword: Keyword, text: &str, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(Token::Word(Word { value: text.into(), quote_style: None, keyword }), span)
}

fn name(text: &str, span: Span) -> TokenWithSpan {
    keyword(Keyword::NoKeyword, text, span)
}
