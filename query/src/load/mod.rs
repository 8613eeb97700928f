//! Files of text as rows: which files there are, what their columns are, and which of their records cannot be rows.
//!
//! DataFusion reads such files too, and gives a file up at the first record that does not fit. Loading wants more: where that
//! record is, why it does not fit, and the records after it. So bytes go through here: unpacked ([`unpack`]), cut into records
//! ([`csv`], [`json`]), fitted to the columns exactly or not at all ([`fit`]), and what is no row goes to the [`bad`] records.

mod bad;
mod csv;
mod fit;
mod json;
mod options;
mod rows;
mod sample;
mod source;
mod unpack;

use arrow::array::RecordBatch;

use crate::error::Result;

pub(crate) use bad::{BadRecord, BadRecords};
pub(crate) use csv::CsvOptions;
pub(crate) use json::JsonOptions;
pub(crate) use options::LoadOptions;
pub(crate) use rows::text_rows;
pub(crate) use sample::{columns_of, names_of};
pub(crate) use source::{Source, SourceFile};
pub(crate) use unpack::Packing;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Bytes of records that a batch is made of before it has so many rows.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes that one record may take. A quote or a bracket that is never closed would else swallow the file.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// How the text of files is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextFormat {
    Csv(CsvOptions),
    Json(JsonOptions),
}

/// What came of some bytes of a file.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) bad: Vec<BadRecord>,
}

/// Reads the records of one file as its bytes come.
pub(crate) trait Records: Send {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// What makes the rest of the file unreadable.
    fn push(&mut self, bytes: &[u8], out: &mut Decoded) -> Result<()>;

    /// Says that there are no more.
    ///
    /// # Errors
    /// As [`Records::push`].
    fn finish(&mut self, out: &mut Decoded) -> Result<()>;
}

#[cfg(test)]
mod tests;
