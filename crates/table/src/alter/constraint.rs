//! Constraints of a table: CHECK and PRIMARY KEY.

use floe_table_format::property::name::{DELETE_MARKER, MERGE_MODE, ORDERING_FIELDS, PRIMARY_KEY};
use floe_table_format::{Metadata, Operation, StructType};
use futures::TryStreamExt;

use super::AlterReport;
use crate::check::find_repeated_keys;
use crate::checks::Constraints;
use crate::error::{OnTable, Result};
use crate::key::PrimaryKey;
use crate::table::Table;

impl Table {
    /// Adds a CHECK constraint, after making sure that every row of the table satisfies it.
    ///
    /// # Errors
    /// [`crate::TableError::ConstraintViolation`] with the first row that does not; [`crate::TableError::InvalidRequest`] if the name is
    /// taken.
    pub async fn add_constraint(&self, name: &str, sql: &str) -> Result<AlterReport> {
        let key = constraint_key(name);
        let operation = Operation::new("ADD CONSTRAINT").with_parameter("name", name).with_parameter("expr", sql);
        let snapshot = self.snapshot().await?;
        if snapshot.state().metadata.configuration.contains_key(&key) {
            return Err(self.refuse("add a constraint", format!("there is a constraint {name} already")));
        }
        let constraint = [(name.to_owned(), sql.to_owned())];
        let constraints = Constraints::compile(self.uri(), snapshot.schema(), &constraint, self.0.row_checks.as_ref())?;
        let mut rows = snapshot.scan().stream().await?;
        while let Some(batch) = rows.try_next().await? {
            constraints.enforce(&batch)?;
        }
        // Rows another writer adds meanwhile have not been checked: the metadata change conflicts with them.
        self.alter_at(&snapshot, operation, true, |metadata| {
            metadata.configuration.insert(key, sql.to_owned());
            Ok(())
        })
        .await
    }

    /// Drops a CHECK constraint.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] if there is none of that name, unless `if_exists`.
    pub async fn drop_constraint(&self, name: &str, if_exists: bool) -> Result<AlterReport> {
        let key = constraint_key(name);
        let operation = Operation::new("DROP CONSTRAINT").with_parameter("name", name);
        self.alter(operation, |metadata| {
            if metadata.configuration.remove(&key).is_none() && !if_exists {
                let known = metadata.configuration.keys().filter_map(|k| k.strip_prefix("delta.constraints."));
                let known: Vec<&str> = known.collect();
                let hint = floe_table_format::schema::nearest(name, known.iter().copied());
                let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                return Err(self.refuse("drop a constraint", format!("there is no constraint {name}{hint}")));
            }
            Ok(())
        })
        .await
    }

    /// Declares a primary key, after making sure that every row has one and no two rows have the same. Its columns become
    /// NOT NULL.
    ///
    /// # Errors
    /// [`crate::TableError::DuplicateKey`] with the first key that several rows have, [`crate::TableError::ConstraintViolation`] for a
    /// row without one; [`crate::TableError::InvalidRequest`] if there is a key already, or a column cannot be part of one.
    pub async fn add_primary_key(&self, columns: Vec<String>) -> Result<AlterReport> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        let operation = Operation::new("ADD CONSTRAINT")
            .with_parameter("name", "primary key")
            .with_parameter("expr", format!("PRIMARY KEY ({})", columns.join(", ")));
        if !state.properties.primary_key.is_empty() {
            let names = state.properties.primary_key.join(", ");
            return Err(self.refuse("add a primary key", format!("the table has the primary key ({names}) already")));
        }
        let mut keyed = state.metadata.clone();
        self.declare_key(&mut keyed, &columns)?;
        let key = PrimaryKey::of(self.uri(), &keyed)?;
        let key = key.ok_or_else(|| self.refuse("add a primary key", "it names no column"))?;
        let found = find_repeated_keys(self, state, &key, 1).await?;
        if let Some(first) = found.repeated.into_iter().next() {
            let key = first.key;
            return Err(crate::TableError::DuplicateKey { table: self.uri().into(), key, in_table: true });
        }
        if found.rows_without_key > 0 {
            return Err(crate::TableError::ConstraintViolation {
                table: self.uri().into(),
                constraint: format!("PRIMARY KEY ({})", columns.join(", ")),
                row: format!("{} rows have a null in it", found.rows_without_key),
            });
        }
        self.alter_at(&snapshot, operation, true, |metadata| self.declare_key(metadata, &columns)).await
    }

    fn declare_key(&self, metadata: &mut Metadata, columns: &[String]) -> Result<()> {
        let mut schema = StructType::parse(&metadata.schema_string).on(self.uri())?;
        let mut names = Vec::with_capacity(columns.len());
        for column in columns {
            let Some(field) = schema.fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(column)) else {
                let known: Vec<&str> = schema.fields.iter().map(|f| f.name.as_str()).collect();
                let hint = floe_table_format::schema::nearest(column, known.iter().copied());
                let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                return Err(self.refuse("add a primary key", format!("there is no column {column}{hint}")));
            };
            field.nullable = false;
            names.push(field.name.clone());
        }
        metadata.schema_string = schema.to_json();
        metadata.configuration.insert(PRIMARY_KEY.into(), serde_json::json!(names).to_string());
        Ok(())
    }

    /// Takes the primary key away. The columns stay NOT NULL, and the index goes.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] if there is none, unless `if_exists`.
    pub async fn drop_primary_key(&self, if_exists: bool) -> Result<AlterReport> {
        let operation = Operation::new("DROP CONSTRAINT").with_parameter("name", "primary key");
        let report = self
            .alter(operation, |metadata| {
                if metadata.configuration.remove(PRIMARY_KEY).is_none() && !if_exists {
                    return Err(self.refuse("drop the primary key", "the table has none"));
                }
                // They mean nothing without a key.
                for property in [MERGE_MODE, ORDERING_FIELDS, DELETE_MARKER] {
                    metadata.configuration.remove(property);
                }
                Ok(())
            })
            .await?;
        self.drop_index().await?;
        Ok(report)
    }
}

fn constraint_key(name: &str) -> String {
    format!("delta.constraints.{}", name.to_lowercase())
}
