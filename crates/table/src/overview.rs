//! What a table looks like from outside: its files, commits and log, and what would do it good.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::row::{RowConverter, SortField};
use floe_table_format::clustering::{clustering_columns, physical_clustering_columns};
use floe_table_format::path::LogFile;
use floe_table_format::plan::cluster::{ClusteringPolicy, plan_clustering};
use floe_table_format::plan::{CompactionPolicy, plan_compaction};
use floe_table_format::stats::parse_num_records;
use floe_table_format::{
    Action, DataType, DeletionVectorDescriptor, LogEntry, PrimitiveType, Remove, TableState, Version,
};
use futures::TryStreamExt;
use serde::Serialize;

use crate::error::{OnTable, Result};
use crate::history::HistoryEntry;
use crate::table::Table;

/// Upper bounds of the sizes by which files are counted, in bytes.
const SIZES: [u64; 6] = [1 << 16, 1 << 20, 16 << 20, 64 << 20, 128 << 20, 1 << 30];

/// How many columns of a table that is not clustered are looked at for overlap.
const COLUMNS_MAX: usize = 4;

/// How much of a table is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverviewOptions {
    /// The newest commits to read.
    pub commits: usize,
    /// The largest partitions to name.
    pub partitions: usize,
    /// What the commands of [`Advice`] call the table.
    pub named: Option<String>,
}

impl Default for OverviewOptions {
    fn default() -> Self {
        OverviewOptions { commits: 20, partitions: 10, named: None }
    }
}

/// A table as a whole. Sizes are bytes, times milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Where the table lies.
    pub uri: String,
    /// The name in its metadata.
    pub name: Option<String>,
    /// The newest version, which all else is about.
    pub version: u64,
    /// The protocol version of readers.
    pub reader_version: i32,
    /// The protocol version of writers.
    pub writer_version: i32,
    /// The features that the protocol lists by name.
    pub features: Vec<String>,
    /// How many columns there are.
    pub columns: usize,
    /// What the folders are made by.
    pub partition_columns: Vec<String>,
    /// What the rows are ordered by.
    pub clustering_columns: Vec<String>,
    /// What tells the rows apart.
    pub primary_key: Vec<String>,
    /// All files together.
    pub files: FilesOverview,
    /// Files by size, small ones first; without sizes that no file has.
    pub sizes: Vec<SizeOverview>,
    /// How many partitions have files.
    pub partition_count: usize,
    /// The largest partitions.
    pub partitions: Vec<PartitionOverview>,
    /// How far the files overlap in the clustering columns, or in the first columns that have statistics.
    pub overlap: Vec<OverlapOverview>,
    /// The newest commits, newest first.
    pub commits: Vec<CommitOverview>,
    /// The log.
    pub log: LogOverview,
    /// What would do the table good; empty for a table in good health.
    pub advice: Vec<Advice>,
}

/// Files together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilesOverview {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows of the table in them. Those of files that do not say are left out.
    pub rows: u64,
    /// Rows in the files that are no longer of the table.
    pub deleted_rows: u64,
    /// Files with a deletion vector.
    pub with_deletion_vector: u64,
    /// Files that do not say how many rows they have.
    pub without_statistics: u64,
}

impl FilesOverview {
    /// Which share of the rows in the files is deleted, from 0 to 1.
    pub fn deleted_share(&self) -> f64 {
        match self.rows + self.deleted_rows {
            0 => 0.0,
            all => self.deleted_rows as f64 / all as f64,
        }
    }

    fn add(&mut self, size: i64, records: Option<u64>, deleted: u64) {
        self.count += 1;
        self.bytes += u64::try_from(size).unwrap_or(0);
        self.rows += records.unwrap_or(0).saturating_sub(deleted);
        self.deleted_rows += deleted;
        self.with_deletion_vector += u64::from(deleted > 0);
        self.without_statistics += u64::from(records.is_none());
    }
}

/// Files of about one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SizeOverview {
    /// They are smaller than this; none for the largest.
    pub below_bytes: Option<u64>,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The files of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionOverview {
    /// A value for each partition column, as the log writes it; none is null.
    pub values: Vec<Option<String>>,
    /// Its files.
    #[serde(flatten)]
    pub files: FilesOverview,
}

