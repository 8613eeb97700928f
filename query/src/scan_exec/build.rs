//! From what a scan reads to DataFusion's plan of it, and from that plan to the one that runs.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{DFSchema, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use floe_storage::{DataStore, Location};
use floe_table::ScanFile;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;

use super::spec::{ScanLayout, ScanSpec, external};
use super::statistics::{ScanStatistics, of_group};
use super::store::{ScopedStore, url_of};
use super::{DeltaScanExec, vectors};

/// How many footers are read at a time for files whose statistics do not tell their rows.
const FOOTERS_IN_FLIGHT_MAX: usize = 16;

/// The row selections of a scan's files, in the order of its spec.
pub(crate) type Selections = Vec<Option<ParquetRowSelection>>;

/// Marks a file of a plan with its place in the spec. Copies of the file that repartitioning makes carry it too.
#[derive(Debug, Clone, Copy)]
struct FileOrdinal(usize);

/// A scan to plan.
pub(crate) struct ScanRequest<'a> {
    pub(crate) spec: ScanSpec,
    pub(crate) layout: &'a ScanLayout,
    pub(crate) statistics: ScanStatistics,
    /// Columns of the layout's schema; all of them if none are named.
    pub(crate) projection: Option<&'a [usize]>,
    pub(crate) limit: Option<usize>,
}

impl ScanRequest<'_> {
    /// Plans the scan.
    ///
    /// # Errors
    /// Partition values that do not parse, paths that no store takes.
    pub(crate) fn plan(self, store: &DataStore, state: &dyn Session) -> Result<DeltaScanExec> {
        let files = planned_files(&self.spec, self.layout, store.location(), &self.statistics)?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        let mut options = state.default_table_options().parquet;
        // Rows with addresses are read to change a few of them: the columns that tell which come first, and the others are
        // decoded for those rows alone. For a merge the keys of the source are such a filter.
        options.global.pushdown_filters |= self.spec.options.row_address;
        let projection = self.layout.project(self.projection);
        self.plan_groups(store, options, groups, &projection, false)
    }

    /// Plans the scan of these groups; `projection` names columns of the reader.
    pub(super) fn plan_groups(
        self,
        store: &DataStore,
        options: TableParquetOptions,
        groups: Vec<FileGroup>,
        projection: &[usize],
        preserve_order: bool,
    ) -> Result<DeltaScanExec> {
        let statistics = self.statistics.of_all(self.layout)?;
        let groups = groups.into_iter().map(|group| of_group(group, self.layout)).collect::<Result<Vec<_>>>()?;
        let config = FileScanConfigBuilder::new(url_of(store.location())?, parquet_source(self.layout, options))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(projection.to_vec()))?
            .with_limit(self.limit)
            .with_preserve_order(preserve_order)
            .with_expr_adapter(Some(self.layout.adapter.clone()))
            .build();
        let inner: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        Ok(DeltaScanExec::new(Arc::new(self.spec), store.clone(), inner))
    }
}

fn parquet_source(layout: &ScanLayout, mut options: TableParquetOptions) -> Arc<dyn FileSource> {
    // Spark writes timestamps as INT96 by default, meaning an instant. As nanoseconds, which is what they are read as
    // otherwise, dates before 1677 and after 2262 would overflow.
    if options.global.coerce_int96.is_none() {
        options.global.coerce_int96 = Some("us".into());
        options.global.coerce_int96_tz = Some("UTC".into());
    }
    let hint = options.global.metadata_size_hint;
    let mut source = ParquetSource::new(layout.reader.clone()).with_table_parquet_options(options);
    if let Some(hint) = hint {
        source = source.with_metadata_size_hint(hint);
    }
    Arc::new(source)
}

/// The spec's files as the engine names them, in order.
pub(super) fn planned_files(
    spec: &ScanSpec,
    layout: &ScanLayout,
    location: &Location,
    statistics: &ScanStatistics,
) -> Result<Vec<PartitionedFile>> {
    let constants = spec.constants(layout)?;
    spec.plan
        .files
        .iter()
        .zip(constants)
        .enumerate()
        .map(|(ordinal, (file, constants))| {
            let meta = ObjectMeta {
                location: ScopedStore::path(location, &file.path)?,
                last_modified: DateTime::<Utc>::from_timestamp_millis(file.modification_time).unwrap_or_default(),
                size: file.size,
                e_tag: None,
                version: None,
            };
            let mut planned = PartitionedFile::new_from_meta(meta)
                .with_partition_values(constants)
                .with_extension(FileOrdinal(ordinal));
            // Set directly: the setter would say that partition values are never null.
            planned.statistics = statistics.of_file(ordinal);
            Ok(planned)
        })
        .collect()
}

/// The place in the spec of a file of a plan.
pub(super) fn ordinal_of(file: &PartitionedFile) -> Result<usize> {
    match file.extension::<FileOrdinal>() {
        Some(FileOrdinal(ordinal)) => Ok(*ordinal),
        None => internal_err!("the file {} of a scan is none of its files", file.path()),
    }
}

