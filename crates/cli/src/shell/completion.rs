//! What could be meant by a word that is typed half.

use super::words::{KEYWORDS, Kind, Part, parts};
use crate::render::Format;

/// What there is to name.
pub(super) trait Catalog {
    /// The tables of a schema; those that can be named without one where none is given.
    fn tables(&self, schema: Option<&str>) -> Vec<String>;
    fn schemas(&self) -> Vec<String>;
    /// The columns of a table, by its name or its path in quotes; none if there is no such table.
    fn columns(&self, table: &str) -> Vec<String>;
    fn functions(&self) -> Vec<String>;
    /// The newest version of a table; none if there is no such table.
    fn newest_version(&self, table: &str) -> Option<i64>;
    /// The properties that tables can have.
    fn properties(&self) -> Vec<String>;
    /// The names in a folder of this machine, those of folders with a slash at the end.
    fn folder(&self, path: &str) -> Vec<String>;
}

/// Commands that take a file.
const OF_FILES: [&str; 5] = [".read", ".output", ".once", "\\i", "\\o"];
/// Commands that take a table.
const OF_TABLES: [&str; 4] = [".schema", "\\d", ".tables", ".show"];
const COMMANDS: [&str; 17] = [
    ".bail", ".echo", ".edit", ".exit", ".help", ".mode", ".once", ".output", ".pager", ".quit", ".read", ".schema",
    ".schemas", ".show", ".tables", ".timing", ".watch",
];
/// Versions that are offered at most.
const VERSIONS_MAX: usize = 20;
/// Words after which a table comes.
const BEFORE_TABLES: [&str; 13] = [
    "FROM",
    "JOIN",
    "INTO",
    "UPDATE",
    "TABLE",
    "OPTIMIZE",
    "VACUUM",
    "DESCRIBE",
    "CLONE",
    "USING",
    "SUMMARIZE",
    "HISTORY",
    "DETAIL",
];

/// Where the word begins that the text before the cursor ends with, and what it could become.
pub(super) fn complete(before: &str, whole: &str, catalog: &dyn Catalog) -> (usize, Vec<String>) {
    if super::commands::is_command(before) {
        return of_command(before, catalog);
    }
    let typed = parts(before);
    match typed.last() {
        Some(last) if last.kind == Kind::Text && last.open => {
            let path = &before[last.start + 1..];
            if names_a_property(before, &typed) {
                return (last.start + 1, beginning_with(path, catalog.properties()));
            }
            let (from, found) = of_path(path, catalog);
            (last.start + 1 + from, found)
        }
        Some(last) if last.kind == Kind::Comment => (before.len(), Vec::new()),
        Some(last) if matches!(last.kind, Kind::Word | Kind::Number) && last.end == before.len() => {
            of_word(before, whole, &typed, last.start, catalog)
        }
        Some(last) if last.of(before) == "." && last.end == before.len() => {
            of_word(before, whole, &typed, before.len(), catalog)
        }
        // After a blank: whatever can stand there.
        _ => of_word(before, whole, &typed, before.len(), catalog),
    }
}

fn of_command(before: &str, catalog: &dyn Catalog) -> (usize, Vec<String>) {
    let start = before.len() - before.trim_start().len();
    let Some((command, argument)) = before[start..].split_once(' ') else {
        return (start, beginning_with(&before[start..], COMMANDS.map(str::to_owned)));
    };
    let from = before.len() - argument.trim_start().len();
    let argument = &before[from..];
    match command {
        ".mode" => {
            use clap::ValueEnum;
            let names = Format::value_variants().iter().filter_map(|format| format.to_possible_value());
            (from, beginning_with(argument, names.map(|name| name.get_name().to_owned())))
        }
        _ if OF_FILES.contains(&command) => {
            let (at, found) = of_path(argument, catalog);
            (from + at, found)
        }
        _ if OF_TABLES.contains(&command) => (from, named(argument, catalog.tables(None))),
        _ => (before.len(), Vec::new()),
    }
}

