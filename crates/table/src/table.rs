//! The handle of a table, and how to get one.

use std::sync::{Arc, Mutex};

use floe_storage::{DataStore, Env, Location, LogStore, RatifiedCommits, StorageOptions};
use floe_table_format::feature::Feature;
use floe_table_format::path::TableRoot;
use floe_table_format::{TableState, TimestampMs, Version};

use crate::checks::RowCheckFactory;
use crate::error::{OnTable, Result, TableError};
use crate::record_index::TableIndex;
use crate::vectors::VectorCache;

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
    pub(crate) index: TableIndex,
    vectors: VectorCache,
    /// From how many rows to look through on the store is asked for index runs.
    pub(crate) index_from_rows: u64,
}

/// The newest state seen. The state and not a snapshot: a snapshot holds its table, which would hold itself.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) state: Arc<TableState>,
    pub(crate) listed_at: TimestampMs,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("uri", &self.uri()).finish_non_exhaustive()
    }
}

impl Table {
    /// Starts opening or creating a table with settings.
    pub fn builder(uri: impl Into<String>) -> TableBuilder {
        TableBuilder {
            uri: uri.into(),
            options: StorageOptions::default(),
            env: None,
            location: None,
            trusted: Vec::new(),
            ratified: None,
            row_checks: None,
            index_from_rows: INDEX_FROM_ROWS,
        }
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

    /// The record index.
    pub(crate) fn index(&self) -> &TableIndex {
        &self.0.index
    }

    /// Deletion vectors seen.
    pub(crate) fn vectors(&self) -> &VectorCache {
        &self.0.vectors
    }

    /// The newest state seen without asking the store.
    pub(crate) fn known(&self) -> Option<Known> {
        self.0.newest.lock().expect("nothing panics while holding this lock").clone()
    }

    /// Takes a state in as the newest, unless a newer one is known.
    pub(crate) fn remember(&self, state: &Arc<TableState>, listed_at: TimestampMs) {
        let mut newest = self.0.newest.lock().expect("nothing panics while holding this lock");
        match newest.as_ref() {
            Some(known) if known.state.version > state.version => {}
            _ => *newest = Some(Known { state: state.clone(), listed_at }),
        }
    }

    /// Takes a state in that was loaded without regard to what was known: the table may be another one by now.
    pub(crate) fn begin_anew(&self, state: &Arc<TableState>, listed_at: TimestampMs) {
        let mut newest = self.0.newest.lock().expect("nothing panics while holding this lock");
        *newest = Some(Known { state: state.clone(), listed_at });
    }

    /// As [`Table::remember`], after a commit of our own, which tells nothing about when the log was listed.
    pub(crate) fn remember_own(&self, state: &Arc<TableState>) {
        let listed_at = self.known().map_or_else(|| self.0.env.now(), |k| k.listed_at);
        self.remember(state, listed_at);
    }
}

/// Settings for opening or creating a table.
#[derive(Debug, Clone)]
pub struct TableBuilder {
    uri: String,
    options: StorageOptions,
    env: Option<Env>,
    location: Option<Location>,
    trusted: Vec<String>,
    ratified: Option<RatifiedCommits>,
    row_checks: Option<Arc<dyn RowCheckFactory>>,
    index_from_rows: u64,
}

/// Below so many rows to look through, asking the store for its index runs costs more than reading the rows' keys.
const INDEX_FROM_ROWS: u64 = 256 << 10;

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

    /// Trusts folders: files in them are read where the log names them, as that of a shallow clone does. See
    /// [`Location::with_trusted_roots`].
    pub fn with_trusted_roots<S: Into<String>>(mut self, uris: impl IntoIterator<Item = S>) -> Self {
        self.trusted.extend(uris.into_iter().map(Into::into));
        self
    }

    /// Reads a table that a catalog manages, by what the catalog says of it now; such a table is refused without. The handle stays at
    /// that version, and writes nothing: commits to such a table go through its catalog.
    ///
    /// Protocol section "Catalog-managed tables".
    pub fn with_ratified_commits(mut self, ratified: RatifiedCommits) -> Self {
        self.ratified = Some(ratified);
        self
    }

    /// Who evaluates CHECK constraints; a SQL session brings its own.
    pub fn with_row_checks(mut self, row_checks: Arc<dyn RowCheckFactory>) -> Self {
        self.row_checks = Some(row_checks);
        self
    }

    /// From how many rows on, in files that statistics do not rule out, a look-up of keys asks the store for the record
    /// index; 262,144 by default.
    pub fn with_index_from_rows(mut self, rows: u64) -> Self {
        self.index_from_rows = rows;
        self
    }

    /// The table without a look at its log: for [`Table::check`] of a table that may not load. Any other use of it meets what
    /// opening it would have met.
    ///
    /// # Errors
    /// A URI that names no store.
    pub fn unopened(self) -> Result<Table> {
        self.handle()
    }

    /// The handle alone; nothing is read yet.
    pub(crate) fn handle(self) -> Result<Table> {
        let location = match self.location {
            Some(location) => location,
            None => Location::open(&self.uri, &self.options).on(&self.uri)?,
        };
        let location = location.with_trusted_roots(&self.trusted).on(&self.uri)?;
        let env = self.env.unwrap_or_else(Env::system);
        let log = LogStore::new(location.clone(), env.clone());
        Ok(Table(Arc::new(TableInner {
            log: match self.ratified {
                Some(ratified) => log.with_ratified_commits(ratified),
                None => log,
            },
            data: DataStore::new(location.clone(), env.clone()),
            location,
            env,
            row_checks: self.row_checks,
            newest: Mutex::new(None),
            index: TableIndex::default(),
            vectors: VectorCache::default(),
            index_from_rows: self.index_from_rows,
        })))
    }
}

impl Table {
    /// The features of readers whose demands are met by what the handle was given.
    pub(crate) fn given_features(&self) -> &'static [Feature] {
        if self.0.log.ratified_commits().is_some() { &[Feature::CatalogManaged] } else { &[] }
    }

    /// Where the paths in its log lead from.
    pub(crate) fn root(&self) -> TableRoot {
        self.0.location.table_root()
    }

    /// An error about a request that makes no sense for this table.
    pub(crate) fn refuse(&self, operation: &str, what: impl Into<String>) -> TableError {
        TableError::InvalidRequest { table: self.uri().into(), operation: operation.into(), what: what.into() }
    }

    /// The newest version known without asking the store.
    pub fn known_version(&self) -> Option<Version> {
        self.known().map(|k| k.state.version)
    }
}
