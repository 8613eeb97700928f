//! New rows that take the place of others, and new rows that take no other's: written apart.
//!
//! A row that replaces one keeps its id (protocol section "Row Tracking"), and a change feed has the two as images of one row. Both
//! have to be known of each row, so the two kinds go into files of their own.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::compute::{concat, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema};
use floe_table_format::{FileId, TableState};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::error::{OnTable, Result};
use crate::row_tracking::RowIdColumns;
use crate::rows::BatchStream;
use crate::scan::raw_file_rows;
use crate::stage::{InOrder, StagedRows, WriteTarget, discard, stage};
use crate::table::Table;

/// Batches of either kind that wait to be written.
const BATCHES_AHEAD: usize = 2;

/// Rows of a change, for [`Transaction::stage_changes`](crate::Transaction::stage_changes).
#[derive(Debug, Clone)]
pub struct ChangedRows {
    /// The rows, with the table's columns.
    pub rows: RecordBatch,
    /// For each of them, the file and the position there of the row it replaces; none for a row that replaces none. Empty where
    /// [`Transaction::tells_replaced_rows`](crate::Transaction::tells_replaced_rows) is false.
    pub replaces: Vec<Option<(FileId, u64)>>,
}

/// Files of both kinds.
pub(crate) struct StagedApart {
    pub(crate) replacing: StagedRows,
    pub(crate) new: StagedRows,
}

/// Writes rows that replace others for one target, and the rest for another.
///
/// # Errors
/// As [`stage`]. Files of both kinds are deleted then.
pub(crate) async fn stage_apart(
    table: &Table,
    base: &Arc<TableState>,
    targets: (Arc<WriteTarget>, Arc<WriteTarget>),
    mut changes: BoxStream<'static, Result<ChangedRows>>,
) -> Result<StagedApart> {
    let (to_replacing, replacing) = mpsc::channel::<Result<RecordBatch>>(BATCHES_AHEAD);
    let (to_new, new) = mpsc::channel::<Result<RecordBatch>>(BATCHES_AHEAD);
    let known = |columns| KnownIds { table: table.clone(), base: base.clone(), columns, files: HashMap::new() };
    let mut ids = RowIdColumns::of(table.uri(), &base.metadata)?.map(known);
    let dealing = async move {
        while let Some(changed) = changes.next().await {
            let dealt = match changed {
                Ok(changed) => deal(changed, ids.as_mut()).await,
                Err(error) => Err(error),
            };
            let sent = match dealt {
                Ok((replaced, others)) => {
                    // A receiver that is gone has met an error, which is told below.
                    let replaced = replaced.num_rows() == 0 || to_replacing.send(Ok(replaced)).await.is_ok();
                    replaced && (others.num_rows() == 0 || to_new.send(Ok(others)).await.is_ok())
                }
                Err(error) => {
                    let _ = to_new.send(Err(error)).await;
                    false
                }
            };
            if !sent {
                return;
            }
        }
    };
    let (for_replacing, for_new) = targets;
    let (_, replacing, new) = futures::future::join3(
        dealing,
        stage(table, for_replacing, received(replacing), true, InOrder::No),
        stage(table, for_new, received(new), true, InOrder::No),
    )
    .await;
    match (replacing, new) {
        (Ok(replacing), Ok(new)) => Ok(StagedApart { replacing, new }),
        (staged, Err(error)) | (Err(error), staged) => {
            if let Ok(staged) = staged {
                discard(table, staged.adds.iter().map(|add| add.path.as_str())).await;
            }
            Err(error)
        }
    }
}

fn received(receiver: mpsc::Receiver<Result<RecordBatch>>) -> BatchStream {
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

/// The rows that replace others, with the ids of those behind them where the table tracks rows, and the rest.
async fn deal(changed: ChangedRows, ids: Option<&mut KnownIds>) -> Result<(RecordBatch, RecordBatch)> {
    let ChangedRows { rows, replaces } = changed;
    let replacing: BooleanArray = replaces.iter().map(|replaced| Some(replaced.is_some())).collect();
    let others = filter_record_batch(&rows, &arrow::compute::not(&replacing)?)?;
    let replaced = filter_record_batch(&rows, &replacing)?;
    let Some(ids) = ids else { return Ok((replaced, others)) };
    let kept = ids.of(replaces.into_iter().flatten()).await?;
    // The version is the one that is being made: the row is another from now on.
    let versions = new_null_array(&DataType::Int64, replaced.num_rows());
    Ok((ids.columns.put_behind(&replaced, [kept, versions])?, others))
}

/// The ids of rows of the files asked for so far.
struct KnownIds {
    table: Table,
    base: Arc<TableState>,
    columns: RowIdColumns,
    files: HashMap<FileId, OfFile>,
}

struct OfFile {
    first: Option<i64>,
    /// What the file says itself; none if it says nothing of any row.
    own: Option<Int64Array>,
}

impl KnownIds {
    async fn of(&mut self, rows: impl Iterator<Item = (FileId, u64)>) -> Result<ArrayRef> {
        let rows: Vec<(FileId, u64)> = rows.collect();
        for (file, _) in &rows {
            if !self.files.contains_key(file) {
                let known = self.read(*file).await?;
                self.files.insert(*file, known);
            }
        }
        let id = |(file, row): &(FileId, u64)| {
            let known = self.files.get(file)?;
            let at = usize::try_from(*row).ok()?;
            let own = known.own.as_ref().filter(|own| at < own.len() && own.is_valid(at)).map(|own| own.value(at));
            own.or_else(|| known.first?.checked_add(i64::try_from(*row).ok()?))
        };
        Ok(Arc::new(rows.iter().map(id).collect::<Int64Array>()))
    }

    async fn read(&self, file: FileId) -> Result<OfFile> {
        let view = self.base.files.get(&file);
        let relative = self.table.root().decode(view.path()).on(self.table.uri())?;
        let [id, _] = self.columns.fields();
        // Rows that the table has lost count, too: the position is that in the file.
        let batches: Vec<RecordBatch> =
            raw_file_rows(&self.table, &relative, view.size(), Arc::new(Schema::new(vec![id])))
                .await?
                .try_collect()
                .await?;
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        let own = match parts.as_slice() {
            [] => None,
            parts => concat(parts)?.as_primitive_opt::<Int64Type>().cloned(),
        };
        Ok(OfFile { first: view.base_row_id(), own: own.filter(|own| own.null_count() < own.len()) })
    }
}
