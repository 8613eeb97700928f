//! The table, file or directory named on the command line: what to call it.

use std::path::Path;

use crate::failure::Failure;

/// Something to open, and its name in the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// A path or URI, as given but for trailing slashes.
    pub(crate) location: String,
}

/// Finds the name of a path or URI: its last part without extension, as an identifier that needs no quotes.
pub(crate) fn resolve(given: &str) -> Result<Place, Failure> {
    let refuse = |what: &str| Err(Failure::Place { place: given.to_owned(), what: what.to_owned() });
    let location = given.trim_end_matches('/');
    if location.is_empty() {
        return refuse("expected a Delta table, a Parquet, CSV or JSON file, or a .sql file");
    }
    let is_uri = location.contains("://");
    if !is_uri {
        let path = Path::new(location);
        if !path.exists() {
            return refuse("no such file or directory");
        }
        if path.is_dir() && !path.join("_delta_log").is_dir() {
            return refuse("the directory holds no Delta table; as a warehouse of tables, open it with --warehouse");
        }
    }
    let last = location.rsplit('/').next().unwrap_or(location);
    let stem = last.split('.').find(|part| !part.is_empty()).unwrap_or(last);
    Ok(Place { name: identifier(stem), location: location.to_owned() })
}

/// The text in lower case with everything but letters, digits and `_` replaced by `_`.
fn identifier(text: &str) -> String {
    let mut name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_last_part() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        for (path, name) in [
            ("Orders.parquet", "orders"),
            ("2024-01 sales.csv", "_2024_01_sales"),
            ("a.b.json", "a"),
            (".hidden", "hidden"),
        ] {
            let path = folder.path().join(path);
            std::fs::write(&path, "")?;
            let place = resolve(&path.to_string_lossy())?;
            assert_eq!(place.name, name);
        }
        std::fs::create_dir_all(folder.path().join("events/_delta_log"))?;
        let place = resolve(&format!("{}/events/", folder.path().display()))?;
        assert_eq!((place.name.as_str(), place.location.ends_with("/events")), ("events", true));
        assert_eq!(resolve("s3://bucket/lake/Line-Items/")?.name, "line_items");
        Ok(())
    }

    #[test]
    fn what_cannot_be_opened_says_why() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let missing = resolve("does/not/exist.parquet").expect_err("missing").to_string();
        assert!(missing.contains("no such file"), "{missing}");
        let warehouse = resolve(&folder.path().to_string_lossy()).expect_err("no table").to_string();
        assert!(warehouse.contains("--warehouse"), "{warehouse}");
        Ok(())
    }
}