/// The groups with each file's row selection attached.
pub(super) fn select_rows(groups: &[FileGroup], selections: &Selections) -> Result<Vec<FileGroup>> {
    groups
        .iter()
        .map(|group| {
            let files: Result<Vec<PartitionedFile>> = group
                .files()
                .iter()
                .map(|file| match selections.get(ordinal_of(file)?) {
                    Some(Some(selection)) => Ok(file.clone().with_extension(selection.clone())),
                    Some(None) => Ok(file.clone()),
                    None => internal_err!("the deletion vectors of a scan are not those of its files"),
                })
                .collect();
            Ok(FileGroup::new(files?))
        })
        .collect()
}

/// Fetches the deletion vectors of all files.
pub(super) async fn load_selections(
    store: &DataStore,
    spec: &ScanSpec,
    config: &FileScanConfig,
    reader: &Reader,
) -> Result<Selections> {
    let deleted = vectors::load(store, &spec.plan.files).await.map_err(external)?;
    let rows = row_counts(spec, config, reader).await?;
    spec.plan
        .files
        .iter()
        .zip(deleted)
        .zip(rows)
        .map(|((file, deleted), rows)| {
            if let Some(only) = &file.only_rows {
                return vectors::chosen(&file.path, only, deleted.as_ref(), rows).map(Some).map_err(external);
            }
            let Some(deleted) = deleted else { return Ok(None) };
            vectors::selection(&file.path, &deleted, rows).map(Some).map_err(external)
        })
        .collect()
}

/// How many rows each file holds; read from its footer where a deletion vector needs it and the log does not say.
async fn row_counts(spec: &ScanSpec, config: &FileScanConfig, reader: &Reader) -> Result<Vec<u64>> {
    let mut rows: Vec<u64> = spec.plan.files.iter().map(|file| file.num_records.unwrap_or(0)).collect();
    let unknown =
        |file: &ScanFile| (file.deletion_vector.is_some() || file.only_rows.is_some()) && file.num_records.is_none();
    if !spec.plan.files.iter().any(unknown) {
        return Ok(rows);
    }
    let mut seen = HashSet::new();
    let mut counts = Vec::new();
    for file in config.file_groups.iter().flat_map(|group| group.files()) {
        let ordinal = ordinal_of(file)?;
        if spec.plan.files.get(ordinal).is_some_and(unknown) && seen.insert(ordinal) {
            counts.push(row_count(reader, ordinal, file.clone()));
        }
    }
    let counted: Vec<(usize, u64)> =
        futures::stream::iter(counts).buffer_unordered(FOOTERS_IN_FLIGHT_MAX).try_collect().await?;
    for (ordinal, count) in counted {
        rows[ordinal] = count;
    }
    Ok(rows)
}

async fn row_count(reader: &Reader, ordinal: usize, file: PartitionedFile) -> Result<(usize, u64)> {
    let metrics = ExecutionPlanMetricsSet::new();
    let mut footer = reader.factory.create_reader(0, file, None, &metrics)?;
    let metadata = footer.get_metadata(None).await?;
    Ok((ordinal, u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0)))
}

/// Access to a table's files on the machine where the scan runs.
pub(crate) struct Reader {
    factory: Arc<dyn ParquetFileReaderFactory>,
}

impl Reader {
    /// Makes the table's store known to the engine, with the engine's cache of footers before it.
    pub(super) fn new(location: &Location, runtime: Arc<RuntimeEnv>) -> Result<Self> {
        let store = Arc::new(ScopedStore::new(location));
        runtime.register_object_store(url_of(location)?.as_ref(), store.clone());
        let cache = runtime.cache_manager.get_file_metadata_cache();
        Ok(Reader { factory: Arc::new(CachedParquetFileReaderFactory::new(store, cache)) })
    }

    /// The source of a scan, reading through this.
    pub(super) fn source_of(&self, config: &FileScanConfig) -> Result<Arc<dyn FileSource>> {
        match config.file_source().downcast_ref::<ParquetSource>() {
            Some(source) => Ok(Arc::new(source.clone().with_parquet_file_reader_factory(self.factory.clone()))),
            None => internal_err!("the inside of a scan does not read Parquet"),
        }
    }
}

/// For which of these files the filters are true. The filters name partition columns only.
///
/// # Errors
/// Filters that cannot be evaluated on the partition values, such as a division by zero.
pub(crate) fn evaluate_on_partitions(
    state: &dyn Session,
    layout: &ScanLayout,
    files: &[ScanFile],
    filters: &[Expr],
) -> Result<Vec<bool>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(vec![true; files.len()]) };
    let schema = Arc::new(Schema::new(layout.partition_fields()));
    let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
    let nullable = Arc::new(Schema::new(
        schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ));
    let batch = RecordBatch::try_new_with_options(nullable.clone(), layout.partition_arrays(files)?, &options)?;
    let filter = unqualified(filter)?;
    let evaluated = state.create_physical_expr(filter, &DFSchema::try_from(nullable)?)?.evaluate(&batch)?;
    let truths = evaluated.into_array(files.len())?;
    let truths = truths.as_boolean();
    Ok((0..files.len()).map(|file| truths.is_valid(file) && truths.value(file)).collect())
}

fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
    expr.transform(|expr| match expr {
        Expr::Column(column) => {
            Ok(Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(column.name))))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}
