//! Making a table of the Parquet files in a folder. The files stay as they are; a log is put beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use floe_storage::{read_file_schema, read_footer};
use floe_table_format::error::printable;
use floe_table_format::path::{DataPath, parse_partition_directory};
use floe_table_format::plan::vacuum::ListedFile;
use floe_table_format::schema::ColumnMappingMode;
use floe_table_format::stats::{StatsCollector, only_row_count};
use floe_table_format::{
    Add, ChangeSet, Format, FormatError, Metadata, Operation, ReadSet, Scalar, StructField, StructType,
    TableProperties, Version, feature,
};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::error::{OnTable, Result, TableError};
use crate::scan::raw_file_rows;
use crate::table::{Table, TableBuilder};
use crate::transaction::Transaction;

/// Files read at the same time.
const FILES_AT_ONCE: usize = 4;

/// Settings of [`TableBuilder::convert`].
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertOptions {
    /// The columns whose values the names of folders tell (`region=a`), in that order.
    pub partition_columns: Vec<StructField>,
    /// Whether the files are read for statistics. Without, readers skip files by partition only.
    pub statistics: bool,
}

impl Default for ConvertOptions {
    /// Unpartitioned, with statistics.
    fn default() -> Self {
        ConvertOptions { partition_columns: Vec::new(), statistics: true }
    }
}

/// What a conversion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertReport {
    /// The version it made.
    pub version: Version,
    /// Files of the table.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
}

impl TableBuilder {
    /// Makes a table of the Parquet files in a folder and the folders below it. Files and folders whose names begin with `_` or
    /// `.` are no part of it.
    ///
    /// The columns are those of all files together, each nullable.
    ///
    /// # Errors
    /// [`TableError::AlreadyExists`] where there is a table; [`TableError::InvalidRequest`] without files, for columns that have
    /// different types in two files, and where folders tell of other partition columns than the options; a file that is no
    /// Parquet file.
    pub async fn convert(self, options: ConvertOptions) -> Result<(Table, ConvertReport)> {
        let table = self.handle()?;
        let report = convert(&table, options).await?;
        Ok((table, report))
    }
}

const DOING: &str = "convert the folder to a Delta table";

async fn convert(table: &Table, options: ConvertOptions) -> Result<ConvertReport> {
    match table.snapshot().await {
        Ok(snapshot) => {
            return Err(TableError::AlreadyExists { table: table.uri().into(), version: snapshot.version() });
        }
        Err(error) if error.is_not_a_table() => {}
        Err(error) => return Err(error),
    }
    let mut files: Vec<ListedFile> = table.data_store().list_all().try_collect().await.on(table.uri())?;
    files.retain(|file| is_of_the_table(&file.path));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if files.is_empty() {
        return Err(table.refuse(DOING, "there are no Parquet files in it"));
    }
    let partitions: Vec<BTreeMap<String, Option<String>>> =
        files.iter().map(|file| partition_values(table, file, &options)).collect::<Result<_>>()?;
    let schema = schema_of(table, &files, &options).await?;
    let metadata = Metadata {
        id: table.env().uuid().to_string(),
        name: None,
        description: None,
        format: Format::default(),
        schema_string: schema.to_json(),
        partition_columns: options.partition_columns.iter().map(|field| field.name.clone()).collect(),
        configuration: BTreeMap::new(),
        created_time: Some(table.env().now().0),
    };
    let uri = table.uri();
    let collector = StatsCollector::new(
        &schema,
        &metadata.partition_columns,
        ColumnMappingMode::None,
        &TableProperties::parse(&metadata.configuration).on(uri)?,
    )
    .on(uri)?;
    let stored = stored_columns(&schema, &metadata).on(uri)?;
    let described: Vec<(Add, u64)> = futures::stream::iter(files.into_iter().zip(partitions))
        .map(|(file, partition_values)| {
            let (table, stored) = (table.clone(), stored.clone());
            let collector = options.statistics.then(|| collector.clone());
            async move { describe(&table, file, partition_values, stored, collector).await }.boxed()
        })
        .buffered(FILES_AT_ONCE)
        .try_collect()
        .await?;
    let operation = Operation::new("CONVERT")
        .with_parameter("numFiles", described.len().to_string())
        .with_parameter("partitionedBy", serde_json::json!(metadata.partition_columns).to_string())
        .with_parameter("collectStats", options.statistics.to_string());
    let required = feature::required_for(&metadata, &schema).on(uri)?;
    let mut transaction = Transaction::new(table.clone(), None, ChangeSet::new(operation), ReadSet::default());
    transaction.set_protocol(feature::minimal_protocol(&required));
    transaction.set_metadata(metadata);
    let (files, rows) = (described.len() as u64, described.iter().map(|(_, rows)| rows).sum());
    transaction.operation_mut().metrics.insert("numConvertedFiles".into(), files);
    transaction.change_mut().adds.extend(described.into_iter().map(|(add, _)| add));
    let version = transaction.commit().await?.committed()?.version;
    Ok(ConvertReport { version, files, rows })
}

