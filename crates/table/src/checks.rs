//! Constraints on rows: NOT NULL here, CHECK expressions through a component.
//!
//! A CHECK constraint is SQL text in the table's properties. This crate knows no SQL, so whoever opens the table brings
//! a [`RowCheckFactory`]; without one, no rows are written to a table with CHECK constraints or generated columns.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use floe_table_format::{DataType, FormatError, StructType};

use crate::error::{OnTable, Result, TableError};

/// A row that a check refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Zero-based row in the checked batch.
    pub row: usize,
}

/// One compiled constraint.
pub trait RowCheck: Send + Sync {
    /// The first row of the batch for which the constraint is not true; null counts as not true, as in Delta.
    ///
    /// # Errors
    /// [`TableError`] if the expression cannot be evaluated on these rows.
    fn first_violation(&self, batch: &RecordBatch) -> Result<Option<Violation>>;
}

/// One compiled expression.
pub trait RowValue: Send + Sync {
    /// Its value in each row of the batch.
    ///
    /// # Errors
    /// [`TableError`] if the expression cannot be evaluated on these rows.
    fn compute(&self, batch: &RecordBatch) -> Result<ArrayRef>;
}

/// Compiles constraints and expressions from SQL text.
pub trait RowCheckFactory: Send + Sync + fmt::Debug {
    /// A check of `sql` over rows of `schema` (the table's logical columns).
    ///
    /// # Errors
    /// [`TableError`] if the text is not a boolean expression over these columns.
    fn compile(&self, name: &str, sql: &str, schema: &SchemaRef) -> Result<Arc<dyn RowCheck>>;

    /// The value of the generated column `name`, whose expression is `sql`, in the column's type.
    ///
    /// # Errors
    /// [`TableError`] if the text is no expression over the other columns, or not of the column's type.
    fn compile_value(&self, name: &str, sql: &str, schema: &SchemaRef) -> Result<Arc<dyn RowValue>>;
}

/// Everything a row must satisfy before it is written.
pub(crate) struct Constraints {
    table: String,
    not_null: Vec<Vec<String>>,
    checks: Vec<(String, Arc<dyn RowCheck>)>,
}

impl Constraints {
    /// For rows that were checked before.
    pub(crate) fn none(table: &str) -> Self {
        Constraints { table: table.into(), not_null: Vec::new(), checks: Vec::new() }
    }

    pub(crate) fn compile(
        table: &str,
        schema: &StructType,
        check_constraints: &[(String, String)],
        factory: Option<&Arc<dyn RowCheckFactory>>,
    ) -> Result<Self> {
        let mut not_null = Vec::new();
        collect_not_null(schema, &mut Vec::new(), &mut not_null);
        let mut texts: Vec<(String, String)> =
            check_constraints.iter().map(|(name, sql)| (format!("{name} ({sql})"), sql.clone())).collect();
        for field in &schema.fields {
            if let Some(sql) = field.invariant_expression().on(table)? {
                texts.push((format!("invariant of column {} ({sql})", field.name), sql));
            }
        }
        let mut checks = Vec::new();
        if !texts.is_empty() {
            let factory = factory.ok_or_else(|| FormatError::UnsupportedFeature {
                operation: "write to the table".into(),
                features: vec![format!("an evaluator for the constraint {}: open it in a SQL session", texts[0].0)],
            });
            let factory = factory.on(table)?;
            let arrow = schema.to_arrow().on(table)?;
            for (label, sql) in texts {
                checks.push((label.clone(), factory.compile(&label, &sql, &arrow)?));
            }
        }
        Ok(Constraints { table: table.into(), not_null, checks })
    }

    /// Refuses the batch if any row breaks a constraint.
    pub(crate) fn enforce(&self, batch: &RecordBatch) -> Result<()> {
        for path in &self.not_null {
            if let Some(row) = first_null(batch, path) {
                return Err(self.violation(format!("NOT NULL {}", path.join(".")), batch, row));
            }
        }
        for (label, check) in &self.checks {
            if let Some(violation) = check.first_violation(batch)? {
                return Err(self.violation(label.clone(), batch, violation.row));
            }
        }
        Ok(())
    }

    fn violation(&self, constraint: String, batch: &RecordBatch, row: usize) -> TableError {
        TableError::ConstraintViolation { table: self.table.clone(), constraint, row: describe_row(batch, row) }
    }
}

fn collect_not_null(schema: &StructType, prefix: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    for field in &schema.fields {
        prefix.push(field.name.clone());
        if !field.nullable {
            out.push(prefix.clone());
        }
        if let DataType::Struct(inner) = &field.data_type {
            collect_not_null(inner, prefix, out);
        }
        prefix.pop();
    }
}

/// The first row in which the column at `path` is null while everything around it is not.
fn first_null(batch: &RecordBatch, path: &[String]) -> Option<usize> {
    let (leaf, parents) = path.split_last()?;
    let mut surrounding: Vec<Arc<dyn Array>> = Vec::new();
    for name in parents {
        let array = match surrounding.last() {
            None => batch.column_by_name(name)?.clone(),
            Some(parent) => parent.as_any().downcast_ref::<arrow::array::StructArray>()?.column_by_name(name)?.clone(),
        };
        surrounding.push(array);
    }
    let array = match surrounding.last() {
        None => batch.column_by_name(leaf)?.clone(),
        Some(parent) => parent.as_any().downcast_ref::<arrow::array::StructArray>()?.column_by_name(leaf)?.clone(),
    };
    if array.null_count() == 0 {
        return None;
    }
    (0..array.len()).find(|row| array.is_null(*row) && surrounding.iter().all(|parent| parent.is_valid(*row)))
}

/// A row as `{a: 1, b: x}`, bounded in length and safe to print.
pub(crate) fn describe_row(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let mut parts = Vec::new();
    let only = batch.slice(row, 1);
    let (batch, row) = (floe_storage::variant::shown(&only).unwrap_or(only), 0);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let text = match ArrayFormatter::try_new(column, &options) {
            Ok(formatter) => formatter.value(row).to_string(),
            Err(_) => "?".into(),
        };
        parts.push(format!("{}: {}", field.name(), floe_table_format::error::printable(&text)));
        if parts.len() == 16 && batch.num_columns() > 16 {
            parts.push("…".into());
            break;
        }
    }
    format!("{{{}}}", parts.join(", "))
}
