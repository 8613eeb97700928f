//! Appending and overwriting rows.

use std::pin::Pin;

use arrow::array::RecordBatch;
use floe_table_format::{Metadata, Operation, Predicate, Protocol, Rule, StructField, StructType, prune};
use futures::StreamExt;

use crate::commit::{CommitOutcome, CommitReport};
use crate::error::{OnTable, Result, TableError};
use crate::rows::{BatchStream, stream_of};
use crate::snapshot::Snapshot;
use crate::table::Table;
use crate::transaction::Transaction;

/// How often an append is made anew because another writer gave out the same identity values.
const ATTEMPTS_MAX: u32 = 50;

/// What happens to the rows a table has already.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum SaveMode {
    /// They stay.
    #[default]
    Append,
    /// They are replaced, all of them.
    Overwrite,
}

/// What happens where rows have other columns than the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaMode {
    /// They are refused if they have more; columns they lack are null or generated.
    #[default]
    Fixed,
    /// The table gets the columns that it lacks, at any depth, in the same commit. The first batch tells.
    Merge,
    /// With [`SaveMode::Overwrite`]: the table gets the columns of the rows in the place of its own. The first batch tells.
    /// Properties and constraints stay, and so does the partitioning.
    Overwrite,
}

/// Settings of [`Table::append_with`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AppendOptions {
    /// What happens to the rows the table has already.
    pub mode: SaveMode,
    /// What happens where rows have other columns than the table.
    pub schema: SchemaMode,
    /// An application and how far it has come with these rows. If the table shows that the application came as far
    /// already, nothing is written: a batch that is sent again after a crash lands once.
    pub app_progress: Option<(String, i64)>,
}

impl Table {
    /// Appends rows in one commit.
    ///
    /// Columns are matched by name; a column the rows lack becomes null, or what the table generates for it. An append reads
    /// nothing, so it never conflicts with other writers' rows; in a table with identity columns it is made again where
    /// another writer has given the same values out.
    ///
    /// # Errors
    /// [`TableError::ConstraintViolation`] or [`TableError::SchemaMismatch`], with nothing committed; see also
    /// [`crate::Transaction::commit`].
    pub async fn append(&self, batches: Vec<RecordBatch>) -> Result<CommitReport> {
        for _ in 1..ATTEMPTS_MAX {
            match self.append_stream(stream_of(batches.clone())).await {
                // Another writer was faster at giving out identity values: these rows get the next ones.
                Err(TableError::Conflict { why, .. })
                    if why.rule == Rule::MetadataChanged && self.gives_values_out() => {}
                done => return done,
            }
        }
        self.append_stream(stream_of(batches)).await
    }

    /// Whether rows get values that no two of them may have.
    fn gives_values_out(&self) -> bool {
        self.known().is_some_and(|known| known.state.schema.any_field(StructField::is_identity))
    }

    /// Appends a stream of rows in one commit; memory does not grow with its length.
    ///
    /// # Errors
    /// As [`Table::append`], and an error of the stream; in a table with identity columns [`TableError::Conflict`] where
    /// another writer has given the same values out, for a stream cannot be read again.
    pub async fn append_stream(&self, rows: BatchStream) -> Result<CommitReport> {
        self.append_with(rows, AppendOptions::default())
            .await
            .map(|report| report.expect("written: no progress to skip"))
    }

