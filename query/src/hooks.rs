//! The hooks by which DataFusion reads and changes a Floe table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{DFSchemaRef, Statistics, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::dml::{InsertOp, MergeIntoClause};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::dml::{self, RowChange};
use crate::filters;
use crate::provider::{FloeTableProvider, partition_columns};
use crate::scan_exec::table_statistics;

#[async_trait]
impl TableProvider for FloeTableProvider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.get(column)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan_scan(state, projection.map(Vec::as_slice), filters, limit).await
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        let filters = args.filters().unwrap_or(&[]);
        Ok(self.plan_scan(state, args.projection(), filters, args.limit()).await?.into())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let partition_columns = partition_columns(&self.snapshot);
        Ok(filters
            .iter()
            .map(|filter| match filters::is_partition_only(filter, &partition_columns) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(table_statistics(self.snapshot.state(), self.schema.fields().len()))
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        dml::insert_plan(self.change()?, &self.schema, input, insert_op)
    }

    async fn delete_from(&self, state: &dyn Session, filters: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        let change = RowChange::Delete { predicate: conjunction(filters) };
        dml::change_plan(state, self.change()?, target_of(self), change)
    }

    async fn update(
        &self,
        state: &dyn Session,
        assignments: Vec<(String, Expr)>,
        filters: Vec<Expr>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let change = RowChange::Update { assignments, predicate: conjunction(filters) };
        dml::change_plan(state, self.change()?, target_of(self), change)
    }

    async fn truncate(&self, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        dml::change_plan(state, self.change()?, target_of(self), RowChange::Delete { predicate: None })
    }

    async fn merge_into(
        &self,
        state: &dyn Session,
        source: Arc<dyn ExecutionPlan>,
        merge_schema: DFSchemaRef,
        on: Expr,
        clauses: Vec<MergeIntoClause>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table = self.change()?;
        let columns = self.schema.fields().len();
        let target =
            merge_schema.iter().next().and_then(|(qualifier, _)| qualifier.cloned()).unwrap_or_else(|| target_of(self));
        let source = dml::planned_source(source, &merge_schema, columns)?;
        dml::change_plan(state, table, target, RowChange::Merge { source, on, clauses })
    }
}

/// What an unnamed target is called inside of a plan.
fn target_of(_: &FloeTableProvider) -> TableReference {
    TableReference::bare("target")
}
