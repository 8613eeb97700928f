//! CHECK constraints as DataFusion expressions.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::physical_expr::PhysicalExpr;
use floe_table::{Result, RowCheck, RowCheckFactory, TableError, Violation};

use crate::expressions;

/// Evaluates CHECK constraints with DataFusion. Hand it to [`floe_table::TableBuilder::with_row_checks`]; a SQL session
/// does.
///
/// ```
/// use std::sync::Arc;
/// use floe_query::SqlRowChecks;
/// let builder = floe_table::Table::builder("memory:///ducks").with_row_checks(Arc::new(SqlRowChecks::default()));
/// ```
#[derive(Clone, Default)]
pub struct SqlRowChecks {
    state: Option<Arc<SessionState>>,
}

impl SqlRowChecks {
    /// Constraints may call the functions of this session; by default, those that DataFusion has built in.
    pub fn new(state: SessionState) -> Self {
        SqlRowChecks { state: Some(Arc::new(state)) }
    }
}

impl fmt::Debug for SqlRowChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlRowChecks").finish_non_exhaustive()
    }
}

impl RowCheckFactory for SqlRowChecks {
    fn compile(&self, name: &str, sql: &str, schema: &SchemaRef) -> Result<Arc<dyn RowCheck>> {
        let refuse = |what: String| TableError::Input(format!("constraint {name}: {what}").into());
        let expr = expressions::compile(self.state.as_deref(), sql, schema).map_err(|e| refuse(e.strip_backtrace()))?;
        let data_type = expr.data_type(schema).map_err(|e| refuse(e.strip_backtrace()))?;
        if data_type != DataType::Boolean {
            return Err(refuse(format!("it is of type {data_type} and not boolean")));
        }
        Ok(Arc::new(SqlRowCheck { expr }))
    }
}

struct SqlRowCheck {
    expr: Arc<dyn PhysicalExpr>,
}

impl RowCheck for SqlRowCheck {
    fn first_violation(&self, batch: &RecordBatch) -> Result<Option<Violation>> {
        let failed = |error: DataFusionError| TableError::Input(Box::new(error));
        let truths = self.expr.evaluate(batch).and_then(|v| v.into_array(batch.num_rows())).map_err(failed)?;
        let truths = truths.as_boolean();
        // The common case, without looking at rows one by one.
        if truths.null_count() == 0 && truths.true_count() == truths.len() {
            return Ok(None);
        }
        let row = (0..truths.len()).find(|row| truths.is_null(*row) || !truths.value(*row));
        Ok(row.map(|row| Violation { row }))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn batch() -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("Id", DataType::Int64, true), Field::new("two words", DataType::Utf8, true)]);
        let ids = Int64Array::from(vec![Some(1), Some(2), None]);
        let words = StringArray::from(vec!["a", "b", "c"]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(words)]).expect("columns fit")
    }

    fn first(sql: &str) -> Option<usize> {
        let batch = batch();
        let check = SqlRowChecks::default().compile("c", sql, &batch.schema()).expect("it compiles");
        check.first_violation(&batch).expect("it evaluates").map(|v| v.row)
    }

    #[test]
    fn the_first_row_that_is_not_true_is_found() {
        assert_eq!(first("Id > 1"), Some(0));
        assert_eq!(first("id < 2 OR id IS NULL"), Some(1));
        assert_eq!(first("ID IS NULL OR id > 0"), None);
    }

    #[test]
    fn null_is_not_true() {
        assert_eq!(first("id > 0"), Some(2));
    }

    #[test]
    fn quoted_names_are_names() {
        assert_eq!(first("`two words` <> 'b'"), Some(1));
        assert_eq!(first("\"two words\" <> 'z'"), None);
    }

    #[test]
    fn what_is_no_condition_does_not_compile() {
        let schema = batch().schema();
        for sql in ["id + 1", "nosuch > 1", "id >", "id > 1; DROP TABLE t"] {
            assert!(SqlRowChecks::default().compile("c", sql, &schema).is_err(), "{sql}");
        }
    }
}
