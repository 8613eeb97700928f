//! The warehouse: schemas and tables as folders, with no service and no database beside them.
//!
//! ```text
//! <warehouse>/<schema>/_floe_schema.json            the schema exists, even without tables
//! <warehouse>/<schema>/<table>/_delta_log/...       a managed table
//! <warehouse>/<schema>/_floe_tables/<table>.json    a table that lies elsewhere: a pointer, written once
//! ```
//!
//! The files are the truth and nothing else is kept: a table copied into a schema's folder is part of the catalog, and
//! Delta tables stay readable where they lie, catalog or not. Names are folded to lower case when made, and found
//! without regard to case.

mod files;
mod provider;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use datafusion::catalog::TableProvider;
use floe_storage::{Env, Location, StorageOptions};
use floe_table::{RowCheckFactory, Table, TableBuilder};
use floe_table_format::error::printable;
use floe_table_format::schema::nearest;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::error::{QueryError, Result};
use files::Files;

pub use provider::WarehouseCatalog;

/// The catalog's name in SQL.
pub const CATALOG_NAME: &str = "floe";
/// The schema that is always there.
pub const DEFAULT_SCHEMA: &str = "default";
/// Stands before the path of a Delta table: ``delta.`s3://bucket/table` ``.
pub const DELTA_SCHEMA: &str = "delta";

const SCHEMA_MARKER: &str = "_floe_schema.json";
const POINTERS: &str = "_floe_tables";
const LOG: &str = "_delta_log";
/// Names that mean something else before a dot.
const RESERVED_SCHEMAS: [&str; 7] = ["delta", "parquet", "csv", "json", "jsonl", "ndjson", "information_schema"];
/// The longest name, so that a pointer's file name fits every file system.
const NAME_BYTES_MAX: usize = 200;
/// How many folders are looked into at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// A table of the catalog, not opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableEntry {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
    /// Where it lies.
    pub uri: String,
    /// Whether it lies outside of the warehouse, so that dropping it leaves its files alone.
    pub external: bool,
}

/// What a pointer file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    location: String,
}

/// Schemas and tables below one location.
pub struct Warehouse {
    files: Files,
    location: Location,
    options: StorageOptions,
    env: Env,
    row_checks: Option<Arc<dyn RowCheckFactory>>,
    /// Open tables by URI: a table that is open already is refreshed with one request.
    open: Mutex<HashMap<String, Table>>,
    /// Where names were found last, so that a known name costs no request.
    known: Mutex<BTreeMap<(String, String), TableEntry>>,
    /// Tables of this process, by schema and name in lower case: data frames and batches that a program registers.
    registered: Mutex<HashMap<(String, String), Arc<dyn TableProvider>>>,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse").field("uri", &self.location.uri).finish_non_exhaustive()
    }
}

impl Warehouse {
    /// The warehouse at a path or URI. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`floe_storage::StorageError`] for a location that cannot be.
    pub fn open(
        uri: &str,
        options: StorageOptions,
        env: Env,
        row_checks: Option<Arc<dyn RowCheckFactory>>,
    ) -> Result<Self> {
        Ok(Warehouse::at(Location::open(uri, &options)?, options, env, row_checks))
    }

    /// The warehouse at a location that is open already.
    pub fn at(
        location: Location,
        options: StorageOptions,
        env: Env,
        row_checks: Option<Arc<dyn RowCheckFactory>>,
    ) -> Self {
        Warehouse {
            files: Files::new(location.clone(), env.clone()),
            // Tables of one warehouse may share files: a shallow clone does.
            location: location.clone().with_trusted(&location),
            options,
            env,
            row_checks,
            open: Mutex::new(HashMap::new()),
            known: Mutex::new(BTreeMap::new()),
            registered: Mutex::new(HashMap::new()),
        }
    }

    /// Where the warehouse lies.
    pub fn uri(&self) -> &str {
        &self.location.uri
    }

    /// The settings for reaching stores.
    pub fn storage_options(&self) -> &StorageOptions {
        &self.options
    }

