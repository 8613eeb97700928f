//! Parquet, CSV and JSON files, read where they lie.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::sql::sqlparser::ast::ObjectName;
use floe_storage::{Location, StoreKind};
use floe_table::{ErrorKind, Meter, Table};
use floe_table_format::VersionSpec;
use floe_table_format::error::printable;
use futures::TryStreamExt;
use object_store::ObjectStore;
use url::Url;

use crate::error::{QueryError, Result};
use crate::load::{LoadOptions, Packing, Source, columns_of, text_rows};
use crate::pattern::{base_of, has_glob, listing_url};
use crate::provider::FloeTableProvider;
use crate::relation::{FileFormat, RelationName};
use crate::session::{Session, no_delta_log};

impl Session {
    /// What a statement reads when it names a relation.
    pub(crate) async fn provider(&self, name: &ObjectName) -> Result<Arc<dyn TableProvider>> {
        let table = match RelationName::of(name)? {
            RelationName::Catalog { schema, table } => {
                let schema = schema.unwrap_or_else(|| self.current_schema());
                if let Some(registered) = self.warehouse().registered(&schema, &table) {
                    return Ok(registered);
                }
                Box::pin(self.warehouse().table(&schema, &table)).await?
            }
            RelationName::Delta(path) => self.warehouse().table_at(&path).await?.ok_or_else(|| no_delta_log(&path))?,
            RelationName::Path(path) => match self.delta_at(&path).await? {
                Some(table) => table,
                None => return open(self, None, &path).await,
            },
            RelationName::Files(format, path) => return open(self, Some(format), &path).await,
            RelationName::InformationSchema(table) => {
                let schema = self
                    .context()
                    .state()
                    .schema_for_ref(TableReference::partial("information_schema", table.as_str()))?;
                let found = schema.table(&table).await?;
                return found.ok_or_else(|| {
                    QueryError::unknown_table(format!("information_schema.{table}"), std::iter::empty())
                });
            }
        };
        let snapshot = table.cached_snapshot().await?;
        Ok(Arc::new(FloeTableProvider::at(snapshot)?))
    }

    /// A table whose path stands in quotes, unless the path can only be files.
    async fn delta_at(&self, path: &str) -> Result<Option<Table>> {
        if has_glob(path) {
            return Ok(None);
        }
        self.warehouse().table_at(path).await
    }

    /// What a statement reads when it names a relation and a version of it.
    pub(crate) async fn provider_at(&self, name: &ObjectName, version: VersionSpec) -> Result<Arc<dyn TableProvider>> {
        let table = match self.table_named(name).await {
            // A version from before a change that this build does not support may be readable.
            Err(QueryError::Table(error)) if error.kind() == ErrorKind::Unsupported => {
                self.unopened_table(name).await?
            }
            other => other?,
        };
        let snapshot = table.at(version).await?;
        Ok(Arc::new(FloeTableProvider::at(snapshot)?))
    }
}

/// How many files are listed to find out what a folder holds.
const LOOK_AT_MAX: usize = 1000;

