//! The record index of one table: its runs, in the store and in memory.
//!
//! The index lies in `_floe/index/` below the table's root, a folder that other engines leave alone, as a bag of immutable
//! runs ([`floe_index::run`]). There is no list of them and no lock: a run says itself what it covers, two runs may cover
//! the same file, and one that is missing or damaged covers nothing. So writers never wait for each other here, and nothing
//! that happens to the folder changes what the table holds.
//!
//! ```text
//!   commit ─► entries of its files ─► run in memory ─┬─ 256 k entries or 16 files ─► run in the store
//!                                                     │                                │
//!   look-up ◄── runs in memory ◄─────────────────────┘         eight of a size ────────┴─► one larger run
//! ```
//!
//! Everything here is advisory, and so is its success: a failure leaves files uncovered, and they are read instead.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use floe_index::plan::{RUNS_OF_A_SIZE_MAX, RUNS_UNASKED_MAX, RunSize, plan_merge};
use floe_index::run::{BLOCK_BYTES, Block, Footer, RunAbout, RunEncoder, Trailer};
use floe_index::{Entry, KeyHash, KeySet, Slice, merge_by_hash, slices, sorted_by_hash};
use floe_storage::{DataStore, Env, Kept};
use floe_table_format::{TableState, TimestampMs};
use futures::StreamExt;

use crate::error::{OnTable, Result};
use crate::key::PrimaryKey;

/// Where the runs lie, relative to the table's root.
pub(crate) const INDEX_FOLDER: &str = "_floe/index";
/// Runs kept in memory come to at most so many entries before they are written.
const MEMORY_ENTRIES_MAX: u64 = 256 << 10;
/// And to at most so many files.
const MEMORY_FILES_MAX: usize = 16;
/// Entries that a merge holds at a time: 96 MiB.
const MERGE_ENTRIES: u64 = 4 << 20;
/// And merges at a time.
const MERGE_PART_ENTRIES: u64 = 16 << 10;
/// How long a listing of the runs counts as recent.
const LISTING_AGE_MS_MAX: i64 = 60 * 1000;
/// Read from the end of a run at once: the whole footer of most.
const TAIL_BYTES: u64 = 64 << 10;
/// Footers read at the same time.
const FOOTERS_IN_FLIGHT: usize = 16;
/// Blocks read in one request to the store.
const BLOCKS_A_READ: usize = 4096;
/// Blocks kept for look-ups to come, 4 KiB each.
const BLOCKS_KEPT_MAX: usize = 8192;

/// Entries of a few files, sorted, in memory or in the store.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) about: RunAbout,
    pub(crate) entries: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<Entry>),
    Store { path: String, footer: Footer },
}

impl Run {
    /// A run of these files, whose rows have these hashes in order.
    pub(crate) fn of_files(key: &PrimaryKey, files: &[StagedFile]) -> Self {
        let rows = files.iter().enumerate().flat_map(|(number, file)| {
            let rows = file.hashes.iter().enumerate().filter(|(_, hash)| **hash != KeyHash::NONE);
            rows.map(move |(row, hash)| Entry { hash: *hash, file: number as u32, row: row as u32 })
        });
        let entries = sorted_by_hash(rows, |entry| entry.hash.high);
        let about = about(key, files.iter().map(|file| file.path.clone()).collect());
        Run { about, entries: entries.len() as u64, place: Place::Memory(entries) }
    }

    /// How many blocks a look-up may have to read.
    pub(crate) fn blocks(&self) -> u64 {
        match &self.place {
            // As good as free.
            Place::Memory(_) => 1,
            Place::Store { footer, .. } => u64::from(footer.blocks()),
        }
    }