    /// All schemas, sorted.
    ///
    /// # Errors
    /// Whatever listing the warehouse meets.
    pub async fn schemas(&self) -> Result<Vec<String>> {
        let folders = self.files.folders("").await?;
        let mut names: Vec<String> =
            stream::iter(folders.into_iter().filter(|name| check_name("schema", name).is_ok()))
                .map(|name| async move {
                    let exists = self.schema_exists(&name).await?;
                    Ok::<_, QueryError>(exists.then_some(name))
                })
                .buffered(LOOKUPS_AT_ONCE)
                .try_filter_map(|name| async move { Ok(name) })
                .try_collect()
                .await?;
        if !names.iter().any(|name| name == DEFAULT_SCHEMA) {
            names.push(DEFAULT_SCHEMA.into());
        }
        names.sort();
        Ok(names)
    }

    /// The schema of this name, in its own spelling.
    ///
    /// # Errors
    /// [`QueryError::UnknownSchema`] with the nearest name.
    pub async fn schema(&self, name: &str) -> Result<String> {
        let folded = name.to_lowercase();
        if folded == DEFAULT_SCHEMA {
            return Ok(folded);
        }
        if check_name("schema", name).is_ok() {
            for candidate in [folded.as_str(), name] {
                if self.schema_exists(candidate).await? {
                    return Ok(candidate.into());
                }
            }
        }
        let all = self.schemas().await?;
        if let Some(found) = all.iter().find(|s| s.to_lowercase() == folded) {
            return Ok(found.clone());
        }
        let nearest = nearest(&folded, all.iter().map(String::as_str)).map(str::to_owned);
        Err(QueryError::UnknownSchema { name: printable(name), nearest })
    }

