//! The TPC-H tables as Arrow batches and Parquet files, and the 22 queries over them.
//!
//! Everything here is a function of the scale factor alone: the same rows on every machine and in every run. Text comes
//! as `Utf8`, so that a table made of these batches has the types that a table read back has.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// Rows in a generated batch.
const BATCH_ROWS: usize = 8192;

/// The 22 queries with the substitution parameters that the specification gives for validation at scale factor 1.
const QUERIES: [&str; 22] = [
    include_str!("queries/q01.sql"),
    include_str!("queries/q02.sql"),
    include_str!("queries/q03.sql"),
    include_str!("queries/q04.sql"),
    include_str!("queries/q05.sql"),
    include_str!("queries/q06.sql"),
    include_str!("queries/q07.sql"),
    include_str!("queries/q08.sql"),
    include_str!("queries/q09.sql"),
    include_str!("queries/q10.sql"),
    include_str!("queries/q11.sql"),
    include_str!("queries/q12.sql"),
    include_str!("queries/q13.sql"),
    include_str!("queries/q14.sql"),
    include_str!("queries/q15.sql"),
    include_str!("queries/q16.sql"),
    include_str!("queries/q17.sql"),
    include_str!("queries/q18.sql"),
    include_str!("queries/q19.sql"),
    include_str!("queries/q20.sql"),
    include_str!("queries/q21.sql"),
    include_str!("queries/q22.sql"),
];

/// The number and the text of each query, 1 to 22. Each is one statement without a semicolon.
pub fn queries() -> impl Iterator<Item = (usize, &'static str)> {
    QUERIES.iter().enumerate().map(|(index, text)| (index + 1, text.trim_end()))
}

/// One of the eight tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TpchTable {
    /// 5 rows at any scale.
    Region,
    /// 25 rows at any scale.
    Nation,
    /// 10,000 rows at scale factor 1.
    Supplier,
    /// 200,000 rows at scale factor 1.
    Part,
    /// 800,000 rows at scale factor 1.
    PartSupp,
    /// 150,000 rows at scale factor 1.
    Customer,
    /// 1,500,000 rows at scale factor 1.
    Orders,
    /// About 6,000,000 rows at scale factor 1.
    LineItem,
}

impl TpchTable {
    /// All eight, smallest first.
    pub const ALL: [TpchTable; 8] = [
        TpchTable::Region,
        TpchTable::Nation,
        TpchTable::Supplier,
        TpchTable::Part,
        TpchTable::PartSupp,
        TpchTable::Customer,
        TpchTable::Orders,
        TpchTable::LineItem,
    ];

    /// The name in the queries: `lineitem`, `orders`, ...
    pub fn name(self) -> &'static str {
        match self {
            TpchTable::Region => "region",
            TpchTable::Nation => "nation",
            TpchTable::Supplier => "supplier",
            TpchTable::Part => "part",
            TpchTable::PartSupp => "partsupp",
            TpchTable::Customer => "customer",
            TpchTable::Orders => "orders",
            TpchTable::LineItem => "lineitem",
        }
    }

    /// The columns of the primary key.
    pub fn key(self) -> &'static [&'static str] {
        match self {
            TpchTable::Region => &["r_regionkey"],
            TpchTable::Nation => &["n_nationkey"],
            TpchTable::Supplier => &["s_suppkey"],
            TpchTable::Part => &["p_partkey"],
            TpchTable::PartSupp => &["ps_partkey", "ps_suppkey"],
            TpchTable::Customer => &["c_custkey"],
            TpchTable::Orders => &["o_orderkey"],
            TpchTable::LineItem => &["l_orderkey", "l_linenumber"],
        }
    }

    /// The schema of [`batches`](Self::batches).
    pub fn schema(self) -> SchemaRef {
        let views = match self {
            TpchTable::Region => RegionArrow::schema_ref(),
            TpchTable::Nation => NationArrow::schema_ref(),
            TpchTable::Supplier => SupplierArrow::schema_ref(),
            TpchTable::Part => PartArrow::schema_ref(),
            TpchTable::PartSupp => PartSuppArrow::schema_ref(),
            TpchTable::Customer => CustomerArrow::schema_ref(),
            TpchTable::Orders => OrderArrow::schema_ref(),
            TpchTable::LineItem => LineItemArrow::schema_ref(),
        };
        without_views(&views)
    }

    /// The rows at a scale factor, generated as they are asked for.
    pub fn batches(self, scale_factor: f64) -> TpchBatches {
        self.part(scale_factor, 1, 1)
    }

    /// The rows of part `part` (from 1) of `parts`, in disjoint key ranges that together are
    /// [`batches`](Self::batches). For generating on several threads and for tables of several files.
    ///
    /// `region` and `nation` do not split: their rows are all in part 1.
    pub fn part(self, scale_factor: f64, part: i32, parts: i32) -> TpchBatches {
        let (sf, n) = (scale_factor, BATCH_ROWS);
        let reader: Box<dyn RecordBatchReader + Send> = match self {
            TpchTable::Region => Box::new(RegionArrow::new(RegionGenerator::new(sf, part, parts)).with_batch_size(n)),
            TpchTable::Nation => Box::new(NationArrow::new(NationGenerator::new(sf, part, parts)).with_batch_size(n)),
            TpchTable::Supplier => {
                Box::new(SupplierArrow::new(SupplierGenerator::new(sf, part, parts)).with_batch_size(n))
            }
            TpchTable::Part => Box::new(PartArrow::new(PartGenerator::new(sf, part, parts)).with_batch_size(n)),
            TpchTable::PartSupp => {
                Box::new(PartSuppArrow::new(PartSuppGenerator::new(sf, part, parts)).with_batch_size(n))
            }
            TpchTable::Customer => {
                Box::new(CustomerArrow::new(CustomerGenerator::new(sf, part, parts)).with_batch_size(n))
            }
            TpchTable::Orders => Box::new(OrderArrow::new(OrderGenerator::new(sf, part, parts)).with_batch_size(n)),
            TpchTable::LineItem => {
                Box::new(LineItemArrow::new(LineItemGenerator::new(sf, part, parts)).with_batch_size(n))
            }
        };
        let unsplit = matches!(self, TpchTable::Region | TpchTable::Nation) && part > 1;
        TpchBatches { schema: self.schema(), reader: (!unsplit).then_some(reader) }
    }
}

