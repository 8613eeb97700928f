//! A table state while actions are folded into it: protocol section "Action Reconciliation".

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::buffer::{BooleanBuffer, Buffer};

use super::TableState;
use super::builder::{AddRow, CHUNK_ROWS, CHUNK_TEXT_BYTES, ChunkBuilder};
use super::chunk::{DvKey, FileChunk, FileKey};
use super::files::{FileTable, LiveRows};
use super::index::PathHash;
use super::tombstones::Tombstones;
use crate::action::{Action, DeletionVectorDescriptor, DomainMetadata, Metadata, Protocol, Remove, Txn};
use crate::error::{FormatError, Result, printable};
use crate::path::DataPath;
use crate::path::commit_name;
use crate::property::TableProperties;
use crate::schema::StructType;
use crate::version::{TimestampMs, Version};

/// Chunks below [`CHUNK_ROWS`]`/2` rows that a table may have before the smallest are merged.
const SMALL_CHUNKS_MAX: usize = 64;
/// How many of the smallest are merged then. More than half, so that merging is rare; not all, so that the larger ones
/// are not copied every time.
const MERGED_AT_ONCE: usize = 48;
/// A chunk with fewer rows is not rewritten merely because most of them are dead.
const SPARSE_ROWS_MIN: usize = if cfg!(test) { 8 } else { 1024 };

/// The state being folded.
#[derive(Default)]
pub(crate) struct Draft {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    /// Parsed from `metadata`; none after it changed.
    parsed: Option<(Arc<StructType>, Arc<TableProperties>)>,
    txns: Arc<BTreeMap<String, Txn>>,
    domains: Arc<BTreeMap<String, DomainMetadata>>,
    slots: Vec<Slot>,
    /// Files added in this draft and not yet in a slot.
    pending: ChunkBuilder,
    pending_live: LiveBits,
    pending_commits: Vec<u32>,
    total_bytes: u64,
    tombstones: Tombstones,
    removes: Vec<Remove>,
    commit_timestamp: Option<TimestampMs>,
    /// Added files that may lack partition values: whether they do is known with the metadata, at the end.
    few_values: Vec<FewValues>,
    /// Counts commits, to tell two references within one commit from references in two.
    commit: u32,
}

/// A file that names fewer partition values than another one, or than was expected of it.
#[derive(Debug)]
pub(crate) struct FewValues {
    pub(crate) path: String,
    pub(crate) deletion_vector: Option<DeletionVectorDescriptor>,
    /// How many it names.
    pub(crate) values: usize,
    /// The commit that added it; none for a file of a checkpoint.
    pub(crate) version: Option<Version>,
}

/// A chunk and which of its rows are live.
struct Slot {
    chunk: Arc<FileChunk>,
    live: Live,
    /// For a chunk made in this draft: the commit that added each row.
    commits: Vec<u32>,
}

enum Live {
    Shared(LiveRows),
    Own(LiveBits),
}

/// A growable bitmap with its count.
#[derive(Default)]
struct LiveBits {
    bits: Vec<u8>,
    rows: usize,
    count: usize,
}

/// What one commit said so far.
#[derive(Default)]
pub(crate) struct CommitScope {
    version: Version,
    protocol: bool,
    metadata: bool,
    removed: HashSet<OwnedKey>,
}

type OwnedKey = (String, Option<(String, String, Option<i32>)>);

impl Draft {
    pub(crate) fn from_state(state: &TableState) -> Self {
        Draft {
            protocol: Some(state.protocol.clone()),
            metadata: Some(state.metadata.clone()),
            parsed: Some((Arc::clone(&state.schema), Arc::clone(&state.properties))),
            txns: Arc::clone(&state.txns),
            domains: Arc::clone(&state.domains),
            slots: state.files.parts().map(|(chunk, live)| Slot::shared(Arc::clone(chunk), live.clone())).collect(),
            total_bytes: state.files.total_bytes(),
            tombstones: state.tombstones.clone(),
            ..Draft::default()
        }
    }

    /// Adds a chunk of a checkpoint. All its rows are live.
    pub(crate) fn push_base(&mut self, chunk: FileChunk) {
        let bytes = chunk.columns().sizes.values().iter().fold(0u64, |sum, size| sum.saturating_add(as_bytes(*size)));
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        let live = LiveRows { mask: None, count: chunk.rows() };
        self.slots.push(Slot::shared(Arc::new(chunk), live));
    }

