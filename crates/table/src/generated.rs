//! Values that a table gives its rows itself: generated columns and identity columns.
//!
//! Protocol sections "Generated Columns" and "Identity Columns". A generated column is computed where rows do not have it, and
//! compared where they do. An identity column counts: what is given out stands in the table's metadata, so that of two
//! writers who give out the same values only one commits.

use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use floe_table_format::error::printable;
use floe_table_format::feature::{Feature, has_feature};
use floe_table_format::schema::Identity;
use floe_table_format::{FormatError, Metadata, PrimitiveType, Protocol, StructField, StructType, expression};

use crate::checks::{RowCheckFactory, RowValue, describe_row};
use crate::error::{OnTable, Result, TableError};
use crate::table::Table;

/// What becomes of identity columns in rows that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityValues {
    /// The rows are new: where they have no value (or null), the next is given out. Values of their own are refused unless the
    /// column allows them.
    #[default]
    Generate,
    /// The rows are in the table already and keep what they have.
    Keep,
    /// Some rows are in the table already and keep what they have; those with null are new.
    KeepOrGenerate,
}

/// Fills in what rows do not bring.
pub(crate) struct Generator {
    table: String,
    generated: Vec<GeneratedColumn>,
    identities: Vec<IdentityColumn>,
    identity_values: IdentityValues,
}

struct GeneratedColumn {
    index: usize,
    name: String,
    sql: String,
    value: Arc<dyn RowValue>,
}

struct IdentityColumn {
    index: usize,
    name: String,
    /// As it stands after what was given out so far.
    sequence: Mutex<Identity>,
    given_out_before: Option<i64>,
}

