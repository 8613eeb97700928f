//! A table as DataFusion sees it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_plan::ExecutionPlan;
use floe_table::{KeyedRows, ScanPlan, Snapshot, Table};

use crate::error::QueryError;
use crate::expressions;
use crate::filters;
use crate::keyed;
use crate::scan_exec::{
    DeltaScanExec, NothingToRead, ScanLayout, ScanOptions, ScanRequest, ScanSpec, ScanStatistics,
    evaluate_on_partitions, external, live_rows, table_schema,
};

/// A Floe table for a DataFusion `SessionContext`: scans, inserts, and DELETE, UPDATE and MERGE where DataFusion plans them.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{Int64Array, RecordBatch};
/// use datafusion::prelude::SessionContext;
/// use floe_query::FloeTableProvider;
/// use floe_table::{CreateTable, Table};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ids = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)])?;
/// let table = Table::builder("memory:///orders").create(CreateTable::from_arrow(&ids.schema())?).await?;
/// table.append(vec![ids]).await?;
///
/// let context = SessionContext::new();
/// context.register_table("orders", Arc::new(FloeTableProvider::live(table).await?))?;
/// let rows = context.sql("SELECT id FROM orders WHERE id > 1").await?.collect().await?;
/// assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FloeTableProvider {
    /// What the columns were taken from, and what is read unless the provider is live.
    pub(crate) snapshot: Arc<Snapshot>,
    live: bool,
    options: ScanOptions,
    /// The only rows to read, found by key; none for all.
    rows: Option<Arc<KeyedRows>>,
    pub(crate) schema: SchemaRef,
    pub(crate) defaults: HashMap<String, Expr>,
}

impl FloeTableProvider {
    /// The table as it grows: every scan reads the newest version there is when it is planned.
    ///
    /// Two scans of one query may read two versions. For a query that names a table twice, register
    /// [`FloeTableProvider::at`] with one snapshot.
    ///
    /// # Errors
    /// Whatever reading the log meets; columns of types that this build does not read.
    pub async fn live(table: Table) -> crate::error::Result<Self> {
        let snapshot = table.snapshot().await?;
        Ok(FloeTableProvider { live: true, ..FloeTableProvider::at(snapshot)? })
    }

    /// The table at one version.
    ///
    /// # Errors
    /// Columns of types that this build does not read.
    pub fn at(snapshot: Arc<Snapshot>) -> crate::error::Result<Self> {
        let options = ScanOptions { view_types: true, row_address: false };
        let schema = table_schema(&snapshot.state().schema, options.view_types)?;
        let defaults = column_defaults(&snapshot, &schema)?;
        Ok(FloeTableProvider { snapshot, live: false, options, rows: None, schema, defaults })
    }

    /// Whether text and bytes are read as `Utf8View` and `BinaryView`, which is faster to filter and sort, or as `Utf8` and
    /// `Binary`. Views are the default, as for Parquet files in DataFusion (`schema_force_view_types`).
    ///
    /// # Errors
    /// Columns of types that this build does not read.
    pub fn with_view_types(mut self, view_types: bool) -> crate::error::Result<Self> {
        self.options.view_types = view_types;
        self.reshape()
    }

    /// Adds two columns that tell where a row lies, for changing it: [`crate::scan_exec::FILE_COLUMN`] and
    /// [`crate::scan_exec::ROW_COLUMN`]. They mean something for the provider's snapshot alone, so it stops being live.
    ///
    /// # Errors
    /// Columns of types that this build does not read.
    pub fn with_row_address(mut self) -> crate::error::Result<Self> {
        self.options.row_address = true;
        self.live = false;
        self.reshape()
    }

    /// Reads only rows that a look-up by key has found in the provider's snapshot.
    pub(crate) fn with_rows(mut self, rows: KeyedRows) -> Self {
        self.rows = Some(Arc::new(rows));
        self.live = false;
        self
    }

    /// Whether rows carry their address.
    pub(crate) fn has_row_address(&self) -> bool {
        self.options.row_address
    }

    fn reshape(mut self) -> crate::error::Result<Self> {
        self.schema = self.layout(&self.snapshot)?.schema;
        Ok(self)
    }

    /// The table.
    pub fn table(&self) -> &Table {
        self.snapshot.table()
    }

