//! A scan of which nothing is left to read, and what plans say of files.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};
use floe_table::ScanPlan;

/// Gives no rows, and tells of how many files it gives none.
#[derive(Debug)]
pub(crate) struct NothingToRead {
    files: String,
    files_total: u64,
    inner: EmptyExec,
}

impl NothingToRead {
    pub(crate) fn new(plan: &ScanPlan, schema: SchemaRef) -> Self {
        NothingToRead { files: FilesOf(plan).to_string(), files_total: plan.files_total, inner: EmptyExec::new(schema) }
    }

    /// How many files the table has at the version that is read.
    pub(crate) fn files_total(&self) -> u64 {
        self.files_total
    }
}

impl DisplayAs for NothingToRead {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "NothingToRead: {}", self.files),
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.files),
        }
    }
}

impl ExecutionPlan for NothingToRead {
    fn name(&self) -> &str {
        "NothingToRead"
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

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.inner.execute(partition, context)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.inner.statistics_from_inputs(inputs, args)
    }
}

/// Which of a version's files are read, and why the others are not.
pub(super) struct FilesOf<'a>(pub(super) &'a ScanPlan);

impl fmt::Display for FilesOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScanPlan { version, files, files_total, pruned, .. } = self.0;
        write!(
            f,
            "version={version}, files={}/{files_total} (pruned: {} by partition, {} by statistics, {} by index",
            files.len(),
            pruned.by_partition,
            pruned.by_statistics,
            pruned.by_index
        )?;
        if pruned.by_limit > 0 {
            write!(f, ", {} by limit", pruned.by_limit)?;
        }
        f.write_str(")")
    }
}
