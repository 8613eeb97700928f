//! A small reader of Rust source text: enough to see which top-level modules of a crate a file uses.
//!
//! It knows comments, strings, `use` groups and paths that begin with `crate::` or `super::`. It does not expand macros,
//! and takes code under `#[cfg(test)] mod` at the end of a file for tests, which may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What the crate root offers: its modules, and the names it re-exports from them.
pub(crate) struct Source {
    modules: BTreeSet<String>,
    exports: BTreeMap<String, String>,
}

/// Whether the file holds tests only.
pub(crate) fn is_test_file(relative: &Path) -> bool {
    relative.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs")
    })
}

/// The module that the file is: `a/b.rs` is `[a, b]`, `a/mod.rs` is `[a]`.
pub(crate) fn module_path(relative: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        relative.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

impl Source {
    /// Reads the crate root.
    pub(crate) fn root(text: &str) -> Self {
        let code = without_tests(&without_comments(text));
        let words = tokens(&code);
        let modules: BTreeSet<String> =
            words.windows(3).filter(|w| w[0] == "mod" && (w[2] == ";" || w[2] == "{")).map(|w| w[1].clone()).collect();
        let mut exports = BTreeMap::new();
        for (at, word) in words.iter().enumerate() {
            if word != "use" {
                continue;
            }
            for path in use_paths(&words[at + 1..]) {
                let path: Vec<_> = path.into_iter().skip_while(|part| part == "crate" || part == "self").collect();
                if let [module, .., name] = path.as_slice()
                    && modules.contains(module)
                {
                    exports.insert(name.clone(), module.clone());
                }
            }
        }
        Self { modules, exports }
    }

    /// The top-level modules, other than its own, that a file of the module names.
    pub(crate) fn top_level_modules_used(&self, text: &str, module: &[String]) -> BTreeSet<String> {
        let code = without_tests(&without_comments(text));
        let words = tokens(&code);
        let mut used = BTreeSet::new();
        for (at, word) in words.iter().enumerate() {
            let begins_path = at == 0 || words[at - 1] != "::";
            if !begins_path || words.get(at + 1).map(String::as_str) != Some("::") {
                continue;
            }
            let paths = match word.as_str() {
                "crate" => use_paths(&words[at + 2..]),
                "super" => {
                    // As many steps up as the module is deep lead to the crate root.
                    let mut depth = 1;
                    let mut next = at + 2;
                    while words.get(next).is_some_and(|w| w == "super") {
                        depth += 1;
                        next += 2;
                    }
                    if depth != module.len() {
                        continue;
                    }
                    use_paths(&words[next.min(words.len())..])
                }
                _ => continue,
            };
            for path in paths {
                let Some(first) = path.first() else { continue };
                if self.modules.contains(first) {
                    used.insert(first.clone());
                } else if let Some(module) = self.exports.get(first) {
                    used.insert(module.clone());
                }
            }
        }
        used.remove(&module[0]);
        used
    }
}

/// One cycle of the graph, its first name repeated at the end.
pub(crate) fn cycle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit<'a>(
        name: &'a str,
        uses: &'a BTreeMap<String, BTreeSet<String>>,
        trail: &mut Vec<&'a str>,
        finished: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(at) = trail.iter().position(|seen| *seen == name) {
            return Some(trail[at..].iter().chain([&name]).map(|name| (*name).to_owned()).collect());
        }
        if finished.contains(name) {
            return None;
        }
        trail.push(name);
        for next in uses.get(name).into_iter().flatten() {
            if let Some(cycle) = visit(next, uses, trail, finished) {
                return Some(cycle);
            }
        }
        trail.pop();
        finished.insert(name);
        None
    }
    let mut finished = BTreeSet::new();
    uses.keys().find_map(|name| visit(name, uses, &mut Vec::new(), &mut finished))
}

