//! DELETE, UPDATE and MERGE on a table by DataFusion expressions, without SQL text.

use async_trait::async_trait;
use datafusion::common::{Column, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use floe_table::Table;

use crate::dml::{self, DmlReport};
use crate::error::Result;

/// The name of the table that changes, in the expressions of [`MergeBuilder`].
const TARGET: &str = "target";
/// The name of the rows that are merged in, in the expressions of [`MergeBuilder`].
const SOURCE: &str = "source";

/// Changes of rows by expressions over the table's columns.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{Int64Array, RecordBatch};
/// use datafusion::prelude::{col, lit};
/// use floe_query::TableChangesByExpression;
/// use floe_table::{CreateTable, Table};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..10)) as _)])?;
/// let table = Table::builder("memory://verbs/numbers").create(CreateTable::from_arrow(&rows.schema())?).await?;
/// table.append(vec![rows]).await?;
/// assert_eq!(table.delete(Some(col("n").lt(lit(3)))).await?.rows_deleted, 3);
/// assert_eq!(table.update([("n", col("n") * lit(10))], Some(col("n").eq(lit(9)))).await?.rows_updated, 1);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TableChangesByExpression {
    /// Deletes the rows for which the predicate is true; all of them without one.
    ///
    /// # Errors
    /// A predicate that cannot be planned, a conflict with another writer, storage. Nothing is committed then.
    async fn delete(&self, predicate: Option<Expr>) -> Result<DmlReport>;

    /// Gives columns new values in the rows for which the predicate is true; in all of them without one.
    ///
    /// # Errors
    /// As [`delete`](Self::delete), and rows that break a constraint.
    async fn update<S, A>(&self, assignments: A, predicate: Option<Expr>) -> Result<DmlReport>
    where
        S: Into<String> + Send,
        A: IntoIterator<Item = (S, Expr)> + Send,
        A::IntoIter: Send;

    /// Starts merging rows in. In the condition and in every clause, `target` names the table and `source` the rows:
    /// `col("target.id").eq(col("source.id"))`.
    fn merge(&self, source: DataFrame, on: Expr) -> MergeBuilder;
}

#[async_trait]
impl TableChangesByExpression for Table {
    async fn delete(&self, predicate: Option<Expr>) -> Result<DmlReport> {
        let state = SessionContext::new().state();
        dml::delete(&state, self, &TableReference::bare(TARGET), predicate).await
    }

    async fn update<S, A>(&self, assignments: A, predicate: Option<Expr>) -> Result<DmlReport>
    where
        S: Into<String> + Send,
        A: IntoIterator<Item = (S, Expr)> + Send,
        A::IntoIter: Send,
    {
        let state = SessionContext::new().state();
        let assignments = assignments.into_iter().map(|(column, value)| (column.into(), value)).collect();
        dml::update(&state, self, &TableReference::bare(TARGET), assignments, predicate).await
    }

    fn merge(&self, source: DataFrame, on: Expr) -> MergeBuilder {
        MergeBuilder { table: self.clone(), source, on, clauses: Vec::new() }
    }
}

/// A merge in the making: clauses are tried in the order they were added, and the first that applies to a row acts.
#[derive(Clone, Debug)]
#[must_use = "a merge does nothing until it is executed"]
pub struct MergeBuilder {
    table: Table,
    source: DataFrame,
    on: Expr,
    clauses: Vec<Clause>,
}

#[derive(Clone, Debug)]
struct Clause {
    kind: MergeIntoClauseKind,
    predicate: Option<Expr>,
    action: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Given(MergeIntoAction),
    UpdateAll,
    InsertAll,
}

impl MergeBuilder {
    /// A row that both sides have takes every column the source has.
    pub fn when_matched_update_all(self) -> Self {
        self.clause(MergeIntoClauseKind::Matched, None, Act::UpdateAll)
    }

    /// A row that both sides have, and for which the predicate is true, takes these values.
    pub fn when_matched_update<S: Into<String>>(
        self,
        predicate: Option<Expr>,
        assignments: impl IntoIterator<Item = (S, Expr)>,
    ) -> Self {
        let act = MergeIntoAction::Update(assignments.into_iter().map(|(c, e)| (c.into(), e)).collect());
        self.clause(MergeIntoClauseKind::Matched, predicate, Act::Given(act))
    }

    /// A row that both sides have, and for which the predicate is true, goes.
    pub fn when_matched_delete(self, predicate: Option<Expr>) -> Self {
        self.clause(MergeIntoClauseKind::Matched, predicate, Act::Given(MergeIntoAction::Delete))
    }

    /// A row that only the source has becomes a row of the table.
    pub fn when_not_matched_insert_all(self) -> Self {
        self.clause(MergeIntoClauseKind::NotMatchedByTarget, None, Act::InsertAll)
    }

    /// A row that only the source has, and for which the predicate is true, becomes a row of these values.
    pub fn when_not_matched_insert<S: Into<String>>(
        self,
        predicate: Option<Expr>,
        values: impl IntoIterator<Item = (S, Expr)>,
    ) -> Self {
        let (columns, values) = values.into_iter().map(|(c, e)| (c.into(), e)).unzip();
        let act = MergeIntoAction::Insert { columns, values };
        self.clause(MergeIntoClauseKind::NotMatchedByTarget, predicate, Act::Given(act))
    }

    /// A row that only the table has, and for which the predicate is true, takes these values.
    pub fn when_not_matched_by_source_update<S: Into<String>>(
        self,
        predicate: Option<Expr>,
        assignments: impl IntoIterator<Item = (S, Expr)>,
    ) -> Self {
        let act = MergeIntoAction::Update(assignments.into_iter().map(|(c, e)| (c.into(), e)).collect());
        self.clause(MergeIntoClauseKind::NotMatchedBySource, predicate, Act::Given(act))
    }

    /// A row that only the table has, and for which the predicate is true, goes.
    pub fn when_not_matched_by_source_delete(self, predicate: Option<Expr>) -> Self {
        self.clause(MergeIntoClauseKind::NotMatchedBySource, predicate, Act::Given(MergeIntoAction::Delete))
    }

    fn clause(mut self, kind: MergeIntoClauseKind, predicate: Option<Expr>, action: Act) -> Self {
        self.clauses.push(Clause { kind, predicate, action });
        self
    }

    /// Merges, in one commit.
    ///
    /// # Errors
    /// Several source rows that would change one row of the table; rows that do not fit or break a constraint; a conflict
    /// with another writer; storage. Nothing is committed then.
    pub async fn execute(self) -> Result<DmlReport> {
        let MergeBuilder { table, source, on, clauses } = self;
        let (state, source) = source.into_parts();
        let names: Vec<String> = source.schema().fields().iter().map(|f| f.name().clone()).collect();
        let source = LogicalPlanBuilder::from(source).alias(SOURCE)?.build()?;
        let all = || {
            names
                .iter()
                .map(|name| (name.clone(), Expr::Column(Column::new(Some(TableReference::bare(SOURCE)), name.clone()))))
        };
        let clauses = clauses
            .into_iter()
            .map(|clause| {
                let action = match clause.action {
                    Act::Given(action) => action,
                    Act::UpdateAll => MergeIntoAction::Update(all().collect()),
                    Act::InsertAll => {
                        let (columns, values) = all().unzip();
                        MergeIntoAction::Insert { columns, values }
                    }
                };
                MergeIntoClause { kind: clause.kind, predicate: clause.predicate, action }
            })
            .collect();
        dml::merge(&state, &table, &TableReference::bare(TARGET), source, on, clauses).await
    }
}
