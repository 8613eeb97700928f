//! Columns that come, go, move and change their names. No file is rewritten.

use floe_table_format::clustering::physical_clustering_columns;
use floe_table_format::feature::column_mapping_mode;
use floe_table_format::property::name::PRIMARY_KEY;
use floe_table_format::schema::{ColumnMappingMode, Place};
use floe_table_format::{
    Metadata, Operation, PrimitiveType, StructField, StructType, TableProperties, TableState, expression, property,
};

use super::AlterReport;
use crate::error::{OnTable, Result};
use crate::key::check_key_types;
use crate::table::Table;

/// Where a column's default stands in its metadata. Protocol section "Default Columns".
const DEFAULT: &str = "CURRENT_DEFAULT";
/// Where what a column is for people stands.
const COMMENT: &str = "comment";

/// A column to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewColumn {
    /// The struct it becomes part of, as a path of names; empty for the table itself. `element` leads into an array, `key`
    /// and `value` into a map.
    pub parent: Vec<String>,
    /// The column.
    pub field: StructField,
    /// Where it stands there.
    pub place: Place,
}

impl From<StructField> for NewColumn {
    /// As the last column of the table.
    fn from(field: StructField) -> Self {
        NewColumn { parent: Vec::new(), field, place: Place::Last }
    }
}

/// What changes about a column. The type is another matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnChange {
    /// What it is, for people; empty for nothing.
    Comment(String),
    /// Where it stands among its siblings.
    Place(Place),
    /// From now on it may be null.
    DropNotNull,
    /// SQL of the value that rows get which do not give one.
    SetDefault(String),
    /// Rows that do not give a value get null.
    DropDefault,
}

impl Table {
    /// Adds nullable columns at the end; rows written before show null there.
    ///
    /// # Errors
    /// As [`Table::add_columns_at`].
    pub async fn add_columns(&self, fields: Vec<StructField>) -> Result<AlterReport> {
        self.add_columns_at(fields.into_iter().map(NewColumn::from).collect()).await
    }

    /// Adds nullable columns, each at its place; rows written before show null there.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a column that is NOT NULL; `InvalidChange` inside
    /// [`crate::TableError::Format`] for one that is there already, or a struct or sibling that is not there.
    pub async fn add_columns_at(&self, columns: Vec<NewColumn>) -> Result<AlterReport> {
        let shown: Vec<serde_json::Value> = columns.iter().map(NewColumn::shown).collect();
        let operation = Operation::new("ADD COLUMNS").with_parameter("columns", serde_json::json!(shown).to_string());
        self.alter(operation, |metadata| {
            let mut schema = StructType::parse(&metadata.schema_string).on(self.uri())?;
            for NewColumn { parent, field, place } in columns {
                let field = self.new_field(field)?;
                schema.add_field(&parent, field, &place).on(self.uri())?;
            }
            self.check_schema(metadata, &schema)?;
            metadata.schema_string = schema.to_json();
            Ok(())
        })
        .await
    }

    /// Gives a column another name; files keep their physical names.
    ///
    /// The primary key, ordering fields and the like follow.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] on a table without column mapping, and for a column that a constraint or a
    /// generated column names; `InvalidChange` inside [`crate::TableError::Format`] if it is not there or the name is taken.
    pub async fn rename_column(&self, path: &[String], to: &str) -> Result<AlterReport> {
        let renamed: Vec<String> = [path.split_last().map_or(path, |(_, parent)| parent), &[to.to_owned()]].concat();
        let operation = Operation::new("RENAME COLUMN")
            .with_parameter("oldColumnPath", path.join("."))
            .with_parameter("newColumnPath", renamed.join("."));
        self.alter(operation, |metadata| {
            let doing = format!("rename column {}", path.join("."));
            let mut schema = self.mapped_schema(metadata, &doing)?;
            let path = schema.spelled(path).on(self.uri())?;
            self.refuse_dependents(metadata, &schema, &path, &doing)?;
            schema.rename_field(&path, to).on(self.uri())?;
            self.check_schema(metadata, &schema)?;
            property::rename_column(&mut metadata.configuration, &path, to).on(self.uri())?;
            if let [column] = path.as_slice() {
                let partition_columns = metadata.partition_columns.iter_mut();
                partition_columns.filter(|name| *name == column).for_each(|name| *name = to.to_owned());
            }
            metadata.schema_string = schema.to_json();
            Ok(())
        })
        .await
    }