impl IdentityColumn {
    fn sequence(&self) -> std::sync::MutexGuard<'_, Identity> {
        self.sequence.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Generator {
    /// For rows of a table whose columns all come from elsewhere.
    pub(crate) fn none(table: &str) -> Self {
        Generator {
            table: table.into(),
            generated: Vec::new(),
            identities: Vec::new(),
            identity_values: IdentityValues::Keep,
        }
    }

    /// # Errors
    /// `UnsupportedFeature` for a generated column without someone who evaluates it, or inside of a struct.
    pub(crate) fn compile(
        table: &str,
        protocol: &Protocol,
        schema: &StructType,
        factory: Option<&Arc<dyn RowCheckFactory>>,
        identity_values: IdentityValues,
    ) -> Result<Self> {
        let mut generator = Generator { identity_values, ..Generator::none(table) };
        let missing = |what: String| FormatError::UnsupportedFeature {
            operation: "write to the table".into(),
            features: vec![what],
        };
        // A protocol that does not name the feature gives the metadata no meaning.
        let (computes, counts) =
            (has_feature(protocol, &Feature::GeneratedColumns), has_feature(protocol, &Feature::IdentityColumns));
        let mut inside = None;
        schema.visit(&mut |field| {
            let uses = computes && field.generation_expression().is_some() || counts && field.is_identity();
            if uses && !schema.fields.iter().any(|top| std::ptr::eq(top, field)) {
                inside.get_or_insert_with(|| format!("generated values inside of a struct (column {})", field.name));
            }
        });
        if let Some(inside) = inside {
            return Err(missing(inside)).on(table);
        }
        for (index, field) in schema.fields.iter().enumerate() {
            if let Some(sql) = field.generation_expression().filter(|_| computes) {
                let factory = factory.ok_or_else(|| {
                    missing(format!(
                        "an evaluator for the generated column {} ({sql}): open it in a SQL session",
                        field.name
                    ))
                });
                let arrow = schema.to_arrow().on(table)?;
                let value = factory.on(table)?.compile_value(&field.name, sql, &arrow)?;
                generator.generated.push(GeneratedColumn { index, name: field.name.clone(), sql: sql.into(), value });
            }
            if counts && let Some(identity) = field.identity().on(table)? {
                generator.identities.push(IdentityColumn {
                    index,
                    name: field.name.clone(),
                    given_out_before: identity.high_water_mark,
                    sequence: Mutex::new(identity),
                });
            }
        }
        Ok(generator)
    }

    /// Whether there is nothing to fill in.
    pub(crate) fn is_idle(&self) -> bool {
        self.generated.is_empty() && self.identities.is_empty()
    }

    /// The rows, in the table's shape, with what they lack. `given` says for each column whether the rows brought it.
    pub(crate) fn fill(&self, batch: RecordBatch, given: impl Fn(&str) -> bool) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for identity in &self.identities {
            columns[identity.index] = self.count(identity, &batch)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let with = |columns: &[ArrayRef]| RecordBatch::try_new_with_options(batch.schema(), columns.to_vec(), &options);
        let counted = with(&columns)?;
        for generated in &self.generated {
            let computed = generated.value.compute(&counted)?;
            if given(&generated.name) {
                self.compare(generated, &counted, &computed)?;
            } else {
                columns[generated.index] = computed;
            }
        }
        Ok(with(&columns)?)
    }

    /// An identity column with a value in each row.
    fn count(&self, identity: &IdentityColumn, batch: &RecordBatch) -> Result<ArrayRef> {
        let column = batch.column(identity.index);
        let Some(values) = column.as_primitive_opt::<Int64Type>() else { return Ok(column.clone()) };
        let mut sequence = identity.sequence();
        if self.identity_values == IdentityValues::Keep {
            return Ok(column.clone());
        }
        let brought = values.len() - values.null_count();
        if brought > 0 && self.identity_values == IdentityValues::Generate && !sequence.allow_explicit_insert {
            let row = (0..values.len()).find(|row| values.is_valid(*row)).unwrap_or(0);
            return Err(TableError::ConstraintViolation {
                table: self.table.clone(),
                constraint: format!("{} GENERATED ALWAYS AS IDENTITY, whose values rows do not bring,", identity.name),
                row: describe_row(batch, row),
            });
        }
        let wanted = values.null_count() as u64;
        if wanted == 0 {
            return Ok(column.clone());
        }
        let first = sequence.next(wanted).ok_or_else(|| TableError::InvalidRequest {
            table: self.table.clone(),
            operation: "give out identity values".into(),
            what: format!("the sequence of column {} has not {wanted} values left", identity.name),
        })?;
        sequence.high_water_mark = Some(sequence.last_of(first, wanted));
        let step = sequence.step;
        drop(sequence);
        let mut next = first;
        let filled = values.iter().map(|value| {
            value.unwrap_or_else(|| {
                let value = next;
                // The last one was checked to be a number; what follows it is not used.
                next = next.wrapping_add(step);
                value
            })
        });
        Ok(Arc::new(Int64Array::from_iter_values(filled)))
    }

    /// Refuses rows that bring another value than is computed.
    fn compare(&self, generated: &GeneratedColumn, batch: &RecordBatch, computed: &ArrayRef) -> Result<()> {
        let brought = batch.column(generated.index);
        let differs = match not_distinct(brought, computed) {
            Ok(same) => (0..same.len()).find(|row| !same.value(*row)),
            // Nested values.
            Err(_) => (0..brought.len()).find(|row| brought.slice(*row, 1) != computed.slice(*row, 1)),
        };
        let Some(row) = differs else { return Ok(()) };
        let shown = |array: &ArrayRef| match array.is_null(row) {
            true => "NULL".to_owned(),
            false => array_value_to_string(array, row).map_or_else(|_| "?".into(), |text| printable(&text)),
        };
        Err(TableError::ConstraintViolation {
            table: self.table.clone(),
            constraint: format!(
                "{} GENERATED ALWAYS AS ({}), which gives {} and not {},",
                generated.name,
                generated.sql,
                shown(computed),
                shown(brought)
            ),
            row: describe_row(batch, row),
        })
    }

    /// The metadata with what was given out; none if nothing was.
    pub(crate) fn noted(&self, metadata: &Metadata) -> Result<Option<Metadata>> {
        let moved: Vec<(&IdentityColumn, Option<i64>)> = self
            .identities
            .iter()
            .map(|identity| (identity, identity.sequence().high_water_mark))
            .filter(|(identity, mark)| *mark != identity.given_out_before)
            .collect();
        if moved.is_empty() {
            return Ok(None);
        }
        let mut schema = StructType::parse(&metadata.schema_string).on(&self.table)?;
        for (identity, mark) in moved {
            let field = schema.fields.iter_mut().find(|field| field.name == identity.name);
            field.into_iter().for_each(|field| field.set_high_water_mark(mark));
        }
        Ok(Some(Metadata { schema_string: schema.to_json(), ..metadata.clone() }))
    }
}

/// Refuses columns that cannot be generated as they say.
///
/// # Errors
/// [`TableError::InvalidRequest`] naming the column.
pub(crate) fn check_columns(table: &Table, schema: &StructType, partition_columns: &[String]) -> Result<()> {
    let generates = |field: &StructField| field.generation_expression().is_some() || field.is_identity();
    let mut inside = None;
    schema.visit(&mut |field| {
        if generates(field) && !schema.fields.iter().any(|top| std::ptr::eq(top, field)) {
            inside.get_or_insert_with(|| field.name.clone());
        }
    });
    let refuse = |name: &str, what: &str| Err(table.refuse(&format!("have column {name}"), what));
    if let Some(name) = inside {
        return refuse(&name, "only whole columns are generated, not fields of structs");
    }
    for field in schema.fields.iter().filter(|field| generates(field)) {
        let name = field.name.as_str();
        if field.default_expression().is_some() {
            return refuse(name, "its values are generated, so that it needs no default");
        }
        if field.is_identity() {
            if field.generation_expression().is_some() {
                return refuse(name, "it is an identity column and generated from others, which exclude each other");
            }
            if field.data_type.as_primitive() != Some(PrimitiveType::Long) {
                return refuse(name, "an identity column is a BIGINT");
            }
            if partition_columns.iter().any(|partition| partition == name) {
                return refuse(
                    name,
                    "a table is not partitioned by an identity column: every row would be a partition",
                );
            }
            field.identity().on(table.uri())?;
        }
        let Some(sql) = field.generation_expression() else { continue };
        let other = schema
            .fields
            .iter()
            .find(|other| generates(other) && expression::mentions(sql, std::slice::from_ref(&other.name)));
        if let Some(other) = other {
            let what = format!("it would be generated from {}, whose values are generated themselves", other.name);
            return refuse(name, &what);
        }
    }
    Ok(())
}