/// The names in the folder of a path that begin as its last part does.
fn of_path(path: &str, catalog: &dyn Catalog) -> (usize, Vec<String>) {
    if path.contains("://") {
        return (path.len(), Vec::new());
    }
    let from = path.rfind('/').map_or(0, |slash| slash + 1);
    let (folder, name) = path.split_at(from);
    let shown = |found: &String| name.starts_with('.') || !found.starts_with('.');
    let found = catalog.folder(folder).into_iter().filter(shown).filter(|found| found.starts_with(name));
    let mut found: Vec<String> = found.collect();
    found.sort();
    (from, found)
}

fn of_word(before: &str, whole: &str, typed: &[Part], start: usize, catalog: &dyn Catalog) -> (usize, Vec<String>) {
    let prefix = &before[start..];
    let earlier: Vec<&Part> = typed.iter().filter(|part| part.end <= start).collect();
    let sources = sources(whole);
    let before_tables =
        |part: Option<&&Part>| part.is_some_and(|part| BEFORE_TABLES.contains(&&*part.of(before).to_ascii_uppercase()));
    if let [rest @ .., qualifier, dot] = earlier.as_slice()
        && dot.of(before) == "."
        && dot.end == start
    {
        let qualifier = unquoted(qualifier.of(before));
        if before_tables(rest.last()) {
            return (start, named(prefix, catalog.tables(Some(&qualifier))));
        }
        let of_it = sources.iter().find(|(_, alias)| alias.eq_ignore_ascii_case(&qualifier));
        let table = of_it.map_or(qualifier.clone(), |(table, _)| table.clone());
        return (start, named(prefix, catalog.columns(&table)));
    }
    if before_tables(earlier.last()) {
        let mut found = named(prefix, catalog.tables(None));
        found.extend(named(prefix, catalog.schemas()).into_iter().map(|schema| schema + "."));
        return (start, found);
    }
    let last = earlier.last().map(|part| part.of(before).to_ascii_uppercase());
    if matches!(last.as_deref(), Some("USE" | "SCHEMA" | "SCHEMAS" | "DATABASE")) {
        return (start, named(prefix, catalog.schemas()));
    }
    if let [names @ .., version, kind, of] = earlier.as_slice()
        && [version, kind, of].map(|part| part.of(before).to_ascii_uppercase()) == ["VERSION", "AS", "OF"]
        && let Some(newest) = named_last(before, names).and_then(|table| catalog.newest_version(&table))
    {
        let newest_first = (0..=newest).rev().map(|version| version.to_string());
        let newest_first = newest_first.filter(|version| version.starts_with(prefix));
        return (start, newest_first.take(VERSIONS_MAX).collect());
    }
    if prefix.is_empty() {
        // Everything would be too much.
        return (start, Vec::new());
    }
    let mut found: Vec<String> = sources.iter().flat_map(|(table, _)| named(prefix, catalog.columns(table))).collect();
    found.extend(named(prefix, catalog.tables(None)));
    let small = prefix.starts_with(|c: char| c.is_lowercase());
    let keywords = KEYWORDS.iter().map(|word| if small { word.to_lowercase() } else { (*word).to_owned() });
    found.extend(beginning_with(prefix, keywords));
    found.extend(beginning_with(prefix, catalog.functions()).into_iter().map(|name| name + "("));
    let mut seen = std::collections::HashSet::new();
    found.retain(|name| seen.insert(name.clone()));
    (start, found)
}

/// The name that stands last, of as many parts as it has, as SQL writes it; a path without its quotes.
fn named_last(before: &str, earlier: &[&Part]) -> Option<String> {
    let last = earlier.last()?;
    if last.kind == Kind::Text {
        return Some(unquoted(last.of(before)));
    }
    let mut first = last;
    let mut rest = &earlier[..earlier.len() - 1];
    while let [more @ .., name, dot] = rest
        && dot.of(before) == "."
    {
        (first, rest) = (name, more);
    }
    before.get(first.start..last.end).map(str::to_owned)
}

