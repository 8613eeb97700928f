//! Laws 1, 4 and 9 over generated tables: every type, nested ones, nulls, partitions. What was written is read back from
//! commits, from a checkpoint's columns and by a reader that knows nothing of Floe; and statistics are true of the rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType as ArrowType, FieldRef, Float32Type, Float64Type, Schema};
use floe_storage::DataStore;
use floe_storage::variant::{append_json, checked, is_variant_type};
use floe_table::CreateTable;
use floe_table_format::path::{LogFile, commit_name};
use floe_table_format::{DataType, Operation, PrimitiveType, RowSet, StructField, StructType, Version};
use floe_testkit::rows;
use futures::executor::block_on;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet_variant_compute::VariantArrayBuilder;
use proptest::prelude::*;

use crate::world::{World, rows_now};

fn primitive() -> impl Strategy<Value = PrimitiveType> {
    prop_oneof![
        prop::sample::select(vec![
            PrimitiveType::String,
            PrimitiveType::Long,
            PrimitiveType::Integer,
            PrimitiveType::Short,
            PrimitiveType::Byte,
            PrimitiveType::Float,
            PrimitiveType::Double,
            PrimitiveType::Boolean,
            PrimitiveType::Binary,
            PrimitiveType::Date,
            PrimitiveType::Timestamp,
            PrimitiveType::TimestampNtz,
        ]),
        (1u8..=38)
            .prop_flat_map(|precision| (Just(precision), 0..=precision))
            .prop_map(|(p, s)| PrimitiveType::Decimal(p, s)),
    ]
}

fn data_type() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![9 => primitive().prop_map(DataType::Primitive), 1 => Just(DataType::Variant)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), any::<bool>()).prop_map(|(element, nulls)| DataType::array_of(element, nulls)),
            (primitive(), inner.clone(), any::<bool>()).prop_map(|(key, value, nulls)| DataType::map_of(
                DataType::Primitive(key),
                value,
                nulls
            )),
            prop::collection::vec((inner, any::<bool>()), 1..4)
                .prop_map(|fields| DataType::struct_of(named("f", fields))),
        ]
    })
}

fn named(prefix: &str, fields: Vec<(DataType, bool)>) -> Vec<StructField> {
    let named = fields.into_iter().enumerate();
    named.map(|(at, (data_type, nullable))| StructField::new(format!("{prefix}{at}"), data_type, nullable)).collect()
}

/// A table in the making.
#[derive(Debug, Clone)]
struct Plan {
    schema: StructType,
    partition: Option<String>,
    /// Rows of each append.
    appends: Vec<usize>,
    /// How files name columns; none for their own names.
    mapping: Option<&'static str>,
    seed: u64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let columns = prop::collection::vec((data_type(), prop::bool::weighted(0.8)), 1..6);
    let mapping = prop::option::of(prop::sample::select(vec!["name", "id"]));
    (columns, prop::collection::vec(0usize..12, 1..4), any::<u64>(), any::<bool>(), mapping).prop_map(
        |(columns, appends, seed, partitioned, mapping)| {
            let schema = StructType::new(named("c", columns)).expect("distinct names");
            let can = |field: &&StructField| {
                field.data_type.as_primitive().is_some_and(|primitive| primitive != PrimitiveType::Binary)
            };
            // A table has columns beside those of its partitions.
            let partition = (partitioned && schema.fields.len() > 1)
                .then(|| schema.fields.iter().find(can).map(|field| field.name.clone()))
                .flatten();
            Plan { schema, partition, appends, mapping, seed }
        },
    )
}

