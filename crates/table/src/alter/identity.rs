//! Bringing the sequence of an identity column behind values that rows brought along.

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::Int64Type;
use floe_table_format::{Operation, StructType};
use futures::TryStreamExt;

use super::AlterReport;
use crate::error::{OnTable, Result};
use crate::table::Table;

impl Table {
    /// Makes sure that an identity column which takes values from rows gives out none of them: the sequence goes on behind the
    /// furthest one. It never goes back.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] if there is no such identity column, or the sequence does not reach so far.
    pub async fn sync_identity(&self, column: &str) -> Result<AlterReport> {
        let operation = Operation::new("SYNC IDENTITY").with_parameter("column", column);
        let doing = format!("sync column {column}");
        let snapshot = self.snapshot().await?;
        let field = snapshot.schema().field(column);
        let Some((field, identity)) = field
            .map(|field| field.identity().map(|identity| Some((field, identity?))))
            .transpose()
            .on(self.uri())?
            .flatten()
        else {
            return Err(self.refuse(&doing, "there is no identity column of that name"));
        };
        // Where rows bring no values, the table knows what it gave out.
        if !identity.allow_explicit_insert {
            return Ok(AlterReport { version: snapshot.version() });
        }
        let mut furthest: Option<i64> = None;
        let mut rows = snapshot.scan().with_columns([field.name.clone()]).stream().await?;
        while let Some(batch) = rows.try_next().await? {
            let Some(values) = batch.column(0).as_primitive_opt::<Int64Type>() else { continue };
            let found = if identity.step > 0 { max(values) } else { min(values) };
            furthest = match (furthest, found) {
                (Some(one), Some(other)) if !identity.is_behind(other, one) => Some(one),
                (one, other) => other.or(one),
            };
        }
        let Some(furthest) = furthest else { return Ok(AlterReport { version: snapshot.version() }) };
        let mark = identity.mark_at(furthest).ok_or_else(|| {
            self.refuse(&doing, format!("its sequence does not reach {furthest}, the furthest value there is"))
        })?;
        if identity.high_water_mark.is_some_and(|known| !identity.is_behind(mark, known)) {
            return Ok(AlterReport { version: snapshot.version() });
        }
        let name = field.name.clone();
        // Rows that come meanwhile may bring values further behind: the metadata change conflicts with them.
        self.alter_at(&snapshot, operation, true, |metadata| {
            let mut schema = StructType::parse(&metadata.schema_string).on(self.uri())?;
            let field = schema.fields.iter_mut().find(|field| field.name == name);
            field.into_iter().for_each(|field| field.set_high_water_mark(Some(mark)));
            metadata.schema_string = schema.to_json();
            Ok(())
        })
        .await
    }
}
