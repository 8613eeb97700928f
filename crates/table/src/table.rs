//! The handle of a table, and how to get one.

use std::sync::{Arc, Mutex};

use floe_storage::{DataStore, Env, Location, LogStore, StorageOptions};
use floe_table_format::{TableState, TimestampMs, Version, VersionSpec};

use crate::checks::RowCheckFactory;
use crate::create::CreateTable;
use crate::error::{OnTable, Result, TableError};
use crate::load;
use crate::snapshot::Snapshot;

/// How long a table may go without listing its log. Within it a refresh asks only for the next version, one request.
/// Beyond it the log may have been cleaned past the version held, and a missing next version would prove nothing.
const LISTING_AGE_MS_MAX: i64 = 60 * 60 * 1000;

/// A Delta table at a location: cheap to clone, safe to share, never half-loaded.
///
/// Clones share the newest snapshot seen, so that a refresh reads only what is new.
#[derive(Clone)]
pub struct Table(pub(crate) Arc<TableInner>);

pub(crate) struct TableInner {
    pub(crate) location: Location,
    pub(crate) log: LogStore,
    pub(crate) data: DataStore,
    pub(crate) env: Env,
    pub(crate) row_checks: Option<Arc<dyn RowCheckFactory>>,
    newest: Mutex<Option<Known>>,
}

/// The newest state seen. The state and not a snapshot: a snapshot holds its table, which would hold itself.
#[derive(Clone)]
struct Known {
    state: Arc<TableState>,
    listed_at: TimestampMs,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("uri", &self.uri()).finish_non_exhaustive()
    }
}

