//! A commit's bytes straight into columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::action::{DeletionVectorDescriptor, LINE_BYTES_MAX, parse_commit};
use crate::error::{FormatError, Result};
use crate::state::builder::{AddRow, tags_text};
use crate::state::draft::{CommitScope, Draft};
use crate::version::Version;

/// Folds every line of a commit. Lines that are one plain `add` take the short way; everything else, errors included, is
/// what [`parse_commit`] makes of it.
pub(super) fn fold(
    draft: &mut Draft,
    scope: &mut CommitScope,
    version: Version,
    path: &str,
    bytes: &[u8],
) -> Result<()> {
    let mut seen_any_line = false;
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        seen_any_line = true;
        let short = line.starts_with(b"{\"add\":") && line.len() <= LINE_BYTES_MAX;
        if let Some(Line { add }) = short.then(|| serde_json::from_slice::<Line<'_>>(line).ok()).flatten()
            && !add.path.0.is_empty()
            && add.size >= 0
        {
            add.fold(draft, scope)?;
            continue;
        }
        for action in parse_commit(version, path, line).map_err(|e| at_line(e, path, index + 1))? {
            draft.fold(scope, &action)?;
        }
    }
    if !seen_any_line {
        // Says what is wrong with a file without lines.
        parse_commit(version, path, bytes)?;
    }
    Ok(())
}

/// The error of a line that was parsed alone, with its place in the file.
fn at_line(error: FormatError, path: &str, line: usize) -> FormatError {
    match error {
        FormatError::CorruptLog { version, path, what, .. } => {
            FormatError::CorruptLog { version, path, line: Some(line), what }
        }
        FormatError::LimitExceeded { found, limit, .. } => {
            FormatError::LimitExceeded { which: format!("line {line} of {path}"), found, limit }
        }
        other => other,
    }
}

/// A line that holds one `add` and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    add: AddLine<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddLine<'a> {
    #[serde(borrow)]
    path: Text<'a>,
    #[serde(borrow, default)]
    partition_values: Pairs<'a>,
    size: i64,
    #[serde(default)]
    modification_time: i64,
    #[serde(default, rename = "dataChange")]
    _data_change: bool,
    #[serde(borrow, default)]
    stats: Option<Text<'a>>,
    #[serde(default)]
    tags: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    deletion_vector: Option<DeletionVectorDescriptor>,
    #[serde(default)]
    base_row_id: Option<i64>,
    #[serde(default)]
    default_row_commit_version: Option<i64>,
    #[serde(borrow, default)]
    clustering_provider: Option<Text<'a>>,
}

impl AddLine<'_> {
    fn fold(&self, draft: &mut Draft, scope: &mut CommitScope) -> Result<()> {
        let row = AddRow {
            path: &self.path.0,
            size: self.size,
            modification_time: self.modification_time,
            stats: self.stats.as_ref().map(|s| s.0.as_ref()),
            tags: self.tags.as_ref().map(|tags| Cow::Owned(tags_text(tags))),
            deletion_vector: self.deletion_vector.as_ref(),
            base_row_id: self.base_row_id,
            default_row_commit_version: self.default_row_commit_version,
            clustering_provider: self.clustering_provider.as_ref().map(|s| s.0.as_ref()),
        };
        let values = self.partition_values.0.iter().map(|(k, v)| (k.0.as_ref(), v.as_ref().map(|v| v.0.as_ref())));
        draft.add(scope, &row, values)
    }
}

/// Text, borrowed from the line where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// The members of an object of texts, in order.
#[derive(Default)]
struct Pairs<'a>(Vec<(Text<'a>, Option<Text<'a>>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
