//! Rows by their primary key.

use std::sync::Arc;

use arrow::array::RecordBatch;
use floe_index::{KeySet, Sieve};
use floe_table_format::RowSet;
use futures::StreamExt;

use crate::conform::conform;
use crate::error::{OnTable, Result};
use crate::key::{KeyBounds, PrimaryKey};
use crate::locate::{KeyedRows, ReadAtMost, Wanted, locate_within};
use crate::rows::BatchStream;
use crate::scan::{RowFilter, file_rows};
use crate::snapshot::Snapshot;
use crate::table::Table;

impl Table {
    /// The rows of these keys in the newest version, in no particular order. The batch holds the columns of the primary key.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{Int64Array, RecordBatch};
    /// use floe_table::{CreateTable, Table};
    /// use futures::TryStreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), floe_table::TableError> {
    /// let ids = |ids: Vec<i64>| RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(ids)) as _)]);
    /// let create = CreateTable::from_arrow(&ids(vec![])?.schema())?.with_primary_key(["id"]);
    /// let table = Table::builder("memory://get/numbers").create(create).await?;
    /// table.append(vec![ids((0..1000).collect())?]).await?;
    /// let found: Vec<RecordBatch> = table.get(&ids(vec![7, 5000])?).await?.try_collect().await?;
    /// assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a table without a primary key; [`crate::TableError::SchemaMismatch`] for keys of other
    /// columns; whatever reading meets.
    pub async fn get(&self, keys: &RecordBatch) -> Result<BatchStream> {
        self.snapshot().await?.get(keys).await
    }
}

impl Snapshot {
    /// The rows of these keys in this version, in no particular order.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn get(&self, keys: &RecordBatch) -> Result<BatchStream> {
        let found = self.locate_keys(keys).await?;
        let (table, state) = (self.table().clone(), self.state().clone());
        let mut rows = Vec::with_capacity(found.files.len());
        for (path, set) in &found.files {
            let view = state.files.find(path);
            let view = view.ok_or_else(|| table.refuse("get rows", format!("{path} is not a live file")))?;
            rows.push(file_rows(&table, &state, &view, RowFilter::Only(set)).await?);
        }
        Ok(futures::stream::iter(rows).flatten().boxed())
    }

    /// Where the live rows of these keys are, found through the record index or the key columns, whichever is cheaper.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn locate_keys(&self, keys: &RecordBatch) -> Result<KeyedRows> {
        Ok(self.locate_keys_within(keys, ReadAtMost::AllRows).await?.unwrap_or_default())
    }

    /// As [`Snapshot::locate_keys`], where the record index knows nearly all files: none if the key columns of more rows than
    /// these would have to be read, for then reading the table is as good.
    ///
    /// # Errors
    /// As [`Table::get`].
    pub async fn locate_indexed_keys(&self, keys: &RecordBatch, rows_read_max: u64) -> Result<Option<KeyedRows>> {
        self.locate_keys_within(keys, ReadAtMost::Rows(rows_read_max)).await
    }

    async fn locate_keys_within(&self, keys: &RecordBatch, at_most: ReadAtMost) -> Result<Option<KeyedRows>> {
        let (table, state) = (self.table(), self.state());
        let uri = table.uri();
        let key = PrimaryKey::of(uri, &state.metadata)?;
        let key = key.ok_or_else(|| table.refuse("look keys up", "the table has no primary key"))?;
        let arrow = self.arrow_schema()?;
        let fields: Vec<_> =
            key.columns.iter().map(|column| arrow.field(*column).clone().with_nullable(true)).collect();
        let keys = conform(uri, keys, &Arc::new(arrow::datatypes::Schema::new(fields)))?;
        let columns = keys.columns().to_vec();
        let set = Arc::new(KeySet::new(key.hash(uri, &columns)?));
        let bounds = KeyBounds::of(&columns);
        let sieve = Arc::new(Sieve::new(columns.iter().take(1)));
        let wanted = Wanted { keys: &set, bounds: &bounds, sieve: Some(&sieve) };
        let located = locate_within(table, state, &key, &wanted, &Default::default(), at_most).await?;
        let Some((found, lookup)) = located else { return Ok(None) };
        let mut files = Vec::new();
        for (path, hits) in found {
            let view = state.files.find(&path);
            let view = view.ok_or_else(|| table.refuse("look keys up", format!("{path} is not a live file")))?;
            let mut rows: RowSet = hits.iter().map(|(_, row)| u64::from(*row)).collect();
            if let Some(descriptor) = view.deletion_vector() {
                rows = rows.difference(&*table.vectors().load(table.data_store(), &descriptor).await.on(uri)?);
            }
            if !rows.is_empty() {
                files.push((path, rows));
            }
        }
        Ok(Some(KeyedRows { files, lookup }))
    }

    /// The columns of the primary key; empty for a table without one.
    pub fn primary_key(&self) -> &[String] {
        &self.state().properties.primary_key
    }
}
