//! Making a table, or making it anew.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use floe_table_format::clustering::{CLUSTERING_DOMAIN, check_clustering, clustering_domain};
use floe_table_format::feature::Feature;
use floe_table_format::iceberg::{ENABLE_V2, assign_nested_ids, complete_new};
use floe_table_format::property::name;
use floe_table_format::schema::ColumnMappingMode;
use floe_table_format::{
    ChangeSet, DataType, DomainMetadata, Format, Metadata, Operation, ReadSet, StructType, TableProperties, feature,
};

use crate::commit::CommitOutcome;
use crate::error::{OnTable, Result, TableError};
use crate::metadata::new_physical_name;
use crate::rows::BatchStream;
use crate::snapshot::Snapshot;
use crate::table::{Table, TableBuilder};
use crate::transaction::Transaction;

/// What to do where a table is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// Refuse.
    #[default]
    Fail,
    /// Leave it as it is.
    Keep,
    /// Replace schema, properties and rows in one commit; the history stays.
    Replace,
}

/// A table to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    schema: StructType,
    partition_columns: Vec<String>,
    properties: BTreeMap<String, String>,
    primary_key: Vec<String>,
    clustering: Option<Vec<Vec<String>>>,
    name: Option<String>,
    description: Option<String>,
    if_exists: IfExists,
}

impl CreateTable {
    /// A table with these columns.
    pub fn new(schema: StructType) -> Self {
        CreateTable {
            schema,
            partition_columns: Vec::new(),
            properties: BTreeMap::new(),
            primary_key: Vec::new(),
            clustering: None,
            name: None,
            description: None,
            if_exists: IfExists::Fail,
        }
    }

    /// A table with the columns of an Arrow schema.
    ///
    /// # Errors
    /// `InvalidSchema` inside [`TableError::Format`] for a type that Delta cannot hold.
    pub fn from_arrow(schema: &Schema) -> Result<Self> {
        Ok(CreateTable::new(StructType::from_arrow(schema).on("to be created")?))
    }

    /// Partitions by these columns, in this order.
    pub fn with_partition_columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.partition_columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a table property.
    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// Declares the primary key: its columns become NOT NULL, and no version of the table shows two rows of one key.
    ///
    /// Upserts go by it, and a record index is kept for it. Writers compact such a table as they go unless
    /// `floe.autoCompact` says otherwise.
    pub fn with_primary_key<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.primary_key = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Clusters the table by these columns, each a path of names: OPTIMIZE puts rows together that are near each other in them.
    ///
    /// Protocol section "Clustered Table".
    pub fn with_clustering(mut self, columns: Vec<Vec<String>>) -> Self {
        self.clustering = Some(columns);
        self
    }

    /// Sets the name for people.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the description for people.
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Says what to do where a table is already.
    pub fn with_if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }
}

impl CreateTable {
    fn shown_clustering(&self) -> String {
        let columns: Vec<String> = self.clustering.iter().flatten().map(|path| path.join(".")).collect();
        serde_json::json!(columns).to_string()
    }
}

impl TableBuilder {
    /// Creates the table, without rows.
    ///
    /// # Errors
    /// [`TableError::AlreadyExists`], unless `create` says what to do then; a schema or property that cannot be.
    pub async fn create(self, create: CreateTable) -> Result<Table> {
        let table = self.handle()?;
        make(&table, create, None).await?;
        Ok(table)
    }

    /// Creates the table with its first rows in one commit: either both are there or neither.
    ///
    /// # Errors
    /// As [`TableBuilder::create`] and [`Table::append`].
    pub async fn create_with(self, create: CreateTable, rows: BatchStream) -> Result<Table> {
        let table = self.handle()?;
        make(&table, create, Some(rows)).await?;
        Ok(table)
    }
}