/// Numbers that a seed gives, one after the other.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A whole number with as many bits, at its ends more often than not elsewhere.
    fn whole(&mut self, bits: u32) -> i64 {
        let (low, high) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
        match self.below(6) {
            0 => low,
            1 => high,
            2 => 0,
            _ => self.next() as i64 >> (64 - bits),
        }
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        match self.below(6) {
            0 => low,
            1 => high,
            _ => low + self.below((high - low) as u64) as i64,
        }
    }

    fn float(&mut self) -> f64 {
        [
            0.0,
            -0.0,
            1.5,
            -1e300,
            1e-300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            self.next() as i64 as f64,
        ][self.below(10) as usize]
    }

    fn text(&mut self) -> String {
        let pieces =
            ["a", "b/c", " ", "%20", "ü", "😀", "=", "\u{10ffff}", "NULL", "__HIVE_DEFAULT_PARTITION__x", "..", "\"\\"];
        let count = match self.below(8) {
            0 => 30,
            few => few,
        };
        (0..count.max(1)).map(|_| pieces[self.below(pieces.len() as u64) as usize]).collect()
    }

    fn json(&mut self, depth: u64) -> String {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => "null".into(),
            1 => (self.below(2) == 0).to_string(),
            2 => self.whole(64).to_string(),
            3 => format!("{}.{:03}", self.whole(32), self.below(1000)),
            4 => serde_json::Value::from(self.text()).to_string(),
            5 => {
                let values: Vec<String> = (0..self.below(3)).map(|_| self.json(depth - 1)).collect();
                format!("[{}]", values.join(","))
            }
            _ => {
                let fields: Vec<String> =
                    (0..self.below(4)).map(|at| format!("\"k{at}\":{}", self.json(depth - 1))).collect();
                format!("{{{}}}", fields.join(","))
            }
        }
    }

    fn nulls(&mut self, rows: usize, nullable: bool) -> Option<NullBuffer> {
        let how = self.below(4);
        let valid: Vec<bool> = (0..rows)
            .map(|_| match how {
                0 => true,
                1 => false,
                _ => self.below(3) > 0,
            })
            .collect();
        (nullable && how > 0).then(|| NullBuffer::from(valid))
    }

    /// Values of a column of the table.
    fn column(&mut self, field: &FieldRef, rows: usize) -> ArrayRef {
        const YEAR_1: i64 = -62_135_596_800;
        const YEAR_9999: i64 = 253_402_300_799;
        let nulls = self.nulls(rows, field.is_nullable());
        macro_rules! primitive {
            ($array:ty, $value:expr) => {{
                let values: Vec<_> = (0..rows).map(|_| $value).collect();
                Arc::new(<$array>::new(values.into(), nulls))
            }};
        }
        match field.data_type() {
            ArrowType::Int8 => primitive!(Int8Array, self.whole(8) as i8),
            ArrowType::Int16 => primitive!(Int16Array, self.whole(16) as i16),
            ArrowType::Int32 => primitive!(Int32Array, self.whole(32) as i32),
            ArrowType::Int64 => primitive!(Int64Array, self.whole(64)),
            ArrowType::Float32 => primitive!(Float32Array, self.float() as f32),
            ArrowType::Float64 => primitive!(Float64Array, self.float()),
            ArrowType::Date32 => primitive!(Date32Array, self.between(YEAR_1 / 86_400, YEAR_9999 / 86_400) as i32),
            ArrowType::Timestamp(_, zone) => {
                let values: Vec<i64> =
                    (0..rows).map(|_| self.between(YEAR_1 * 1_000_000, YEAR_9999 * 1_000_000)).collect();
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone_opt(zone.clone()))
            }
            ArrowType::Decimal128(precision, scale) => {
                let bound = 10i128.pow(u32::from(*precision));
                let values: Vec<i128> = (0..rows)
                    .map(|_| match self.below(4) {
                        0 => bound - 1,
                        1 => 1 - bound,
                        _ => (i128::from(self.next()) << 64 | i128::from(self.next())) % bound,
                    })
                    .collect();
                let array = Decimal128Array::new(values.into(), nulls);
                Arc::new(array.with_precision_and_scale(*precision, *scale).expect("a decimal type"))
            }
            ArrowType::Boolean => {
                let values: Vec<bool> = (0..rows).map(|_| self.below(2) == 0).collect();
                Arc::new(BooleanArray::new(values.into(), nulls))
            }
            ArrowType::Utf8 => {
                let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                let values: Vec<Option<String>> = (0..rows).map(|row| (!is_null(row)).then(|| self.text())).collect();
                Arc::new(StringArray::from(values))
            }
            ArrowType::Binary => {
                let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                let values: Vec<Option<Vec<u8>>> = (0..rows)
                    .map(|row| (!is_null(row)).then(|| self.next().to_le_bytes()[..self.below(9) as usize].to_vec()))
                    .collect();
                Arc::new(values.iter().map(Option::as_deref).collect::<BinaryArray>())
            }
            variant if is_variant_type(variant) => {
                let mut variants = VariantArrayBuilder::new(rows);
                for row in 0..rows {
                    match &nulls {
                        Some(nulls) if nulls.is_null(row) => variants.append_null(),
                        _ => append_json(&self.json(2), &mut variants).expect("JSON"),
                    }
                }
                let column: ArrayRef = Arc::new(variants.build().inner().clone());
                checked(&column).expect("variants")
            }
            ArrowType::Struct(fields) => {
                let columns = fields.iter().map(|field| self.column(field, rows)).collect();
                Arc::new(StructArray::new(fields.clone(), columns, nulls))
            }
            ArrowType::List(element) => {
                let offsets = self.offsets(rows);
                let values = self.column(element, *offsets.last().expect("one more than rows") as usize);
                Arc::new(ListArray::new(element.clone(), offsets, values, nulls))
            }
            ArrowType::Map(entries, sorted) => {
                let ArrowType::Struct(fields) = entries.data_type() else { panic!("entries are structs") };
                let offsets = self.offsets(rows);
                let count = *offsets.last().expect("one more than rows") as usize;
                let columns = fields.iter().map(|field| self.column(field, count)).collect();
                let pairs = StructArray::new(fields.clone(), columns, None);
                Arc::new(MapArray::new(entries.clone(), offsets, pairs, nulls, *sorted))
            }
            other => panic!("no values of {other}"),
        }
    }

    fn offsets(&mut self, rows: usize) -> OffsetBuffer<i32> {
        OffsetBuffer::from_lengths((0..rows).map(|_| self.below(4) as usize).collect::<Vec<_>>())
    }
}

