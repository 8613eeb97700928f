//! What a statement gives back.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use floe_table_format::Version;
use futures::TryStreamExt;

use crate::error::Result;

/// What became of a statement.
#[must_use]
pub enum Outcome {
    /// Rows, read as they are asked for: an error may still come while reading.
    Rows(SendableRecordBatchStream),
    /// The statement is finished and has no rows to show.
    Done(Done),
}

/// What a statement without rows did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// For people, on one line: `inserted 3 rows into ducks (version 4)`.
    pub message: String,
    /// How many rows were inserted, changed, deleted or copied, where that is counted.
    pub affected_rows: Option<u64>,
    /// The version the statement committed, if it committed one.
    pub version: Option<Version>,
}

impl Done {
    /// A message without counts.
    pub fn new(message: impl Into<String>) -> Self {
        Done { message: message.into(), ..Done::default() }
    }

    /// Adds how many rows were affected.
    pub fn with_affected_rows(mut self, rows: u64) -> Self {
        self.affected_rows = Some(rows);
        self
    }

    /// Adds the version that was committed.
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }
}

impl Outcome {
    /// The columns of the rows; none when there are no rows to show.
    pub fn schema(&self) -> Option<SchemaRef> {
        match self {
            Outcome::Rows(stream) => Some(stream.schema()),
            Outcome::Done(_) => None,
        }
    }

    /// All rows in memory; no batch at all for a statement without rows.
    ///
    /// # Errors
    /// What the rest of the query fails with.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        match self {
            Outcome::Rows(stream) => Ok(stream.try_collect().await?),
            Outcome::Done(_) => Ok(Vec::new()),
        }
    }

    /// What was done, if this is no stream of rows.
    pub fn done(&self) -> Option<&Done> {
        match self {
            Outcome::Rows(_) => None,
            Outcome::Done(done) => Some(done),
        }
    }
}

impl From<Done> for Outcome {
    fn from(done: Done) -> Self {
        Outcome::Done(done)
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Rows(stream) => f.debug_tuple("Rows").field(&stream.schema()).finish(),
            Outcome::Done(done) => f.debug_tuple("Done").field(done).finish(),
        }
    }
}