async fn make(table: &Table, mut create: CreateTable, rows: Option<BatchStream>) -> Result<()> {
    declare_key(table, &mut create)?;
    let existing = match table.snapshot().await {
        Ok(snapshot) => Some(snapshot),
        Err(error) if error.is_not_a_table() => None,
        Err(error) => return Err(error),
    };
    if let Some(existing) = &existing {
        match create.if_exists {
            IfExists::Fail => {
                return Err(TableError::AlreadyExists { table: table.uri().into(), version: existing.version() });
            }
            IfExists::Keep => return Ok(()),
            IfExists::Replace => {}
        }
    }
    let if_exists = create.if_exists;
    let verb = match (&existing, rows.is_some()) {
        (None, false) => "CREATE TABLE",
        (None, true) => "CREATE TABLE AS SELECT",
        (Some(_), false) => "REPLACE TABLE",
        (Some(_), true) => "REPLACE TABLE AS SELECT",
    };
    let metadata = metadata(table, &create, existing.as_ref().map(|existing| &existing.state().metadata))?;
    let operation = Operation::new(verb)
        .with_parameter("partitionBy", serde_json::json!(create.partition_columns).to_string())
        .with_parameter("description", create.description.clone())
        .with_parameter("clusterBy", create.shown_clustering())
        .with_parameter("isManaged", "false")
        .with_parameter("properties", serde_json::json!(create.properties).to_string());
    let mut required = feature::required_for(&metadata, &create.schema).on(table.uri())?;
    let domain = clustering(table, &create, &metadata)?;
    if domain.is_some() {
        required.push(Feature::Clustering);
    }
    let mut transaction = match &existing {
        None => {
            let mut transaction = Transaction::new(table.clone(), None, ChangeSet::new(operation), ReadSet::default());
            transaction.set_protocol(feature::minimal_protocol(&required));
            transaction.set_metadata(metadata);
            transaction
        }
        Some(existing) => {
            let mut transaction = table.begin_at(existing, operation)?;
            transaction.read_whole_table();
            let state = existing.state();
            let upgraded = feature::enable(&state.protocol, &required);
            if upgraded != state.protocol {
                transaction.set_protocol(upgraded);
            }
            transaction.set_metadata(Metadata { id: state.metadata.id.clone(), ..metadata });
            for view in state.files.iter() {
                transaction.remove_file(view.path())?;
            }
            transaction
        }
    };
    let clustered = |existing: &Snapshot| existing.state().domains.contains_key(CLUSTERING_DOMAIN);
    if let Some(domain) = domain {
        transaction.set_domain(domain);
    } else if existing.as_deref().is_some_and(clustered) {
        transaction.set_domain(DomainMetadata { removed: true, ..clustering_domain(Vec::new()) });
    }
    if let Some(rows) = rows {
        transaction.stage_rows(rows).await?;
    }
    match transaction.commit().await {
        Ok(CommitOutcome::Committed(_)) => Ok(()),
        Ok(conflict @ CommitOutcome::Conflicted { .. }) => conflict.committed().map(drop),
        // Somebody else made it meanwhile, and that is all that was asked for.
        Err(TableError::AlreadyExists { .. }) if if_exists == IfExists::Keep => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the log is to say of the clustering, by physical names.
fn clustering(table: &Table, create: &CreateTable, metadata: &Metadata) -> Result<Option<DomainMetadata>> {
    let Some(columns) = &create.clustering else { return Ok(None) };
    let schema = StructType::parse(&metadata.schema_string).on(table.uri())?;
    let properties = TableProperties::parse(&metadata.configuration).on(table.uri())?;
    let columns = check_clustering(&schema, &create.partition_columns, &properties, columns).on(table.uri())?;
    Ok(Some(clustering_domain(columns.iter().filter_map(|path| schema.physical_path(path)).collect())))
}

/// Writes the primary key into the schema and the properties.
fn declare_key(table: &Table, create: &mut CreateTable) -> Result<()> {
    if create.primary_key.is_empty() {
        return Ok(());
    }
    let mut names = Vec::with_capacity(create.primary_key.len());
    for column in &create.primary_key {
        let found = create.schema.fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(column));
        let Some(field) = found else {
            let known: Vec<&str> = create.schema.fields.iter().map(|f| f.name.as_str()).collect();
            let hint = floe_table_format::schema::nearest(column, known.iter().copied());
            let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(table.refuse("create the table", format!("key column {column} is not a column{hint}")));
        };
        field.nullable = false;
        names.push(field.name.clone());
    }
    TableProperties::check_settable(&create.properties).on(table.uri())?;
    create.properties.insert(name::PRIMARY_KEY.into(), serde_json::json!(names).to_string());
    create.properties.entry(name::AUTO_COMPACT.into()).or_insert_with(|| "true".into());
    Ok(())
}

/// The metadata of the table to be made; `before` is that of the one in its place.
fn metadata(table: &Table, create: &CreateTable, before: Option<&Metadata>) -> Result<Metadata> {
    let env = table.env();
    if create.schema.fields.is_empty() {
        return Err(table.refuse("create the table", "it has no columns"));
    }
    for column in &create.partition_columns {
        let field = create.schema.field(column).filter(|field| field.name == *column);
        if let Some(field) = field.filter(|field| !matches!(field.data_type, DataType::Primitive(_))) {
            let what = format!("partition column {column} is of type {}; it must be of a simple one", field.data_type);
            return Err(table.refuse("create the table", what));
        }
        if field.is_none() {
            let known: Vec<&str> = create.schema.fields.iter().map(|f| f.name.as_str()).collect();
            let hint = floe_table_format::schema::nearest(column, known.iter().copied());
            let hint = hint.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(table.refuse("create the table", format!("partition column {column} is not a column{hint}")));
        }
    }
    if create.partition_columns.len() == create.schema.fields.len() {
        return Err(table.refuse("create the table", "every column is a partition column; leave one for the files"));
    }
    let declared = |key: &str| key == name::PRIMARY_KEY && !create.primary_key.is_empty();
    let mut properties = create.properties.clone();
    complete_new(&mut properties);
    let settable = properties.iter().filter(|(key, _)| !declared(key));
    TableProperties::check_settable(&settable.map(|(k, v)| (k.clone(), v.clone())).collect()).on(table.uri())?;
    let mode = TableProperties::parse(&properties).on(table.uri())?.column_mapping_mode;
    create.schema.check_names(mode).on(table.uri())?;
    let mut configuration = properties;
    // Small changes are deletion vectors unless the creator says otherwise.
    configuration.entry("delta.enableDeletionVectors".into()).or_insert_with(|| "true".into());
    let mut schema = create.schema.clone();
    if mode != ColumnMappingMode::None {
        // Ids go on where those of an earlier table in this place ended: its files may still be read by time travel.
        let last_id = before.map_or(Ok(0), feature::column_mapping_last_id).on(table.uri())?;
        let mut last_id = schema.assign_mapping(last_id, &mut |_| new_physical_name(env)).on(table.uri())?;
        if configuration.get(ENABLE_V2).is_some_and(|on| on.trim().eq_ignore_ascii_case("true")) {
            last_id = assign_nested_ids(&mut schema, last_id);
        }
        configuration.insert(name::COLUMN_MAPPING_MAX_ID.into(), last_id.to_string());
    }
    crate::row_tracking::name_columns(table.uri(), env, &mut configuration)?;
    let metadata = Metadata {
        id: env.uuid().to_string(),
        name: create.name.clone(),
        description: create.description.clone(),
        format: Format::default(),
        schema_string: schema.to_json(),
        partition_columns: create.partition_columns.clone(),
        configuration,
        created_time: Some(env.now().0),
    };
    crate::key::check_roles(table.uri(), &metadata)?;
    crate::metadata::check_feed_columns(table, &metadata, &create.schema)?;
    crate::generated::check_columns(table, &create.schema, &create.partition_columns)?;
    Ok(metadata)
}
