//! Writing the same rows into a better layout: fewer, larger files, deleted rows purged, rows near each other in several
//! columns at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, rank, take_record_batch};
use floe_table_format::plan::compact::{CompactionGroup, CompactionPolicy, plan_compaction, plan_upkeep};
use floe_table_format::{IsolationLevel, Operation, Predicate, TableState, Version};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::commit::CommitOutcome;
use crate::error::{OnTable, Result};
use crate::rows::{BatchStream, stream_of};
use crate::scan::{RowFilter, file_rows};
use crate::snapshot::Snapshot;
use crate::stage::{KeySink, discard};
use crate::table::Table;

/// Upkeep looks at the table after every so many versions.
const UPKEEP_EVERY: u64 = 8;

/// Settings of [`Table::optimize`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimizeOptions {
    /// Only files that may hold such rows; every file by default. Meant for partitions.
    pub predicate: Option<Predicate>,
    /// Bytes of a file to aim at; the table's `delta.targetFileSize` by default.
    pub target_file_size: Option<u64>,
    /// Columns to order rows by, all of them at once along a Z-order curve; none keeps the order.
    pub zorder_by: Vec<String>,
}

/// What an optimise did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptimizeReport {
    /// The version it made; none where there was nothing to gain.
    pub version: Option<Version>,
    /// Files written.
    pub files_added: u64,
    /// Files they replace.
    pub files_removed: u64,
    /// Bytes written.
    pub bytes_added: u64,
    /// Bytes they replace.
    pub bytes_removed: u64,
    /// Groups given up because another writer changed one of their files meanwhile.
    pub groups_lost: u64,
}

struct Rewritten {
    group: CompactionGroup,
    paths: Vec<String>,
    adds: Vec<floe_table_format::Add>,
    bytes: u64,
    /// The keys of the rows in their new places.
    keys: Option<Arc<KeySink>>,
}