    /// Takes columns out of the table. Their values stay in the files and are not read any more.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] on a table without column mapping, and for a column that is still needed: by the
    /// primary key, the partitioning, the clustering, a constraint or a generated column; `InvalidChange` inside
    /// [`crate::TableError::Format`] for one that is not there, unless `if_exists`, or that is the only one.
    pub async fn drop_columns(&self, paths: Vec<Vec<String>>, if_exists: bool) -> Result<AlterReport> {
        let shown: Vec<String> = paths.iter().map(|path| path.join(".")).collect();
        let operation = Operation::new("DROP COLUMNS").with_parameter("columns", serde_json::json!(shown).to_string());
        let snapshot = self.snapshot().await?;
        self.alter_at(&snapshot, operation, false, |metadata| {
            for path in &paths {
                let doing = format!("drop column {}", path.join("."));
                let mut schema = self.mapped_schema(metadata, &doing)?;
                let path = match schema.spelled(path) {
                    Ok(path) => path,
                    Err(_) if if_exists => continue,
                    Err(error) => return Err(error).on(self.uri()),
                };
                self.refuse_needed(snapshot.state(), metadata, &schema, &path, &doing)?;
                schema.drop_field(&path).on(self.uri())?;
                self.refuse_dependents(metadata, &schema, &path, &doing)?;
                if schema.fields.iter().all(|field| metadata.partition_columns.contains(&field.name)) {
                    return Err(self.refuse(&doing, "only partition columns would be left; leave one for the files"));
                }
                property::drop_column(&mut metadata.configuration, &path).on(self.uri())?;
                metadata.schema_string = schema.to_json();
            }
            Ok(())
        })
        .await
    }

    /// Gives the table these columns, in this order: those it has stay what they are, others come, and what is not named goes.
    ///
    /// # Errors
    /// As [`Table::add_columns_at`] and, where columns go, [`Table::drop_columns`]; [`crate::TableError::InvalidRequest`] for
    /// another type of a column that is there.
    pub async fn replace_columns(&self, columns: Vec<StructField>) -> Result<AlterReport> {
        let shown = StructType { fields: columns.clone() }.to_json();
        let operation = Operation::new("REPLACE COLUMNS").with_parameter("columns", shown);
        let snapshot = self.snapshot().await?;
        self.alter_at(&snapshot, operation, false, |metadata| {
            let mut schema = StructType::parse(&metadata.schema_string).on(self.uri())?;
            let mut wanted = Vec::with_capacity(columns.len());
            for column in columns {
                let doing = format!("replace column {}", column.name);
                let Some(own) = schema.field(&column.name).cloned() else {
                    wanted.push(self.new_field(column)?);
                    continue;
                };
                if own.data_type.to_string() != column.data_type.to_string() {
                    let what = format!("it is {} and would be {}", own.data_type, column.data_type);
                    return Err(self.refuse(&doing, what));
                }
                if own.nullable && !column.nullable {
                    return Err(self.refuse(&doing, "rows that are there may have nulls in it; add a CHECK constraint"));
                }
                let keyed = property::role_of_column(&metadata.configuration, std::slice::from_ref(&own.name));
                if column.nullable && keyed.on(self.uri())? != Some(PRIMARY_KEY) {
                    schema.field_mut_at(std::slice::from_ref(&own.name)).on(self.uri())?.nullable = true;
                }
                let mut field = schema.field(&own.name).cloned().unwrap_or(own);
                if let Some(comment) = column.comment() {
                    field.metadata.insert(COMMENT.into(), comment.into());
                }
                wanted.push(field);
            }
            let gone = schema.fields.iter().filter(|own| !wanted.iter().any(|field| field.name == own.name));
            let gone: Vec<Vec<String>> = gone.map(|field| vec![field.name.clone()]).collect();
            let left = StructType { fields: wanted };
            for path in &gone {
                let doing = format!("drop column {}", path.join("."));
                let schema = self.mapped_schema(metadata, &doing)?;
                self.refuse_needed(snapshot.state(), metadata, &schema, path, &doing)?;
                self.refuse_dependents(metadata, &left, path, &doing)?;
                property::drop_column(&mut metadata.configuration, path).on(self.uri())?;
            }
            if left.fields.iter().all(|field| metadata.partition_columns.contains(&field.name)) {
                return Err(self.refuse("replace the columns", "only partition columns would be left"));
            }
            self.check_schema(metadata, &left)?;
            metadata.schema_string = left.to_json();
            Ok(())
        })
        .await
    }