/// How the files share the values of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverlapOverview {
    /// The column, with the names of the structs around it.
    pub column: String,
    /// How many files have statistics of it.
    pub files: u64,
    /// How many of these may hold a value, on average over the least values of the files. 1 is the best there is.
    pub depth: f64,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitOverview {
    /// The version it made.
    pub version: u64,
    /// When.
    pub timestamp: i64,
    /// What was done, as its writer calls it.
    pub operation: Option<String>,
    /// Who wrote it.
    pub engine: Option<String>,
    /// Files that came.
    pub files_added: u64,
    /// Their bytes.
    pub bytes_added: u64,
    /// Files that went.
    pub files_removed: u64,
    /// Their bytes, as far as the log says.
    pub bytes_removed: u64,
    /// Rows that came, of the table and by the files alone: a file that is written anew brings all of its rows.
    pub rows_added: u64,
    /// Rows that went, as far as the log says.
    pub rows_removed: u64,
}

/// The log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogOverview {
    /// The oldest commit that is there.
    pub first_version: Option<u64>,
    /// How many commits are there.
    pub commits: u64,
    /// Bytes of all files of the log.
    pub bytes: u64,
    /// The version of the newest checkpoint.
    pub checkpoint: Option<u64>,
    /// Commits after that.
    pub commits_since_checkpoint: u64,
    /// Whether the newest version has a checksum.
    pub has_checksum: bool,
    /// Files that were removed and are not yet vacuumed, as far as the log remembers.
    pub removed_files: u64,
    /// Their bytes, as far as the log says.
    pub removed_bytes: u64,
}

/// Something that would do the table good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What was found.
    pub what: String,
    /// The statement that mends it.
    pub command: String,
}

impl CommitOverview {
    fn of(entry: HistoryEntry, actions: &[Action]) -> Self {
        let mut commit = CommitOverview {
            version: entry.version.get(),
            timestamp: entry.timestamp.0,
            operation: entry.info.operation,
            engine: entry.info.engine_info,
            files_added: 0,
            bytes_added: 0,
            files_removed: 0,
            bytes_removed: 0,
            rows_added: 0,
            rows_removed: 0,
        };
        for action in actions {
            match action {
                Action::Add(add) => {
                    commit.files_added += 1;
                    commit.bytes_added += u64::try_from(add.size).unwrap_or(0);
                    commit.rows_added += rows(add.stats.as_deref(), add.deletion_vector.as_ref());
                }
                Action::Remove(remove) => {
                    commit.files_removed += 1;
                    commit.bytes_removed += remove.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                    commit.rows_removed += rows(remove.stats.as_deref(), remove.deletion_vector.as_ref());
                }
                _ => {}
            }
        }
        commit
    }
}

impl LogOverview {
    fn of(listing: &[LogEntry], newest: Version, removed: &[&Remove]) -> Self {
        let mut log = LogOverview {
            first_version: None,
            commits: 0,
            bytes: listing.iter().map(|entry| entry.size).sum(),
            checkpoint: None,
            commits_since_checkpoint: 0,
            has_checksum: false,
            removed_files: removed.len() as u64,
            removed_bytes: removed.iter().filter_map(|remove| u64::try_from(remove.size?).ok()).sum(),
        };
        for entry in listing {
            let file = LogFile::parse(&entry.name);
            match (&file, file.version().map(Version::get)) {
                (LogFile::Commit(_), Some(version)) => {
                    log.commits += 1;
                    log.first_version = Some(log.first_version.map_or(version, |first| first.min(version)));
                }
                (LogFile::Checksum(_), version) => log.has_checksum |= version == Some(newest.get()),
                (file, Some(version)) if file.is_checkpoint() => {
                    log.checkpoint = Some(log.checkpoint.map_or(version, |last| last.max(version)));
                }
                _ => {}
            }
        }
        let since = log.checkpoint.map_or(0, |checkpoint| checkpoint + 1);
        log.commits_since_checkpoint = (newest.get() + 1).saturating_sub(since);
        log
    }
}

