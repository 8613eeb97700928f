//! A table at one version.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use floe_table_format::{Metadata, StructType, TableState, Version};

use crate::error::{OnTable, Result};
use crate::key::check_key_types;
use crate::load;
use crate::table::{Table, TableBuilder};

/// How long a table may go without listing its log. Within it a refresh asks only for the next version, one request.
/// Beyond it the log may have been cleaned past the version held, or another table may lie there by now: a missing next
/// version proves nothing until the log is seen to hold this one still.
const LISTING_AGE_MS_MAX: i64 = 60 * 1000;

/// A table at one [`Version`]: it never changes, whatever others commit.
#[derive(Clone)]
pub struct Snapshot {
    table: Table,
    state: Arc<TableState>,
    /// The version as it is in the log, where [`Snapshot::state`] shows more columns than that has.
    committed: Option<Arc<TableState>>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("uri", &self.table.uri()).field("version", &self.version()).finish()
    }
}

impl Snapshot {
    pub(crate) fn new(table: Table, state: Arc<TableState>) -> Self {
        Snapshot { table, state, committed: None }
    }

    /// This version as it would be with the columns that these rows have and the table lacks, at any depth. A change that is
    /// begun on it commits the columns with its rows; until then nobody else sees them.
    ///
    /// # Errors
    /// [`crate::TableError::Format`] for columns that the table cannot have.
    pub fn grown_by(self: &Arc<Self>, rows: &StructType) -> Result<Arc<Snapshot>> {
        let uri = self.table.uri();
        let grown = self.state.schema.grown_by(rows, self.state.properties.enable_type_widening).on(uri)?;
        if grown == *self.state.schema {
            return Ok(self.clone());
        }
        check_key_types(uri, &self.state.properties.primary_key, &self.state.schema, &grown)?;
        let metadata = Metadata { schema_string: grown.to_json(), ..self.state.metadata.clone() };
        let committed = self.committed.as_ref().unwrap_or(&self.state);
        let (protocol, metadata) = crate::metadata::completed(&self.table, committed, metadata)?;
        let state = Arc::new(self.state.seen_as(protocol, metadata).on(uri)?);
        Ok(Arc::new(Snapshot { table: self.table.clone(), state, committed: Some(committed.clone()) }))
    }

    /// The version as it is in the log.
    pub(crate) fn committed(&self) -> &Arc<TableState> {
        self.committed.as_ref().unwrap_or(&self.state)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.state.version
    }

    /// The table this is a version of.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Protocol, metadata and live files at this version.
    pub fn state(&self) -> &Arc<TableState> {
        &self.state
    }

    /// The columns as Delta types.
    pub fn schema(&self) -> &StructType {
        &self.state.schema
    }

    /// The columns as Arrow types: string as `Utf8`, timestamp as microseconds in UTC, decimal as `Decimal128`.
    ///
    /// # Errors
    /// `UnsupportedFeature` inside [`crate::TableError::Format`] for a type this build does not read.
    pub fn arrow_schema(&self) -> Result<SchemaRef> {
        self.state.schema.to_arrow().on(self.table.uri())
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
    /// [`crate::TableError::Format`] with `NotATable` where there is no log; whatever reading the log meets.
    pub async fn open(uri: impl Into<String>) -> Result<Table> {
        Table::builder(uri).open().await
    }

    /// The newest version, read from the store: one request where nothing changed since the last look.
    ///
    /// # Errors
    /// Whatever reading the log meets.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let now = self.0.env.now();
        let known = self.known();
        let (base, listed_at) = match known {
            Some(known) if now.0.saturating_sub(known.listed_at.0).abs() < LISTING_AGE_MS_MAX => {
                (Some(known.state), known.listed_at)
            }
            Some(known) if load::is_there(self, known.state.version).await? => (Some(known.state), now),
            _ => (None, now),
        };
        let state = match base {
            Some(base) => {
                let state = load::newer(self, &base).await?.unwrap_or(base);
                self.remember(&state, listed_at);
                state
            }
            None => {
                let state = load::at(self, None).await?;
                self.begin_anew(&state, listed_at);
                state
            }
        };
        Ok(self.snapshot_of(state))
    }

    /// A snapshot to write on: the newest one seen, if the log was looked at within a minute. Older, and its version may have
    /// been cleaned out of the log by now.
    pub(crate) async fn recent_snapshot(&self) -> Result<Arc<Snapshot>> {
        let now = self.0.env.now();
        match self.known() {
            Some(known) if now.0.saturating_sub(known.listed_at.0).abs() < LISTING_AGE_MS_MAX => {
                Ok(self.snapshot_of(known.state))
            }
            _ => self.snapshot().await,
        }
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

    pub(crate) fn snapshot_of(&self, state: Arc<TableState>) -> Arc<Snapshot> {
        Arc::new(Snapshot::new(self.clone(), state))
    }
}

impl TableBuilder {
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
}