/// Whether the text that is open at the end is the name of a property.
fn names_a_property(before: &str, typed: &[Part]) -> bool {
    let earlier = &typed[..typed.len().saturating_sub(1)];
    let Some(list) = earlier.iter().rposition(|part| part.of(before).eq_ignore_ascii_case("TBLPROPERTIES")) else {
        return false;
    };
    let inside = &earlier[list + 1..];
    let begins = inside.last().is_some_and(|part| matches!(part.of(before), "(" | ","));
    begins && inside.iter().all(|part| part.of(before) != ")")
}

/// The tables of a statement, each with the name that its columns go by.
fn sources(text: &str) -> Vec<(String, String)> {
    let all = parts(text);
    let mut sources = Vec::new();
    for (at, part) in all.iter().enumerate() {
        let word = part.of(text).to_ascii_uppercase();
        if part.kind != Kind::Word || !["FROM", "JOIN", "INTO", "UPDATE", "USING"].contains(&word.as_str()) {
            continue;
        }
        // A name of one or two parts, or a path.
        let mut names: Vec<String> = Vec::new();
        let mut next = at + 1;
        while let Some(name) = all.get(next).filter(|name| matches!(name.kind, Kind::Word | Kind::Quoted | Kind::Text))
        {
            names.push(unquoted(name.of(text)));
            next += 1;
            match all.get(next) {
                Some(dot) if dot.of(text) == "." => next += 1,
                _ => break,
            }
        }
        let Some(last) = names.last().cloned() else { continue };
        let mut alias = last;
        let word = |next: usize| all.get(next).filter(|part| part.kind == Kind::Word).map(|part| part.of(text));
        match word(next) {
            Some(or) if or.eq_ignore_ascii_case("AS") => {
                if let Some(name) = word(next + 1) {
                    alias = name.to_owned();
                }
            }
            Some(name) if !super::words::is_keyword(name) => alias = name.to_owned(),
            _ => {}
        }
        sources.push((names.join("."), alias));
    }
    sources
}

fn unquoted(name: &str) -> String {
    let inner = |quote: char| {
        let inner = name.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inner.replace(&format!("{quote}{quote}"), &quote.to_string()))
    };
    inner('`').or_else(|| inner('"')).or_else(|| inner('\'')).unwrap_or_else(|| name.to_owned())
}

/// Those of the names of tables or columns that begin so, as SQL says them. What could write to the terminal is left out.
fn named(prefix: &str, names: Vec<String>) -> Vec<String> {
    let as_typed = |name: String| {
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        let bare = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
        if bare { name } else { format!("`{}`", name.replace('`', "``")) }
    };
    let harmless = names.into_iter().filter(|name| !name.contains(char::is_control));
    beginning_with(prefix, harmless).into_iter().map(as_typed).collect()
}

