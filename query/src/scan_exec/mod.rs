//! The scan leaf: reads the files of one version of a table through DataFusion's Parquet source.
//!
//! [`DeltaScanExec`] owns what is read: files, partition values and deletion vectors, as a value that can be serialised.
//! How it is read is DataFusion's own [`DataSourceExec`] inside, to which everything the optimiser asks is handed on and
//! wrapped again: projections, filters (those of joins and top-k that appear while the query runs included), limits,
//! repartitioning, orderings, statistics. So a query over a table costs what it costs over its raw Parquet files.
//!
//! Deletion vectors are fetched when the scan runs and not when it is planned: a plan may be made for its explanation, and
//! may run elsewhere. They become row selections of their files before any file is opened, for all partitions at once,
//! since a partition that is done early takes files over from others.
//!
//! ```text
//!   DeltaScanExec ── ScanSpec (files, vectors)
//!        │ plan time                     execute: once for all partitions
//!        ▼                                    │
//!   DataSourceExec  ── file groups ──────►  DataSourceExec, armed:
//!   (no vectors)                             + row selections, store, footer cache
//! ```

mod build;
mod mapping;
mod nothing;
mod spec;
mod statistics;
mod store;
mod vectors;
mod wire;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_common::sort_expr::PhysicalSortExpr;
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, SortOrderPushdownResult,
    StatisticsArgs,
};
use floe_storage::DataStore;
use futures::TryStreamExt;
use tokio::sync::OnceCell;

pub(crate) use build::{ScanRequest, evaluate_on_partitions};
use nothing::FilesOf;
pub(crate) use nothing::NothingToRead;
pub use spec::{FILE_COLUMN, ROW_COLUMN};
pub(crate) use spec::{ScanLayout, ScanOptions, ScanSpec, external, file_id, live_rows, table_schema};
pub(crate) use statistics::{ScanStatistics, table_statistics};

/// Reads the rows of one version of a table.
pub struct DeltaScanExec {
    spec: Arc<ScanSpec>,
    store: DataStore,
    /// The scan without deletion vectors, as the optimiser shapes it. Always a [`DataSourceExec`].
    inner: Arc<dyn ExecutionPlan>,
    /// The row selections of the files, in the order of the spec. Shared by every reshaped copy of this scan: what a
    /// deletion vector marks never changes.
    selections: Arc<OnceCell<build::Selections>>,
    /// What runs: one for all partitions, since they share a queue of files.
    armed: Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>,
}

impl DeltaScanExec {
    fn new(spec: Arc<ScanSpec>, store: DataStore, inner: Arc<dyn ExecutionPlan>) -> Self {
        DeltaScanExec { spec, store, inner, selections: Arc::default(), armed: Arc::default() }
    }

    /// This scan in another shape.
    fn reshaped(&self, inner: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(DeltaScanExec {
            spec: self.spec.clone(),
            store: self.store.clone(),
            inner,
            selections: self.selections.clone(),
            armed: Arc::default(),
        })
    }

    /// The scan config that the optimiser has shaped.
    fn config(&self) -> Result<&FileScanConfig> {
        let source = self.inner.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
        match source.and_then(|source| source.downcast_ref::<FileScanConfig>()) {
            Some(config) => Ok(config),
            None => internal_err!("the inside of a scan is not a file scan"),
        }
    }

    /// How many files are read.
    pub fn files_scanned(&self) -> usize {
        self.spec.plan.files.len()
    }

    /// How many files the table has at the version that is read, how many of them are read, and their bytes.
    pub(crate) fn files(&self) -> (u64, u64, u64) {
        let files = &self.spec.plan.files;
        (self.spec.plan.files_total, files.len() as u64, files.iter().map(|file| file.size).sum())
    }

    /// How many of them have a deletion vector.
    pub fn deletion_vectors(&self) -> usize {
        self.spec.plan.files.iter().filter(|file| file.deletion_vector.is_some()).count()
    }

    fn selects_rows(&self) -> bool {
        self.spec.plan.files.iter().any(|file| file.deletion_vector.is_some() || file.only_rows.is_some())
    }

    /// How many rows a look-up by key has left to read; none where all rows of the files are read.
    fn rows_looked_up(&self) -> Option<usize> {
        let files = &self.spec.plan.files;
        files.iter().map(|file| file.only_rows.as_ref().map(Vec::len)).sum()
    }

    /// The plan that runs, with the deletion vectors of all files in place.
    async fn arm(&self, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        let reader = build::Reader::new(self.store.location(), context.runtime_env())?;
        let selections = self
            .selections
            .get_or_try_init(|| async {
                build::load_selections(&self.store, &self.spec, self.config()?, &reader).await
            })
            .await?;
        self.armed_once(Some(selections), &reader)
    }

    /// As [`DeltaScanExec::arm`], for a scan without deletion vectors.
    fn arm_now(&self, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        self.armed_once(None, &build::Reader::new(self.store.location(), context.runtime_env())?)
    }