    /// Appends or overwrites; none if the application's progress shows that these rows are there already.
    ///
    /// # Errors
    /// As [`Table::append_stream`]; an overwrite also conflicts with any change of the rows it replaces, and a commit that
    /// brings columns with any other change of the table's metadata.
    pub async fn append_with(&self, rows: BatchStream, options: AppendOptions) -> Result<Option<CommitReport>> {
        let overwrite = options.mode == SaveMode::Overwrite;
        if options.schema == SchemaMode::Overwrite && !overwrite {
            return Err(
                self.refuse("give the table other columns", "the rows it has would lack them; overwrite them too")
            );
        }
        let (rows, found) = match options.schema {
            SchemaMode::Fixed => (rows, None),
            SchemaMode::Merge | SchemaMode::Overwrite => self.columns_of(rows).await?,
        };
        let mut snapshot = match overwrite || options.app_progress.is_some() {
            true => self.snapshot().await?,
            false => self.recent_snapshot().await?,
        };
        if let (SchemaMode::Merge, Some(found)) = (options.schema, &found) {
            snapshot = snapshot.grown_by(found)?;
        }
        let mode = if overwrite { "Overwrite" } else { "Append" };
        let partition_by = serde_json::json!(snapshot.state().metadata.partition_columns).to_string();
        let operation =
            Operation::new("WRITE").with_parameter("mode", mode).with_parameter("partitionBy", partition_by);
        let mut transaction = self.begin_at(&snapshot, operation)?;
        if let (SchemaMode::Overwrite, Some(found)) = (options.schema, &found) {
            let (protocol, metadata) = self.with_columns_of(&snapshot, found)?;
            if protocol != snapshot.state().protocol {
                transaction.set_protocol(protocol);
            }
            transaction.set_metadata(metadata);
        }
        if let Some((app_id, version)) = &options.app_progress {
            if transaction.app_progress(app_id).is_some_and(|done| done >= *version) {
                return Ok(None);
            }
            transaction.record_app_progress(app_id, *version);
        }
        if overwrite {
            transaction.read_whole_table();
            for id in prune::prune(snapshot.state(), &Predicate::True).on(self.uri())? {
                transaction.remove_file(snapshot.state().files.get(&id).path())?;
            }
        }
        transaction.append(rows).await.map(Some)
    }

    /// The columns of rows, which the first batch tells; none where there is none.
    pub(crate) async fn columns_of(&self, rows: BatchStream) -> Result<(BatchStream, Option<StructType>)> {
        let mut rows = rows.peekable();
        let found = match Pin::new(&mut rows).peek().await {
            Some(Ok(first)) => Some(StructType::from_arrow(&first.schema()).on(self.uri())?),
            // An error of the stream comes up where the rows are read.
            Some(Err(_)) | None => None,
        };
        Ok((rows.boxed(), found))
    }

    /// The metadata of this table with the columns of these rows in the place of its own.
    fn with_columns_of(&self, snapshot: &Snapshot, rows: &StructType) -> Result<(Protocol, Metadata)> {
        let state = snapshot.state();
        let mut schema = StructType::default().grown_by(rows, false).on(self.uri())?;
        for field in schema.fields.iter_mut().filter(|field| state.properties.primary_key.contains(&field.name)) {
            field.nullable = false;
        }
        let lost = state.metadata.partition_columns.iter().find(|name| !schema.names().any(|own| own == *name));
        if let Some(lost) = lost {
            let what =
                format!("it is partitioned by {lost}, which they lack; CREATE OR REPLACE TABLE changes that too");
            return Err(self.refuse("take the columns of the rows over", what));
        }
        crate::metadata::completed(self, state, Metadata { schema_string: schema.to_json(), ..state.metadata.clone() })
    }
}

impl Transaction {
    /// Writes rows and commits them, with whatever else the change holds.
    ///
    /// # Errors
    /// As [`Transaction::stage_rows`] and [`Transaction::commit`]; [`TableError::Conflict`] where another writer won. Nothing
    /// is left behind then.
    pub(crate) async fn append(mut self, rows: BatchStream) -> Result<CommitReport> {
        let table = self.table().clone();
        self.stage_rows(rows).await?;
        match self.commit().await? {
            CommitOutcome::Committed(report) => {
                // The append stands, whatever becomes of the upkeep.
                let _ = table.upkeep().await;
                Ok(report)
            }
            CommitOutcome::Conflicted { transaction, why } => {
                let operation = transaction.operation().name.clone();
                transaction.roll_back().await;
                Err(TableError::Conflict { table: table.uri().to_owned(), operation, why })
            }
        }
    }
}
