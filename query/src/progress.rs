//! How far running statements have come, told by the scans below them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use floe_table::Meter;
use futures::Stream;

use crate::scan_exec::{DeltaScanExec, NothingToRead};

/// What the scans of the statements that run have to do, and what they have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files of the tables that are read, at the versions read.
    pub files_total: u64,
    /// Those that are not pruned.
    pub files_to_read: u64,
    /// Those that are read to their end.
    pub files_read: u64,
    /// Bytes of the files that are not pruned.
    pub bytes_to_read: u64,
    /// Bytes fetched; of the columns and row groups that are needed alone.
    pub bytes_read: u64,
    /// Rows that came out of the scans.
    pub rows_read: u64,
}

/// What runs and can be asked how far it is.
#[derive(Debug, Clone)]
enum Running {
    /// A plan, for as long as its rows are read.
    Plan(Weak<dyn ExecutionPlan>),
    /// Work that is no plan's, for as long as it holds its meter.
    Metered(Weak<Meter>),
}

impl Running {
    fn is_over(&self) -> bool {
        match self {
            Running::Plan(plan) => plan.strong_count() == 0,
            Running::Metered(meter) => meter.strong_count() == 0,
        }
    }
}

/// All that runs.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Vec<Running>>);

impl Watch {
    fn add(&self, new: Running) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|running| !running.is_over());
        running.push(new);
    }

    /// What all of it has done.
    pub(crate) fn progress(&self) -> Progress {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut progress = Progress::default();
        for running in running {
            match running {
                Running::Plan(plan) => plan.upgrade().iter().for_each(|plan| progress.add(plan)),
                Running::Metered(meter) => meter.upgrade().iter().for_each(|meter| progress.add_meter(meter)),
            }
        }
        progress
    }
}

/// A meter for work that is no plan's; [`Watch`] sees it for as long as somebody holds it.
pub(crate) fn watch(config: &SessionConfig) -> Arc<Meter> {
    let meter = Arc::new(Meter::default());
    if let Some(watch) = config.get_extension::<Watch>() {
        watch.add(Running::Metered(Arc::downgrade(&meter)));
    }
    meter
}

impl Progress {
    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if let Some(scan) = plan.downcast_ref::<DeltaScanExec>() {
            let (total, to_read, bytes) = scan.files();
            self.add_scan(total, to_read, bytes, plan.metrics());
        } else if let Some(scan) = plan.downcast_ref::<NothingToRead>() {
            self.files_total += scan.files_total();
        } else if let Some(scan) = plan.downcast_ref::<DataSourceExec>()
            && let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>()
        {
            let files: Vec<u64> =
                config.file_groups.iter().flat_map(|group| group.iter()).map(|file| file.object_meta.size).collect();
            self.add_scan(files.len() as u64, files.len() as u64, files.iter().sum(), plan.metrics());
        }
        plan.children().into_iter().for_each(|child| self.add(child));
    }

    fn add_meter(&mut self, meter: &Meter) {
        self.files_total += Meter::get(&meter.files_total);
        self.files_to_read += Meter::get(&meter.files_to_do);
        self.files_read += Meter::get(&meter.files_done);
        self.bytes_to_read += Meter::get(&meter.bytes_to_do);
        self.bytes_read += Meter::get(&meter.bytes_done);
        self.rows_read += Meter::get(&meter.rows_done);
    }

    fn add_scan(&mut self, total: u64, to_read: u64, bytes: u64, metrics: Option<MetricsSet>) {
        let counted = |name: &str| {
            let value = metrics.as_ref().and_then(|metrics| metrics.sum_by_name(name));
            value.map_or(0, |value| value.as_usize() as u64)
        };
        self.files_total += total;
        self.files_to_read += to_read;
        self.bytes_to_read += bytes;
        // One file in pieces counts once a piece.
        self.files_read += counted("files_processed").min(to_read);
        self.bytes_read += counted("bytes_scanned");
        self.rows_read += metrics.as_ref().and_then(MetricsSet::output_rows).map_or(0, |rows| rows as u64);
    }
}

/// Runs a plan, its partitions as one stream in no particular order. The session's [`Watch`] sees it.
pub(crate) fn run_watched(
    config: &SessionConfig,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    if let Some(watch) = config.get_extension::<Watch>() {
        watch.add(Running::Plan(Arc::downgrade(&plan)));
    }
    let rows = execute_stream(plan.clone(), context)?;
    Ok(Box::pin(Watched { rows, _plan: plan }))
}

/// Rows with the plan that they come from.
struct Watched {
    rows: SendableRecordBatchStream,
    _plan: Arc<dyn ExecutionPlan>,
}

impl Stream for Watched {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.as_mut().poll_next(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}