    /// The one plan of all partitions. It is made under a lock: with two of them, each having a queue of all files, every
    /// row would come twice.
    fn armed_once(
        &self,
        selections: Option<&build::Selections>,
        reader: &build::Reader,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut armed = self.armed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(plan) = armed.as_ref() {
            return Ok(plan.clone());
        }
        let plan = self.armed_with(selections, reader)?;
        *armed = Some(plan.clone());
        Ok(plan)
    }

    fn armed_with(
        &self,
        selections: Option<&build::Selections>,
        reader: &build::Reader,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let config = self.config()?;
        let source = reader.source_of(config)?;
        let mut builder = FileScanConfigBuilder::from(config.clone()).with_source(source);
        if let Some(selections) = selections {
            builder = builder.with_file_groups(build::select_rows(&config.file_groups, selections)?);
        }
        Ok(DataSourceExec::from_data_source(builder.build()))
    }
}

impl fmt::Debug for DeltaScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaScanExec")
            .field("table", &self.spec.plan.table_uri)
            .field("version", &self.spec.plan.version)
            .field("files", &self.spec.plan.files.len())
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for DeltaScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        let bytes: u64 = spec.plan.files.iter().map(|file| file.size).sum();
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(
                    f,
                    "DeltaScanExec: {}, bytes={bytes}, deletion_vectors={}",
                    FilesOf(&spec.plan),
                    self.deletion_vectors()
                )?;
                if let Some(rows) = self.rows_looked_up().filter(|_| !spec.plan.files.is_empty()) {
                    write!(f, ", looked_up_by_key={rows} rows")?;
                }
                return match self.config() {
                    Ok(config) => fmt_reading(config, self.properties(), t, f),
                    Err(_) => Err(fmt::Error),
                };
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "{}", FilesOf(&spec.plan))?;
                writeln!(f, "deletion_vectors={}", self.deletion_vectors())?;
            }
        }
        match self.inner.downcast_ref::<DataSourceExec>() {
            Some(inner) => inner.data_source().fmt_as(t, f),
            None => Ok(()),
        }
    }
}

/// How the files are read: not which, for there may be thousands.
fn fmt_reading(
    config: &FileScanConfig,
    properties: &PlanProperties,
    t: DisplayFormatType,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    write!(f, ", partitions={}", config.file_groups.len())?;
    if let Some(projection) = config.file_source.projection() {
        let columns = projection.as_ref().iter().map(|column| match column.expr.downcast_ref::<Column>() {
            Some(plain) if plain.name() == column.alias => column.alias.clone(),
            _ => format!("{} as {}", column.expr, column.alias),
        });
        write!(f, ", projection=[{}]", columns.collect::<Vec<_>>().join(", "))?;
    }
    if let Some(limit) = config.limit {
        write!(f, ", limit={limit}")?;
    }
    if let Some(ordering) = properties.output_ordering() {
        write!(f, ", output_ordering=[{ordering}]")?;
    }
    config.file_source.fmt_extra(t, f)
}

impl ExecutionPlan for DeltaScanExec {
    fn name(&self) -> &str {
        "DeltaScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.reshaped(self.inner.clone().reset_state()?))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.inner.repartitioned(target_partitions, config)?.map(|inner| self.reshaped(inner)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if !self.selects_rows() {
            return self.arm_now(&context)?.execute(partition, context);
        }
        let scan = DeltaScanExec {
            spec: self.spec.clone(),
            store: self.store.clone(),
            inner: self.inner.clone(),
            selections: self.selections.clone(),
            armed: self.armed.clone(),
        };
        let stream = futures::stream::once(async move { scan.arm(&context).await?.execute(partition, context) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream.try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        // The armed plan counts into the same set.
        self.inner.metrics()
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.inner.statistics_from_inputs(inputs, args)
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.inner.supports_limit_pushdown()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.inner.with_fetch(limit).map(|inner| self.reshaped(inner))
    }

    fn fetch(&self) -> Option<usize> {
        self.inner.fetch()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let swapped = self.inner.try_swapping_with_projection(projection)?;
        // Only a projection that went into the scan leaves a scan; anything else would escape the wrapping.
        Ok(swapped.filter(|plan| plan.is::<DataSourceExec>()).map(|inner| self.reshaped(inner)))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let pushed = self.inner.handle_child_pushdown_result(phase, child_pushdown_result, config)?;
        Ok(FilterPushdownPropagation {
            filters: pushed.filters,
            updated_node: pushed.updated_node.map(|inner| self.reshaped(inner)),
        })
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        Ok(self.inner.try_pushdown_sort(order)?.map(|inner| self.reshaped(inner)))
    }

    fn with_preserve_order(&self, preserve_order: bool) -> Option<Arc<dyn ExecutionPlan>> {
        self.inner.with_preserve_order(preserve_order).map(|inner| self.reshaped(inner))
    }

    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        self.inner.with_new_state(state).map(|inner| self.reshaped(inner))
    }
}