    pub(crate) fn push_base_few_values(&mut self, files: Vec<FewValues>) {
        self.few_values.extend(files);
    }

    pub(crate) fn push_base_removes(&mut self, removes: Vec<Remove>) {
        self.tombstones.push(removes);
    }

    /// Takes over what a checkpoint says beside files.
    pub(crate) fn set_base(
        &mut self,
        protocol: Option<Protocol>,
        metadata: Option<Metadata>,
        txns: BTreeMap<String, Txn>,
        domains: BTreeMap<String, DomainMetadata>,
    ) {
        self.protocol = protocol;
        self.metadata = metadata;
        self.txns = Arc::new(txns);
        self.domains = Arc::new(domains);
    }

    /// Folds one commit.
    pub(crate) fn apply<'a>(&mut self, version: Version, actions: impl Iterator<Item = &'a Action>) -> Result<()> {
        let mut scope = self.begin(version);
        for action in actions {
            self.fold(&mut scope, action)?;
        }
        self.end(scope);
        Ok(())
    }

    pub(crate) fn begin(&mut self, version: Version) -> CommitScope {
        self.commit += 1;
        self.commit_timestamp = None;
        CommitScope { version, ..CommitScope::default() }
    }

    pub(crate) fn end(&mut self, _scope: CommitScope) {
        self.tombstones.push(std::mem::take(&mut self.removes));
    }

    pub(crate) fn fold(&mut self, scope: &mut CommitScope, action: &Action) -> Result<()> {
        match action {
            Action::Add(add) => {
                let values = add.partition_values.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
                self.add(scope, &AddRow::of(add), values)?;
            }
            Action::Remove(remove) => self.remove(scope, remove)?,
            Action::Protocol(protocol) => {
                if std::mem::replace(&mut scope.protocol, true) {
                    return Err(scope.corrupt("two protocol actions in one commit"));
                }
                self.protocol = Some(protocol.clone());
            }
            Action::Metadata(metadata) => {
                if std::mem::replace(&mut scope.metadata, true) {
                    return Err(scope.corrupt("two metaData actions in one commit"));
                }
                let same = self.metadata.as_ref().is_some_and(|old| {
                    old.schema_string == metadata.schema_string && old.configuration == metadata.configuration
                });
                if !same {
                    self.parsed = None;
                }
                self.metadata = Some(metadata.clone());
            }
            Action::Txn(txn) => {
                Arc::make_mut(&mut self.txns).insert(txn.app_id.clone(), txn.clone());
            }
            Action::DomainMetadata(domain) => {
                let domains = Arc::make_mut(&mut self.domains);
                if domain.removed {
                    domains.remove(&domain.domain);
                } else {
                    domains.insert(domain.domain.clone(), domain.clone());
                }
            }
            Action::CommitInfo(info) => {
                self.commit_timestamp = info.in_commit_timestamp.map(TimestampMs).or(self.commit_timestamp);
            }
            // Row changes are not state; the rest belongs to checkpoints.
            Action::Cdc(_) | Action::CheckpointMetadata(_) | Action::Sidecar(_) => {}
        }
        Ok(())
    }

    /// A file becomes part of the table; an older reference to the same logical file gives way.
    pub(crate) fn add<'p>(
        &mut self,
        scope: &mut CommitScope,
        add: &AddRow<'_>,
        partition_values: impl Iterator<Item = (&'p str, Option<&'p str>)>,
    ) -> Result<()> {
        let key = add.key();
        if !scope.removed.is_empty() && scope.removed.contains(&owned(&key)) {
            return Err(scope.corrupt(format!("add and remove of {} in one commit", printable(key.path))));
        }
        let hash = PathHash::of(key.path);
        if self.kill(hash, key) == Some(self.commit) {
            return Err(scope.corrupt(format!("two adds of {} in one commit", printable(key.path))));
        }
        let mut values = 0;
        self.pending.push(hash, add, partition_values.inspect(|_| values += 1));
        if self.metadata.as_ref().is_none_or(|metadata| values < metadata.partition_columns.len()) {
            self.few_values.push(FewValues {
                path: add.path.to_owned(),
                deletion_vector: add.deletion_vector.cloned(),
                values,
                version: Some(scope.version),
            });
        }
        self.pending_live.push_live();
        self.pending_commits.push(self.commit);
        self.total_bytes = self.total_bytes.saturating_add(as_bytes(add.size));
        if self.pending.is_full() {
            self.flush()?;
        }
        Ok(())
    }

    fn remove(&mut self, scope: &mut CommitScope, remove: &Remove) -> Result<()> {
        let key =
            FileKey { path: DataPath::identity(&remove.path), dv: remove.deletion_vector.as_ref().map(DvKey::from) };
        if self.kill(PathHash::of(key.path), key) == Some(self.commit) {
            return Err(scope.corrupt(format!("add and remove of {} in one commit", printable(key.path))));
        }
        scope.removed.insert(owned(&key));
        self.removes.push(remove.clone());
        Ok(())
    }

    /// Takes every live row of this logical file away. The answer is the commit of this draft that had added one of
    /// them, zero for a file of the base; none if there was none.
    ///
    /// Every row, although a sound log has at most one: a checkpoint that lists a file twice must not keep half of it.
    fn kill(&mut self, hash: PathHash, key: FileKey<'_>) -> Option<u32> {
        let mut killed = None;
        let live = &mut self.pending_live;
        for row in self.pending.rows_of(hash, key) {
            if live.clear(row) {
                killed = killed.max(Some(self.pending_commits[row as usize]));
                self.total_bytes = self.total_bytes.saturating_sub(as_bytes(self.pending.size(row)));
            }
        }
        for Slot { chunk, live, commits } in &mut self.slots {
            for row in chunk.rows_of(hash, key) {
                if live.clear(row, chunk.rows()) {
                    killed = killed.max(Some(commits.get(row as usize).copied().unwrap_or(0)));
                    let size = chunk.columns().sizes.value(row as usize);
                    self.total_bytes = self.total_bytes.saturating_sub(as_bytes(size));
                }
            }
        }
        killed
    }

    /// Closes the pending chunk.
    fn flush(&mut self) -> Result<()> {
        if self.pending.rows() == 0 {
            return Ok(());
        }
        let chunk = Arc::new(std::mem::take(&mut self.pending).finish()?);
        let live = Live::Own(std::mem::take(&mut self.pending_live));
        self.slots.push(Slot { chunk, live, commits: std::mem::take(&mut self.pending_commits) });
        Ok(())
    }

    /// The state at this version.
    pub(crate) fn finish(mut self, version: Version) -> Result<TableState> {
        self.flush()?;
        let missing = |what: &str| {
            FormatError::corrupt_log(Some(version), commit_name(version), format!("no {what} up to this version"))
        };
        let protocol = self.protocol.ok_or_else(|| missing("protocol action"))?;
        let metadata = self.metadata.ok_or_else(|| missing("metaData action"))?;
        let (schema, properties) = match self.parsed {
            Some(parsed) => parsed,
            None => (
                Arc::new(StructType::parse(&metadata.schema_string)?),
                Arc::new(TableProperties::parse(&metadata.configuration)?),
            ),
        };
        let parts = self.slots.into_iter().map(|slot| (slot.chunk, slot.live.into_rows())).collect();
        let files = FileTable::new(consolidate(parts)?, self.total_bytes);
        check_partition_values(&self.few_values, &metadata, &files, version)?;
        self.tombstones.merge(&files);
        Ok(TableState {
            version,
            protocol,
            metadata,
            schema,
            properties,
            txns: self.txns,
            domains: self.domains,
            files,
            tombstones: self.tombstones,
            commit_timestamp: self.commit_timestamp,
        })
    }
}