impl fmt::Display for TpchTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rows of one TPC-H table, batch by batch. Made by [`TpchTable::batches`].
pub struct TpchBatches {
    schema: SchemaRef,
    reader: Option<Box<dyn RecordBatchReader + Send>>,
}

impl TpchBatches {
    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl fmt::Debug for TpchBatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpchBatches").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Iterator for TpchBatches {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let batch = self.reader.as_mut()?.next()?.expect("generated columns have one length");
        Some(cast_views(&batch, &self.schema).expect("a view casts to plain text"))
    }
}

/// Writes all eight tables at a scale factor as `<dir>/<table>.parquet`, with Snappy compression and row groups of
/// 2^20 rows: raw files for an engine to be compared with.
///
/// # Errors
/// If the folder cannot be made or a file cannot be written.
pub fn write_parquet(dir: &Path, scale_factor: f64) -> Result<(), ParquetError> {
    std::fs::create_dir_all(dir)?;
    for table in TpchTable::ALL {
        write_table_parquet(&dir.join(format!("{table}.parquet")), table.batches(scale_factor))?;
    }
    Ok(())
}

/// Writes the batches of one table as one Parquet file, in the manner of [`write_parquet`].
///
/// # Errors
/// If the file cannot be written.
pub fn write_table_parquet(path: &Path, batches: TpchBatches) -> Result<(), ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(1 << 20))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batches.schema(), Some(properties))?;
    for batch in batches {
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}

fn without_views(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
            _ => field.as_ref().clone(),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn cast_views(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> =
        batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| {
                if column.data_type() == field.data_type() {
                    Ok(column.clone())
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    #[test]
    fn every_table_has_its_rows_and_no_views() {
        let expected = [5, 25, 100, 2_000, 8_000, 1_500, 15_000, 60_175];
        for (table, expected) in TpchTable::ALL.into_iter().zip(expected) {
            let batches: Vec<RecordBatch> = table.batches(0.01).collect();
            assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), expected, "{table}");
            let schema = batches[0].schema();
            assert_eq!(schema, table.schema());
            assert!(schema.fields().iter().all(|f| f.data_type() != &DataType::Utf8View));
            for key in table.key() {
                assert!(schema.field_with_name(key).is_ok(), "{table} has {key}");
            }
        }
    }

    #[test]
    fn parts_together_are_the_table() {
        for table in [TpchTable::Nation, TpchTable::Supplier, TpchTable::LineItem] {
            let whole: Vec<RecordBatch> = table.batches(0.01).collect();
            let parts: Vec<RecordBatch> = (1..=3).flat_map(|part| table.part(0.01, part, 3)).collect();
            assert_eq!(rows(&whole), rows(&parts), "{table}");
        }
    }

    #[test]
    fn there_are_22_queries_of_one_statement() {
        assert_eq!(queries().count(), 22);
        for (number, text) in queries() {
            assert!(!text.contains(';'), "query {number} is one statement");
        }
    }
}
