//! Checkpoints as Arrow batches: protocol sections "Checkpoints" and "Checkpoint Schema".
//!
//! A checkpoint is the state of a version as rows, one action each, in columns named after the actions. Reading turns
//! rows into file columns without a struct per file ([`read_batch`]); writing does the reverse ([`checkpoint_batches`]).
//! How the rows lie in Parquet is not known here.

use std::collections::BTreeMap;

use crate::action::{CheckpointMetadata, DomainMetadata, Metadata, Protocol, Remove, Sidecar, Txn};
use crate::error::{FormatError, Result};
use crate::state::FileChunk;
use crate::state::builder::{CHUNK_ROWS, CHUNK_TEXT_BYTES};
use crate::state::draft::{Draft, FewValues};

mod columns;
mod manifest;
mod read;
mod schema;
mod stats_schema;
mod write;

#[cfg(test)]
mod tests;

pub use crate::segment::LastCheckpointHint as LastCheckpoint;
pub use manifest::{SIDECAR_ACTIONS, SidecarBatches, last_v2_checkpoint, manifest, sidecar_batches, sidecar_schema};
pub use read::{read_batch, rows_of_actions, sidecars};
pub use schema::checkpoint_schema;
pub use write::{CheckpointBatches, checkpoint_batches, last_checkpoint};

/// The columns of a checkpoint that [`read_batch`] understands, as dotted paths of Parquet columns. What lies below one
/// of them belongs to it. Columns that a file lacks are taken as null; others need not be read.
pub fn read_columns() -> &'static [&'static str] {
    &[
        "add.path",
        "add.partitionValues",
        "add.size",
        "add.modificationTime",
        "add.stats",
        "add.stats_parsed",
        "add.tags",
        "add.deletionVector",
        "add.baseRowId",
        "add.defaultRowCommitVersion",
        "add.clusteringProvider",
        "remove.path",
        "remove.deletionTimestamp",
        "remove.dataChange",
        "remove.extendedFileMetadata",
        "remove.partitionValues",
        "remove.size",
        "remove.deletionVector",
        "remove.baseRowId",
        "remove.defaultRowCommitVersion",
        "metaData",
        "protocol",
        "txn",
        "domainMetadata",
        "checkpointMetadata",
        "sidecar",
    ]
}

/// What some rows of a checkpoint hold.
#[derive(Debug, Default)]
pub struct Rows {
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The metadata.
    pub metadata: Option<Metadata>,
    /// Progress of applications.
    pub txns: Vec<Txn>,
    /// Domains.
    pub domains: Vec<DomainMetadata>,
    /// Live files.
    pub adds: Option<FileChunk>,
    /// Files among them that name fewer partition values than others do, and one that names the most.
    pub(crate) few_values: Vec<FewValues>,
    /// Tombstones.
    pub removes: Vec<Remove>,
    /// Other files of a V2 checkpoint, to be read too.
    pub sidecars: Vec<Sidecar>,
    /// What a V2 checkpoint says of itself.
    pub checkpoint_metadata: Option<CheckpointMetadata>,
}

/// The parts of a checkpoint, gathered until all have been read.
#[derive(Default)]
pub(crate) struct Base {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    txns: BTreeMap<String, Txn>,
    domains: BTreeMap<String, DomainMetadata>,
    /// Chunks not yet large enough to stand alone.
    chunks: Vec<FileChunk>,
    rows: usize,
    bytes: usize,
}

impl Base {
    pub(crate) fn add(&mut self, rows: Rows, draft: &mut Draft) -> Result<Vec<Sidecar>> {
        if let Some(protocol) = rows.protocol {
            set_once(&mut self.protocol, protocol, "protocol")?;
        }
        if let Some(metadata) = rows.metadata {
            set_once(&mut self.metadata, metadata, "metaData")?;
        }
        self.txns.extend(rows.txns.into_iter().map(|txn| (txn.app_id.clone(), txn)));
        let domains = rows.domains.into_iter().filter(|domain| !domain.removed);
        self.domains.extend(domains.map(|domain| (domain.domain.clone(), domain)));
        draft.push_base_few_values(rows.few_values);
        draft.push_base_removes(rows.removes);
        if let Some(chunk) = rows.adds {
            let bytes = chunk.columns().text_bytes();
            if self.bytes + bytes > CHUNK_TEXT_BYTES {
                self.flush(draft)?;
            }
            self.rows += chunk.rows();
            self.bytes += bytes;
            self.chunks.push(chunk);
            if self.rows >= CHUNK_ROWS {
                self.flush(draft)?;
            }
        }
        Ok(rows.sidecars)
    }

    pub(crate) fn close(mut self, draft: &mut Draft) -> Result<()> {
        self.flush(draft)?;
        draft.set_base(self.protocol, self.metadata, self.txns, self.domains);
        Ok(())
    }

    /// Hands the gathered chunks over as one: readers deliver batches of a few thousand rows, and every look-up of a
    /// file costs once per chunk.
    fn flush(&mut self, draft: &mut Draft) -> Result<()> {
        let chunks = std::mem::take(&mut self.chunks);
        (self.rows, self.bytes) = (0, 0);
        if !chunks.is_empty() {
            let parts: Vec<_> = chunks.iter().map(|chunk| (chunk, None)).collect();
            draft.push_base(FileChunk::concat(&parts)?);
        }
        Ok(())
    }
}

fn set_once<T: PartialEq>(slot: &mut Option<T>, value: T, what: &str) -> Result<()> {
    match slot.replace(value) {
        Some(old) if Some(&old) != slot.as_ref() => {
            Err(FormatError::corrupt_checkpoint("checkpoint", format!("two different {what} actions")))
        }
        _ => Ok(()),
    }
}