/// The text with comments and the insides of strings blanked.
pub(crate) fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied();
        match chars[at] {
            '/' if next == Some('/') => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
            }
            '/' if next == Some('*') => {
                let mut depth = 0;
                while at < chars.len() {
                    match (chars[at], chars.get(at + 1).copied()) {
                        ('/', Some('*')) => {
                            depth += 1;
                            at += 2;
                        }
                        ('*', Some('/')) => {
                            depth -= 1;
                            at += 2;
                        }
                        _ => at += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            'r' if matches!(next, Some('"' | '#')) && raw_string_end(&chars, at).is_some() => {
                at = raw_string_end(&chars, at).unwrap_or(chars.len());
                code.push_str("\"\"");
            }
            '"' => {
                at += 1;
                while at < chars.len() && chars[at] != '"' {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
                code.push_str("\"\"");
            }
            // A character, not a lifetime: '\'' and '"' would otherwise open what nothing closes.
            '\'' if next == Some('\\') || chars.get(at + 2) == Some(&'\'') => {
                at += if next == Some('\\') { 3 } else { 2 };
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
                code.push_str("' '");
            }
            c => {
                code.push(c);
                at += 1;
            }
        }
    }
    code
}

/// Where the raw string that begins here ends, if one begins here.
fn raw_string_end(chars: &[char], begin: usize) -> Option<usize> {
    if begin > 0 && (chars[begin - 1].is_alphanumeric() || chars[begin - 1] == '_') && chars[begin - 1] != 'b' {
        return None;
    }
    let hashes = chars[begin + 1..].iter().take_while(|c| **c == '#').count();
    let mut at = begin + 1 + hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    None
}

/// The code up to its test module.
fn without_tests(code: &str) -> String {
    let mut searched = 0;
    while let Some(found) = code[searched..].find("#[cfg(test)]") {
        let at = searched + found;
        let after = code[at + "#[cfg(test)]".len()..].trim_start();
        if after.starts_with("mod ") || after.starts_with("pub(crate) mod ") {
            return code[..at].to_owned();
        }
        searched = at + 1;
    }
    code.to_owned()
}

/// Words, `::`, braces, commas and semicolons; the rest as single characters.
fn tokens(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut word = c.to_string();
        if c.is_alphanumeric() || c == '_' {
            while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            word.push(':');
        }
        words.push(word);
    }
    words
}

/// The paths that begin here: one, or those of a group in braces, each with its prefix. `a::{b, c::D as E}` is
/// `[a, b]` and `[a, c, E]`.
fn use_paths(words: &[String]) -> Vec<Vec<String>> {
    let mut at = 0;
    paths(words, &mut at)
}

fn paths(words: &[String], at: &mut usize) -> Vec<Vec<String>> {
    let mut prefix: Vec<String> = Vec::new();
    while let Some(word) = words.get(*at) {
        *at += 1;
        if word == "{" {
            let mut all = Vec::new();
            loop {
                match words.get(*at).map(String::as_str) {
                    None => break,
                    Some("}") => {
                        *at += 1;
                        break;
                    }
                    Some(",") => *at += 1,
                    Some(_) => {
                        let before = *at;
                        all.extend(paths(words, at).into_iter().map(|path| [prefix.clone(), path].concat()));
                        // A brace that opens no group, as a block does: nothing more to learn here.
                        if *at == before {
                            break;
                        }
                    }
                }
            }
            return all;
        }
        let is_name = word.chars().all(|c| c.is_alphanumeric() || c == '_') || word == "*";
        if !is_name {
            *at -= 1;
            break;
        }
        prefix.push(word.clone());
        match words.get(*at).map(String::as_str) {
            Some("::") => *at += 1,
            Some("as") => {
                if let Some(name) = words.get(*at + 1) {
                    prefix.pop();
                    prefix.push(name.clone());
                }
                *at += 2;
                break;
            }
            _ => break,
        }
    }
    if prefix.is_empty() { Vec::new() } else { vec![prefix] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(lib: &str, text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<_> = module.iter().map(|part| (*part).to_owned()).collect();
        Source::root(lib).top_level_modules_used(text, &module).into_iter().collect()
    }

    const LIB: &str = "pub mod error; pub mod state; mod plan { } pub mod action;\npub use error::{Error, deep::Cause as Why};\n\
                       pub use state::State;";

    #[test]
    fn groups_reexports_and_inline_paths_are_seen() {
        let text = "use crate::{Why, action::{Add, Remove}};\nfn f() -> crate::State { crate::plan::go() }";
        assert_eq!(used(LIB, text, &["x"]), ["action", "error", "plan", "state"]);
    }

    #[test]
    fn comments_strings_tests_and_the_own_module_do_not_count() {
        let text = "// crate::error\n/* crate::state /* crate::plan */ */ const A: &str = \"crate::action\"; const B: char = '\"';\n\
                    const C: &str = r#\"crate::error \" \"#; fn f<'a>() { crate::x::g() }\n#[cfg(test)]\nmod tests { use crate::plan; }";
        assert_eq!(used(LIB, text, &["x"]), Vec::<String>::new());
    }

    #[test]
    fn super_counts_where_it_reaches_the_root() {
        assert_eq!(used(LIB, "use super::error::Error;", &["x"]), ["error"]);
        assert_eq!(used(LIB, "use super::error::Error;", &["x", "y"]), Vec::<String>::new());
        assert_eq!(used(LIB, "use super::super::state;", &["x", "y"]), ["state"]);
    }

    #[test]
    fn a_cycle_is_found_and_named() {
        let graph = |edges: &[(&str, &str)]| {
            let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (from, to) in edges {
                uses.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            }
            cycle(&uses)
        };
        assert_eq!(graph(&[("a", "b"), ("a", "c"), ("b", "c")]), None);
        let cycle = graph(&[("a", "b"), ("b", "c"), ("c", "b")]).expect("b and c use each other");
        assert_eq!(cycle, ["b", "c", "b"]);
    }
}
