//! Change files: which rows a commit changed, and how (protocol section "Change Data Files").
//!
//! Where files come or go as a whole, readers see the changed rows by the files. Every other change of a table with a change
//! feed writes its rows down: old ones are fetched by their addresses, new ones come from the files just staged, and the
//! rest of the table is not read. In a table with a primary key, rows of one key are the two images of an update, whatever the
//! statement was called; elsewhere those of which the change says so. Of a key that another
//! engine has doubled, every old row is an image.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use floe_index::{KeyHash, KeySet};
use floe_table_format::{Add, Cdc, RowSet, TableState};
use futures::TryStreamExt;

use crate::error::Result;
use crate::guard::KeyGuard;
use crate::metadata::CHANGE_TYPE_COLUMN;
use crate::scan::{RowFilter, file_rows, staged_file_rows};
use crate::stage::{Worker, WriteTarget, batch_bytes};
use crate::table::Table;

/// Old rows whose keys are looked for among the new ones at a time, at most, and the bytes of them that are held for it.
const HELD_ROWS_MAX: usize = 256 << 10;
const HELD_BYTES_MAX: usize = 32 << 20;

/// Which rows taken out and which rows written are images of one row.
pub(crate) enum Pairs<'a> {
    /// None: the change only takes rows out.
    None,
    /// All: each row written replaces one.
    All,
    /// These rows taken out, by file, and the rows of these files written.
    Apart { replaced: &'a BTreeMap<String, RowSet>, files: BTreeSet<String> },
    /// Those of one primary key.
    ByKey(&'a KeyGuard),
}

/// Rows of a file that go.
pub(crate) enum Taken {
    /// All that are live.
    AllLive,
    /// These, which are live.
    Rows(RowSet),
}

/// The rows of a change.
pub(crate) struct RowChanges<'a> {
    pub(crate) table: &'a Table,
    /// The version it is made on.
    pub(crate) base: &'a Arc<TableState>,
    /// What goes, by file.
    pub(crate) taken: &'a [(String, Taken)],
    /// Files staged.
    pub(crate) written: &'a [Add],
    /// Rows of those that do not count.
    pub(crate) left_out: &'a BTreeMap<String, RowSet>,
    pub(crate) pairs: Pairs<'a>,
}