    /// A column as it comes into a table that has rows.
    fn new_field(&self, field: StructField) -> Result<StructField> {
        if !field.nullable {
            let what = format!("column {} is NOT NULL, but the rows there are have no value for it", field.name);
            return Err(self.refuse("add a column", what));
        }
        if field.generation_expression().is_some() || field.is_identity() {
            let what = format!("column {} is generated, but rows there are have no value for it", field.name);
            return Err(self.refuse("add a column", what));
        }
        // What column mapping gave the column elsewhere counts for nothing here.
        Ok(StructType { fields: vec![field] }.without_mapping().fields.remove(0))
    }

    /// Gives a column a wider type. Files stay as they are: readers turn what they hold into the wider type.
    ///
    /// `element` leads into an array, `key` and `value` into a map. Protocol section "Type Widening".
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] on a table without `delta.enableTypeWidening`, and for a column that a
    /// constraint or a generated column names, or whose values are numbered; `InvalidChange` inside
    /// [`crate::TableError::Format`] if it is not there or the type is not a wider one.
    pub async fn widen_column(&self, path: &[String], to: PrimitiveType) -> Result<AlterReport> {
        let column = path.join(".");
        let shown = serde_json::json!({ "name": column, "type": to.to_string(), "nullable": true, "metadata": {} });
        let operation = Operation::new("CHANGE COLUMN").with_parameter("column", shown.to_string());
        self.alter(operation, |metadata| {
            let doing = format!("change the type of column {column}");
            let properties = TableProperties::parse(&metadata.configuration).on(self.uri())?;
            if !properties.enable_type_widening {
                let what = "older files would not fit; \
                            ALTER TABLE ... SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true') lets readers widen them";
                return Err(self.refuse(&doing, what));
            }
            let mut schema = StructType::parse(&metadata.schema_string).on(self.uri())?;
            let path = schema.spelled(path).on(self.uri())?;
            self.refuse_dependents(metadata, &schema, &path, &doing)?;
            if let [name] = path.as_slice()
                && schema.field(name).is_some_and(|field| field.is_identity())
            {
                return Err(self.refuse(&doing, "it is an identity column, which is BIGINT"));
            }
            let before = schema.clone();
            schema.widen_field(&path, to).on(self.uri())?;
            check_key_types(self.uri(), &properties.primary_key, &before, &schema)?;
            metadata.schema_string = schema.to_json();
            Ok(())
        })
        .await
    }

    /// Changes a column in other ways than its name and type.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for what does not go with the column's part in the table; `InvalidChange` inside
    /// [`crate::TableError::Format`] if it, or the sibling it is to follow, is not there.
    pub async fn change_column(&self, path: &[String], change: ColumnChange) -> Result<AlterReport> {
        let column = path.join(".");
        let operation = Operation::new("CHANGE COLUMN").with_parameter("column", change.shown(&column));
        self.alter(operation, |metadata| {
            let doing = format!("change column {column}");
            let mut schema = StructType::parse(&metadata.schema_string).on(self.uri())?;
            let path = schema.spelled(path).on(self.uri())?;
            let keyed = property::role_of_column(&metadata.configuration, &path).on(self.uri())? == Some(PRIMARY_KEY);
            let field = schema.field_mut_at(&path).on(self.uri())?;
            match change {
                ColumnChange::Comment(text) if text.is_empty() => drop(field.metadata.remove(COMMENT)),
                ColumnChange::Comment(text) => drop(field.metadata.insert(COMMENT.into(), text.into())),
                ColumnChange::Place(place) => schema.move_field(&path, &place).on(self.uri())?,
                ColumnChange::DropNotNull if keyed && path.len() == 1 => {
                    return Err(self.refuse(&doing, "it is part of the primary key, which is never null"));
                }
                ColumnChange::DropNotNull => field.nullable = true,
                ColumnChange::SetDefault(_) if path.len() > 1 => {
                    return Err(self.refuse(&doing, "a field of a struct has no default; give one to the whole column"));
                }
                ColumnChange::SetDefault(_) if field.generation_expression().is_some() || field.is_identity() => {
                    return Err(self.refuse(&doing, "its values are generated, so that none is missing"));
                }
                ColumnChange::SetDefault(sql) => drop(field.metadata.insert(DEFAULT.into(), sql.into())),
                ColumnChange::DropDefault => drop(field.metadata.remove(DEFAULT)),
            }
            metadata.schema_string = schema.to_json();
            Ok(())
        })
        .await
    }

    /// The schema of a table whose columns may change their names.
    fn mapped_schema(&self, metadata: &Metadata, doing: &str) -> Result<StructType> {
        if column_mapping_mode(metadata).on(self.uri())? == ColumnMappingMode::None {
            let what = "its files name columns by their names in the table, which therefore stay; \
                        ALTER TABLE ... SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name') changes that";
            return Err(self.refuse(doing, what));
        }
        StructType::parse(&metadata.schema_string).on(self.uri())
    }

    /// Refuses a schema that may not be written: too deep, or with names that files cannot have.
    fn check_schema(&self, metadata: &Metadata, schema: &StructType) -> Result<()> {
        let mode = column_mapping_mode(metadata).on(self.uri())?;
        StructType::new(schema.fields.clone()).and_then(|schema| schema.check_names(mode)).on(self.uri())
    }

    /// Refuses if an expression that the table brings along names the column.
    fn refuse_dependents(&self, metadata: &Metadata, schema: &StructType, path: &[String], doing: &str) -> Result<()> {
        let properties = TableProperties::parse(&metadata.configuration).on(self.uri())?;
        for (name, sql) in &properties.constraints {
            if expression::mentions(sql, path) {
                let what = format!("constraint {name} ({sql}) names it; ALTER TABLE ... DROP CONSTRAINT {name} first");
                return Err(self.refuse(doing, what));
            }
        }
        let mut found = None;
        schema.visit(&mut |field| {
            let generation = field.generation_expression().filter(|sql| expression::mentions(sql, path));
            if let Some(sql) = generation {
                found.get_or_insert_with(|| format!("column {} is generated from it ({sql})", field.name));
            }
            if let Ok(Some(sql)) = field.invariant_expression()
                && expression::mentions(&sql, path)
            {
                found.get_or_insert_with(|| format!("an invariant of column {} ({sql}) names it", field.name));
            }
        });
        found.map_or(Ok(()), |what| Err(self.refuse(doing, what)))
    }

    /// Refuses if the table cannot do without the column.
    fn refuse_needed(
        &self,
        state: &TableState,
        metadata: &Metadata,
        schema: &StructType,
        path: &[String],
        doing: &str,
    ) -> Result<()> {
        if let [column] = path
            && metadata.partition_columns.contains(column)
        {
            return Err(self.refuse(doing, "the table is partitioned by it"));
        }
        if let Some(role) = property::role_of_column(&metadata.configuration, path).on(self.uri())? {
            let what = match role {
                PRIMARY_KEY => "it is part of the primary key; ALTER TABLE ... DROP PRIMARY KEY first".to_owned(),
                role => format!("{role} names it"),
            };
            return Err(self.refuse(doing, what));
        }
        if let Some(physical) = schema.physical_path(path)
            && let Some(columns) = physical_clustering_columns(state).on(self.uri())?
            && columns.iter().any(|column| column.iter().zip(&physical).all(|(one, other)| one == other))
        {
            return Err(self.refuse(doing, "the table is clustered by it"));
        }
        Ok(())
    }
}