/// Opens a file, a folder of files, or a pattern.
///
/// # Errors
/// [`QueryError::UnreadablePath`] where there is nothing, or nothing of a known format.
pub(crate) async fn open(session: &Session, format: Option<FileFormat>, path: &str) -> Result<Arc<dyn TableProvider>> {
    if Packing::of_path(path).0 != Packing::None {
        return open_packed(session, format, path).await;
    }
    let unreadable = |what: String| QueryError::UnreadablePath { path: printable(path), what };
    let base = base_of(path);
    register_store(session, base)?;
    let location = Location::open(base, session.warehouse().storage_options())?;
    let mut url = listing_url(&location, path)?;
    let format = match format.or_else(|| FileFormat::of_path(path)) {
        Some(format) => format,
        None => format_in(&location).await?.ok_or_else(|| {
            unreadable(
                "it is no Delta table and no .parquet, .csv, .json, .jsonl or .ndjson file, nor a folder of such"
                    .into(),
            )
        })?,
    };
    let state = session.context().state();
    if !has_glob(path) && !exists_as_file(&location).await? {
        // A folder: the slash makes DataFusion list it.
        if !url.as_str().ends_with('/') {
            url = ListingTableUrl::parse(format!("{}/", url.as_str()))?;
        }
        if format_in(&location).await?.is_none() {
            return Err(unreadable("there is no such file, and no folder with such files".into()));
        }
    }
    let delimiter = if path.to_ascii_lowercase().ends_with(".tsv") { b'\t' } else { b',' };
    let options = match format {
        FileFormat::Parquet => {
            ListingOptions::new(Arc::new(ParquetFormat::default().with_options(state.table_options().parquet.clone())))
        }
        FileFormat::Csv => {
            let csv = CsvFormat::default().with_has_header(true).with_delimiter(delimiter);
            ListingOptions::new(Arc::new(csv))
        }
        FileFormat::Json => ListingOptions::new(Arc::new(JsonFormat::default())),
    };
    // A file is meant whatever its name ends with; in a folder only files of the format are.
    let extension =
        if url.is_collection() && !has_glob(path) { extension_in(&location, format).await? } else { String::new() };
    let options = options.with_file_extension(extension);
    let config = ListingTableConfig::new(url).with_listing_options(options).infer_schema(&state).await;
    let config = config.map_err(|error| match error.to_string().contains("No files found") {
        true => unreadable("no file is there that matches".into()),
        false => error.into(),
    })?;
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Opens files of packed text, which DataFusion is not built to unpack.
async fn open_packed(session: &Session, format: Option<FileFormat>, path: &str) -> Result<Arc<dyn TableProvider>> {
    let source = Source::list(session, path, format).await?;
    let options = LoadOptions::read(&[])?;
    let Some(text) = options.text_format(source.format)? else {
        return Err(QueryError::unsupported("packed Parquet files", "Parquet is packed inside: name it .parquet"));
    };
    let schema = Arc::new(columns_of(&source, &text, None).await?);
    let state = session.context().state();
    // One meter for all statements that read them; none of them owns the relation.
    let meter = Arc::new(Meter::default());
    text_rows(&source, &text, None, schema, state.config().target_partitions(), None, meter)
}

async fn exists_as_file(location: &Location) -> Result<bool> {
    use object_store::ObjectStoreExt;
    match location.store.head(&location.root).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        // A folder of the file system, to some stores.
        Err(error) => match location.store.list(Some(&location.root)).try_next().await {
            Ok(Some(_)) => Ok(false),
            _ => Err(location.error("look at", &location.uri, &error).into()),
        },
    }
}

/// The format of the first file in a folder that has a known one.
async fn format_in(location: &Location) -> Result<Option<FileFormat>> {
    Ok(first_known(location).await?.map(|(format, _)| format))
}

async fn first_known(location: &Location) -> Result<Option<(FileFormat, String)>> {
    let mut listing = location.store.list(Some(&location.root));
    for _ in 0..LOOK_AT_MAX {
        match listing.try_next().await {
            Ok(Some(object)) => {
                let name = object.location.filename().unwrap_or_default();
                if name.starts_with(['_', '.']) {
                    continue;
                }
                if let Some(format) = FileFormat::of_path(name) {
                    let extension = name.rsplit_once('.').map(|(_, e)| format!(".{e}")).unwrap_or_default();
                    return Ok(Some((format, extension)));
                }
            }
            Ok(None) | Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(location.error("list", &location.uri, &error).into()),
        }
    }
    Ok(None)
}

async fn extension_in(location: &Location, format: FileFormat) -> Result<String> {
    match first_known(location).await? {
        Some((found, extension)) if found == format => Ok(extension),
        _ => Ok(match format {
            FileFormat::Parquet => ".parquet".into(),
            FileFormat::Csv => ".csv".into(),
            FileFormat::Json => ".json".into(),
        }),
    }
}

/// Makes the store of a URI known to DataFusion, with the session's credentials.
pub(crate) fn register_store(session: &Session, uri: &str) -> Result<()> {
    let location = Location::open(uri, session.warehouse().storage_options())?;
    if location.kind == StoreKind::Local {
        return Ok(());
    }
    let url = Url::parse(&location.uri)
        .map_err(|e| QueryError::UnreadablePath { path: printable(uri), what: e.to_string() })?;
    session.context().register_object_store(&url, location.store.clone());
    Ok(())
}
