//! Which columns SQL text may be about, without understanding it.
//!
//! CHECK constraints, invariants, defaults and generation expressions are SQL text that only a query engine can evaluate.
//! Whether a column may be renamed or dropped depends on whether such text names it, and that can be told from its words:
//! [`mentions`] finds every name, and sometimes a word that is none, so that it errs on the side of keeping a column.

/// The names in SQL text, each as its parts: `a.b > 1` gives `["a", "b"]`. Keywords count as names, words before a
/// parenthesis (functions) and text in single quotes do not.
pub fn names_in(sql: &str) -> Vec<Vec<String>> {
    let mut names: Vec<Vec<String>> = Vec::new();
    let mut rest = sql.chars().peekable();
    // Whether the next word continues the name before it.
    let mut continues = false;
    while let Some(c) = rest.next() {
        let word = match c {
            '\'' => {
                while let Some(c) = rest.next() {
                    match c {
                        // Spark escapes with a backslash, the standard doubles the quote; either way the text goes on.
                        '\\' => drop(rest.next()),
                        '\'' if rest.next_if_eq(&'\'').is_none() => break,
                        _ => {}
                    }
                }
                continues = false;
                continue;
            }
            '`' | '"' => {
                let mut word = String::new();
                while let Some(inner) = rest.next() {
                    if inner != c || rest.next_if_eq(&c).is_some() {
                        word.push(inner);
                    } else {
                        break;
                    }
                }
                word
            }
            c if c.is_alphabetic() || c == '_' => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '$') {
                    word.push(c);
                }
                word
            }
            c if c.is_numeric() => {
                while rest.next_if(|c| c.is_alphanumeric() || *c == '.').is_some() {}
                continues = false;
                continue;
            }
            '.' => {
                continues = !names.is_empty();
                continue;
            }
            c if c.is_whitespace() => continue,
            _ => {
                continues = false;
                continue;
            }
        };
        match names.last_mut().filter(|_| continues) {
            Some(name) => name.push(word),
            None => names.push(vec![word]),
        }
        continues = false;
        // A function is called with its name right before the parenthesis.
        if rest.peek() == Some(&'(') && !matches!(c, '`' | '"') {
            names.pop();
        }
    }
    names
}

/// Whether SQL text may be about a column: it names the column, something in it, or something it is in.
pub fn mentions(sql: &str, path: &[String]) -> bool {
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    names_in(sql).iter().any(|name| name.iter().zip(path).all(|(part, column)| same(part, column)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(sql: &str, column: &str) -> bool {
        mentions(sql, &column.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_found_quoted_or_not_and_in_any_case() {
        for sql in
            ["amount > 0", "AMOUNT>0", "0 < `amount`", "\"Amount\" = 1", "abs(amount) = 1", "x+amount*2", "amount"]
        {
            assert!(is_about(sql, "amount"), "{sql}");
        }
        assert!(is_about("`two words` <> ''", "two words"));
        assert!(is_about("größe > 1", "Größe"));
    }

    #[test]
    fn text_functions_and_longer_words_are_not_names() {
        for sql in [
            "state = 'amount'",
            "state = 'it''s amount'",
            r"state = 'it\'s amount'",
            "amount(x) > 1",
            "amounts > 1",
            "amount_due > 1",
            "1amount > 0",
        ] {
            assert!(!is_about(sql, "amount"), "{sql}");
        }
    }

    #[test]
    fn a_column_is_concerned_by_what_it_holds_and_what_holds_it() {
        assert!(is_about("a.b > 1", "a"), "something in it");
        assert!(is_about("a IS NOT NULL", "a.b"), "something it is in");
        assert!(is_about("t.a . `b` > 1", "t.a.b"));
        assert!(!is_about("a.c > 1", "a.b"));
        assert!(!is_about("b > 1", "a.b"));
        assert!(is_about("x AND 'text' = a.b", "a.b"));
    }

    #[test]
    fn text_that_is_no_sql_is_walked_to_its_end() {
        for sql in ["'", "`", "\"a", "'\\", "..", "a..b", "1.", "\u{0}"] {
            let _ = names_in(sql);
        }
    }
}
