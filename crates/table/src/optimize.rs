//! Writing the same rows into a better layout: fewer, larger files, deleted rows purged, rows near each other in several
//! columns at once.

mod curve;
mod order;

use std::sync::Arc;

use floe_table_format::clustering::{clustering_columns, physical_clustering_columns};
use floe_table_format::plan::cluster::{ClusteringPolicy, mark_clustered, plan_clustering};
use floe_table_format::plan::compact::{CompactionGroup, CompactionPolicy, plan_compaction, plan_upkeep};
use floe_table_format::{IsolationLevel, Operation, Predicate, TableState, Version};

use crate::commit::CommitOutcome;
use crate::error::{OnTable, Result};
use crate::meter::Meter;
use crate::record_index::Upkeep;
use crate::scan::metered_rows_of;
use crate::snapshot::Snapshot;
use crate::stage::{InOrder, KeySink, StagedRows, discard};
use crate::table::Table;
use curve::Curve;
use order::{OrderBy, ordered};

/// Bytes of rows that are held while they are ordered, where nothing else is said.
const ORDERING_MEMORY: usize = 256 << 20;

/// Bytes of files whose rows are ordered together at most.
const ORDERED_TOGETHER: u64 = 16 << 30;

/// Upkeep looks at the table after every so many versions.
const UPKEEP_EVERY: u64 = 8;

/// Settings of [`Table::optimize`].
#[derive(Debug, Clone, Default)]
pub struct OptimizeOptions {
    /// Only files that may hold such rows; every file by default. Meant for partitions.
    pub predicate: Option<Predicate>,
    /// Bytes of a file to aim at; the table's `delta.targetFileSize` by default.
    pub target_file_size: Option<u64>,
    /// Columns to order rows by, all of them at once along a Z-order curve; none keeps the order.
    pub zorder_by: Vec<String>,
    /// In a clustered table: orders every row anew, also where that was done before, maybe by other columns.
    pub full: bool,
    /// Bytes of rows that may be held while they are ordered, which takes as much again; 256 MiB by default. The rest goes
    /// through files in the table's folder.
    pub memory: Option<usize>,
    /// Counts the files that are read, their bytes and rows.
    pub meter: Option<Arc<Meter>>,
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

/// How rows are to lie in their new files.
enum Layout {
    /// As in the old ones.
    AsTheyAre,
    Ordered {
        by: OrderBy,
        /// For a clustered table, its columns by their physical names.
        clustered: Option<Vec<Vec<String>>>,
    },
}

impl Layout {
    fn by(columns: Vec<Vec<String>>, curve: Curve, options: &OptimizeOptions) -> OrderBy {
        OrderBy { columns, curve, memory: options.memory.unwrap_or(ORDERING_MEMORY) }
    }
}

impl Table {
    /// Rewrites files that are too small or hold deleted rows, or orders rows along a Z-order curve.
    ///
    /// In a clustered table, the rows that nobody has ordered yet are ordered along a Hilbert curve through its clustering
    /// columns, with those of earlier runs that are not much more: see [`plan_clustering`].
    ///
    /// The rows of the table stay the same, and the commit says so (`dataChange` is false). Another writer's change of a
    /// file drops that file's group and not the rest.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a Z-order column that is unknown, nested or a partition column, for Z-order in a
    /// clustered table and `full` in any other; see also [`crate::Transaction::commit`].
    pub async fn optimize(&self, options: OptimizeOptions) -> Result<OptimizeReport> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        if let Some(physical) = physical_clustering_columns(state).on(self.uri())?.filter(|columns| !columns.is_empty())
        {
            return self.cluster(&snapshot, physical, &options).await;
        }
        if options.full {
            return Err(self.refuse(
                "order every row anew",
                "the table is not clustered; ALTER TABLE ... CLUSTER BY says by what",
            ));
        }
        self.check_zorder_columns(state, &options.zorder_by)?;
        let target_size = options.target_file_size.unwrap_or(state.properties.target_file_size);
        // Ordered rows are cut into files of the target size, so that a group may have many of them.
        let policy = CompactionPolicy {
            target_size: if options.zorder_by.is_empty() { target_size } else { target_size.max(ORDERED_TOGETHER) },
            predicate: options.predicate.clone(),
            rewrite_all: !options.zorder_by.is_empty(),
            ..CompactionPolicy::default()
        };
        let groups = plan_compaction(state, &policy).on(self.uri())?;
        let layout = match options.zorder_by.as_slice() {
            [] => Layout::AsTheyAre,
            columns => {
                let columns = columns.iter().map(|name| state.schema.spelled(std::slice::from_ref(name)));
                let columns = columns.collect::<floe_table_format::Result<_>>().on(self.uri())?;
                Layout::Ordered { by: Layout::by(columns, Curve::ZOrder, &options), clustered: None }
            }
        };
        self.rewrite_as(&snapshot, groups, &options, &layout).await
    }