impl RowChanges<'_> {
    /// Writes the change files.
    ///
    /// # Errors
    /// Whatever reading the rows and writing them meets. No file is left behind then.
    pub(crate) async fn write(&self) -> Result<Vec<Cdc>> {
        let target = Arc::new(WriteTarget::of_changes(self.table, &self.base.metadata)?);
        let mut worker = Worker::new(self.table.clone(), target, false);
        if let Err(error) = self.write_images(&mut worker).await {
            worker.abandon().await;
            return Err(error);
        }
        let staged = worker.finish_or_abandon().await?;
        let cdc = |add: Add| Cdc {
            path: add.path,
            partition_values: add.partition_values,
            size: add.size,
            data_change: false,
            tags: None,
        };
        Ok(staged.adds.into_iter().map(cdc).collect())
    }

    async fn write_images(&self, worker: &mut Worker) -> Result<()> {
        let mut updated: HashSet<KeyHash> = HashSet::new();
        let mut held = Held::default();
        for (path, taken) in self.taken {
            let Some(view) = self.base.files.find(path) else { continue };
            let filter = match taken {
                Taken::AllLive => RowFilter::Live,
                Taken::Rows(rows) => RowFilter::Only(rows),
            };
            if let Pairs::Apart { replaced, .. } = &self.pairs {
                let none = RowSet::new();
                let replaced = replaced.get(path).unwrap_or(&none);
                let (pairs, alone) = match taken {
                    Taken::AllLive => (RowSet::new(), RowFilter::Live),
                    Taken::Rows(rows) => (rows.intersection(replaced), RowFilter::Only(&rows.difference(replaced))),
                };
                for (filter, paired) in [(RowFilter::Only(&pairs), true), (alone, false)] {
                    let mut rows = file_rows(self.table, self.base, &view, filter).await?;
                    while let Some(batch) = rows.try_next().await? {
                        let paired = vec![paired; batch.num_rows()];
                        worker.write(&with_change_type(&batch, &paired, OLD)?).await?;
                    }
                }
                continue;
            }
            let mut rows = file_rows(self.table, self.base, &view, filter).await?;
            while let Some(batch) = rows.try_next().await? {
                let Pairs::ByKey(guard) = &self.pairs else {
                    let paired = vec![matches!(self.pairs, Pairs::All); batch.num_rows()];
                    worker.write(&with_change_type(&batch, &paired, OLD)?).await?;
                    continue;
                };
                held.add(self.hashes(guard, &batch)?, batch);
                if held.hashes.len() >= HELD_ROWS_MAX || held.bytes >= HELD_BYTES_MAX {
                    self.write_held(guard, std::mem::take(&mut held), worker, &mut updated).await?;
                }
            }
        }
        if let Pairs::ByKey(guard) = &self.pairs {
            self.write_held(guard, held, worker, &mut updated).await?;
        }
        let none = RowSet::new();
        for add in self.written {
            let left_out = self.left_out.get(&add.path).unwrap_or(&none);
            let mut rows = staged_file_rows(self.table, self.base, add, RowFilter::Without(left_out)).await?;
            while let Some(batch) = rows.try_next().await? {
                let paired = match &self.pairs {
                    Pairs::None => vec![false; batch.num_rows()],
                    Pairs::All => vec![true; batch.num_rows()],
                    Pairs::Apart { files, .. } => vec![files.contains(&add.path); batch.num_rows()],
                    Pairs::ByKey(guard) => {
                        self.hashes(guard, &batch)?.iter().map(|hash| updated.contains(hash)).collect()
                    }
                };
                worker.write(&with_change_type(&batch, &paired, NEW)?).await?;
            }
        }
        Ok(())
    }

    /// Writes rows that go, and takes note of the keys of them that have a new row.
    async fn write_held(
        &self,
        guard: &KeyGuard,
        held: Held,
        worker: &mut Worker,
        updated: &mut HashSet<KeyHash>,
    ) -> Result<()> {
        let keys = KeySet::new(held.hashes.clone());
        for (position, _, _) in guard.staged_rows(self.table, &keys).await? {
            updated.insert(keys.hashes()[position as usize]);
        }
        let mut hashes = held.hashes.iter();
        for batch in &held.batches {
            let paired: Vec<bool> = hashes.by_ref().take(batch.num_rows()).map(|hash| updated.contains(hash)).collect();
            worker.write(&with_change_type(batch, &paired, OLD)?).await?;
        }
        Ok(())
    }

    fn hashes(&self, guard: &KeyGuard, batch: &RecordBatch) -> Result<Vec<KeyHash>> {
        let key = &guard.sink().key;
        key.hash(self.table.uri(), &key.arrays(batch))
    }
}

/// Old rows and the hashes of their keys, until it is known which have a new row.
#[derive(Default)]
struct Held {
    batches: Vec<RecordBatch>,
    hashes: Vec<KeyHash>,
    bytes: usize,
}

impl Held {
    fn add(&mut self, hashes: Vec<KeyHash>, batch: RecordBatch) {
        self.hashes.extend(hashes);
        self.bytes += batch_bytes(&batch);
        self.batches.push(batch);
    }
}

/// What becomes of old rows, alone and as one of a pair.
const OLD: [&str; 2] = ["delete", "update_preimage"];
/// What becomes of new rows.
const NEW: [&str; 2] = ["insert", "update_postimage"];

/// The rows with what became of each: the second of `types` where it is one of a pair, else the first.
fn with_change_type(batch: &RecordBatch, paired: &[bool], types: [&str; 2]) -> Result<RecordBatch> {
    let changes: ArrayRef = Arc::new(StringArray::from_iter_values(paired.iter().map(|p| types[usize::from(*p)])));
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(CHANGE_TYPE_COLUMN, ArrowType::Utf8, true));
    let mut columns = batch.columns().to_vec();
    columns.push(changes);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
