//! A warehouse and a DataFusion context over it.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::parser::Parser;
use floe_storage::{Env, Location, StorageOptions};
use floe_table::{Overview, OverviewOptions, Table};

use crate::catalog::{CATALOG_NAME, DEFAULT_SCHEMA, TableEntry, Warehouse, WarehouseCatalog};
use crate::dialect::FloeDialect;
use crate::error::{QueryError, Result};
use crate::progress::{Progress, Watch};
use crate::relation::RelationName;
use crate::row_checks::SqlRowChecks;

/// The setting that keeps VACUUM from deleting what younger versions need.
pub(crate) const RETENTION_CHECK: &str = "floe.retention_check";

extensions_options! {
    /// Settings of a session that are Floe's own: `SET floe.retention_check = false`.
    pub struct FloeSettings {
        /// Whether VACUUM refuses a retention below the table's own.
        pub retention_check: bool, default = true
    }
}

impl ConfigExtension for FloeSettings {
    const PREFIX: &'static str = "floe";
}

/// How to open a [`Session`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Path or URI of the warehouse. It need not exist: the first table makes it.
    pub warehouse: String,
    /// Credentials, endpoints and the like, for the warehouse and for every other URI in a statement.
    pub storage_options: StorageOptions,
    /// Refuses every statement that writes, before it does anything.
    pub read_only: bool,
    /// How many partitions of a query run at once; as many as there are processors by default.
    pub target_partitions: Option<usize>,
    /// Memory that sorts, joins and aggregations may take together, in bytes, before they spill or fail.
    pub memory_limit_bytes: Option<usize>,
    /// Clock, randomness and tasks; the system's by default.
    pub env: Option<Env>,
    /// The warehouse as a location that is open already, instead of opening the URI.
    pub location: Option<LocationHandle>,
}

/// A [`Location`] that prints as its URI.
#[derive(Clone)]
pub struct LocationHandle(pub Location);

impl std::fmt::Debug for LocationHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.uri)
    }
}

impl SessionOptions {
    /// A session that reads and writes the warehouse at a path or URI.
    pub fn new(warehouse: impl Into<String>) -> Self {
        SessionOptions { warehouse: warehouse.into(), ..SessionOptions::default() }
    }

    /// Sets credentials, endpoints and the like.
    pub fn with_storage_options(mut self, storage_options: StorageOptions) -> Self {
        self.storage_options = storage_options;
        self
    }

    /// Refuses statements that write.
    pub fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets how many partitions of a query run at once.
    pub fn with_target_partitions(mut self, partitions: usize) -> Self {
        self.target_partitions = Some(partitions);
        self
    }

    /// Limits the memory of sorts, joins and aggregations.
    pub fn with_memory_limit_bytes(mut self, bytes: usize) -> Self {
        self.memory_limit_bytes = Some(bytes);
        self
    }

    /// Sets clock, randomness and tasks.
    pub fn with_env(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// Uses a location that is open already as the warehouse.
    pub fn with_location(mut self, location: Location) -> Self {
        self.warehouse = location.uri.clone();
        self.location = Some(LocationHandle(location));
        self
    }
}

/// SQL over a warehouse. Cheap to clone; clones share catalog, settings and open tables.
///
/// ```
/// # async fn example() -> Result<(), floe_query::QueryError> {
/// use floe_query::{Outcome, Session, SessionOptions};
///
/// let session = Session::open(SessionOptions::new("memory://doc-session/warehouse")).await?;
/// for statement in session.statements("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1), (2)")? {
///     if let Outcome::Done(done) = session.run(&statement).await? {
///         println!("{}", done.message);
///     }
/// }
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    warehouse: Arc<Warehouse>,
    watch: Arc<Watch>,
    read_only: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("warehouse", &self.warehouse.uri()).field("read_only", &self.read_only).finish()
    }
}

