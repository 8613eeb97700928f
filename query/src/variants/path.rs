//! Paths into variants: `$.orders[0]['ship to']`.

use parquet_variant::Variant;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Element(usize),
}

/// The way from a variant to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads `$`, followed by `.name`, `['name']`, `["name"]` and `[0]` in any number.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub(super) fn parse(text: &str) -> Result<Path, String> {
        let wrong = |at: usize, what: &str| {
            let shown = floe_table_format::error::printable(text);
            Err(format!("path {shown}: {what} at character {}: paths look like $.a[0]['b c']", at + 1))
        };
        let characters: Vec<char> = text.chars().collect();
        if characters.first() != Some(&'$') {
            return wrong(0, "expected $");
        }
        let mut steps = Vec::new();
        let mut at = 1;
        while let Some(opening) = characters.get(at) {
            let start = at + 1;
            let upto =
                |from: usize, end: &dyn Fn(char) -> bool| (from..characters.len()).find(|at| end(characters[*at]));
            let text = |from: usize, to: usize| characters[from..to].iter().collect::<String>();
            match opening {
                '.' => {
                    let end = upto(start, &|c| matches!(c, '.' | '[')).unwrap_or(characters.len());
                    if end == start {
                        return wrong(start, "expected a name");
                    }
                    steps.push(Step::Field(text(start, end)));
                    at = end;
                }
                '[' => match characters.get(start) {
                    Some(quote @ ('\'' | '"')) => {
                        let Some(end) = upto(start + 1, &|c| c == *quote) else {
                            return wrong(start, "the quote is not closed");
                        };
                        if characters.get(end + 1) != Some(&']') {
                            return wrong(end + 1, "expected ]");
                        }
                        steps.push(Step::Field(text(start + 1, end)));
                        at = end + 2;
                    }
                    _ => {
                        let Some(end) = upto(start, &|c| c == ']') else { return wrong(start, "expected ]") };
                        match text(start, end).parse() {
                            Ok(element) => steps.push(Step::Element(element)),
                            Err(_) => return wrong(start, "expected a position from 0, or a name in quotes"),
                        }
                        at = end + 1;
                    }
                },
                _ => return wrong(at, "expected . or ["),
            }
        }
        Ok(Path(steps))
    }

    /// The part at the end of the path; none where there is no such part.
    pub(super) fn of<'v>(&self, variant: Variant<'v, 'v>) -> Option<Variant<'v, 'v>> {
        let mut here = variant;
        for step in &self.0 {
            here = match (step, &here) {
                (Step::Field(name), Variant::Object(object)) => object.get(name)?,
                (Step::Element(at), Variant::List(list)) => list.get(*at)?,
                _ => return None,
            };
        }
        Some(here)
    }
}