impl Table {
    /// What the newest version looks like. Reads the log and no data file.
    ///
    /// # Errors
    /// Whatever reading the log meets.
    pub async fn overview(&self, options: &OverviewOptions) -> Result<Overview> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        let clustering = clustering_columns(state).on(self.uri())?.unwrap_or_default();
        let (sizes, partitions, files) = layout(state);
        let partition_count = partitions.len();
        let features = [&state.protocol.reader_features, &state.protocol.writer_features];
        let mut features: Vec<String> = features.into_iter().flatten().flatten().cloned().collect();
        features.sort();
        features.dedup();
        let removed = state.tombstones.live(&state.files);
        let listing = self.log_store().list(Version::ZERO).await.on(self.uri())?;
        let commits = self.commits_of(&listing, Some(options.commits))?;
        let mut overview = Overview {
            uri: self.uri().to_owned(),
            name: state.metadata.name.clone(),
            version: state.version.get(),
            reader_version: state.protocol.min_reader_version,
            writer_version: state.protocol.min_writer_version,
            features,
            columns: state.schema.fields.len(),
            partition_columns: state.metadata.partition_columns.clone(),
            clustering_columns: clustering.iter().map(|path| path.join(".")).collect(),
            primary_key: snapshot.primary_key().to_vec(),
            files,
            sizes,
            partition_count,
            partitions: partitions.into_iter().take(options.partitions).collect(),
            overlap: self.overlap(state, &clustering)?,
            commits: commits.map_ok(|(entry, actions)| CommitOverview::of(entry, &actions)).try_collect().await?,
            log: LogOverview::of(&listing, state.version, &removed),
            advice: Vec::new(),
        };
        let name = options.named.clone().unwrap_or_else(|| format!("'{}'", self.uri().replace('\'', "''")));
        overview.advice = self.advice(state, &overview, &removed, &name)?;
        Ok(overview)
    }

    /// `clustering` are paths of column names, as in the schema.
    fn overlap(&self, state: &TableState, clustering: &[Vec<String>]) -> Result<Vec<OverlapOverview>> {
        let partitions = &state.metadata.partition_columns;
        let plain = state.schema.fields.iter().filter(|field| !partitions.contains(&field.name));
        let wanted: Vec<Vec<String>> = match clustering.is_empty() {
            true => plain.map(|field| vec![field.name.clone()]).collect(),
            false => clustering.to_vec(),
        };
        let mut found = Vec::new();
        for path in wanted {
            let data_type = match state.schema.type_at(&path) {
                // Of these no bounds are kept.
                Some(DataType::Primitive(PrimitiveType::Binary | PrimitiveType::Boolean)) => continue,
                Some(DataType::Primitive(data_type)) => *data_type,
                _ => continue,
            };
            let Some(physical) = state.schema.physical_path(&path) else { continue };
            let (mut least, mut most) = (Vec::<ArrayRef>::new(), Vec::<ArrayRef>::new());
            for (at, chunk) in state.files.chunks().iter().enumerate() {
                let stats = chunk.stats_column(&physical, &data_type).on(self.uri())?;
                match state.files.live_mask(at) {
                    None => {
                        least.push(stats.min.clone());
                        most.push(stats.max.clone());
                    }
                    Some(live) => {
                        let live = arrow::array::BooleanArray::new(live.clone(), None);
                        least.push(arrow::compute::filter(&stats.min, &live)?);
                        most.push(arrow::compute::filter(&stats.max, &live)?);
                    }
                }
            }
            if let Some((files, depth)) = depth(&least, &most)? {
                found.push(OverlapOverview { column: path.join("."), files, depth });
            }
            if clustering.is_empty() && found.len() == COLUMNS_MAX {
                break;
            }
        }
        Ok(found)
    }

    fn advice(&self, state: &TableState, overview: &Overview, removed: &[&Remove], name: &str) -> Result<Vec<Advice>> {
        let mut advice = Vec::new();
        let clustering = physical_clustering_columns(state).on(self.uri())?.unwrap_or_default();
        let groups: Vec<usize> = match clustering.is_empty() {
            true => {
                let policy =
                    CompactionPolicy { target_size: state.properties.target_file_size, ..CompactionPolicy::default() };
                plan_compaction(state, &policy).on(self.uri())?.iter().map(|group| group.files.len()).collect()
            }
            false => {
                let groups = plan_clustering(state, &clustering, &ClusteringPolicy::default());
                groups.iter().map(|group| group.files.len()).collect()
            }
        };
        let candidates: usize = groups.iter().sum();
        if candidates > 0 {
            let why = match clustering.is_empty() {
                true => "are small or hold deleted rows",
                false => "are small or in no order",
            };
            let what = format!("{candidates} of {} files {why}", overview.files.count);
            advice.push(Advice { what, command: format!("OPTIMIZE {name}") });
        }
        let before = self.env().now().0 - state.properties.deleted_file_retention_ms;
        let expired = removed.iter().filter(|remove| remove.deletion_timestamp.unwrap_or(0) < before).count();
        if expired > 0 {
            let what = format!("{expired} files were removed longer ago than they are kept");
            advice.push(Advice { what, command: format!("VACUUM {name}") });
        }
        let overlapping = overview.overlap.iter().find(|column| column.depth > 4.0 && column.files > 8);
        if let Some(column) = overlapping.filter(|_| !clustering.is_empty()) {
            let what = format!(
                "a value of clustering column {} lies in {:.1} of {} files",
                column.column, column.depth, column.files
            );
            advice.push(Advice { what, command: format!("OPTIMIZE {name} FULL") });
        }
        Ok(advice)
    }
}

