//! Absolute paths in a log, held against the place where the table lies.

use percent_encoding::percent_decode_str;

use super::data::{DataPath, escapes, scheme};
use crate::error::Result;

/// The folder of a table, against which the absolute paths of its log are held.
///
/// The protocol says that a path is relative to the table's root or an absolute URI (section "Add File and Remove File"). A
/// shallow clone names the files of its source that way, and some writers name their own.
///
/// ```
/// use floe_table_format::path::TableRoot;
///
/// let root = TableRoot::of("file:///lake/clone");
/// assert_eq!(root.decode("a%20b.parquet")?, "a b.parquet");
/// assert_eq!(root.decode("file:/lake/clone/a%20b.parquet")?, "a b.parquet");
/// assert_eq!(root.decode("file:///lake/source/a%20b.parquet")?, "/lake/source/a b.parquet");
/// assert!(root.decode("s3://bucket/a.parquet").is_err());
/// # Ok::<(), floe_table_format::FormatError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRoot {
    /// Scheme and authority, in the form in which two that name one store are equal.
    store: String,
    /// The folder in the store: decoded, with a slash before and none behind; empty for the store itself.
    folder: String,
}

impl TableRoot {
    /// The root that a URI or a path of the local file system names.
    pub fn of(uri: &str) -> Self {
        let (store, path) = split(uri).unwrap_or_else(|| (String::new(), uri));
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        TableRoot { store, folder: decoded.trim_end_matches('/').to_owned() }
    }

    /// The place on storage of a path in the log: relative to the root for a file inside of it; with a slash in front, and
    /// from the top of the same store, for one elsewhere. Such a file belongs to someone else: whoever reads it has to ask
    /// whether that may be, and nobody may write or delete it.
    ///
    /// # Errors
    /// [`crate::FormatError::PathEscapesTable`] for another store, for what [`DataPath::decode`] refuses of a relative path, and for
    /// the same in an absolute one.
    pub fn decode(&self, encoded: &str) -> Result<String> {
        let Some((store, path)) = split(encoded) else { return DataPath::decode(encoded) };
        if store != self.store {
            return Err(escapes(encoded, "it lies in another store".into()));
        }
        let decoded = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| escapes(encoded, "it does not decode to UTF-8".into()))?;
        let below_store = decoded.strip_prefix('/').unwrap_or(&decoded);
        DataPath::check(below_store, encoded)?;
        let inside = decoded.strip_prefix(self.folder.as_str()).and_then(|rest| rest.strip_prefix('/'));
        Ok(inside.map_or_else(|| decoded.clone().into_owned(), str::to_owned))
    }

    /// Whether a path that [`TableRoot::decode`] gave is of a file outside the root.
    pub fn is_outside(decoded: &str) -> bool {
        decoded.starts_with('/')
    }

    /// What the log of another table calls a file of this one: an absolute URI. `uri` is this root's own.
    pub fn absolute(uri: &str, relative: &str) -> String {
        // In the middle of a path a colon ends no scheme, so its first segment is no other than the rest.
        let quoted = DataPath::encode(&format!("./{relative}"));
        format!("{}/{}", uri.trim_end_matches('/'), quoted.strip_prefix("./").unwrap_or(&quoted))
    }
}

/// The store and the path in it of an absolute URI or path; none for a relative one.
fn split(uri: &str) -> Option<(String, &str)> {
    let Some(scheme) = scheme(uri) else {
        return uri.starts_with('/').then(|| ("file://".to_owned(), uri));
    };
    let rest = &uri[scheme.len() + 1..];
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    if !path.is_empty() && !path.starts_with('/') {
        return None;
    }
    // Different spellings of one store's scheme.
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "s3a" | "s3n" => "s3".to_owned(),
        "abfs" => "abfss".to_owned(),
        other => other.to_owned(),
    };
    let authority = if scheme == "file" && authority == "localhost" { "" } else { authority };
    Some((format!("{scheme}://{authority}"), path))
}
