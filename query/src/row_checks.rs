//! CHECK constraints and generated columns as DataFusion expressions.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::physical_expr::PhysicalExpr;
use floe_table::{Result, RowCheck, RowCheckFactory, RowValue, TableError, Violation};

use crate::{expressions, generated};

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

    fn compile_value(&self, name: &str, sql: &str, schema: &SchemaRef) -> Result<Arc<dyn RowValue>> {
        let refuse = |what: String| TableError::Input(format!("generated column {name} ({sql}): {what}").into());
        let field = schema.field_with_name(name).map_err(|error| refuse(error.to_string()))?;
        // The column is not among those it is computed from.
        let others = schema.fields().iter().filter(|other| other.name() != name).cloned().collect::<Vec<_>>();
        let state = self.state.as_deref();
        let expr = generated::compile(state, sql, &Schema::new(others), schema, field.data_type())
            .map_err(|e| refuse(e.strip_backtrace()))?;
        Ok(Arc::new(SqlRowValue { expr }))
    }
}

struct SqlRowValue {
    expr: Arc<dyn PhysicalExpr>,
}

impl RowValue for SqlRowValue {
    fn compute(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let value = self.expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
        value.map_err(|error| TableError::Input(Box::new(error)))
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

    fn computed(sql: &str) -> Result<Vec<Option<String>>> {
        let mut fields: Vec<Field> = batch().schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new("g", DataType::Utf8, true));
        let mut columns = batch().columns().to_vec();
        columns.push(arrow::array::new_null_array(&DataType::Utf8, 3));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns fit");
        let value = SqlRowChecks::default().compile_value("g", sql, &batch.schema())?.compute(&batch)?;
        Ok(value.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
    }

    #[test]
    fn values_are_computed_in_the_type_of_their_column() {
        let text = |values: [Option<&str>; 3]| values.map(|value| value.map(str::to_owned)).to_vec();
        assert_eq!(computed("id + 1").expect("computed"), text([Some("2"), Some("3"), None]));
        let joined = computed("`two words` || CAST(ID AS STRING)").expect("computed");
        assert_eq!(joined, text([Some("a1"), Some("b2"), None]));
        for sql in
            ["g", "concat(g, 'x')", "nosuch", "random()", "uuid()", "(SELECT 1)", "sum(id)", "current_timestamp()"]
        {
            assert!(computed(sql).is_err(), "{sql}");
        }
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