/// Files by size and by partition, the largest partition first, and all together.
fn layout(state: &TableState) -> (Vec<SizeOverview>, Vec<PartitionOverview>, FilesOverview) {
    let columns = &state.metadata.partition_columns;
    let physical: Vec<&str> =
        columns.iter().map(|name| state.schema.field(name).map_or(name.as_str(), |f| f.physical_name())).collect();
    let mut sizes: Vec<SizeOverview> = SIZES
        .iter()
        .map(|below| Some(*below))
        .chain([None])
        .map(|below_bytes| SizeOverview { below_bytes, count: 0, bytes: 0 })
        .collect();
    let mut partitions: BTreeMap<Vec<Option<&str>>, FilesOverview> = BTreeMap::new();
    let mut all = FilesOverview::default();
    for file in state.files.iter() {
        let (size, records, deleted) = (file.size(), file.num_records(), file.deleted_rows());
        all.add(size, records, deleted);
        let bytes = u64::try_from(size).unwrap_or(0);
        if let Some(of_size) = sizes.iter_mut().find(|of| of.below_bytes.is_none_or(|below| bytes < below)) {
            of_size.count += 1;
            of_size.bytes += bytes;
        }
        if !columns.is_empty() {
            let value = |(physical, logical): (&&str, &String)| {
                file.partition_value(physical).or_else(|| file.partition_value(logical))
            };
            let values = physical.iter().zip(columns).map(value).collect();
            partitions.entry(values).or_default().add(size, records, deleted);
        }
    }
    sizes.retain(|of_size| of_size.count > 0);
    let mut partitions: Vec<PartitionOverview> = partitions
        .into_iter()
        .map(|(values, files)| PartitionOverview {
            values: values.into_iter().map(|value| value.map(str::to_owned)).collect(),
            files,
        })
        .collect();
    partitions.sort_by_key(|partition| std::cmp::Reverse(partition.files.bytes));
    (sizes, partitions, all)
}

/// Rows of a file that are of the table.
fn rows(stats: Option<&str>, vector: Option<&DeletionVectorDescriptor>) -> u64 {
    let records = stats.and_then(parse_num_records).unwrap_or(0);
    let deleted = vector.map_or(0, |vector| u64::try_from(vector.cardinality).unwrap_or(0));
    records.saturating_sub(deleted)
}

/// How many files have bounds, and how many of these hold the least value of one, on average.
fn depth(least: &[ArrayRef], most: &[ArrayRef]) -> Result<Option<(u64, f64)>> {
    if least.is_empty() {
        return Ok(None);
    }
    let join = |arrays: &[ArrayRef]| concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    let (least, most) = (join(least)?, join(most)?);
    let converter = RowConverter::new(vec![SortField::new(least.data_type().clone())])?;
    let (least_rows, most_rows) = (
        converter.convert_columns(std::slice::from_ref(&least))?,
        converter.convert_columns(std::slice::from_ref(&most))?,
    );
    let known: Vec<usize> = (0..least.len()).filter(|at| least.is_valid(*at) && most.is_valid(*at)).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let mut begins: Vec<_> = known.iter().map(|at| least_rows.row(*at)).collect();
    let mut ends: Vec<_> = known.iter().map(|at| most_rows.row(*at)).collect();
    begins.sort();
    ends.sort();
    let holding = |value: &arrow::row::Row<'_>| {
        begins.partition_point(|begin| begin <= value) - ends.partition_point(|end| end < value)
    };
    let total: usize = begins.iter().map(holding).sum();
    Ok(Some((known.len() as u64, total as f64 / known.len() as f64)))
}