impl NewColumn {
    /// As Spark's history shows it.
    fn shown(&self) -> serde_json::Value {
        let parsed: Option<serde_json::Value> =
            serde_json::from_str(&StructType { fields: vec![self.field.clone()] }.to_json()).ok();
        let mut column = parsed.and_then(|schema| schema.pointer("/fields/0").cloned()).unwrap_or_default();
        if !self.parent.is_empty()
            && let Some(column) = column.as_object_mut()
        {
            column.insert(
                "name".into(),
                [self.parent.as_slice(), std::slice::from_ref(&self.field.name)].concat().join(".").into(),
            );
        }
        match &self.place {
            Place::Last => serde_json::json!({ "column": column }),
            Place::First => serde_json::json!({ "column": column, "position": "FIRST" }),
            Place::After(sibling) => serde_json::json!({ "column": column, "position": format!("AFTER {sibling}") }),
        }
    }
}

impl ColumnChange {
    /// For the history.
    fn shown(&self, column: &str) -> String {
        let change = match self {
            ColumnChange::Comment(text) => serde_json::json!({ "comment": text }),
            ColumnChange::Place(Place::After(sibling)) => serde_json::json!({ "position": format!("AFTER {sibling}") }),
            ColumnChange::Place(Place::First) => serde_json::json!({ "position": "FIRST" }),
            ColumnChange::Place(Place::Last) => serde_json::json!({ "position": "LAST" }),
            ColumnChange::DropNotNull => serde_json::json!({ "nullable": true }),
            ColumnChange::SetDefault(sql) => serde_json::json!({ "default": sql }),
            ColumnChange::DropDefault => serde_json::json!({ "default": null }),
        };
        serde_json::json!({ "name": column, "change": change }).to_string()
    }
}
