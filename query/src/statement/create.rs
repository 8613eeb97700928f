//! CREATE and DROP of tables and schemas.

use datafusion::sql::sqlparser::ast::ObjectName;
use floe_storage::Location;
use floe_table::{CloneDepth, CloneOptions, CreateTable as NewTable, IfExists, RowCheckFactory, Table, TableBuilder};
use floe_table_format::schema::DataType;
use floe_table_format::{StructField, StructType};

use crate::catalog::TableEntry;
use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::planning::version_spec;
use crate::relation::RelationName;
use crate::row_checks::SqlRowChecks;
use crate::session::Session;
use crate::statement::change::{check_default, rows_of};
use crate::statement::{CloneOf, CreateTable, query};

pub(super) async fn create_schema(session: &Session, name: &str, if_not_exists: bool) -> Result<Outcome> {
    let made = session.warehouse().create_schema(name, if_not_exists).await?;
    Ok(Done::new(if made { format!("created schema {name}") } else { format!("schema {name} exists already") }).into())
}

pub(super) async fn drop_schema(session: &Session, name: &str, if_exists: bool, cascade: bool) -> Result<Outcome> {
    let dropped = session.warehouse().drop_schema(name, if_exists, cascade).await?;
    if dropped && session.current_schema().eq_ignore_ascii_case(name) {
        session.use_schema(crate::catalog::DEFAULT_SCHEMA).await?;
    }
    Ok(Done::new(if dropped { format!("dropped schema {name}") } else { format!("there is no schema {name}") }).into())
}

pub(super) async fn drop_tables(session: &Session, names: &[ObjectName], if_exists: bool) -> Result<Outcome> {
    let mut done = Vec::new();
    for name in names {
        let RelationName::Catalog { schema, table } = RelationName::of(name)? else {
            return Err(QueryError::unsupported(
                format!("DROP TABLE of {name}, which is not in the catalog"),
                "delete the folder, or DELETE FROM it",
            ));
        };
        let schema = schema.unwrap_or_else(|| session.current_schema());
        if session.warehouse().register_provider(&schema, &table, None).is_some()
            || session.warehouse().drop_table(&schema, &table, if_exists).await?
        {
            done.push(format!("dropped table {name}"));
        } else {
            done.push(format!("there is no table {name}"));
        }
    }
    Ok(Done::new(done.join("; ")).into())
}

pub(super) async fn create_table(session: &Session, create: CreateTable) -> Result<Outcome> {
    for column in &create.columns {
        check_default(session, column)?;
    }
    match RelationName::of(&create.name)? {
        RelationName::Catalog { schema, table } => {
            let schema = schema.unwrap_or_else(|| session.current_schema());
            let (entry, exists) = session.warehouse().place(&schema, &table).await?;
            if exists && create.if_not_exists {
                return Ok(Done::new(format!("table {} exists already, nothing was done", create.name)).into());
            }
            if exists && !create.or_replace {
                return Err(QueryError::TableExists { name: create.name.to_string() });
            }
            create_in_catalog(session, create, entry, exists).await
        }
        RelationName::Delta(path) | RelationName::Path(path) => {
            if create.location.is_some() {
                return Err(QueryError::syntax("the table has a path as its name and a LOCATION"));
            }
            if create.if_not_exists && session.warehouse().table_at(&path).await?.is_some() {
                return Ok(Done::new(format!("table {} exists already, nothing was done", create.name)).into());
            }
            let builder = session.warehouse().builder(&path);
            make(session, create, builder, &path).await
        }
        RelationName::Files(_, _) | RelationName::InformationSchema(_) => Err(QueryError::unsupported(
            format!("CREATE TABLE {}", create.name),
            "a name of the catalog, or delta.`path`",
        )),
    }
}

async fn create_in_catalog(session: &Session, create: CreateTable, entry: TableEntry, exists: bool) -> Result<Outcome> {
    let warehouse = session.warehouse();
    let Some(uri) = create.location.clone() else {
        let builder = warehouse.builder_of(&entry)?;
        return make(session, create, builder, &entry.uri).await;
    };
    if exists {
        let same = Location::open(&uri, warehouse.storage_options())?.uri == entry.uri;
        if !same {
            return Err(QueryError::unsupported(
                format!("moving table {} from {}", create.name, entry.uri),
                "DROP TABLE, then CREATE TABLE with the new LOCATION",
            ));
        }
        let builder = warehouse.builder_of(&entry)?;
        return make(session, create, builder, &entry.uri).await;
    }
    let found = warehouse.table_at(&uri).await?;
    let name = create.name.to_string();
    let outcome = match found {
        Some(table) if create.query.is_none() && create.clone.is_none() && !create.or_replace => {
            check_same_columns(&create, &table).await?;
            let version = table.cached_snapshot().await?.version();
            Done::new(format!("registered {name}, a table at {} (version {version})", table.uri())).into()
        }
        Some(table) if !create.or_replace => {
            return Err(QueryError::TableExists { name: table.uri().to_owned() });
        }
        None if create.columns.is_empty() && create.query.is_none() && create.clone.is_none() => {
            return Err(QueryError::UnreadablePath {
                path: uri,
                what: "there is no Delta table to register; give columns to make one".into(),
            });
        }
        _ => make(session, create, warehouse.builder(&uri), &uri).await?,
    };
    warehouse.register(&entry.schema, &entry.name, &uri).await?;
    Ok(outcome)
}