impl Table {
    /// Rewrites files that are too small or hold deleted rows, or orders rows along a Z-order curve.
    ///
    /// The rows of the table stay the same, and the commit says so (`dataChange` is false). Another writer's change of a
    /// file drops that file's group and not the rest.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a Z-order column that is unknown, nested or a partition column; see also
    /// [`crate::Transaction::commit`].
    pub async fn optimize(&self, options: OptimizeOptions) -> Result<OptimizeReport> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        self.check_zorder_columns(state, &options.zorder_by)?;
        let target_size = options.target_file_size.unwrap_or(state.properties.target_file_size);
        let policy = CompactionPolicy {
            target_size,
            predicate: options.predicate.clone(),
            rewrite_all: !options.zorder_by.is_empty(),
            ..CompactionPolicy::default()
        };
        let groups = plan_compaction(state, &policy).on(self.uri())?;
        self.rewrite(&snapshot, groups, &options).await
    }

    /// Compacts what has become worth it, in a table with `floe.autoCompact`: many small files of about one size, and files
    /// of which a third is deleted. Verbs that write do this now and then after their commit; the cost is spread over the
    /// commits that made it necessary. None where nothing was due.
    ///
    /// # Errors
    /// As [`Table::optimize`]; the commit before stands.
    pub async fn upkeep(&self) -> Result<Option<OptimizeReport>> {
        let snapshot = self.cached_snapshot().await?;
        let state = snapshot.state();
        let due = state.version.get().is_multiple_of(UPKEEP_EVERY);
        if !state.properties.auto_compact || !due {
            return Ok(None);
        }
        let groups = plan_upkeep(state);
        if groups.is_empty() {
            return Ok(None);
        }
        self.rewrite(&snapshot, groups, &OptimizeOptions::default()).await.map(Some)
    }

    /// Rewrites groups of files and commits what no other writer has touched meanwhile.
    pub(crate) async fn rewrite(
        &self,
        snapshot: &Arc<Snapshot>,
        groups: Vec<CompactionGroup>,
        options: &OptimizeOptions,
    ) -> Result<OptimizeReport> {
        let state = snapshot.state();
        let mut report = OptimizeReport {
            version: None,
            files_added: 0,
            files_removed: 0,
            bytes_added: 0,
            bytes_removed: 0,
            groups_lost: 0,
        };
        let mut rewritten = Vec::new();
        for group in groups {
            let operation = Operation::new("OPTIMIZE");
            let mut transaction = self.begin_at(snapshot, operation)?;
            let rows = self.group_rows(state, &group, &options.zorder_by).await?;
            let (staged, keys) = transaction.stage_kept_rows(rows).await?;
            let paths = group.files.iter().map(|id| state.files.get(id).path().to_owned()).collect();
            rewritten.push(Rewritten { group, paths, bytes: staged.bytes, adds: staged.adds, keys });
        }
        while !rewritten.is_empty() {
            let operation = Operation::new("OPTIMIZE")
                .with_parameter(
                    "predicate",
                    serde_json::json!(options.predicate.iter().map(|p| p.to_string()).collect::<Vec<_>>()).to_string(),
                )
                .with_parameter("zOrderBy", serde_json::json!(options.zorder_by).to_string());
            let mut transaction = self.begin_at(snapshot, operation)?;
            transaction.set_isolation(IsolationLevel::Snapshot);
            let (mut files, mut bytes) = (0u64, 0u64);
            for done in &rewritten {
                for id in &done.group.files {
                    let view = state.files.get(id);
                    files += 1;
                    bytes += u64::try_from(view.size()).unwrap_or(0);
                    transaction.remove_view(&view, false);
                }
                transaction.change_mut().adds.extend(done.adds.iter().cloned());
            }
            match transaction.commit().await? {
                CommitOutcome::Committed(committed) => {
                    report.version = Some(committed.version);
                    report.files_added = rewritten.iter().map(|r| r.adds.len() as u64).sum();
                    report.bytes_added = rewritten.iter().map(|r| r.bytes).sum();
                    (report.files_removed, report.bytes_removed) = (files, bytes);
                    self.index_moved_rows(&rewritten).await;
                    break;
                }
                CommitOutcome::Conflicted { transaction, why } => {
                    drop(transaction);
                    let lost = why.file.as_ref().and_then(|f| rewritten.iter().position(|r| r.paths.contains(f)));
                    // A conflict that names no file of ours is about the whole table: nothing of this can be kept.
                    let lost: Vec<Rewritten> = match lost {
                        Some(index) => vec![rewritten.remove(index)],
                        None => std::mem::take(&mut rewritten),
                    };
                    for group in lost {
                        report.groups_lost += 1;
                        discard(self, group.adds.iter().map(|add| add.path.as_str())).await;
                    }
                }
            }
        }
        Ok(report)
    }

    /// The index learns where rows have moved to. Advisory, like all of it.
    async fn index_moved_rows(&self, rewritten: &[Rewritten]) {
        let Some(known) = self.known().filter(|known| known.state.properties.record_index) else { return };
        for keys in rewritten.iter().filter_map(|done| done.keys.as_ref()) {
            self.index().take_in(self.data_store(), self.env(), &keys.key, keys.hand_over(), &known.state).await;
        }
    }

    fn check_zorder_columns(&self, state: &TableState, columns: &[String]) -> Result<()> {
        for name in columns {
            let Some(field) = state.schema.field(name) else {
                let known: Vec<&str> = state.schema.fields.iter().map(|f| f.name.as_str()).collect();
                let hint = floe_table_format::schema::nearest(name, known.iter().copied());
                let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                return Err(self.refuse("order rows", format!("there is no column {name}{hint}")));
            };
            if state.metadata.partition_columns.contains(&field.name) {
                return Err(self.refuse("order rows", format!("{name} is a partition column: its value is one a file")));
            }
            if !matches!(field.data_type, floe_table_format::DataType::Primitive(_)) {
                return Err(self.refuse("order rows", format!("column {name} has a nested type")));
            }
        }
        Ok(())
    }

    async fn group_rows(
        &self,
        state: &Arc<TableState>,
        group: &CompactionGroup,
        zorder_by: &[String],
    ) -> Result<BatchStream> {
        let (table, state, files) = (self.clone(), state.clone(), group.files.clone());
        let rows = futures::stream::iter(files)
            .then(move |id| {
                let (table, state) = (table.clone(), state.clone());
                async move { file_rows(&table, &state, &state.files.get(&id), RowFilter::Live).await }.boxed()
            })
            .try_flatten()
            .boxed();
        if zorder_by.is_empty() {
            return Ok(rows);
        }
        // The rows of a group are held to be ordered; the plan bounds a group by its bytes.
        let batches: Vec<RecordBatch> = rows.try_collect().await?;
        let Some(first) = batches.first() else { return Ok(stream_of(Vec::new())) };
        let all = concat_batches(&first.schema(), &batches)?;
        drop(batches);
        let order = zorder(&all, zorder_by)?;
        const ROWS: usize = 32 * 1024;
        let slices: Vec<UInt32Array> =
            (0..all.num_rows()).step_by(ROWS).map(|at| order.slice(at, ROWS.min(all.num_rows() - at))).collect();
        Ok(futures::stream::iter(slices).map(move |rows| Ok(take_record_batch(&all, &rows)?)).boxed())
    }
}

/// The order of rows along a Z-order curve over these columns.
///
/// Each column's values become ranks first, so that types and skewed distributions do not matter; the bits of the ranks
/// are then interleaved, highest first.
fn zorder(batch: &RecordBatch, columns: &[String]) -> Result<UInt32Array> {
    let mut ranks: Vec<Vec<u32>> = Vec::with_capacity(columns.len());
    for name in columns {
        let schema = batch.schema();
        let index = schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name));
        let column: &ArrayRef = batch.column(index.expect("checked against the schema before"));
        // Ranks count from 1, and equal values share the highest of theirs.
        ranks.push(rank(column.as_ref(), None)?.into_iter().map(|rank| rank.saturating_sub(1)).collect());
    }
    let bits = usize::BITS - batch.num_rows().saturating_sub(1).leading_zeros();
    let words = (ranks.len() * bits as usize).div_ceil(64).max(1);
    let mut keys: Vec<(Vec<u64>, u32)> = (0..batch.num_rows())
        .map(|row| {
            let mut key = vec![0u64; words];
            let mut position = 0;
            for bit in (0..bits).rev() {
                for rank in &ranks {
                    if rank[row] >> bit & 1 == 1 {
                        key[position / 64] |= 1 << (63 - position % 64);
                    }
                    position += 1;
                }
            }
            (key, row as u32)
        })
        .collect();
    keys.sort_unstable();
    Ok(UInt32Array::from_iter_values(keys.into_iter().map(|(_, row)| row)))
}