    /// Whether the run is about this key.
    fn is_of(&self, key: &PrimaryKey) -> bool {
        self.about.table == key.table_id && self.about.key_columns == key.file_names
    }

    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.place, Place::Store { .. })
    }

    /// The path of a run in the store.
    pub(crate) fn path(&self) -> Option<&str> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Store { path, .. } => Some(path),
        }
    }

    /// Whether look-ups read the run without asking a store across a network. `cost` is what this one pays if not, in bytes.
    pub(crate) async fn keep(&self, store: &DataStore, cost: f64) -> bool {
        match &self.place {
            Place::Memory(_) => true,
            Place::Store { path, footer } => store.keep(path, block_bytes(footer), cost as u64).await,
        }
    }

    /// The entries of a slice, ascending; none if the run is missing or damaged.
    pub(crate) async fn slice(&self, store: &DataStore, slice: Slice) -> Option<Vec<Entry>> {
        match &self.place {
            Place::Memory(entries) => {
                let first = entries.partition_point(|entry| entry.hash.high < slice.first);
                let end = entries.partition_point(|entry| entry.hash.high <= slice.last);
                Some(entries[first..end].to_vec())
            }
            Place::Store { path, footer } => {
                let blocks = footer.blocks_of(slice);
                let (first, end) = (u64::from(blocks.start), u64::from(blocks.end));
                if first == end {
                    return Some(Vec::new());
                }
                let bytes = store.get_range(path, first * BLOCK_BYTES as u64..end * BLOCK_BYTES as u64).await.ok()?;
                let mut found = Vec::new();
                for (block, bytes) in blocks.zip(bytes.chunks(BLOCK_BYTES)) {
                    let entries = footer.entries_of(Block(block), bytes).ok()?;
                    found.extend(entries.into_iter().filter(|entry| slice.contains(&entry.hash)));
                }
                Some(found)
            }
        }
    }
}

fn about(key: &PrimaryKey, files: Vec<String>) -> RunAbout {
    RunAbout::new(key.table_id.clone(), key.file_names.clone(), files)
}

/// A file written by a change that is not committed yet, with the hashes of its rows' keys, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StagedFile {
    /// As in the log.
    pub(crate) path: String,
    pub(crate) hashes: Vec<KeyHash>,
}

/// Keys of files that became part of the table.
#[derive(Debug, Default)]
pub(crate) struct NewKeys {
    /// Files whose hashes are at hand.
    pub(crate) files: Vec<StagedFile>,
    /// Files whose hashes are in runs already.
    pub(crate) runs: Vec<Arc<Run>>,
}

/// How much is done for the runs after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upkeep {
    /// No look-up asked runs in the store: statistics told that the keys are new. Merging can wait for one that does.
    Unasked,
    /// Look-ups ask them.
    Asked,
    /// All become one.
    Whole,
}

/// The index of a table as its handles share it.
#[derive(Debug)]
pub(crate) struct TableIndex {
    shared: Mutex<Shared>,
    /// Blocks by run and number.
    blocks: Kept<(u64, Block), Arc<Vec<Entry>>>,
}

impl Default for TableIndex {
    fn default() -> Self {
        TableIndex { shared: Mutex::default(), blocks: Kept::new(BLOCKS_KEPT_MAX as u64) }
    }
}

#[derive(Debug, Default)]
struct Shared {
    listed_at: Option<TimestampMs>,
    runs: Vec<Arc<Run>>,
    /// Paths of runs that were looked at and found unusable.
    unusable: HashSet<String>,
}

/// What is known of a table's record index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexStatus {
    /// Runs in the store.
    pub runs: u64,
    /// Runs in this process that are not in the store yet.
    pub runs_in_memory: u64,
    /// Runs in the store that are damaged, or about another table or key.
    pub runs_unusable: u64,
    /// Entries of all usable runs.
    pub entries: u64,
    /// Bytes of the runs in the store.
    pub bytes: u64,
    /// Live files that are covered.
    pub files_covered: u64,
    /// Live files in all.
    pub files_total: u64,
}

impl TableIndex {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The runs known now that are about this key: a table's key may change, and change back.
    pub(crate) fn runs(&self, key: &PrimaryKey) -> Vec<Arc<Run>> {
        self.shared().runs.iter().filter(|run| run.is_of(key)).cloned().collect()
    }

    /// Makes sure that the runs in the store are known, unless they were listed within a minute.
    pub(crate) async fn refresh(&self, store: &DataStore, env: &Env, key: &PrimaryKey) {
        let now = env.now();
        let recent = |listed: TimestampMs| now.0.saturating_sub(listed.0).abs() < LISTING_AGE_MS_MAX;
        if self.shared().listed_at.is_some_and(recent) {
            return;
        }
        let _ = self.list(store, env, key).await;
    }