    /// Orders rows of a clustered table.
    async fn cluster(
        &self,
        snapshot: &Arc<Snapshot>,
        physical: Vec<Vec<String>>,
        options: &OptimizeOptions,
    ) -> Result<OptimizeReport> {
        let state = snapshot.state();
        if !options.zorder_by.is_empty() {
            let what = "the table is clustered, and OPTIMIZE orders by its clustering; ALTER TABLE ... CLUSTER BY changes that";
            return Err(self.refuse("order rows by other columns", what));
        }
        if options.predicate.is_some() {
            return Err(self.refuse("order some rows", "the table is clustered and has no partitions to choose from"));
        }
        let policy = ClusteringPolicy { everything: options.full, ..ClusteringPolicy::default() };
        let groups = plan_clustering(state, &physical, &policy);
        let groups = groups.into_iter().map(|group| CompactionGroup {
            partition: Default::default(),
            files: group.files,
            bytes: group.bytes,
        });
        let groups = groups.collect();
        let columns = clustering_columns(state).on(self.uri())?.unwrap_or_default();
        let by = Layout::by(columns, Curve::Hilbert, options);
        self.rewrite_as(snapshot, groups, options, &Layout::Ordered { by, clustered: Some(physical) }).await
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

    /// Rewrites groups of files, their rows as they lie, and commits what no other writer has touched meanwhile.
    pub(crate) async fn rewrite(
        &self,
        snapshot: &Arc<Snapshot>,
        groups: Vec<CompactionGroup>,
        options: &OptimizeOptions,
    ) -> Result<OptimizeReport> {
        self.rewrite_as(snapshot, groups, options, &Layout::AsTheyAre).await
    }

    async fn rewrite_as(
        &self,
        snapshot: &Arc<Snapshot>,
        groups: Vec<CompactionGroup>,
        options: &OptimizeOptions,
        layout: &Layout,
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
        if let Some(meter) = &options.meter {
            Meter::add(&meter.files_total, state.files.len() as u64);
            Meter::add(&meter.files_to_do, groups.iter().map(|group| group.files.len() as u64).sum());
            Meter::add(&meter.bytes_to_do, groups.iter().map(|group| group.bytes).sum());
        }
        let mut rewritten = Vec::new();
        for group in groups {
            let (mut staged, keys) = self.written_anew(snapshot, &group, layout, options.meter.clone()).await?;
            if let Layout::Ordered { clustered: Some(physical), .. } = layout {
                mark_clustered(&mut staged.adds, &self.env().uuid().to_string(), physical);
            }
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
            let operation = match layout {
                Layout::Ordered { by, clustered: Some(_) } => {
                    let columns: Vec<String> = by.columns.iter().map(|path| path.join(".")).collect();
                    operation
                        .with_parameter("clusterBy", serde_json::json!(columns).to_string())
                        .with_parameter("isFull", options.full.to_string())
                }
                _ => operation,
            };
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
            self.index()
                .take_in(self.data_store(), self.env(), &keys.key, keys.hand_over(), &known.state, Upkeep::Asked)
                .await;
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

    /// Writes the live rows of a group of files into new ones.
    async fn written_anew(
        &self,
        snapshot: &Arc<Snapshot>,
        group: &CompactionGroup,
        layout: &Layout,
        meter: Option<Arc<Meter>>,
    ) -> Result<(StagedRows, Option<Arc<KeySink>>)> {
        let state = snapshot.state();
        let mut transaction = self.begin_at(snapshot, Operation::new("OPTIMIZE"))?;
        match layout {
            Layout::AsTheyAre => {
                let rows = metered_rows_of(self, state, group.files.clone(), meter);
                transaction.stage_kept_rows(rows, InOrder::No).await
            }
            Layout::Ordered { by, .. } => {
                let ordered = ordered(self, state, &group.files, by, meter).await?;
                let staged = transaction.stage_kept_rows(ordered.rows, InOrder::Yes).await;
                if !ordered.pieces.is_empty() {
                    // What stays of them vacuum collects.
                    let _ = self.data_store().delete_many(ordered.pieces).await;
                }
                staged
            }
        }
    }
}