/// Refuses a live file without a value for each partition column, be it null. Protocol section "Add File and Remove File":
/// a reader that took the missing one for null would show rows under a partition that nobody wrote.
fn check_partition_values(
    few_values: &[FewValues],
    metadata: &Metadata,
    files: &FileTable,
    version: Version,
) -> Result<()> {
    let expected = metadata.partition_columns.len();
    for file in few_values.iter().filter(|file| file.values < expected) {
        if files.find_logical(&file.path, file.deletion_vector.as_ref()).is_some() {
            let what = format!(
                "add of {} names {} partition values, the table has {expected} partition columns",
                printable(&file.path),
                file.values
            );
            let version = file.version.unwrap_or(version);
            return Err(FormatError::corrupt_log(Some(version), commit_name(version), what));
        }
    }
    Ok(())
}

impl CommitScope {
    fn corrupt(&self, what: impl Into<String>) -> FormatError {
        FormatError::corrupt_log(Some(self.version), commit_name(self.version), what)
    }
}

impl Slot {
    fn shared(chunk: Arc<FileChunk>, live: LiveRows) -> Self {
        Slot { chunk, live: Live::Shared(live), commits: Vec::new() }
    }
}

impl Live {
    /// Takes a row away; whether it was live. The first one copies the bitmap.
    fn clear(&mut self, row: u32, rows: usize) -> bool {
        match self {
            Live::Own(bits) => bits.clear(row),
            Live::Shared(shared) if shared.mask.as_ref().is_some_and(|mask| !mask.value(row as usize)) => false,
            Live::Shared(shared) => {
                let mut bits = LiveBits::from_rows(shared, rows);
                let was_live = bits.clear(row);
                *self = Live::Own(bits);
                was_live
            }
        }
    }

