//! The actions of a commit, and their JSON.
//!
//! Protocol section "Actions". Unknown actions and unknown fields are ignored, as the protocol asks of readers; a known
//! action that does not decode makes the commit corrupt, because a dropped `remove` would bring deleted rows back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result, printable};
use crate::version::Version;

mod commit_info;
#[cfg(test)]
mod tests;

pub use commit_info::CommitInfo;

/// The longest line of a commit file that is parsed, in bytes.
pub const LINE_BYTES_MAX: usize = 256 << 20;

/// One line of a commit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Who wrote the commit and how.
    CommitInfo(CommitInfo),
    /// What a reader and a writer must understand.
    Protocol(Protocol),
    /// Schema, partitioning and properties.
    #[serde(rename = "metaData")]
    Metadata(Metadata),
    /// A file that is part of the table from this version on.
    Add(Add),
    /// A file that is no longer part of the table.
    Remove(Remove),
    /// A file of row changes.
    Cdc(Cdc),
    /// How far an application has written.
    Txn(Txn),
    /// Configuration of one named domain.
    DomainMetadata(DomainMetadata),
    /// A V2 checkpoint's own description.
    CheckpointMetadata(CheckpointMetadata),
    /// A file of actions that a V2 checkpoint refers to.
    Sidecar(Sidecar),
}

/// Protocol section "Protocol Evolution".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    /// 1 to 3.
    pub min_reader_version: i32,
    /// 1 to 7.
    pub min_writer_version: i32,
    /// Named features a reader must know; present from reader version 3 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_features: Option<Vec<String>>,
    /// Named features a writer must know; present from writer version 7 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer_features: Option<Vec<String>>,
}

/// Protocol section "Change Metadata".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The table's identity, a GUID.
    pub id: String,
    /// The table's name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the table is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How files are encoded: always Parquet.
    #[serde(default)]
    pub format: Format,
    /// The schema as JSON text.
    pub schema_string: String,
    /// Names of the partition columns, in order.
    #[serde(default)]
    pub partition_columns: Vec<String>,
    /// Table properties.
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    /// When the table was made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_time: Option<i64>,
}

/// Protocol section "Format Specification".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// `parquet`.
    pub provider: String,
    /// Empty for Parquet.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Default for Format {
    fn default() -> Self {
        Format { provider: "parquet".into(), options: BTreeMap::new() }
    }
}

/// Protocol section "Add File and Remove File".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Relative to the table's root, percent-encoded.
    pub path: String,
    /// Partition column (physical name) to serialised value; `None` is null.
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes.
    pub size: i64,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub modification_time: i64,
    /// Whether the rows of the table change by this action.
    #[serde(default)]
    pub data_change: bool,
    /// Statistics as JSON text, see [`crate::stats`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// Free-form metadata of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    /// Rows of the file that are not part of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<DeletionVectorDescriptor>,
    /// Row id of the file's first row, with row tracking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_row_id: Option<i64>,
    /// First version in which the file was added, with row tracking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_row_commit_version: Option<i64>,
    /// Which implementation clustered the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clustering_provider: Option<String>,
}

/// Protocol section "Add File and Remove File".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    /// As in the `add` it takes back.
    pub path: String,
    /// When the file was removed, in milliseconds since 1970; none counts as long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<i64>,
    /// Whether the rows of the table change by this action.
    #[serde(default)]
    pub data_change: bool,
    /// Whether partition values, size and tags are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_file_metadata: Option<bool>,
    /// As in the `add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    /// Statistics as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<String>,
    /// As in the `add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
    /// As in the `add`: together with the path it names the logical file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_vector: Option<DeletionVectorDescriptor>,
    /// As in the `add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_row_id: Option<i64>,
    /// As in the `add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_row_commit_version: Option<i64>,
}

/// Protocol section "Add CDC File".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cdc {
    /// Relative to the table's root, percent-encoded.
    pub path: String,
    /// As in [`Add`].
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Bytes.
    pub size: i64,
    /// Always false.
    #[serde(default)]
    pub data_change: bool,
    /// Free-form metadata of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

/// Protocol section "Transaction Identifiers".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    /// The application.
    pub app_id: String,
    /// How far it has written, in its own counting.
    pub version: i64,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<i64>,
}

/// Protocol section "Domain Metadata".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainMetadata {
    /// The domain's name; `delta.` is reserved for the protocol.
    pub domain: String,
    /// Its configuration, often JSON text.
    pub configuration: String,
    /// Whether the domain is taken away.
    #[serde(default)]
    pub removed: bool,
}

/// Protocol section "Checkpoint Metadata".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointMetadata {
    /// The version the checkpoint stands for.
    pub version: i64,
    /// Free-form metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