    /// Lists the runs in the store and reads the footers of those not known.
    pub(crate) async fn list(&self, store: &DataStore, env: &Env, key: &PrimaryKey) -> floe_storage::Result<u64> {
        let listing = store.list_folder(INDEX_FOLDER).await?;
        let paths: HashSet<&str> = listing.iter().map(|file| file.path.as_str()).collect();
        let known: HashSet<String> = {
            let mut shared = self.shared();
            shared.listed_at = Some(env.now());
            // Runs that others have merged away.
            shared.runs.retain(|run| run.path().is_none_or(|path| paths.contains(path)));
            let known = shared.runs.iter().filter_map(|run| run.path().map(str::to_owned));
            known.chain(shared.unusable.iter().cloned()).collect()
        };
        let bytes = listing.iter().map(|file| file.size).sum();
        let new: Vec<(String, u64)> =
            listing.into_iter().filter(|file| !known.contains(&file.path)).map(|file| (file.path, file.size)).collect();
        let mut opened = futures::stream::iter(new)
            .map(|(path, size)| async move {
                let run = open_run(store, &path, size, key).await;
                (path, run)
            })
            .buffer_unordered(FOOTERS_IN_FLIGHT);
        while let Some((path, run)) = opened.next().await {
            let mut shared = self.shared();
            match run {
                Some(run) => shared.runs.push(Arc::new(run)),
                None => drop(shared.unusable.insert(path)),
            }
        }
        Ok(bytes)
    }

    /// Takes in the keys of files that are part of the table now, and maintains the runs.
    pub(crate) async fn take_in(
        &self,
        store: &DataStore,
        env: &Env,
        key: &PrimaryKey,
        keys: NewKeys,
        state: &TableState,
        upkeep: Upkeep,
    ) {
        for run in keys.runs {
            self.shared().runs.push(run);
        }
        if !keys.files.is_empty() {
            self.add(Run::of_files(key, &keys.files));
        }
        // What fails here is tried again after the next commit.
        let _ = self.maintain(store, env, key, state, upkeep).await;
    }

    /// Takes a run in.
    pub(crate) fn add(&self, run: Run) {
        if run.entries > 0 {
            self.shared().runs.push(Arc::new(run));
        }
    }

    /// Puts a run aside that turned out to be damaged.
    pub(crate) fn distrust(&self, run: &Arc<Run>) {
        let mut shared = self.shared();
        shared.runs.retain(|known| !Arc::ptr_eq(known, run));
        shared.unusable.extend(run.path().map(str::to_owned));
    }

    /// The entries of these keys in a run; none if it is missing or damaged.
    pub(crate) async fn look_up(&self, store: &DataStore, run: &Run, keys: &KeySet) -> Option<Vec<Entry>> {
        let mut found = Vec::new();
        let (path, footer) = match &run.place {
            Place::Memory(entries) => {
                for hash in keys.hashes() {
                    let first = entries.partition_point(|entry| entry.hash < *hash);
                    found.extend(entries[first..].iter().take_while(|entry| entry.hash == *hash));
                }
                return Some(found);
            }
            Place::Store { path, footer } => (path, footer),
        };
        let blocks: Vec<Block> = footer.blocks_for(keys).collect();
        // A look-up of few keys is worth remembering: the next one may be about the same.
        let remembered = blocks.len() <= BLOCKS_KEPT_MAX / 8;
        let id = run_number(path);
        for blocks in blocks.chunks(BLOCKS_A_READ) {
            let mut missing = Vec::new();
            for block in blocks {
                let known = if remembered { self.blocks.get(&(id, *block)) } else { None };
                match known {
                    Some(entries) => found.extend(entries.iter().filter(|entry| keys.contains(&entry.hash))),
                    None => missing.push(*block),
                }
            }
            if missing.is_empty() {
                continue;
            }
            let read = read_blocks(store, path, footer, &missing).await?;
            for (block, entries) in missing.iter().zip(read) {
                found.extend(entries.iter().filter(|entry| keys.contains(&entry.hash)));
                if remembered {
                    self.blocks.insert((id, *block), Arc::new(entries), 1);
                }
            }
        }
        Some(found)
    }