/// The rows of a table by its log and its files alone: JSON, Parquet, and nothing of Floe's reading. Without deletion vectors
/// and without partition columns, whose values it gives as they are spelled.
async fn by_hand(world: &World) -> (Vec<RecordBatch>, Vec<(BTreeMap<String, Option<String>>, usize)>) {
    let (mut batches, mut partitions) = (Vec::new(), Vec::new());
    let newest = world.table.snapshot().await.expect("loaded").version().get();
    for version in 0..=newest {
        let name = commit_name(Version::new(version).expect("small"));
        assert!(matches!(LogFile::parse(&name), LogFile::Commit(_)));
        let bytes = world.table.log_store().read(&name).await.expect("read");
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            assert!(action.get("remove").is_none(), "only files are added here");
            let Some(add) = action.get("add") else { continue };
            let values = serde_json::from_value(add["partitionValues"].clone()).expect("texts and nulls");
            let bytes = file_of(world.table.data_store(), add["path"].as_str().expect("a path")).await;
            assert_eq!(add["size"].as_u64(), Some(bytes.len() as u64));
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file").build().expect("readable");
            let of_file: Vec<RecordBatch> = reader.map(|batch| batch.expect("a batch")).collect();
            partitions.push((values, of_file.iter().map(RecordBatch::num_rows).sum()));
            batches.extend(of_file);
        }
    }
    (batches, partitions)
}

/// Undoes percent-encoding byte by byte.
async fn file_of(store: &DataStore, encoded: &str) -> bytes::Bytes {
    let mut path = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                path.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            }
            byte => path.push(byte),
        }
    }
    store.get(&String::from_utf8(path).expect("UTF-8")).await.expect("the file is there")
}