/// Refuses columns in the statement that are not those of the table found.
async fn check_same_columns(create: &CreateTable, table: &Table) -> Result<()> {
    if create.columns.is_empty() {
        return Ok(());
    }
    let shape = |fields: &[StructField]| -> Vec<(String, DataType)> {
        fields.iter().map(|f| (f.name.to_lowercase(), f.data_type.clone())).collect()
    };
    let snapshot = table.cached_snapshot().await?;
    if shape(&create.columns) == shape(&snapshot.schema().fields) {
        return Ok(());
    }
    let columns: Vec<String> = snapshot
        .schema()
        .fields
        .iter()
        .map(|f| format!("{} {}", f.name, crate::types::sql_type(&f.data_type)))
        .collect();
    Err(QueryError::invalid_argument(format!(
        "there is a table at {} with other columns: {}; leave the columns out to register it",
        table.uri(),
        columns.join(", ")
    )))
}

/// Makes the table, with the rows of its query if it has one: in one commit, so that either both are there or neither.
async fn make(session: &Session, create: CreateTable, builder: TableBuilder, uri: &str) -> Result<Outcome> {
    let name = create.name.to_string();
    if let Some(of) = &create.clone {
        return clone(session, &create, of, builder, uri).await;
    }
    let replaced = create.or_replace && session.warehouse().table_at(uri).await?.is_some();
    let (table, rows) = match &create.query {
        Some(_) if !create.columns.is_empty() => {
            return Err(QueryError::unsupported("columns in CREATE TABLE ... AS", "casts in the query"));
        }
        Some(select) => {
            let frame = query::data_frame(session, (**select).clone()).await?;
            let new = new_table(&create, query_schema(frame.schema().as_arrow())?)?;
            (Box::pin(builder.create_with(new, rows_of(frame).await?)).await?, true)
        }
        None => {
            let new = new_table(&create, StructType { fields: create.columns.clone() })?;
            (Box::pin(builder.create(new)).await?, false)
        }
    };
    for (constraint, sql) in &create.checks {
        Box::pin(table.add_constraint(constraint, sql)).await?;
    }
    let snapshot = table.cached_snapshot().await?;
    let version = snapshot.version();
    let verb = if replaced { "replaced" } else { "created" };
    let mut done = Done::new(format!("{verb} table {name} (version {version})")).with_version(version);
    if rows {
        let count: Option<u64> = snapshot.state().files.iter().map(|file| file.num_records()).sum();
        if let Some(count) = count {
            done.message =
                format!("{verb} table {name} with {} (version {version})", crate::statement::change::rows(count));
            done.affected_rows = Some(count);
        }
    }
    // A handle from before would not know a table that was dropped and made again.
    session.warehouse().refresh(uri, table);
    Ok(done.into())
}

/// Makes the table as a clone of another.
async fn clone(
    session: &Session,
    create: &CreateTable,
    of: &CloneOf,
    builder: TableBuilder,
    uri: &str,
) -> Result<Outcome> {
    let source = session.table_named(&of.source).await?;
    let source = match &of.version {
        Some(version) => source.at(version_spec(&session.context().state(), version)?).await?,
        None => source.snapshot().await?,
    };
    let options = CloneOptions {
        depth: of.depth,
        if_exists: if create.or_replace { IfExists::Replace } else { IfExists::Fail },
        properties: create.properties.iter().cloned().collect(),
    };
    let (table, report) = Box::pin(builder.clone_of(&source, options)).await?;
    let name = &create.name;
    let done = match of.depth {
        CloneDepth::Shallow => format!("names {} files of {} bytes where they are", report.files, report.bytes),
        CloneDepth::Deep => format!("copied {} files, {} bytes of rows", report.files_copied, report.bytes),
    };
    let text = format!(
        "cloned version {} of {} to {name}: {done} (version {})",
        report.source_version, of.source, report.version
    );
    session.warehouse().refresh(uri, table);
    Ok(Done::new(text).with_version(report.version).into())
}

/// The columns of a query as columns of a table: nullable, since a query promises nothing for later rows.
fn query_schema(schema: &arrow::datatypes::Schema) -> Result<StructType> {
    let mut columns = StructType::from_arrow(schema)?;
    for field in &mut columns.fields {
        field.nullable = true;
    }
    Ok(columns)
}

fn new_table(create: &CreateTable, schema: StructType) -> Result<NewTable> {
    if schema.fields.is_empty() {
        return Err(QueryError::syntax("the table has no columns"));
    }
    let mut partition_columns = Vec::new();
    for column in &create.partitioned_by {
        let Some(field) = schema.field(column) else {
            let columns = schema.fields.iter().map(|f| f.name.clone()).collect();
            return Err(QueryError::unknown_column(column.clone(), columns));
        };
        partition_columns.push(field.name.clone());
    }
    let arrow = schema.to_arrow()?;
    let mut new = NewTable::new(schema).with_partition_columns(partition_columns);
    if !create.primary_key.is_empty() {
        new = new.with_primary_key(create.primary_key.clone());
    }
    if let Some(columns) = &create.clustered_by {
        new = new.with_clustering(columns.clone());
    }
    for (key, value) in &create.properties {
        new = new.with_property(key, value);
    }
    for (_, sql) in &create.checks {
        // A constraint that cannot be evaluated is refused before there is a table.
        crate::expressions::compile(None, sql, arrow.as_ref()).map_err(QueryError::from)?;
    }
    for field in &create.columns {
        if let Some(sql) = field.generation_expression() {
            SqlRowChecks::default().compile_value(&field.name, sql, &arrow)?;
        }
    }
    if let Some(comment) = &create.comment {
        new = new.with_description(comment);
    }
    if create.or_replace {
        new = new.with_if_exists(IfExists::Replace);
    }
    Ok(new)
}