    /// Writes runs out of memory and merges runs in the store, where that is due for the table as it is now.
    ///
    /// # Errors
    /// The failures of the store; the index is as good as before.
    pub(crate) async fn maintain(
        &self,
        store: &DataStore,
        env: &Env,
        key: &PrimaryKey,
        state: &TableState,
        upkeep: Upkeep,
    ) -> Result<()> {
        let live = |run: &Run| run.about.files.iter().any(|path| state.files.find(path).is_some());
        let in_memory: Vec<Arc<Run>> = {
            let mut shared = self.shared();
            // Files in memory only that are gone, or never came to be, need no writing.
            shared.runs.retain(|run| run.is_stored() || live(run));
            shared.runs.iter().filter(|run| !run.is_stored() && run.is_of(key)).cloned().collect()
        };
        let entries: u64 = in_memory.iter().map(|run| run.entries).sum();
        let files: usize = in_memory.iter().map(|run| run.about.files.len()).sum();
        let due = entries >= MEMORY_ENTRIES_MAX || files >= MEMORY_FILES_MAX;
        if !in_memory.is_empty() && (due || upkeep == Upkeep::Whole) {
            self.replace(store, env, key, state, in_memory).await?;
        }
        let stored: Vec<Arc<Run>> = self.runs(key).into_iter().filter(|run| run.is_stored()).collect();
        if upkeep == Upkeep::Whole && stored.len() > 1 {
            // A look-up asks every run: after a build there is one.
            return self.replace(store, env, key, state, stored).await;
        }
        let most = if upkeep == Upkeep::Unasked { RUNS_UNASKED_MAX } else { RUNS_OF_A_SIZE_MAX };
        if stored.len() < most {
            return Ok(());
        }
        let sizes: Vec<RunSize> = stored.iter().map(|run| RunSize { entries: run.entries, live: live(run) }).collect();
        let merged: Vec<Arc<Run>> = plan_merge(&sizes, most).into_iter().map(|at| stored[at].clone()).collect();
        if !merged.is_empty() {
            self.replace(store, env, key, state, merged).await?;
        }
        Ok(())
    }

    /// Writes these runs as one, leaving out files that are not live, and forgets them.
    async fn replace(
        &self,
        store: &DataStore,
        env: &Env,
        key: &PrimaryKey,
        state: &TableState,
        runs: Vec<Arc<Run>>,
    ) -> Result<()> {
        let merged = match merge(store, env, key, &runs, |path| state.files.find(path).is_some()).await {
            Ok(merged) => merged,
            Err(Unmerged::Damaged(run)) => {
                self.distrust(&run);
                return Ok(());
            }
            Err(Unmerged::Storage(error)) => return Err(error).on(&store.location().uri),
        };
        {
            let mut shared = self.shared();
            shared.runs.retain(|run| !runs.iter().any(|old| Arc::ptr_eq(old, run)));
            shared.runs.extend(merged.map(Arc::new));
        }
        let paths: Vec<String> = runs.iter().filter_map(|run| run.path().map(str::to_owned)).collect();
        if !paths.is_empty() {
            for path in &paths {
                store.forget_kept(path).await;
            }
            // One that stays behind is found again as a run whose files others cover, too.
            let _ = store.delete_many(paths).await;
        }
        Ok(())
    }

    /// The paths of runs that are about some live file.
    pub(crate) fn wanted(&self, state: &TableState, key: &PrimaryKey) -> HashSet<String> {
        let live = |run: &Run| run.about.files.iter().any(|path| state.files.find(path).is_some());
        self.runs(key).iter().filter(|run| live(run)).filter_map(|run| run.path().map(str::to_owned)).collect()
    }

    /// Forgets runs that are about to go.
    pub(crate) fn forget(&self, paths: &[String]) {
        let mut shared = self.shared();
        shared.runs.retain(|run| run.path().is_none_or(|path| !paths.iter().any(|gone| gone == path)));
        shared.unusable.retain(|path| !paths.contains(path));
    }