    /// The version whose columns this provider shows; what is read, unless it is live.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    fn layout(&self, snapshot: &Snapshot) -> Result<ScanLayout> {
        let state = snapshot.state();
        let mode = floe_table_format::feature::column_mapping_mode(&state.metadata).map_err(external)?;
        ScanLayout::new(&state.schema, &state.metadata.partition_columns, mode, self.options)
    }

    /// The version to read, and for each of this provider's columns its position in it.
    async fn current(&self) -> Result<(Arc<Snapshot>, ScanLayout, Vec<usize>)> {
        let snapshot = match self.live {
            true => self.table().snapshot().await.map_err(external)?,
            false => self.snapshot.clone(),
        };
        let layout = self.layout(&snapshot)?;
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            match layout.schema.fields().iter().position(|f| f.name() == field.name()) {
                Some(position) if layout.schema.field(position).data_type() == field.data_type() => {
                    columns.push(position);
                }
                _ => {
                    let what = format!(
                        "column {} of the table {} changed in version {}; plan the query again",
                        field.name(),
                        self.table().uri(),
                        snapshot.version()
                    );
                    return Err(DataFusionError::Plan(what));
                }
            }
        }
        Ok((snapshot, layout, columns))
    }

    /// Plans a scan.
    ///
    /// # Errors
    /// Whatever reading the log meets, statistics and partition values that do not parse.
    pub async fn plan_scan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (snapshot, layout, columns) = self.current().await?;
        let projected: Vec<usize> = match projection {
            Some(projection) => projection.iter().map(|column| columns[*column]).collect(),
            None => columns,
        };
        let table_state = snapshot.state();
        let predicate = filters::to_predicate(filters, &table_state.schema);
        let mut plan = snapshot.scan().with_predicate(predicate).plan().map_err(external)?;

        // The engine has dropped the filters on partition columns: they hold for a file or do not, and are decided here.
        let partition_columns = partition_columns(&snapshot);
        let (exact, others): (Vec<Expr>, Vec<Expr>) =
            filters.iter().cloned().partition(|filter| filters::is_partition_only(filter, &partition_columns));
        retain_matching(state, &layout, &mut plan, &exact)?;
        match &self.rows {
            Some(rows) => plan.retain_rows(rows),
            None => {
                if let Some(rows) = keyed::look_up(&snapshot, &plan, filters).await.map_err(external)? {
                    plan.retain_rows(&rows);
                }
            }
        }
        if others.is_empty()
            && let Some(limit) = limit
        {
            enough_files(&mut plan, limit as u64);
        }
        if plan.files.is_empty() {
            return Ok(Arc::new(NothingToRead::new(&plan, Arc::new(layout.schema.project(&projected)?))));
        }

        let spec = ScanSpec::new(&snapshot, plan, self.options)?;
        let wanted = columns_of_interest(&layout.schema, &projected, filters);
        let statistics = match state.config().collect_statistics() {
            true => ScanStatistics::collect(table_state, &spec, &layout, &wanted)?,
            false => ScanStatistics::counts(&spec, &layout)?,
        };
        let request = ScanRequest { spec, layout: &layout, statistics, projection: Some(&projected), limit };
        let scan: DeltaScanExec = request.plan(snapshot.table().data_store(), state)?;
        Ok(Arc::new(scan))
    }

    /// The columns of the table, without row addresses.
    pub(crate) fn columns(&self) -> SchemaRef {
        let own = self.snapshot.state().schema.fields.len();
        Arc::new(Schema::new(self.schema.fields().iter().take(own).cloned().collect::<Vec<_>>()))
    }

    /// The planned files for which these filters, on partition columns alone, are true.
    pub(crate) fn retain_matching_files(
        &self,
        state: &dyn Session,
        mut plan: ScanPlan,
        filters: &[Expr],
    ) -> Result<ScanPlan> {
        retain_matching(state, &self.layout(&self.snapshot)?, &mut plan, filters)?;
        Ok(plan)
    }

    /// The table, for changing it. A change is made on the newest version, whichever version this provider reads.
    pub(crate) fn change(&self) -> Result<&Table> {
        match self.options.row_address {
            true => plan_err!("rows with addresses are for reading"),
            false => Ok(self.table()),
        }
    }
}

pub(crate) fn partition_columns(snapshot: &Snapshot) -> HashSet<&str> {
    snapshot.state().metadata.partition_columns.iter().map(String::as_str).collect()
}

fn retain_matching(state: &dyn Session, layout: &ScanLayout, plan: &mut ScanPlan, filters: &[Expr]) -> Result<()> {
    if !filters.is_empty() {
        let before = plan.files.len();
        let mut keep = evaluate_on_partitions(state, layout, &plan.files, filters)?.into_iter();
        plan.files.retain(|_| keep.next().unwrap_or(false));
        plan.pruned.by_partition += (before - plan.files.len()) as u64;
    }
    Ok(())
}

/// Keeps as many files as surely hold `limit` rows.
fn enough_files(plan: &mut ScanPlan, limit: u64) {
    let mut rows = 0u64;
    let mut files = 0;
    for file in &plan.files {
        if rows >= limit {
            break;
        }
        rows += live_rows(file).unwrap_or(0);
        files += 1;
    }
    plan.pruned.by_limit += (plan.files.len() - files) as u64;
    plan.files.truncate(files);
}

/// The columns whose bounds may matter to the plan.
fn columns_of_interest(schema: &SchemaRef, projected: &[usize], filters: &[Expr]) -> HashSet<usize> {
    let mut columns: HashSet<usize> = projected.iter().copied().collect();
    for filter in filters {
        columns.extend(filter.column_refs().iter().filter_map(|column| schema.index_of(column.name()).ok()));
    }
    // Bounds of nested columns and of bytes mean nothing to the engine.
    columns.retain(|column| {
        !schema.field(*column).data_type().is_nested() && !is_bytes(schema.field(*column).data_type())
    });
    columns
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// The columns' defaults, as values of their types.
fn column_defaults(snapshot: &Snapshot, schema: &SchemaRef) -> crate::error::Result<HashMap<String, Expr>> {
    let mut defaults = HashMap::new();
    for (field, column) in snapshot.state().schema.fields.iter().zip(schema.fields()) {
        let Some(sql) = field.default_expression() else { continue };
        let nothing = datafusion::common::DFSchema::empty();
        let parsed = expressions::parse(sql, nothing.as_arrow())
            .and_then(|expr| expr.cast_to(column.data_type(), &nothing))
            .map_err(|e| {
                QueryError::invalid_argument(format!(
                    "the default {sql} of column {}: {}",
                    field.name,
                    e.strip_backtrace()
                ))
            })?;
        defaults.insert(field.name.clone(), parsed);
    }
    Ok(defaults)
}

impl fmt::Debug for FloeTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FloeTableProvider")
            .field("uri", &self.table().uri())
            .field("version", &self.snapshot.version())
            .field("live", &self.live)
            .finish()
    }
}
