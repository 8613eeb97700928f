//! A statement as far as it is typed, cut into words: for colours and for completion.

/// What a stretch of the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword without quotes.
    Word,
    /// A name in backquotes or double quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    Number,
    Comment,
    /// Anything else, one character.
    Sign,
}

/// A stretch of the text, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether the text ends before its closing quote or mark.
    pub(super) open: bool,
}

impl Part {
    pub(super) fn of<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }
}

/// The stretches of a text, in order; what lies between them is blank.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length, open) = match first {
            _ if first.is_whitespace() => {
                at += first.len_utf8();
                continue;
            }
            '\'' => quoted(rest, '\'', Kind::Text),
            '"' => quoted(rest, '"', Kind::Quoted),
            '`' => quoted(rest, '`', Kind::Quoted),
            '-' if rest.starts_with("--") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => match rest.find("*/") {
                Some(end) => (Kind::Comment, end + 2, false),
                None => (Kind::Comment, rest.len(), true),
            },
            _ if first.is_alphabetic() || first == '_' => {
                (Kind::Word, run(rest, |c| c.is_alphanumeric() || c == '_'), false)
            }
            _ if first.is_ascii_digit() => (Kind::Number, run(rest, |c| c.is_ascii_alphanumeric() || c == '.'), false),
            _ => (Kind::Sign, first.len_utf8(), false),
        };
        parts.push(Part { kind, start: at, end: at + length, open });
        at += length;
    }
    parts
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !belongs(c)).unwrap_or(text.len())
}

/// Up to the closing quote; a doubled one is part of the text.
fn quoted(text: &str, quote: char, kind: Kind) -> (Kind, usize, bool) {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return (kind, at, false);
        }
        at += 1;
    }
    (kind, text.len(), true)
}

/// Keywords that statements are made of.
pub(super) const KEYWORDS: [&str; 126] = [
    "ADD",
    "ALL",
    "ALTER",
    "ALWAYS",
    "ANALYZE",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "CHECK",
    "CLONE",
    "CLUSTER",
    "COLUMN",
    "COLUMNS",
    "COMMENT",
    "CONFLICT",
    "CONSTRAINT",
    "CONVERT",
    "COPY",
    "COPY_OPTIONS",
    "CREATE",
    "CROSS",
    "DATE",
    "DECIMAL",
    "DEEP",
    "DEFAULT",
    "DELETE",
    "DELTA",
    "DESC",
    "DESCRIBE",
    "DETAIL",
    "DISTINCT",
    "DO",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FEATURE",
    "FILEFORMAT",
    "FILES",
    "FLOAT",
    "FORCE",
    "FORMAT_OPTIONS",
    "FROM",
    "FULL",
    "GENERATED",
    "GROUP",
    "HAVING",
    "HISTORY",
    "IDENTITY",
    "IF",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MAP",
    "MATCHED",
    "MERGE",
    "NOT",
    "NOTHING",
    "NULL",
    "OF",
    "OFFSET",
    "ON",
    "OPTIMIZE",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "PARTITION",
    "PARTITIONED",
    "PATTERN",
    "POSITION",
    "PRIMARY",
    "RENAME",
    "REPLACE",
    "RESTORE",
    "RETAIN",
    "RIGHT",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHALLOW",
    "SHOW",
    "STRING",
    "STRUCT",
    "SUMMARIZE",
    "TABLE",
    "TABLES",
    "TBLPROPERTIES",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNION",
    "UPDATE",
    "UPSERT",
    "USING",
    "VACUUM",
    "VALUES",
    "VERSION",
    "WHEN",
    "WHERE",
    "WITH",
];

pub(super) fn is_keyword(word: &str) -> bool {
    let word = word.to_ascii_uppercase();
    KEYWORDS.binary_search(&word.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        parts(text).iter().map(|part| (part.kind, part.of(text))).collect()
    }

    #[test]
    fn a_statement_is_cut_into_its_words() {
        use Kind::*;
        assert_eq!(
            kinds("SELECT `a``b`, 'it''s', 1.5e3 -- why\nFROM \"T\"; /* x"),
            [
                (Word, "SELECT"),
                (Quoted, "`a``b`"),
                (Sign, ","),
                (Text, "'it''s'"),
                (Sign, ","),
                (Number, "1.5e3"),
                (Comment, "-- why"),
                (Word, "FROM"),
                (Quoted, "\"T\""),
                (Sign, ";"),
                (Comment, "/* x"),
            ]
        );
        assert!(parts("SELECT 'open").iter().any(|part| part.open));
        assert_eq!(kinds("größe = '日本"), [(Word, "größe"), (Sign, "="), (Text, "'日本")]);
    }

    #[test]
    fn keywords_are_found_in_any_case_and_in_order() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("select") && is_keyword("With") && !is_keyword("selection"));
    }
}