    /// Forgets everything, and deletes the runs in the store.
    pub(crate) async fn drop_all(&self, store: &DataStore) -> floe_storage::Result<u64> {
        let listing = store.list_folder(INDEX_FOLDER).await?;
        let paths: Vec<String> = listing.into_iter().map(|file| file.path).collect();
        *self.shared() = Shared::default();
        self.blocks.clear();
        let count = paths.len() as u64;
        for path in &paths {
            store.forget_kept(path).await;
        }
        for outcome in store.delete_many(paths).await {
            outcome?;
        }
        Ok(count)
    }

    /// What the index covers of a table.
    pub(crate) fn status(&self, state: &TableState, key: &PrimaryKey, bytes: u64) -> IndexStatus {
        let shared = self.shared();
        let runs: Vec<&Arc<Run>> = shared.runs.iter().filter(|run| run.is_of(key)).collect();
        let covered: HashSet<&str> = runs.iter().flat_map(|run| run.about.files.iter().map(String::as_str)).collect();
        let stored = runs.iter().filter(|run| run.is_stored()).count() as u64;
        IndexStatus {
            runs: stored,
            runs_in_memory: runs.len() as u64 - stored,
            runs_unusable: shared.unusable.len() as u64,
            entries: runs.iter().map(|run| run.entries).sum(),
            bytes,
            files_covered: state.files.iter().filter(|file| covered.contains(file.path())).count() as u64,
            files_total: state.files.len() as u64,
        }
    }
}

/// A number for a run by its path, for the cache.
fn run_number(path: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut state = DefaultHasher::new();
    path.hash(&mut state);
    state.finish()
}

/// What is kept of a run: its blocks. The footer is worth nothing without them and comes from the store.
fn block_bytes(footer: &Footer) -> u64 {
    u64::from(footer.blocks()) * BLOCK_BYTES as u64
}

/// The entries of these blocks of a run, by way of the local cache; none if the run is missing or damaged.
async fn read_blocks(store: &DataStore, path: &str, footer: &Footer, blocks: &[Block]) -> Option<Vec<Vec<Entry>>> {
    let range = |block: &Block| {
        let range = footer.range_of(*block);
        range.start as u64..range.end as u64
    };
    let ranges: Vec<_> = blocks.iter().map(range).collect();
    let decode = |read: Vec<Bytes>| -> Option<Vec<Vec<Entry>>> {
        blocks.iter().zip(&read).map(|(block, bytes)| footer.entries_of(*block, bytes).ok()).collect()
    };
    let read = store.get_ranges_kept(path, block_bytes(footer), &ranges).await.ok()?;
    if let Some(entries) = decode(read) {
        return Some(entries);
    }
    // It may be the cache that is damaged.
    store.forget_kept(path).await;
    decode(store.get_ranges(path, &ranges).await.ok()?)
}

/// A run in the store, if it is sound and about this key.
async fn open_run(store: &DataStore, path: &str, size: u64, key: &PrimaryKey) -> Option<Run> {
    let tail = store.get_tail(path, size, TAIL_BYTES).await.ok()?;
    let footer_bytes = Trailer::parse(&tail).ok()?.tail_bytes().ok()?;
    let tail = match footer_bytes <= tail.len() as u64 {
        true => tail,
        false => store.get_tail(path, size, footer_bytes).await.ok()?,
    };
    let footer = Footer::parse(&tail).ok()?;
    let ours = footer.about.table == key.table_id && footer.about.key_columns == key.file_names;
    let whole = u64::from(footer.blocks()) * BLOCK_BYTES as u64 + footer_bytes == size;
    if !ours || !whole {
        return None;
    }
    let (about, entries) = (footer.about.clone(), footer.entries);
    Some(Run { about, entries, place: Place::Store { path: path.to_owned(), footer } })
}

/// Why runs were not merged.
enum Unmerged {
    /// This one is missing or damaged.
    Damaged(Arc<Run>),
    Storage(floe_storage::StorageError),
}

impl From<floe_storage::StorageError> for Unmerged {
    fn from(error: floe_storage::StorageError) -> Self {
        Unmerged::Storage(error)
    }
}

