//! The rows a change takes away, by file.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;
use floe_table::Transaction;
use floe_table_format::{FileId, RowSet, TableState};

use crate::scan_exec::file_id;

/// The rows of the table that the rows of a batch stand for, by two columns of it; none where these are null.
pub(super) fn addresses(batch: &RecordBatch, file: usize, row: usize) -> Result<Vec<Option<(FileId, u64)>>> {
    let files = batch.column(file).as_primitive_opt::<UInt64Type>();
    let rows = batch.column(row).as_primitive_opt::<Int64Type>();
    let (Some(files), Some(rows)) = (files, rows) else {
        return internal_err!("the columns {file} and {row} are no row addresses: {}", batch.schema());
    };
    let address = |at: usize| files.is_valid(at).then(|| (file_id(files.value(at)), rows.value(at).cast_unsigned()));
    Ok((0..batch.num_rows()).map(address).collect())
}

/// Rows of files, collected from the address columns of a query.
#[derive(Debug, Default)]
pub(super) struct TouchedRows {
    files: HashMap<u64, RowSet>,
    rows: u64,
}

/// A row that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) file: u64,
    pub(super) row: u64,
}

impl TouchedRows {
    /// Takes in the rows that two columns of a batch name, those that are null excepted. Gives the first that was there
    /// already.
    pub(super) fn add(&mut self, batch: &RecordBatch, file: usize, row: usize) -> Result<Option<Repeated>> {
        let files = batch.column(file).as_primitive_opt::<UInt64Type>();
        let rows = batch.column(row).as_primitive_opt::<Int64Type>();
        let (Some(files), Some(rows)) = (files, rows) else {
            return internal_err!("the columns {file} and {row} are no row addresses: {}", batch.schema());
        };
        let mut repeated = None;
        let mut start = 0;
        // Rows of a file come together, so the set is looked up once a run and not once a row.
        while start < batch.num_rows() {
            if files.is_null(start) {
                start += 1;
                continue;
            }
            let file = files.value(start);
            let run = (start..batch.num_rows()).take_while(|i| files.is_valid(*i) && files.value(*i) == file);
            let end = start + run.count();
            let set = self.files.entry(file).or_default();
            for row in &rows.values()[start..end] {
                let row = row.cast_unsigned();
                match set.insert(row) {
                    true => self.rows += 1,
                    false => repeated = repeated.or(Some(Repeated { file, row })),
                }
            }
            start = end;
        }
        Ok(repeated)
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes the rows out of the table, for rows in their place; `state` is what was scanned.
    pub(super) fn replace_in(self, transaction: &mut Transaction, state: &TableState) {
        for (address, rows) in self.files {
            transaction.replace_rows(state.files.get(&file_id(address)).path(), rows);
        }
    }

    /// Takes the rows out of the table; `state` is what was scanned.
    pub(super) fn delete_from(self, transaction: &mut Transaction, state: &TableState) {
        for (address, rows) in self.files {
            transaction.delete_rows(state.files.get(&file_id(address)).path(), rows);
        }
    }
}