    fn into_rows(self) -> LiveRows {
        match self {
            Live::Shared(rows) => rows,
            Live::Own(bits) => bits.to_rows(),
        }
    }
}

impl LiveBits {
    fn from_rows(live: &LiveRows, rows: usize) -> Self {
        let mut bits = vec![0xff; rows.div_ceil(8)];
        if let Some(mask) = &live.mask {
            bits.copy_from_slice(&mask.sliced().as_slice()[..rows.div_ceil(8)]);
        }
        LiveBits { bits, rows, count: live.count }
    }

    fn push_live(&mut self) {
        if self.rows.is_multiple_of(8) {
            self.bits.push(0);
        }
        self.bits[self.rows / 8] |= 1 << (self.rows % 8);
        self.rows += 1;
        self.count += 1;
    }

    fn clear(&mut self, row: u32) -> bool {
        let (byte, bit) = (row as usize / 8, 1 << (row % 8));
        let was = self.bits[byte] & bit != 0;
        self.bits[byte] &= !bit;
        self.count -= usize::from(was);
        was
    }

    fn to_rows(&self) -> LiveRows {
        let mask =
            (self.count < self.rows).then(|| BooleanBuffer::new(Buffer::from_vec(self.bits.clone()), 0, self.rows));
        LiveRows { mask, count: self.count }
    }
}

/// Drops empty chunks, rewrites sparse ones and merges the smallest when there are too many.
fn consolidate(parts: Vec<(Arc<FileChunk>, LiveRows)>) -> Result<Vec<(Arc<FileChunk>, LiveRows)>> {
    let mut kept: Vec<_> = parts.into_iter().filter(|(_, live)| live.count > 0).collect();
    let is_sparse =
        |(chunk, live): &(Arc<FileChunk>, LiveRows)| chunk.rows() >= SPARSE_ROWS_MIN && live.count * 2 < chunk.rows();
    let mut chosen: Vec<bool> = kept.iter().map(is_sparse).collect();
    let mut small: Vec<usize> = (0..kept.len()).filter(|i| kept[*i].0.rows() < CHUNK_ROWS / 2).collect();
    if small.len() > SMALL_CHUNKS_MAX {
        small.sort_by_key(|i| kept[*i].1.count);
        // All but a few: a load of very many commits comes here once, not once per commit.
        let merged = small.len() - (SMALL_CHUNKS_MAX - MERGED_AT_ONCE);
        small.iter().take(merged).for_each(|i| chosen[*i] = true);
    }
    if !chosen.contains(&true) {
        return Ok(kept);
    }
    let mut group: Vec<(Arc<FileChunk>, LiveRows)> = Vec::new();
    let mut out = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (index, part) in kept.drain(..).enumerate() {
        if !chosen[index] {
            out.push(part);
            continue;
        }
        let text = part.0.columns().text_bytes();
        if rows + part.1.count > CHUNK_ROWS || bytes + text > CHUNK_TEXT_BYTES {
            out.extend(merge(std::mem::take(&mut group))?);
            (rows, bytes) = (0, 0);
        }
        rows += part.1.count;
        bytes += text;
        group.push(part);
    }
    out.extend(merge(group)?);
    Ok(out)
}

fn merge(group: Vec<(Arc<FileChunk>, LiveRows)>) -> Result<Option<(Arc<FileChunk>, LiveRows)>> {
    if group.is_empty() {
        return Ok(None);
    }
    let parts: Vec<_> = group.iter().map(|(chunk, live)| (chunk.as_ref(), live.mask.as_ref())).collect();
    let chunk = FileChunk::concat(&parts)?;
    let live = LiveRows { mask: None, count: chunk.rows() };
    Ok(Some((Arc::new(chunk), live)))
}

fn owned(key: &FileKey<'_>) -> OwnedKey {
    (key.path.to_owned(), key.dv.map(|dv| (dv.storage_type.to_owned(), dv.path.to_owned(), dv.offset)))
}

fn as_bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}