impl Session {
    /// Opens a session. Nothing is written: the warehouse comes to be with its first schema or table.
    ///
    /// # Errors
    /// [`QueryError::Storage`] for a location or storage option that cannot be.
    pub async fn open(options: SessionOptions) -> Result<Session> {
        let mut config = SessionConfig::new()
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG_NAME, DEFAULT_SCHEMA)
            .with_information_schema(true);
        if let Some(partitions) = options.target_partitions {
            config = config.with_target_partitions(partitions.max(1));
        }
        let sql = &mut config.options_mut().sql_parser;
        // Names are spelled as the tables spell them before planning.
        sql.enable_ident_normalization = false;
        // Delta strings are `Utf8`; casts in a statement should not bring in a second type.
        sql.map_string_types_to_utf8view = false;
        config.options_mut().extensions.insert(FloeSettings::default());
        let watch = Arc::new(Watch::default());
        config.set_extension(watch.clone());
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = options.memory_limit_bytes {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.build_arc()?)
            .with_default_features()
            .build();
        let context = SessionContext::new_with_state(state);
        crate::variants::register(&context);
        let row_checks = Some(Arc::new(SqlRowChecks::new(context.state())) as _);
        let env = options.env.unwrap_or_else(Env::system);
        let warehouse = match options.location {
            Some(location) => Warehouse::at(location.0, options.storage_options, env, row_checks),
            None => Warehouse::open(&options.warehouse, options.storage_options, env, row_checks)?,
        };
        let warehouse = Arc::new(warehouse);
        context.register_catalog(CATALOG_NAME, Arc::new(WarehouseCatalog::new(warehouse.clone())));
        Ok(Session { context, warehouse, watch, read_only: options.read_only })
    }

    /// The DataFusion context, for what SQL does not say: registering functions, or tables of this process.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The schemas and tables.
    pub fn warehouse(&self) -> &Arc<Warehouse> {
        &self.warehouse
    }

    /// How far the statements have come that run through this handle and its clones; queries whose rows are not read to the
    /// end among them.
    pub fn progress(&self) -> Progress {
        self.watch.progress()
    }

    /// Whether statements that write are refused.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether VACUUM refuses a retention below the table's own.
    pub(crate) fn checks_retention(&self) -> bool {
        let config = self.context.copied_config();
        config.options().extensions.get::<FloeSettings>().is_none_or(|settings| settings.retention_check)
    }

    /// The schema that names without one belong to.
    pub fn current_schema(&self) -> String {
        self.context.copied_config().options().catalog.default_schema.clone()
    }

    /// Changes the schema that names without one belong to.
    ///
    /// # Errors
    /// [`QueryError::UnknownSchema`] with the nearest name.
    pub async fn use_schema(&self, name: &str) -> Result<()> {
        let schema = self.warehouse.schema(name).await?;
        self.context.state_ref().write().config_mut().options_mut().catalog.default_schema = schema;
        Ok(())
    }

    /// The functions that queries can call, of one value, of groups and of windows, in order.
    pub fn function_names(&self) -> Vec<String> {
        let state = self.context().state();
        let mut names: BTreeSet<String> = state.scalar_functions().keys().cloned().collect();
        names.extend(state.aggregate_functions().keys().cloned());
        names.extend(state.window_functions().keys().cloned());
        names.into_iter().collect()
    }

    /// The tables of the current schema.
    ///
    /// # Errors
    /// Whatever listing the schema meets.
    pub async fn tables(&self) -> Result<Vec<TableEntry>> {
        self.warehouse.tables(&self.current_schema()).await
    }

    /// Opens a table by its name, as SQL writes it, or by path or URI.
    ///
    /// # Errors
    /// [`QueryError::UnknownTable`] with the nearest name; whatever reading the table's log meets.
    pub async fn table(&self, name: &str) -> Result<Table> {
        self.table_named(&self.read_name(name)?).await
    }

    /// Reads `schema.table`, ``delta.`uri` `` or a path that came as text.
    pub(crate) fn read_name(&self, text: &str) -> Result<ObjectName> {
        use datafusion::sql::sqlparser::ast::Ident;
        let path = || ObjectName::from(vec![Ident::with_quote('\'', text)]);
        if text.contains("://") || text.starts_with(['/', '.', '~']) {
            return Ok(path());
        }
        let mut parser = Parser::new(&FloeDialect).try_with_sql(text)?;
        match parser.parse_object_name(false) {
            Ok(name) if parser.peek_token_ref().token == datafusion::sql::sqlparser::tokenizer::Token::EOF => Ok(name),
            _ => Ok(path()),
        }
    }

    /// What a table looks like as a whole, by its name, path or URI. The commands of its advice call it so.
    ///
    /// # Errors
    /// As [`Session::table`], and whatever reading the log meets.
    pub async fn overview(&self, name: &str) -> Result<Overview> {
        let read = self.read_name(name)?;
        let table = self.table_named(&read).await?;
        let mut options = OverviewOptions::default();
        options.named = Some(read.to_string());
        Ok(table.overview(&options).await?)
    }

    /// A table by its name, path or URI without a look at its log: for checking one that may not load.
    ///
    /// # Errors
    /// [`QueryError::UnknownTable`] with the nearest name.
    pub async fn unopened(&self, name: &str) -> Result<Table> {
        self.unopened_table(&self.read_name(name)?).await
    }

    /// As [`Session::unopened`], for the name in a statement.
    pub(crate) async fn unopened_table(&self, name: &ObjectName) -> Result<Table> {
        match RelationName::of(name)? {
            RelationName::Catalog { schema, table } => {
                let schema = schema.unwrap_or_else(|| self.current_schema());
                if self.warehouse.registered(&schema, &table).is_none() {
                    let entry = self.warehouse.entry(&schema, &table).await?;
                    return Ok(self.warehouse.builder_of(&entry)?.unopened()?);
                }
            }
            RelationName::Delta(path) | RelationName::Path(path) => {
                return Ok(self.warehouse.builder(&path).unopened()?);
            }
            _ => {}
        }
        self.table_named(name).await
    }

    /// The Delta table that a statement names.
    pub(crate) async fn table_named(&self, name: &ObjectName) -> Result<Table> {
        match RelationName::of(name)? {
            RelationName::Catalog { schema, table } => {
                let schema = schema.unwrap_or_else(|| self.current_schema());
                if self.warehouse.registered(&schema, &table).is_some() {
                    return Err(QueryError::invalid_argument(format!(
                        "{name} is a table of this process and no Delta table"
                    )));
                }
                Box::pin(self.warehouse.table(&schema, &table)).await
            }
            RelationName::Delta(path) | RelationName::Path(path) => {
                let found = self.warehouse.table_at(&path).await?;
                found.ok_or_else(|| no_delta_log(&path))
            }
            RelationName::Files(_, path) => Err(QueryError::unsupported(
                format!("changing or describing {path}: it is a file and no table"),
                "CREATE TABLE t AS SELECT * FROM the file",
            )),
            RelationName::InformationSchema(table) => {
                Err(QueryError::invalid_argument(format!("information_schema.{table} is no Delta table")))
            }
        }
    }
}

pub(crate) fn no_delta_log(path: &str) -> QueryError {
    QueryError::UnreadablePath { path: path.into(), what: "there is no Delta log (_delta_log) in it".into() }
}