/// One run in the store made of several, with the files that are `wanted`; none if nothing is left.
async fn merge(
    store: &DataStore,
    env: &Env,
    key: &PrimaryKey,
    runs: &[Arc<Run>],
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<Run>, Unmerged> {
    let mut files: Vec<String> = Vec::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    // For each run, the new number of each of its files; none for one that is not wanted or comes with an earlier run.
    let mut renumbered: Vec<Vec<Option<u32>>> = Vec::with_capacity(runs.len());
    for run in runs {
        let new = run.about.files.iter().map(|path| {
            if !wanted(path) || numbers.contains_key(path) {
                return None;
            }
            let number = files.len() as u32;
            numbers.insert(path.clone(), number);
            files.push(path.clone());
            Some(number)
        });
        renumbered.push(new.collect());
    }
    if files.is_empty() {
        return Ok(None);
    }
    let total: u64 = runs.iter().map(|run| run.entries).sum();
    let mut writer = RunWriter::new(store, env)?;
    let mut entries = Vec::new();
    for slice in slices(total, MERGE_ENTRIES) {
        let mut pieces = Vec::with_capacity(runs.len());
        for run in runs {
            // Its files would count as covered without their rows.
            pieces.push(run.slice(store, slice).await.ok_or_else(|| Unmerged::Damaged(run.clone()))?);
        }
        let mut pieces: Vec<&[Entry]> = pieces.iter().map(Vec::as_slice).collect();
        // Merged a little at a time, in the cache.
        for part in slice.parts(pieces.iter().map(|piece| piece.len() as u64).sum(), MERGE_PART_ENTRIES) {
            for (piece, renumbered) in pieces.iter_mut().zip(&renumbered) {
                let (here, after) = piece.split_at(piece.partition_point(|entry| entry.hash.high <= part.last));
                let renumber = |entry: &Entry| Some(Entry { file: renumbered[entry.file as usize]?, ..*entry });
                entries.extend(here.iter().filter_map(renumber));
                *piece = after;
            }
            merge_by_hash(&mut entries, |entry| entry.hash.high);
            writer.push(&entries).await?;
            entries.clear();
        }
    }
    Ok(Some(writer.finish(about(key, files)).await?))
}

/// Writes these files' keys as one run in the store.
pub(crate) async fn write_run(
    store: &DataStore,
    env: &Env,
    key: &PrimaryKey,
    files: &[StagedFile],
) -> floe_storage::Result<Run> {
    let run = Run::of_files(key, files);
    let Place::Memory(entries) = &run.place else { unreachable!("a run of files is made in memory") };
    let mut writer = RunWriter::new(store, env)?;
    writer.push(entries).await?;
    writer.finish(run.about.clone()).await
}

/// A run on its way into the store.
struct RunWriter {
    path: String,
    encoder: RunEncoder,
    upload: floe_storage::FileUpload,
    buffer: Vec<u8>,
    entries: u64,
}

impl RunWriter {
    fn new(store: &DataStore, env: &Env) -> floe_storage::Result<Self> {
        let run = env.uuid();
        let path = format!("{INDEX_FOLDER}/{run}.run");
        let upload = store.upload(&path)?;
        let encoder = RunEncoder::new(run);
        Ok(RunWriter { path, encoder, upload, buffer: Vec::new(), entries: 0 })
    }

    async fn push(&mut self, entries: &[Entry]) -> floe_storage::Result<()> {
        self.entries += entries.len() as u64;
        for entries in entries.chunks(64 << 10) {
            self.encoder.push(entries, &mut self.buffer).map_err(|error| encode_error(&self.path, &error))?;
            self.upload.push(Bytes::from(std::mem::take(&mut self.buffer))).await?;
        }
        Ok(())
    }

    async fn finish(mut self, about: RunAbout) -> floe_storage::Result<Run> {
        let mut rest = Vec::new();
        self.encoder.finish(&about, &mut rest).map_err(|error| encode_error(&self.path, &error))?;
        // The last, partial block may stand before the footer.
        let footer = Footer::parse(&rest).map_err(|error| encode_error(&self.path, &error))?;
        self.upload.push(Bytes::from(rest)).await?;
        self.upload.finish().await?;
        Ok(Run { about, entries: self.entries, place: Place::Store { path: self.path, footer } })
    }
}

fn encode_error(path: &str, error: &floe_index::IndexError) -> floe_storage::StorageError {
    floe_storage::StorageError::Encode { path: path.to_owned(), what: error.to_string() }
}