/// Whether a file is one to be read. A folder of a partition may begin with what hides others.
fn is_of_the_table(path: &str) -> bool {
    let shown = |part: &str| !part.starts_with(['_', '.']);
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let folders_shown =
        folders.split('/').filter(|part| !part.is_empty()).all(|part| shown(part) || part.contains('='));
    folders_shown && shown(file) && file.to_ascii_lowercase().ends_with(".parquet")
}

fn partition_values(
    table: &Table,
    file: &ListedFile,
    options: &ConvertOptions,
) -> Result<BTreeMap<String, Option<String>>> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let told = parse_partition_directory(folder);
    let wanted = &options.partition_columns;
    let same = told.len() == wanted.len()
        && told.iter().zip(wanted).all(|((name, _), field)| name.eq_ignore_ascii_case(&field.name));
    if !same {
        let names = |names: Vec<&str>| if names.is_empty() { "none".into() } else { printable(&names.join(", ")) };
        let what = format!(
            "the folders of {} tell of the partition columns: {}; given were: {}. PARTITIONED BY (name TYPE, ...) gives them",
            printable(&file.path),
            names(told.iter().map(|(name, _)| name.as_str()).collect()),
            names(wanted.iter().map(|field| field.name.as_str()).collect()),
        );
        return Err(table.refuse(DOING, what));
    }
    let mut values = BTreeMap::new();
    for ((_, value), field) in told.into_iter().zip(wanted) {
        let Some(data_type) = field.data_type.as_primitive() else {
            return Err(table.refuse(DOING, format!("partition column {} has a nested type", field.name)));
        };
        let parsed = Scalar::from_partition_value(value.as_deref(), &data_type).on(table.uri())?;
        values.insert(field.name.clone(), parsed.to_partition_value(&data_type));
    }
    Ok(values)
}

/// The columns of all files, in the order in which they come up, and those of the partitions behind them.
async fn schema_of(table: &Table, files: &[ListedFile], options: &ConvertOptions) -> Result<StructType> {
    let mut schemas = futures::stream::iter(files.to_vec())
        .map(|file| {
            let table = table.clone();
            async move {
                let schema = read_file_schema(table.data_store(), &file.path, file.size).await.on(table.uri())?;
                let mut schema = StructType::from_arrow(schema.as_ref()).on(table.uri())?;
                schema.fields.iter_mut().for_each(|field| field.nullable = true);
                Ok::<_, TableError>((file.path, schema))
            }
            .boxed()
        })
        .buffered(FILES_AT_ONCE);
    // A column, and the file it was first seen in.
    let mut columns: Vec<(StructField, String)> = Vec::new();
    while let Some((path, schema)) = schemas.try_next().await? {
        for field in schema.fields {
            if options.partition_columns.iter().any(|column| column.name.eq_ignore_ascii_case(&field.name)) {
                // The folder tells it, whatever the file says.
                continue;
            }
            match columns.iter().find(|(known, _)| known.name.eq_ignore_ascii_case(&field.name)) {
                None => columns.push((field, path.clone())),
                Some((known, _)) if known.name == field.name && known.data_type == field.data_type => {}
                Some((known, first)) => {
                    let what = format!(
                        "column {} {} of {} is {} {} in {}",
                        printable(&known.name),
                        known.data_type,
                        printable(first),
                        printable(&field.name),
                        field.data_type,
                        printable(&path)
                    );
                    return Err(table.refuse(DOING, what));
                }
            }
        }
    }
    if columns.is_empty() {
        return Err(table.refuse(DOING, "its files have no columns"));
    }
    let mut fields: Vec<StructField> = columns.into_iter().map(|(field, _)| field).collect();
    fields.extend(options.partition_columns.iter().cloned());
    let schema = StructType { fields };
    schema.check_names(ColumnMappingMode::None).on(table.uri())?;
    Ok(schema)
}

/// The columns that are in the files.
fn stored_columns(schema: &StructType, metadata: &Metadata) -> std::result::Result<SchemaRef, FormatError> {
    let all = schema.to_physical_arrow(ColumnMappingMode::None)?;
    let stored = all.fields().iter().filter(|field| !metadata.partition_columns.contains(field.name()));
    Ok(Arc::new(Schema::new(stored.cloned().collect::<Vec<_>>())))
}

async fn describe(
    table: &Table,
    file: ListedFile,
    partition_values: BTreeMap<String, Option<String>>,
    stored: SchemaRef,
    collector: Option<StatsCollector>,
) -> Result<(Add, u64)> {
    let uri = table.uri();
    let size = i64::try_from(file.size).unwrap_or(i64::MAX);
    let rows = read_footer(table.data_store(), &file.path, file.size).await.on(uri)?.rows;
    let stats = match collector {
        Some(mut collector) => {
            let mut batches = raw_file_rows(table, &file.path, size, stored).await?;
            while let Some(batch) = batches.try_next().await? {
                collector.update(&batch).on(uri)?;
            }
            collector.finish().json
        }
        None => only_row_count(rows),
    };
    let add = Add {
        path: DataPath::encode(&file.path),
        partition_values,
        size,
        modification_time: file.modified.0,
        data_change: true,
        stats: Some(stats),
        ..Add::default()
    };
    Ok((add, rows))
}