    /// Whether this spelling names a schema: it has a marker, or a table or pointer in it.
    async fn schema_exists(&self, name: &str) -> Result<bool> {
        if self.files.exists(&format!("{name}/{SCHEMA_MARKER}")).await? {
            return Ok(true);
        }
        let folders = self.files.folders(name).await?;
        // A folder with a log is a table someone put at the top, and no schema.
        if folders.iter().any(|folder| folder == LOG) {
            return Ok(false);
        }
        for folder in folders {
            let place = if folder == POINTERS { format!("{name}/{folder}") } else { format!("{name}/{folder}/{LOG}") };
            if self.files.any_below(&place).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a schema. False if it is there already and `if_not_exists`.
    ///
    /// # Errors
    /// [`QueryError::SchemaExists`], [`QueryError::InvalidName`].
    pub async fn create_schema(&self, name: &str, if_not_exists: bool) -> Result<bool> {
        let name = check_name("schema", name)?;
        if RESERVED_SCHEMAS.contains(&name.as_str()) {
            let what = "it stands for a file format or for settings".into();
            return Err(QueryError::InvalidName { name, what });
        }
        let body = serde_json::json!({ "schema": name, "createdAt": self.env.now().0 });
        let taken = name == DEFAULT_SCHEMA
            || self.schema_exists(&name).await?
            || !self.files.put_if_absent(&format!("{name}/{SCHEMA_MARKER}"), body.to_string().into()).await?;
        if taken && !if_not_exists {
            return Err(QueryError::SchemaExists { name });
        }
        Ok(!taken)
    }

    /// Drops a schema, with its tables if `cascade`. False if it is not there and `if_exists`.
    ///
    /// # Errors
    /// [`QueryError::SchemaNotEmpty`], [`QueryError::UnknownSchema`], [`QueryError::InvalidArgument`] for `default`.
    pub async fn drop_schema(&self, name: &str, if_exists: bool, cascade: bool) -> Result<bool> {
        let schema = match self.schema(name).await {
            Ok(schema) => schema,
            Err(QueryError::UnknownSchema { .. }) if if_exists => return Ok(false),
            Err(error) => return Err(error),
        };
        if schema == DEFAULT_SCHEMA {
            return Err(QueryError::invalid_argument("the schema default cannot be dropped"));
        }
        let tables = self.tables(&schema).await?;
        if !tables.is_empty() && !cascade {
            return Err(QueryError::SchemaNotEmpty { name: schema, tables: tables.len() });
        }
        for table in &tables {
            self.drop_entry(table).await?;
        }
        self.files.delete(vec![format!("{schema}/{SCHEMA_MARKER}")]).await?;
        Ok(true)
    }

    /// The tables of a schema, sorted by name.
    ///
    /// # Errors
    /// Whatever listing the schema and reading its pointers meet.
    pub async fn tables(&self, schema: &str) -> Result<Vec<TableEntry>> {
        let folders = self.files.folders(schema).await?;
        let candidates = folders.into_iter().filter(|name| check_name("table", name).is_ok());
        let mut tables: Vec<TableEntry> = stream::iter(candidates)
            .map(|name| async move {
                let found = self.files.any_below(&format!("{schema}/{name}/{LOG}")).await?;
                Ok::<_, QueryError>(if found { Some(self.managed(schema, &name)?) } else { None })
            })
            .buffered(LOOKUPS_AT_ONCE)
            .try_filter_map(|entry| async move { Ok(entry) })
            .try_collect()
            .await?;
        let pointers = self.files.names(&format!("{schema}/{POINTERS}")).await?;
        let names = pointers.into_iter().filter_map(|file| file.strip_suffix(".json").map(str::to_owned));
        let external: Vec<TableEntry> = stream::iter(names)
            .map(|name| async move { self.pointer(schema, &name).await })
            .buffered(LOOKUPS_AT_ONCE)
            .try_filter_map(|entry| async move { Ok(entry) })
            .try_collect()
            .await?;
        tables.extend(external);
        tables.sort();
        tables.dedup_by(|a, b| a.name == b.name);
        Ok(tables)
    }

    fn managed(&self, schema: &str, name: &str) -> Result<TableEntry> {
        let uri = self.folder(schema, name)?.uri;
        Ok(TableEntry { schema: schema.into(), name: name.into(), uri, external: false })
    }

    /// Where a managed table lies.
    fn folder(&self, schema: &str, name: &str) -> Result<Location> {
        Ok(self.location.child(&format!("{schema}/{name}"))?)
    }

    async fn pointer(&self, schema: &str, name: &str) -> Result<Option<TableEntry>> {
        let path = format!("{schema}/{POINTERS}/{name}.json");
        let Some(bytes) = self.files.get(&path).await? else {
            return Ok(None);
        };
        let pointer: Pointer = serde_json::from_slice(&bytes).map_err(|e| QueryError::UnreadablePath {
            path: format!("{}/{path}", self.uri()),
            what: format!("the pointer to the table does not decode: {e}"),
        })?;
        Ok(Some(TableEntry { schema: schema.into(), name: name.into(), uri: pointer.location, external: true }))
    }

    /// Looks a table up.
    ///
    /// # Errors
    /// [`QueryError::UnknownTable`] or [`QueryError::UnknownSchema`] with the nearest name.
    pub async fn entry(&self, schema: &str, table: &str) -> Result<TableEntry> {
        let key = (schema.to_lowercase(), table.to_lowercase());
        if let Some(entry) = self.known().get(&key) {
            return Ok(entry.clone());
        }
        let entry = self.look_up(schema, table).await?;
        self.known().insert(key, entry.clone());
        Ok(entry)
    }

    async fn look_up(&self, schema: &str, table: &str) -> Result<TableEntry> {
        let shown = if schema == DEFAULT_SCHEMA { table.to_owned() } else { format!("{schema}.{table}") };
        let folded = table.to_lowercase();
        let valid = check_name("table", table).is_ok() && check_name("schema", schema).is_ok();
        if valid {
            let spelled = schema.to_lowercase();
            if self.files.any_below(&format!("{spelled}/{folded}/{LOG}")).await? {
                return self.managed(&spelled, &folded);
            }
            if let Some(entry) = self.pointer(&spelled, &folded).await? {
                return Ok(entry);
            }
        }
        let schema = self.schema(schema).await?;
        let tables = self.tables(&schema).await?;
        if let Some(found) = tables.iter().find(|t| t.name.to_lowercase() == folded) {
            return Ok(found.clone());
        }
        Err(QueryError::unknown_table(printable(&shown), tables.iter().map(|t| t.name.as_str())))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), TableEntry>> {
        self.known.lock().expect("nothing panics while holding this lock")
    }

    /// Opens a table of the catalog, or gives it as it was opened before.
    ///
    /// # Errors
    /// As [`Warehouse::entry`], and whatever reading the table's log meets.
    pub async fn table(&self, schema: &str, table: &str) -> Result<Table> {
        let entry = self.entry(schema, table).await?;
        match self.open_entry(&entry).await {
            Ok(Some(table)) => Ok(table),
            other => {
                // It may have been dropped or moved by another process since its name was learned.
                self.forget(&entry);
                other?;
                let entry = self.entry(schema, table).await?;
                let missing = || QueryError::UnreadablePath {
                    path: entry.uri.clone(),
                    what: format!(
                        "the catalog says that {}.{} lies there, but there is no Delta log",
                        entry.schema, entry.name
                    ),
                };
                self.open_entry(&entry).await?.ok_or_else(missing)
            }
        }
    }

    /// Opens the Delta table at a URI or path, refreshed; none where there is no log.
    ///
    /// # Errors
    /// Whatever reading the table's log meets.
    pub async fn table_at(&self, uri: &str) -> Result<Option<Table>> {
        self.open_with(uri, self.builder(uri)).await
    }

    async fn open_entry(&self, entry: &TableEntry) -> Result<Option<Table>> {
        self.open_with(&entry.uri, self.builder_of(entry)?).await
    }

    async fn open_with(&self, uri: &str, builder: TableBuilder) -> Result<Option<Table>> {
        let known = self.open.lock().expect("nothing panics while holding this lock").get(uri).cloned();
        if let Some(table) = known {
            return match table.snapshot().await {
                Ok(_) => Ok(Some(table)),
                Err(error) if error.is_not_a_table() => {
                    self.close(uri);
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            };
        }
        let table = builder.open_or_none().await?;
        if let Some(table) = &table {
            self.open.lock().expect("nothing panics while holding this lock").insert(uri.into(), table.clone());
        }
        Ok(table)
    }

    /// Starts opening or creating a table with this warehouse's settings.
    pub fn builder(&self, uri: &str) -> TableBuilder {
        let builder = Table::builder(uri)
            .with_storage_options(self.options.clone())
            .with_trusted_roots([self.location.uri.clone()])
            .with_env(self.env.clone());
        match &self.row_checks {
            Some(row_checks) => builder.with_row_checks(row_checks.clone()),
            None => builder,
        }
    }

    /// As [`Warehouse::builder`], for a table of the catalog.
    ///
    /// # Errors
    /// [`floe_storage::StorageError`] for a name that cannot be a path.
    pub fn builder_of(&self, entry: &TableEntry) -> Result<TableBuilder> {
        let builder = self.builder(&entry.uri);
        if entry.external {
            return Ok(builder);
        }
        // Not by URI: the store of the warehouse may be one that no URI opens.
        Ok(builder.with_location(self.folder(&entry.schema, &entry.name)?))
    }

    fn close(&self, uri: &str) {
        self.open.lock().expect("nothing panics while holding this lock").remove(uri);
    }

    /// Takes a table that was just made in, in the place of whatever was open at its URI.
    pub(crate) fn refresh(&self, uri: &str, table: Table) {
        self.open.lock().expect("nothing panics while holding this lock").insert(uri.into(), table);
    }

    fn forget(&self, entry: &TableEntry) {
        self.known().retain(|_, known| known != entry);
        self.close(&entry.uri);
    }

    /// Where a new table of this name belongs: the existing entry if there is one, else a managed place for it.
    ///
    /// # Errors
    /// [`QueryError::InvalidName`], [`QueryError::UnknownSchema`].
    pub async fn place(&self, schema: &str, table: &str) -> Result<(TableEntry, bool)> {
        let name = check_name("table", table)?;
        let schema = self.schema(schema).await?;
        match self.entry(&schema, table).await {
            Ok(entry) => Ok((entry, true)),
            Err(QueryError::UnknownTable { .. }) => Ok((self.managed(&schema, &name)?, false)),
            Err(error) => Err(error),
        }
    }

    /// Writes the pointer to a table that lies elsewhere.
    ///
    /// # Errors
    /// [`QueryError::TableExists`] if the name is taken meanwhile.
    pub async fn register(&self, schema: &str, table: &str, uri: &str) -> Result<TableEntry> {
        let name = check_name("table", table)?;
        // The pointer must mean the same wherever the next process is started.
        let location = Location::open(uri, &self.options)?.uri;
        let body = serde_json::to_vec(&Pointer { location: location.clone() })
            .map_err(|e| QueryError::invalid_argument(format!("the location cannot be written down: {e}")))?;
        let path = format!("{schema}/{POINTERS}/{name}.json");
        if !self.files.put_if_absent(&path, body.into()).await? {
            return Err(QueryError::TableExists { name: format!("{schema}.{name}") });
        }
        Ok(TableEntry { schema: schema.into(), name, uri: location, external: true })
    }

    /// Drops a table: its pointer, or all of its files. False if it is not there and `if_exists`.
    ///
    /// # Errors
    /// [`QueryError::UnknownTable`] with the nearest name; whatever deleting meets, and then dropping again goes on.
    pub async fn drop_table(&self, schema: &str, table: &str, if_exists: bool) -> Result<bool> {
        // The store is asked and not the memory of it: what is about to be deleted should be what is there.
        self.known().remove(&(schema.to_lowercase(), table.to_lowercase()));
        let entry = match self.entry(schema, table).await {
            Ok(entry) => entry,
            Err(QueryError::UnknownTable { .. } | QueryError::UnknownSchema { .. }) if if_exists => return Ok(false),
            Err(error) => return Err(error),
        };
        self.drop_entry(&entry).await?;
        Ok(true)
    }

    async fn drop_entry(&self, entry: &TableEntry) -> Result<()> {
        self.forget(entry);
        let (schema, name) = (&entry.schema, &entry.name);
        if entry.external {
            return self.files.delete(vec![format!("{schema}/{POINTERS}/{name}.json")]).await;
        }
        // The log goes last: whoever is interrupted still finds a table, and can drop it again.
        let all = self.files.below(&format!("{schema}/{name}")).await?;
        let log = format!("{schema}/{name}/{LOG}/");
        let (log, data): (Vec<String>, Vec<String>) = all.into_iter().partition(|path| path.starts_with(&log));
        self.files.delete(data).await?;
        self.files.delete(log).await?;
        Ok(())
    }

    /// Gives the Delta table at a URI a name for as long as this warehouse is open; nothing is written.
    pub(crate) fn attach(&self, schema: &str, table: &str, uri: &str) {
        let entry = TableEntry { schema: schema.into(), name: table.into(), uri: uri.into(), external: true };
        self.known().insert((schema.to_lowercase(), table.to_lowercase()), entry);
    }

    /// A table of this process, which stands before one of the warehouse.
    pub(crate) fn registered(&self, schema: &str, table: &str) -> Option<Arc<dyn TableProvider>> {
        self.registered_tables().get(&(schema.to_lowercase(), table.to_lowercase())).cloned()
    }

    /// Registers a table of this process; gives back the one that had the name.
    pub(crate) fn register_provider(
        &self,
        schema: &str,
        table: &str,
        provider: Option<Arc<dyn TableProvider>>,
    ) -> Option<Arc<dyn TableProvider>> {
        let key = (schema.to_lowercase(), table.to_lowercase());
        match provider {
            Some(provider) => self.registered_tables().insert(key, provider),
            None => self.registered_tables().remove(&key),
        }
    }

    fn registered_tables(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<dyn TableProvider>>> {
        self.registered.lock().expect("nothing panics while holding this lock")
    }

    /// Names that have been looked up, for callers that cannot wait.
    pub(crate) fn names_seen(&self) -> Vec<TableEntry> {
        self.known().values().cloned().collect()
    }
}

/// The name as it is kept, if it can be one.
///
/// # Errors
/// [`QueryError::InvalidName`] for path separators, a leading underscore or dot, control characters, or too many bytes.
pub(crate) fn check_name(kind: &str, name: &str) -> Result<String> {
    let refuse = |what: String| Err(QueryError::InvalidName { name: printable(name), what });
    if name.is_empty() {
        return refuse(format!("a {kind} needs a name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return refuse(format!("a {kind}'s name has at most {NAME_BYTES_MAX} bytes"));
    }
    if name.starts_with('_') || name.starts_with('.') {
        return refuse(format!("a {kind}'s name does not begin with _ or ., such folders are hidden"));
    }
    let forbidden =
        |c: char| c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '%' | '#');
    if let Some(found) = name.chars().find(|c| forbidden(*c)) {
        return refuse(format!("a {kind}'s name does not hold {found:?}"));
    }
    if name.ends_with(' ') || name.ends_with('.') {
        return refuse(format!("a {kind}'s name does not end with a space or a dot"));
    }
    Ok(name.to_lowercase())
}

#[cfg(test)]
mod tests;
