//! Change files: which rows a commit changed, and how (protocol section "Change Data Files").
//!
//! Where files come or go as a whole, readers see the changed rows by the files. Every other change of a table with a change
//! feed writes its rows down: old ones are fetched by their addresses, new ones come from the files just staged, and the
//! rest of the table is not read. Rows of one primary key are the two images of an update; so are all rows of a change that
//! says that each of its rows replaces one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use floe_index::{KeyHash, KeySet};
use floe_table_format::{Add, Cdc, RowSet, TableState};
use futures::TryStreamExt;

use crate::error::Result;
use crate::guard::KeyGuard;
use crate::rows::BatchStream;
use crate::scan::{RowFilter, file_rows, staged_file_rows};
use crate::stage::{CHANGE_TYPE_COLUMN, Worker, WriteTarget};
use crate::table::Table;

/// Old rows whose keys are looked for among the new ones at a time.
const ROWS_A_LOOK_UP: usize = 256 << 10;

/// Which rows taken out and which rows written are images of one row.
pub(crate) enum Pairs<'a> {
    /// None: the change only takes rows out.
    None,
    /// All: each row written replaces one.
    All,
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
        for (path, taken) in self.taken {
            let Some(view) = self.base.files.find(path) else { continue };
            let filter = match taken {
                Taken::AllLive => RowFilter::Live,
                Taken::Rows(rows) => RowFilter::Only(rows),
            };
            let rows = file_rows(self.table, self.base, &view, filter).await?;
            self.write_old(rows, worker, &mut updated).await?;
        }
        let none = RowSet::new();
        for add in self.written {
            let left_out = self.left_out.get(&add.path).unwrap_or(&none);
            let mut rows = staged_file_rows(self.table, self.base, add, RowFilter::Without(left_out)).await?;
            while let Some(batch) = rows.try_next().await? {
                let paired = match &self.pairs {
                    Pairs::None => vec![false; batch.num_rows()],
                    Pairs::All => vec![true; batch.num_rows()],
                    Pairs::ByKey(guard) => {
                        self.hashes(guard, &batch)?.iter().map(|hash| updated.contains(hash)).collect()
                    }
                };
                worker.write(&with_change_type(&batch, &paired, ["insert", "update_postimage"])?).await?;
            }
        }
        Ok(())
    }

    /// Writes rows that go, and takes note of the keys that have a new row.
    async fn write_old(
        &self,
        mut rows: BatchStream,
        worker: &mut Worker,
        updated: &mut HashSet<KeyHash>,
    ) -> Result<()> {
        let (mut held, mut held_rows): (Vec<RecordBatch>, usize) = (Vec::new(), 0);
        loop {
            let next = rows.try_next().await?;
            let ended = next.is_none();
            held_rows += next.as_ref().map_or(0, RecordBatch::num_rows);
            held.extend(next);
            if !held.is_empty() && (ended || held_rows >= ROWS_A_LOOK_UP) {
                let batch = concat_batches(&held[0].schema(), &held)?;
                let paired = match &self.pairs {
                    Pairs::None => vec![false; batch.num_rows()],
                    Pairs::All => vec![true; batch.num_rows()],
                    Pairs::ByKey(guard) => self.have_new_row(guard, &batch, updated).await?,
                };
                worker.write(&with_change_type(&batch, &paired, ["delete", "update_preimage"])?).await?;
                held.clear();
                held_rows = 0;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// For each row whether the change writes a row of its key.
    async fn have_new_row(
        &self,
        guard: &KeyGuard,
        batch: &RecordBatch,
        updated: &mut HashSet<KeyHash>,
    ) -> Result<Vec<bool>> {
        let hashes = self.hashes(guard, batch)?;
        let keys = KeySet::new(hashes.clone());
        for (position, _, _) in guard.staged_rows(self.table, &keys).await? {
            updated.insert(keys.hashes()[position as usize]);
        }
        Ok(hashes.iter().map(|hash| updated.contains(hash)).collect())
    }

    fn hashes(&self, guard: &KeyGuard, batch: &RecordBatch) -> Result<Vec<KeyHash>> {
        let key = &guard.sink().key;
        key.hash(self.table.uri(), &key.arrays(batch))
    }
}

/// The rows with what became of each: the second of `types` where it is one of a pair, else the first.
fn with_change_type(batch: &RecordBatch, paired: &[bool], types: [&str; 2]) -> Result<RecordBatch> {
    let changes: ArrayRef = Arc::new(StringArray::from_iter_values(paired.iter().map(|p| types[usize::from(*p)])));
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(CHANGE_TYPE_COLUMN, ArrowType::Utf8, true));
    let mut columns = batch.columns().to_vec();
    columns.push(changes);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