/// Protocol section "Sidecar File Information".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// File name below `_delta_log/_sidecars`.
    pub path: String,
    /// Bytes.
    pub size_in_bytes: i64,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub modification_time: i64,
    /// Free-form metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, Option<String>>>,
}

/// Protocol section "Deletion Vector Descriptor Schema".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionVectorDescriptor {
    /// `u` for a file named by a UUID, `i` for inline, `p` for an absolute path.
    pub storage_type: String,
    /// Encoded UUID, encoded bitmap, or path, depending on the storage type.
    pub path_or_inline_dv: String,
    /// Byte offset in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i32>,
    /// Bytes of the serialised bitmap.
    pub size_in_bytes: i32,
    /// How many rows it marks.
    pub cardinality: i64,
}

/// The actions of one commit file.
///
/// Protocol section "Delta Log Entries". An empty line is skipped; the last line need not end in a newline.
///
/// # Errors
/// [`FormatError::CorruptLog`] with the line, if the file is empty or zero-filled, a line is not JSON or a known action
/// does not decode; [`FormatError::LimitExceeded`] for a line beyond [`LINE_BYTES_MAX`].
pub fn parse_commit(version: Version, path: &str, bytes: &[u8]) -> Result<Vec<Action>> {
    let corrupt = |line: Option<usize>, what: String| FormatError::CorruptLog {
        version: Some(version),
        path: path.into(),
        line,
        what,
    };
    if bytes.is_empty() {
        return Err(corrupt(None, "the file is empty, a commit holds at least one action".into()));
    }
    let mut actions = Vec::new();
    let mut seen_any_line = false;
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        seen_any_line = true;
        if line.len() > LINE_BYTES_MAX {
            let (found, limit) = (line.len() as u64, LINE_BYTES_MAX as u64);
            return Err(FormatError::LimitExceeded { which: format!("line {} of {path}", index + 1), found, limit });
        }
        let parsed: ActionLine = serde_json::from_slice(line).map_err(|e| {
            let torn = if e.is_eof() { "the line is cut short: " } else { "" };
            corrupt(Some(index + 1), format!("{torn}{}", printable(&e.to_string())))
        })?;
        parsed.check().map_err(|what| corrupt(Some(index + 1), what))?;
        parsed.into_actions(&mut actions);
    }
    if !seen_any_line {
        return Err(corrupt(None, "the file holds no action".into()));
    }
    Ok(actions)
}

/// The bytes of a commit file: one action a line, in the order given.
pub fn write_commit(actions: &[Action]) -> Vec<u8> {
    let mut out = Vec::with_capacity(actions.len() * 512);
    for action in actions {
        serde_json::to_writer(&mut out, action).expect("actions hold only JSON values with text keys");
        out.push(b'\n');
    }
    out
}

/// One line as it is read: an object with at most one field we know.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionLine {
    #[serde(default)]
    add: Option<Add>,
    #[serde(default)]
    remove: Option<Remove>,
    #[serde(default)]
    cdc: Option<Cdc>,
    #[serde(default)]
    txn: Option<Txn>,
    #[serde(default)]
    protocol: Option<Protocol>,
    #[serde(default, rename = "metaData")]
    metadata: Option<Metadata>,
    #[serde(default)]
    domain_metadata: Option<DomainMetadata>,
    #[serde(default)]
    commit_info: Option<CommitInfo>,
    #[serde(default)]
    checkpoint_metadata: Option<CheckpointMetadata>,
    #[serde(default)]
    sidecar: Option<Sidecar>,
}

impl ActionLine {
    /// Rules that the JSON types do not express.
    fn check(&self) -> std::result::Result<(), String> {
        if let Some(add) = &self.add {
            if add.path.is_empty() {
                return Err("add without a path".into());
            }
            if add.size < 0 {
                return Err(format!("add of {} with negative size {}", printable(&add.path), add.size));
            }
        }
        if self.remove.as_ref().is_some_and(|r| r.path.is_empty()) {
            return Err("remove without a path".into());
        }
        Ok(())
    }

    fn into_actions(self, out: &mut Vec<Action>) {
        out.extend(self.commit_info.map(Action::CommitInfo));
        out.extend(self.protocol.map(Action::Protocol));
        out.extend(self.metadata.map(Action::Metadata));
        out.extend(self.add.map(Action::Add));
        out.extend(self.remove.map(Action::Remove));
        out.extend(self.cdc.map(Action::Cdc));
        out.extend(self.txn.map(Action::Txn));
        out.extend(self.domain_metadata.map(Action::DomainMetadata));
        out.extend(self.checkpoint_metadata.map(Action::CheckpointMetadata));
        out.extend(self.sidecar.map(Action::Sidecar));
    }
}