async fn holds(plan: Plan) -> std::result::Result<(), TestCaseError> {
    let arrow = plan.schema.to_arrow().expect("types that Arrow has");
    let mut create = CreateTable::new(plan.schema.clone())
        .with_property("delta.enableDeletionVectors", "true")
        .with_property("delta.checkpoint.writeStatsAsJson", if plan.seed.is_multiple_of(2) { "true" } else { "false" });
    if let Some(column) = &plan.partition {
        create = create.with_partition_columns([column.clone()]);
    }
    if let Some(mode) = plan.mapping {
        create = create.with_property("delta.columnMapping.mode", mode);
    }
    let world = World::new(create).await;
    let mut numbers = Numbers(plan.seed);
    let mut written = Vec::new();
    for rows in &plan.appends {
        let columns = arrow.fields().iter().map(|field| numbers.column(field, *rows)).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(*rows));
        let batch = RecordBatch::try_new_with_options(arrow.clone(), columns, &options).expect("a batch of the table");
        world.table.append(vec![batch.clone()]).await.expect("appended");
        written.push(batch);
    }
    prop_assert_eq!(rows_now(&world).await, rows(&written));

    // Law 9: a reader that shares no code with ours.
    let (found, partitions) = by_hand(&world).await;
    let stored: Vec<usize> =
        (0..arrow.fields().len()).filter(|at| plan.partition.as_ref() != Some(arrow.field(*at).name())).collect();
    let kept: Vec<RecordBatch> = written.iter().map(|batch| batch.project(&stored).expect("columns")).collect();
    prop_assert_eq!(rows(&in_names_of(found, &kept)), rows(&kept));
    if let Some(column) = &plan.partition {
        let nulls = |batch: &RecordBatch| batch.column_by_name(column).expect("a column").null_count();
        let snapshot = world.table.snapshot().await.expect("loaded");
        let stored = snapshot.schema().field(column).expect("a column").physical_name().to_owned();
        let spelled = partitions.iter().filter(|(values, _)| values[&stored].is_none()).map(|(_, rows)| rows);
        prop_assert_eq!(spelled.sum::<usize>(), written.iter().map(nulls).sum::<usize>());
    }

    // The same rows in wider types, which no file holds.
    let mut wider = written;
    if plan.seed.is_multiple_of(3) {
        let on = [("delta.enableTypeWidening".to_owned(), "true".to_owned())];
        world.table.set_properties(on.into()).await.expect("switched on");
        for field in &plan.schema.fields {
            let Some(to) = field.data_type.as_primitive().and_then(wider_than) else { continue };
            world.table.widen_column(std::slice::from_ref(&field.name), to).await.expect("widened");
        }
        let arrow = world.table.snapshot().await.expect("loaded").arrow_schema().expect("types that Arrow has");
        for batch in &mut wider {
            let columns = batch.columns().iter().zip(arrow.fields());
            let columns = columns.map(|(column, field)| {
                let partitions = plan.partition.as_ref() == Some(field.name());
                match column.as_primitive_opt::<Float32Type>() {
                    // A partition value is the text that the log holds: the shortest that names the number among those of 32 bits.
                    Some(numbers) if partitions && field.data_type() == &ArrowType::Float64 => {
                        let wider = |number: f32| number.to_string().parse::<f64>().expect("a number");
                        Arc::new(numbers.unary::<_, Float64Type>(wider)) as ArrayRef
                    }
                    _ if column.data_type().is_nested() => column.clone(),
                    _ => arrow::compute::cast(column, field.data_type()).expect("wider"),
                }
            });
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            *batch = RecordBatch::try_new_with_options(arrow.clone(), columns.collect(), &options).expect("a batch");
        }
        prop_assert_eq!(rows_now(&world).await, rows(&wider));
    }
    let written = wider;

    // Law 1: the same from the columns of a checkpoint.
    world.table.checkpoint().await.expect("a checkpoint");
    prop_assert_eq!(rows_now(&world).await, rows(&written));

    // Law 4 rests on statistics that are true, also of a file that has lost rows.
    let snapshot = world.table.snapshot().await.expect("loaded");
    let mut change = world.table.begin_at(&snapshot, Operation::new("DELETE")).expect("writable");
    for file in snapshot.state().files.iter() {
        let gone: RowSet = (0..file.num_records().expect("statistics")).filter(|row| row % 3 == 1).collect();
        if !gone.is_empty() {
            change.delete_rows(file.path(), gone);
        }
    }
    if !change.is_empty() {
        change.commit().await.expect("written").committed().expect("no conflict");
    }
    let report = world.other_handle().await.check().await.expect("the store answers");
    prop_assert_eq!(report.findings, Vec::new());
    Ok(())
}

fn wider_than(from: PrimitiveType) -> Option<PrimitiveType> {
    Some(match from {
        PrimitiveType::Byte => PrimitiveType::Short,
        PrimitiveType::Short => PrimitiveType::Double,
        PrimitiveType::Integer => PrimitiveType::Long,
        PrimitiveType::Long => PrimitiveType::Decimal(22, 2),
        PrimitiveType::Float => PrimitiveType::Double,
        PrimitiveType::Decimal(precision, scale) if precision < 37 => PrimitiveType::Decimal(precision + 2, scale + 1),
        PrimitiveType::Date => PrimitiveType::TimestampNtz,
        _ => return None,
    })
}

/// The batches under the names of others: files name what lists and maps hold as Parquet does.
fn in_names_of(found: Vec<RecordBatch>, named: &[RecordBatch]) -> Vec<RecordBatch> {
    let Some(first) = named.first() else { return found };
    let renamed = found.into_iter().map(|batch| {
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .zip(first.schema().fields())
            .map(|(column, field)| {
                arrow::compute::cast(column, field.data_type()).expect("the same type by other names")
            })
            .collect();
        let fields: Vec<_> = first.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).expect("the same columns")
    });
    renamed.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_sees_the_rows_that_were_written(plan in plan()) {
        block_on(holds(plan))?;
    }
}