impl Table {
    /// Opens the table at a path or URI.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use floe_table::Table;
    /// let missing = Table::open("memory:///nowhere").await.unwrap_err();
    /// assert!(missing.is_not_a_table());
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TableError::Format`] with `NotATable` where there is no log; whatever reading the log meets.
    pub async fn open(uri: impl Into<String>) -> Result<Table> {
        Table::builder(uri).open().await
    }

    /// Starts opening or creating a table with settings.
    pub fn builder(uri: impl Into<String>) -> TableBuilder {
        TableBuilder { uri: uri.into(), options: StorageOptions::default(), env: None, location: None, row_checks: None }
    }

    /// Where the table lies, without credentials.
    pub fn uri(&self) -> &str {
        &self.0.location.uri
    }

    /// Where the table lies, as the store sees it.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// The table's files below its root.
    pub fn data_store(&self) -> &DataStore {
        &self.0.data
    }

    /// The table's log.
    pub fn log_store(&self) -> &LogStore {
        &self.0.log
    }

    /// The clock and the source of randomness this table uses.
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// The newest version, read from the store: one request where nothing changed since the last look.
    ///
    /// # Errors
    /// Whatever reading the log meets.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let now = self.0.env.now();
        let known = self.known();
        let trusted = known.as_ref().filter(|k| now.0.saturating_sub(k.listed_at.0).abs() < LISTING_AGE_MS_MAX);
        let state = match trusted {
            Some(known) => match load::newer(self, &known.state).await? {
                None => return Ok(self.snapshot_of(known.state.clone())),
                Some(state) => return Ok(self.remember(state, known.listed_at)),
            },
            None => load::at(self, None).await?,
        };
        Ok(self.remember(state, now))
    }

    /// The newest snapshot this handle or a clone has seen; reads the log only if there is none.
    ///
    /// # Errors
    /// Whatever reading the log meets.
    pub async fn cached_snapshot(&self) -> Result<Arc<Snapshot>> {
        match self.known() {
            Some(known) => Ok(self.snapshot_of(known.state)),
            None => self.snapshot().await,
        }
    }

    /// The table at a version or a point in time.
    ///
    /// # Errors
    /// `VersionNotFound` or `TimestampOutOfRange` inside [`TableError::Format`], or whatever reading the log meets.
    pub async fn at(&self, spec: VersionSpec) -> Result<Arc<Snapshot>> {
        let version = match spec {
            VersionSpec::Latest => return self.snapshot().await,
            VersionSpec::Version(version) => version,
            VersionSpec::Timestamp(at) => crate::history::version_at(self, at).await?,
        };
        if let Some(known) = self.known().filter(|k| k.state.version == version) {
            return Ok(self.snapshot_of(known.state));
        }
        let state = load::at(self, Some(version)).await?;
        Ok(self.snapshot_of(state))
    }

    /// Takes a state in as the newest, unless a newer one is known.
    pub(crate) fn remember(&self, state: Arc<TableState>, listed_at: TimestampMs) -> Arc<Snapshot> {
        let mut newest = self.0.newest.lock().expect("nothing panics while holding this lock");
        match newest.as_ref() {
            Some(known) if known.state.version > state.version => {}
            _ => *newest = Some(Known { state: state.clone(), listed_at }),
        }
        drop(newest);
        self.snapshot_of(state)
    }

    /// As [`Table::remember`], after a commit of our own, which tells nothing about when the log was listed.
    pub(crate) fn remember_own(&self, state: Arc<TableState>) -> Arc<Snapshot> {
        let listed_at = self.known().map_or_else(|| self.0.env.now(), |k| k.listed_at);
        self.remember(state, listed_at)
    }

    pub(crate) fn snapshot_of(&self, state: Arc<TableState>) -> Arc<Snapshot> {
        Arc::new(Snapshot::new(self.clone(), state))
    }

    fn known(&self) -> Option<Known> {
        self.0.newest.lock().expect("nothing panics while holding this lock").clone()
    }
}

/// Settings for opening or creating a table.
#[derive(Debug, Clone)]
pub struct TableBuilder {
    uri: String,
    options: StorageOptions,
    env: Option<Env>,
    location: Option<Location>,
    row_checks: Option<Arc<dyn RowCheckFactory>>,
}

impl TableBuilder {
    /// Credentials, endpoint and the like of the object store.
    pub fn with_storage_options(mut self, options: StorageOptions) -> Self {
        self.options = options;
        self
    }

    /// Clock, randomness and tasks; the system's by default.
    pub fn with_env(mut self, env: Env) -> Self {
        self.env = Some(env);
        self
    }

    /// A location that is open already, instead of opening the URI.
    pub fn with_location(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// Who evaluates CHECK constraints; a SQL session brings its own.
    pub fn with_row_checks(mut self, row_checks: Arc<dyn RowCheckFactory>) -> Self {
        self.row_checks = Some(row_checks);
        self
    }

    /// Opens an existing table.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn open(self) -> Result<Table> {
        let table = self.handle()?;
        table.snapshot().await?;
        Ok(table)
    }

    /// Opens the table, or gives none where there is no Delta log.
    ///
    /// # Errors
    /// Whatever reading the log meets other than its absence.
    pub async fn open_or_none(self) -> Result<Option<Table>> {
        match self.open().await {
            Ok(table) => Ok(Some(table)),
            Err(error) if error.is_not_a_table() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the table, without rows.
    ///
    /// # Errors
    /// [`TableError::AlreadyExists`], unless `create` says what to do then; a schema or property that cannot be.
    pub async fn create(self, create: CreateTable) -> Result<Table> {
        let table = self.handle()?;
        crate::create::create(&table, create, None).await?;
        Ok(table)
    }

    /// Creates the table with its first rows in one commit: either both are there or neither.
    ///
    /// # Errors
    /// As [`TableBuilder::create`] and [`Table::append`].
    pub async fn create_with(self, create: CreateTable, rows: crate::stage::BatchStream) -> Result<Table> {
        let table = self.handle()?;
        crate::create::create(&table, create, Some(rows)).await?;
        Ok(table)
    }

    /// The handle alone; nothing is read yet.
    pub(crate) fn handle(self) -> Result<Table> {
        let location = match self.location {
            Some(location) => location,
            None => Location::open(&self.uri, &self.options).on(&self.uri)?,
        };
        let env = self.env.unwrap_or_else(Env::system);
        Ok(Table(Arc::new(TableInner {
            log: LogStore::new(location.clone(), env.clone()),
            data: DataStore::new(location.clone(), env.clone()),
            location,
            env,
            row_checks: self.row_checks,
            newest: Mutex::new(None),
        })))
    }
}

impl Table {
    /// An error about a request that makes no sense for this table.
    pub(crate) fn refuse(&self, operation: &str, what: impl Into<String>) -> TableError {
        TableError::InvalidRequest { table: self.uri().into(), operation: operation.into(), what: what.into() }
    }

    /// The newest version known without asking the store.
    pub fn known_version(&self) -> Option<Version> {
        self.known().map(|k| k.state.version)
    }
}