/// Those of the names that begin so, in any case, in order.
fn beginning_with(prefix: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let small = prefix.to_lowercase();
    let mut found: Vec<String> = names.into_iter().filter(|name| name.to_lowercase().starts_with(&small)).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ducks;

    impl Catalog for Ducks {
        fn tables(&self, schema: Option<&str>) -> Vec<String> {
            let tables: &[&str] = match schema {
                None => &["ducks", "ponds"],
                Some("sales") => &["orders", "odd one"],
                Some(_) => &[],
            };
            tables.iter().map(|name| (*name).to_owned()).collect()
        }

        fn schemas(&self) -> Vec<String> {
            vec!["default".into(), "sales".into()]
        }

        fn columns(&self, table: &str) -> Vec<String> {
            let columns: &[&str] = match table {
                "ducks" | "default.ducks" => &["name", "weight"],
                "ponds" => &["depth", "max `depth`", "max\u{1b}[2J", "name"],
                _ => &[],
            };
            columns.iter().map(|name| (*name).to_owned()).collect()
        }

        fn functions(&self) -> Vec<String> {
            vec!["now".into(), "nvl".into(), "sum".into()]
        }

        fn newest_version(&self, table: &str) -> Option<i64> {
            match table {
                "ducks" => Some(12),
                "sales.`odd one`" => Some(1),
                "sales.many" => Some(40),
                _ => None,
            }
        }

        fn properties(&self) -> Vec<String> {
            vec!["delta.appendOnly".into(), "floe.primaryKey".into(), "floe.mergeMode".into()]
        }

        fn folder(&self, path: &str) -> Vec<String> {
            let names: &[&str] = if path == "data/" { &["a.parquet", "b/", ".hidden"] } else { &["data/"] };
            names.iter().map(|name| (*name).to_owned()).collect()
        }
    }

    /// The text with `|` for the cursor.
    fn check(text: &str, start: usize, expected: &[&str]) {
        let at = text.find('|').expect("a cursor");
        let whole = text.replace('|', "");
        assert_eq!(
            complete(&whole[..at], &whole, &Ducks),
            (start, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{text}"
        );
    }

    #[test]
    fn names_are_completed_by_what_they_can_be() {
        check("SELECT * FROM d|", 14, &["ducks", "default."]);
        check("SELECT * FROM |", 14, &["ducks", "ponds", "default.", "sales."]);
        check("SELECT * FROM sales.|", 20, &["`odd one`", "orders"]);
        check("SELECT * FROM sales.or|", 20, &["orders"]);
        check("USE s|", 4, &["sales"]);
        check("UPDATE P|", 7, &["ponds"]);
        check("SELECT d.| FROM ducks AS d", 9, &["name", "weight"]);
        check("SELECT ducks.w| FROM ducks", 13, &["weight"]);
        check("SELECT n| FROM default.ducks", 7, &["name", "not", "nothing", "null", "now(", "nvl("]);
        check("SELECT WE| FROM ducks x JOIN ponds y ON x.name = y.name", 7, &["weight"]);
        check("SELECT y.d| FROM ducks x JOIN ponds y", 9, &["depth"]);
        check("SELECT y.ma| FROM ponds y", 9, &["`max ``depth```"]);
        check("SELECT * FROM ducks VERSION AS OF 1|", 34, &["12", "11", "10", "1"]);
        check("SELECT * FROM nothing VERSION AS OF 1|", 36, &[]);
        check("SELECT * FROM sales.`odd one` VERSION AS OF |", 44, &["1", "0"]);
        check("SELECT * FROM sales.many VERSION AS OF 9|", 39, &["9"]);
        check("ALTER TABLE t SET TBLPROPERTIES ('flo|", 34, &["floe.mergeMode", "floe.primaryKey"]);
        check("CREATE TABLE t (a INT) TBLPROPERTIES ('a' = 'b', 'DELTA.|", 50, &["delta.appendOnly"]);
        check("ALTER TABLE t SET TBLPROPERTIES ('a' = 'da|", 40, &["data/"]);
        check("SEL|", 0, &["SELECT"]);
        check("sel|", 0, &["select"]);
        check("SELECT |", 7, &[]);
        check("-- d|", 4, &[]);
    }

    #[test]
    fn names_lose_their_quotes() {
        for (name, expected) in [("`a``b`", "a`b"), ("\"a\"\"b\"", "a\"b"), ("'it''s'", "it's"), ("plain", "plain")] {
            assert_eq!(unquoted(name), expected);
        }
    }

    #[test]
    fn paths_and_commands_are_completed() {
        check("SELECT * FROM 'da|", 15, &["data/"]);
        check("SELECT * FROM 'data/|", 20, &["a.parquet", "b/"]);
        check("SELECT * FROM 'data/.h|", 20, &[".hidden"]);
        check("SELECT * FROM 's3://b|", 21, &[]);
        check(".t|", 0, &[".tables", ".timing"]);
        check(".mode m|", 6, &["markdown"]);
        check(".read data/a|", 11, &["a.parquet"]);
        check(".schema d|", 8, &["ducks"]);
        check(".timing o|", 9, &[]);
    }
}
