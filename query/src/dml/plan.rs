//! Changes of rows as plans, for the hooks by which DataFusion plans DELETE, UPDATE and MERGE itself.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchema, TableReference, internal_err, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::MergeIntoClause;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::expressions::Column as PhysicalColumn;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use floe_table::Table;

use super::DmlReport;

/// A change of rows that is planned and not made yet.
#[derive(Debug, Clone)]
pub(crate) enum RowChange {
    Delete { predicate: Option<Expr> },
    Update { assignments: Vec<(String, Expr)>, predicate: Option<Expr> },
    Merge { source: LogicalPlan, on: Expr, clauses: Vec<MergeIntoClause> },
}

impl RowChange {
    async fn make(
        self,
        state: &SessionState,
        table: &Table,
        target: &TableReference,
    ) -> crate::error::Result<DmlReport> {
        match self {
            RowChange::Delete { predicate } => super::delete(state, table, target, predicate).await,
            RowChange::Update { assignments, predicate } => {
                super::update(state, table, target, assignments, predicate).await
            }
            RowChange::Merge { source, on, clauses } => super::merge(state, table, target, source, on, clauses).await,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            RowChange::Delete { .. } => "DELETE",
            RowChange::Update { .. } => "UPDATE",
            RowChange::Merge { .. } => "MERGE",
        }
    }
}

/// A plan that makes the change when it runs, and gives one row with the number of changed rows.
pub(crate) fn change_plan(
    state: &dyn Session,
    table: &Table,
    target: TableReference,
    change: RowChange,
) -> Result<Arc<dyn ExecutionPlan>> {
    // The change plans a query of its own when it runs, for which it needs a session that outlives this call.
    let Some(state) = state.as_any().downcast_ref::<SessionState>() else {
        return plan_err!("{} of a Floe table needs a DataFusion session", change.name());
    };
    let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
    let properties = PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Final,
        Boundedness::Bounded,
    );
    Ok(Arc::new(RowChangeExec {
        state: state.clone(),
        table: table.clone(),
        target,
        change,
        properties: Arc::new(properties),
    }))
}

struct RowChangeExec {
    state: SessionState,
    table: Table,
    target: TableReference,
    change: RowChange,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for RowChangeExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowChangeExec")
            .field("table", &self.table)
            .field("change", &self.change)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for RowChangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowChangeExec: {} table={}", self.change.name(), self.table.uri())
    }
}

impl ExecutionPlan for RowChangeExec {
    fn name(&self) -> &str {
        "RowChangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a change of rows has one partition, asked for {partition}");
        }
        let (state, table, target) = (self.state.clone(), self.table.clone(), self.target.clone());
        let (change, schema) = (self.change.clone(), self.schema());
        let counts = futures::stream::once(async move {
            let report = change.make(&state, &table, &target).await.map_err(DataFusionError::from)?;
            let count = Arc::new(UInt64Array::from(vec![report.rows_changed()]));
            Ok(RecordBatch::try_new(schema, vec![count])?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counts)))
    }
}

/// A plan's rows as a relation of a query. `merge_schema` names the target's columns, `columns` of them, then the source's.
///
/// # Errors
/// A schema whose rest is not the plan's.
pub(crate) fn planned_source(
    source: Arc<dyn ExecutionPlan>,
    merge_schema: &DFSchema,
    columns: usize,
) -> Result<LogicalPlan> {
    let names: Vec<(Option<TableReference>, String)> = merge_schema
        .iter()
        .skip(columns)
        .map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()))
        .collect();
    if names.len() != source.schema().fields().len() {
        return internal_err!("a source of {} columns, named are {}", source.schema().fields().len(), names.len());
    }
    // The columns of a source may have one name in two relations, which columns of one table cannot.
    let by_position = PlannedTable::new(source);
    let relation = TableReference::bare("_floe_planned");
    let renamed: Vec<Expr> = names
        .into_iter()
        .enumerate()
        .map(|(position, (qualifier, name))| {
            let column = Expr::Column(Column::new(Some(relation.clone()), PlannedTable::name_of(position)));
            column.alias_qualified(qualifier, name)
        })
        .collect();
    LogicalPlanBuilder::scan(relation.clone(), provider_as_source(Arc::new(by_position)), None)?
        .project(renamed)?
        .build()
}

/// The rows of a physical plan as a table whose columns are named by position.
#[derive(Debug)]
struct PlannedTable {
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
}

impl PlannedTable {
    fn new(plan: Arc<dyn ExecutionPlan>) -> Self {
        let fields = plan.schema();
        let fields = fields.fields().iter().enumerate();
        let fields: Vec<Field> =
            fields.map(|(position, field)| field.as_ref().clone().with_name(Self::name_of(position))).collect();
        PlannedTable { plan, schema: Arc::new(Schema::new(fields)) }
    }

    fn name_of(position: usize) -> String {
        format!("column{position}")
    }
}

#[async_trait]
impl TableProvider for PlannedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let given = self.plan.schema();
        let columns: Vec<(Arc<dyn PhysicalExpr>, String)> = projection
            .unwrap_or(&all)
            .iter()
            .map(|position| {
                let column = PhysicalColumn::new(given.field(*position).name(), *position);
                (Arc::new(column) as Arc<dyn PhysicalExpr>, Self::name_of(*position))
            })
            .collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, self.plan.clone())?))
    }
}
