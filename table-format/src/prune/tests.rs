//! Law 4: pruning never drops a matching row.
//!
//! Random rows of many types are written through the statistics collector; random predicates are evaluated row by row
//! by an evaluator that shares no code with pruning, in every way in which engines disagree. A file with a row that
//! matches in any of them must be kept, and a file of which all rows are said to match must match in all of them.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, Fields, i256};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::*;
use crate::action::Add;
use crate::checkpoint::checkpoint_batches;
use crate::commit::testing::{metadata, protocol, table_of, vector};
use crate::predicate::CompareOp;
use crate::property::TableProperties;
use crate::replay::Replay;
use crate::scalar::scalar_array;
use crate::schema::{DataType, StructField};
use crate::stats::{StatsCollector, widen};
use crate::version::TimestampMs;

/// Path and type of every leaf column, the partition columns last; `n` is a struct.
const COLUMNS: &[(&[&str], PrimitiveType)] = &[
    (&["bool"], PrimitiveType::Boolean),
    (&["byte"], PrimitiveType::Byte),
    (&["int"], PrimitiveType::Integer),
    (&["long"], PrimitiveType::Long),
    (&["float"], PrimitiveType::Float),
    (&["double"], PrimitiveType::Double),
    (&["text"], PrimitiveType::String),
    (&["date"], PrimitiveType::Date),
    (&["ts"], PrimitiveType::Timestamp),
    (&["ntz"], PrimitiveType::TimestampNtz),
    (&["wide"], PrimitiveType::Decimal(38, 10)),
    (&["money"], PrimitiveType::Decimal(9, 2)),
    (&["bin"], PrimitiveType::Binary),
    (&["n", "long"], PrimitiveType::Long),
    (&["n", "text"], PrimitiveType::String),
    (&["p_text"], PrimitiveType::String),
    (&["p_date"], PrimitiveType::Date),
    (&["p_double"], PrimitiveType::Double),
];
const NESTED: std::ops::Range<usize> = 13..15;
const PARTITIONS: usize = 15;

type Row = Vec<Scalar>;

#[derive(Debug, Clone)]
struct TestFile {
    /// Values of all columns but the partition columns.
    rows: Vec<Row>,
    partition: Row,
    /// In how many batches the rows are written.
    batches: usize,
    has_stats: bool,
    deleted: bool,
}

/// How a table keeps what pruning goes by.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    /// Whether files, statistics and partition values have physical names.
    mapped: bool,
    /// Whether statistics come from the columns of a checkpoint, where no text stands beside them.
    from_checkpoint: bool,
}

impl Shape {
    fn mode(self) -> ColumnMappingMode {
        if self.mapped { ColumnMappingMode::Name } else { ColumnMappingMode::None }
    }

    /// The name that files give a column.
    fn physical(self, name: &str) -> String {
        if self.mapped { format!("col-{name}") } else { name.to_owned() }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    (any::<bool>(), any::<bool>()).prop_map(|(mapped, from_checkpoint)| Shape { mapped, from_checkpoint })
}

fn schema(shape: Shape) -> StructType {
    let mut id = 0;
    let mut named = |field: StructField| {
        id += 1;
        let name = shape.physical(&field.name);
        match shape.mapped {
            true => field
                .with_metadata("delta.columnMapping.physicalName", name)
                .with_metadata("delta.columnMapping.id", id),
            false => field,
        }
    };
    let mut field =
        |name: &str, data_type: PrimitiveType| named(StructField::new(name, DataType::Primitive(data_type), true));
    let mut fields: Vec<StructField> = Vec::new();
    for (path, data_type) in COLUMNS {
        match path {
            [name] => fields.push(field(name, *data_type)),
            ["n", "long"] => {
                let inner = NESTED.map(|i| field(COLUMNS[i].0[1], COLUMNS[i].1)).collect();
                let nested = StructField::new("n", DataType::struct_of(inner), true);
                fields.push(match shape.mapped {
                    true => nested
                        .with_metadata("delta.columnMapping.physicalName", shape.physical("n"))
                        .with_metadata("delta.columnMapping.id", 1000),
                    false => nested,
                });
            }
            _ => {}
        }
    }
    StructType::new(fields).expect("distinct names")
}

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |index: usize| -> ArrayRef {
        scalar_array(rows.iter().map(|row| Ok(row[index].clone())), &COLUMNS[index].1).expect("typed values")
    };
    let mut columns: Vec<(String, ArrayRef)> =
        (0..NESTED.start).map(|i| (COLUMNS[i].0[0].to_owned(), column(i))).collect();
    // A row whose nested values are both null has no struct at all: its values must not count.
    let whole: Vec<bool> = rows.iter().map(|row| NESTED.into_iter().any(|i| !row[i].is_null())).collect();
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = NESTED
        .map(|i| {
            let garbage = rows.iter().zip(&whole).map(|(row, whole)| match (&row[i], whole) {
                (_, false) if i == NESTED.start => Ok(Scalar::Long(i64::MIN)),
                (_, false) => Ok(Scalar::String("\u{10ffff}".into())),
                (value, true) => Ok(value.clone()),
            });
            let array = scalar_array(garbage, &COLUMNS[i].1).expect("typed values");
            (Field::new(COLUMNS[i].0[1], array.data_type().clone(), true), array)
        })
        .unzip();
    let nested = StructArray::new(Fields::from(fields), arrays, Some(NullBuffer::from(whole)));
    columns.push(("n".into(), Arc::new(nested)));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}

fn add(index: usize, file: &TestFile, columns_indexed: Option<usize>, shape: Shape) -> Add {
    let properties = TableProperties { data_skipping_num_indexed_cols: columns_indexed, ..TableProperties::default() };
    let partitions: Vec<String> = COLUMNS[PARTITIONS..].iter().map(|(path, _)| path[0].to_owned()).collect();
    let mut stats = StatsCollector::new(&schema(shape), &partitions, shape.mode(), &properties).expect("known types");
    for rows in file.rows.chunks(file.rows.len().div_ceil(file.batches).max(1)) {
        stats.update(&batch(rows)).expect("a batch of the table");
    }
    let stats = stats.finish();
    assert_eq!(stats.num_records, file.rows.len() as u64);
    assert!(serde_json::from_str::<serde_json::Value>(&stats.json).is_ok(), "{}", stats.json);
    let json = if file.deleted { widen(&stats.json, stats.num_records) } else { stats.json };
    let values = COLUMNS[PARTITIONS..].iter().zip(&file.partition);
    Add {
        path: format!("file-{index}"),
        partition_values: values.map(|((path, t), v)| (shape.physical(path[0]), v.to_partition_value(t))).collect(),
        stats: file.has_stats.then_some(json),
        deletion_vector: (file.deleted && file.has_stats).then(|| vector("v", 0)),
        ..Add::default()
    }
}

fn state(files: &[TestFile], columns_indexed: Option<usize>, shape: Shape) -> TableState {
    let adds: Vec<Add> = files.iter().enumerate().map(|(i, f)| add(i, f, columns_indexed, shape)).collect();
    let partitions: Vec<&str> = COLUMNS[PARTITIONS..].iter().map(|(path, _)| path[0]).collect();
    let indexed = columns_indexed.map_or("-1".to_owned(), |columns| columns.to_string());
    let mode = if shape.mapped { "name" } else { "none" };
    let properties = [
        ("delta.columnMapping.mode", mode),
        ("delta.checkpoint.writeStatsAsJson", "false"),
        ("delta.checkpoint.writeStatsAsStruct", "true"),
        ("delta.dataSkippingNumIndexedCols", indexed.as_str()),
    ];
    let features = protocol(&["deletionVectors", "timestampNtz", "columnMapping"]);
    let state = table_of(features, metadata(&schema(shape), &partitions, &properties), None, &adds);
    if !shape.from_checkpoint {
        return state;
    }
    let mut replay = Replay::new();
    for batch in checkpoint_batches(&state, TimestampMs(0), 1000).expect("batches") {
        replay.add_checkpoint_batch(&batch.expect("a batch")).expect("readable");
    }
    let rebuilt = replay.finish(state.version).expect("a state");
    assert_eq!(rebuilt.files.len(), files.len());
    rebuilt
}

/// How an engine may understand values where engines differ.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Engine {
    /// NaN is the greatest number, zeros are equal.
    Spark,
    /// IEEE 754 total order.
    Total,
    /// As the total order, with constants rounded to a float column's type.
    RoundedFloats,
}

fn naive_order(engine: Engine, data_type: &PrimitiveType, row: &Scalar, constant: &Scalar) -> Option<Ordering> {
    Some(match (row, constant) {
        (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
        (Scalar::Long(a), Scalar::Long(b)) => a.cmp(b),
        (Scalar::Date(a), Scalar::Date(b)) => a.cmp(b),
        (Scalar::Timestamp(a), Scalar::Timestamp(b)) | (Scalar::TimestampNtz(a), Scalar::TimestampNtz(b)) => a.cmp(b),
        (Scalar::String(a), Scalar::String(b)) => a.chars().cmp(b.chars()),
        (Scalar::Binary(a), Scalar::Binary(b)) => a.cmp(b),
        (Scalar::Double(a), Scalar::Double(b)) => {
            let b = match (engine, data_type) {
                (Engine::RoundedFloats, PrimitiveType::Float) => f64::from(*b as f32),
                _ => *b,
            };
            match engine {
                Engine::Spark if a.is_nan() || b.is_nan() => a.is_nan().cmp(&b.is_nan()),
                Engine::Spark => a.partial_cmp(&b)?,
                Engine::Total | Engine::RoundedFloats => a.total_cmp(&b),
            }
        }
        (Scalar::Decimal { unscaled: a, scale: sa }, Scalar::Decimal { unscaled: b, scale: sb }) => {
            let at = |unscaled: i128, scale: u8| {
                i256::from_i128(unscaled).wrapping_mul(i256::from_i128(10).wrapping_pow(u32::from(38 - scale)))
            };
            at(*a, *sa).cmp(&at(*b, *sb))
        }
        (Scalar::Decimal { .. }, Scalar::Long(b)) => {
            return naive_order(engine, data_type, row, &Scalar::Decimal { unscaled: (*b).into(), scale: 0 });
        }
        (Scalar::Long(a), Scalar::Decimal { .. }) => {
            return naive_order(engine, data_type, &Scalar::Decimal { unscaled: (*a).into(), scale: 0 }, constant);
        }
        _ => return None,
    })
}

/// SQL's three values: none is null. An inner `Err` is "cannot be said": kinds that do not compare.
fn naive(engine: Engine, row: &Row, predicate: &Predicate) -> std::result::Result<Option<bool>, ()> {
    let at = |column: &[String]| {
        let index = COLUMNS.iter().position(|(path, _)| *path == column).ok_or(())?;
        Ok::<_, ()>((&row[index], &COLUMNS[index].1))
    };
    let holds = |op: CompareOp, order: Ordering| match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::NotEq => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::LtEq => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::GtEq => order.is_ge(),
    };
    Ok(match predicate {
        Predicate::True => Some(true),
        Predicate::False => Some(false),
        Predicate::Unknown => return Err(()),
        Predicate::And(parts) => {
            let mut all = Some(true);
            for part in parts {
                all = match (all, naive(engine, row, part)?) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (None, _) | (_, None) => None,
                    _ => Some(true),
                };
            }
            all
        }
        Predicate::Or(parts) => {
            let mut any = Some(false);
            for part in parts {
                any = match (any, naive(engine, row, part)?) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (None, _) | (_, None) => None,
                    _ => Some(false),
                };
            }
            any
        }
        Predicate::Not(inner) => naive(engine, row, inner)?.map(|v| !v),
        Predicate::IsNull(column) => Some(at(column)?.0.is_null()),
        Predicate::IsNotNull(column) => Some(!at(column)?.0.is_null()),
        Predicate::Compare { column, op, value } => match at(column)? {
            (found, _) if found.is_null() || value.is_null() => None,
            (found, data_type) => Some(holds(*op, naive_order(engine, data_type, found, value).ok_or(())?)),
        },
        Predicate::In { column, values } => {
            let (found, data_type) = at(column)?;
            let mut any = Some(false);
            for value in values {
                let equal = match found.is_null() || value.is_null() {
                    true => None,
                    false => Some(naive_order(engine, data_type, found, value).ok_or(())?.is_eq()),
                };
                any = match (any, equal) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (None, _) | (_, None) => None,
                    _ => Some(false),
                };
            }
            any
        }
        Predicate::StartsWith { column, prefix } => match at(column)?.0 {
            Scalar::Null => None,
            Scalar::String(text) => Some(text.starts_with(prefix.as_str())),
            _ => return Err(()),
        },
    })
}

fn text() -> BoxedStrategy<String> {
    let edge = prop::sample::select(vec![
        'a',
        'b',
        '~',
        '\u{7e}',
        '\u{7f}',
        '\u{80}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{10000}',
        '\u{10fffe}',
        '\u{10ffff}',
        '\0',
    ]);
    let tail = prop::collection::vec(edge, 0..4).prop_map(String::from_iter);
    let stem = prop::sample::select(vec![0usize, 1, 28, 30, 31, 32, 33, 60, 62, 64, 66]);
    let fill = prop::sample::select(vec!['a', '\u{10ffff}', 'ä']);
    let long =
        (stem, fill, tail).prop_map(|(stem, fill, tail)| String::from_iter(std::iter::repeat_n(fill, stem)) + &tail);
    prop_oneof![3 => long, 1 => any::<String>()].boxed()
}

fn double() -> BoxedStrategy<f64> {
    let special = prop::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        f64::from(0.1f32),
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        9_007_199_254_740_993.0,
    ]);
    prop_oneof![3 => special, 1 => any::<f64>()].boxed()
}

fn integer(low: i64, high: i64) -> BoxedStrategy<i64> {
    prop_oneof![4 => -3i64..4, 1 => low..=high, 1 => Just(low), 1 => Just(high)].boxed()
}

fn time() -> BoxedStrategy<i64> {
    prop_oneof![
        4 => -3000i64..3000,
        1 => Just(253_402_300_799_999_999),
        1 => Just(-62_135_596_800_000_001),
        1 => any::<i64>(),
    ]
    .boxed()
}

fn decimal(precision: u8, scale: u8) -> BoxedStrategy<Scalar> {
    let most = 10i128.pow(precision.into()) - 1;
    prop_oneof![3 => -300i128..300, 1 => -most..=most, 1 => Just(most), 1 => Just(-most)]
        .prop_map(move |unscaled| Scalar::Decimal { unscaled, scale })
        .boxed()
}

fn present(data_type: PrimitiveType) -> BoxedStrategy<Scalar> {
    match data_type {
        PrimitiveType::Boolean => any::<bool>().prop_map(Scalar::Boolean).boxed(),
        PrimitiveType::Byte => integer(i8::MIN.into(), i8::MAX.into()).prop_map(Scalar::Long).boxed(),
        PrimitiveType::Short => integer(i16::MIN.into(), i16::MAX.into()).prop_map(Scalar::Long).boxed(),
        PrimitiveType::Integer => integer(i32::MIN.into(), i32::MAX.into()).prop_map(Scalar::Long).boxed(),
        PrimitiveType::Long => integer(i64::MIN, i64::MAX).prop_map(Scalar::Long).boxed(),
        PrimitiveType::Float => double().prop_map(|v| Scalar::Double(f64::from(v as f32))).boxed(),
        PrimitiveType::Double => double().prop_map(Scalar::Double).boxed(),
        PrimitiveType::String => text().prop_map(Scalar::String).boxed(),
        PrimitiveType::Binary => prop::collection::vec(any::<u8>(), 0..3).prop_map(Scalar::Binary).boxed(),
        PrimitiveType::Date => integer(-800_000, 3_000_000).prop_map(|d| Scalar::Date(d as i32)).boxed(),
        PrimitiveType::Timestamp => time().prop_map(Scalar::Timestamp).boxed(),
        PrimitiveType::TimestampNtz => time().prop_map(Scalar::TimestampNtz).boxed(),
        PrimitiveType::Decimal(precision, scale) => decimal(precision, scale),
    }
}

fn value(data_type: PrimitiveType) -> BoxedStrategy<Scalar> {
    prop_oneof![1 => Just(Scalar::Null), 5 => present(data_type)].boxed()
}

fn file() -> BoxedStrategy<TestFile> {
    let row = COLUMNS[..PARTITIONS].iter().map(|(_, t)| value(*t)).collect::<Vec<_>>();
    let partition = COLUMNS[PARTITIONS..].iter().map(|(_, t)| {
        let t = *t;
        // What is read back is what counts: the empty text is null.
        value(t).prop_map(move |v| {
            Scalar::from_partition_value(v.to_partition_value(&t).as_deref(), &t).expect("written by us")
        })
    });
    let partition = partition.collect::<Vec<_>>();
    (prop::collection::vec(row, 0..6), partition, 1usize..4, prop::bool::weighted(0.9), prop::bool::weighted(0.2))
        .prop_map(|(rows, partition, batches, has_stats, deleted)| TestFile {
            rows,
            partition,
            batches,
            has_stats,
            deleted,
        })
        .boxed()
}

fn constant(data_type: PrimitiveType) -> BoxedStrategy<Scalar> {
    let other = match data_type {
        PrimitiveType::Decimal(_, _) => {
            prop_oneof![integer(-400, 400).prop_map(Scalar::Long), decimal(38, 12), decimal(5, 0)].boxed()
        }
        PrimitiveType::Long | PrimitiveType::Integer => decimal(12, 2),
        PrimitiveType::Float => double().prop_map(Scalar::Double).boxed(),
        _ => text().prop_map(Scalar::String).boxed(),
    };
    prop_oneof![8 => value(data_type), 1 => other].boxed()
}

fn leaf() -> BoxedStrategy<Predicate> {
    let op = prop::sample::select(vec![
        CompareOp::Eq,
        CompareOp::NotEq,
        CompareOp::Lt,
        CompareOp::LtEq,
        CompareOp::Gt,
        CompareOp::GtEq,
    ]);
    (0..COLUMNS.len(), op)
        .prop_flat_map(|(index, op)| {
            let (path, data_type) = COLUMNS[index];
            let column: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
            let (c1, c2, c3, c4, c5) = (column.clone(), column.clone(), column.clone(), column.clone(), column);
            prop_oneof![
                8 => constant(data_type).prop_map(move |value| Predicate::Compare { column: c1.clone(), op, value }),
                1 => Just(Predicate::IsNull(c2)),
                1 => Just(Predicate::IsNotNull(c3)),
                2 => prop_oneof![
                    prop::collection::vec(constant(data_type), 0..4),
                    prop::collection::vec(present(data_type), 17..24),
                ].prop_map(move |values| Predicate::In { column: c4.clone(), values }),
                1 => text().prop_map(move |text| {
                    let prefix = text.chars().take(33).collect();
                    Predicate::StartsWith { column: c5.clone(), prefix }
                }),
            ]
        })
        .boxed()
}

fn predicate() -> BoxedStrategy<Predicate> {
    leaf()
        .prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::And),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::Or),
                inner.prop_map(|p| Predicate::Not(Box::new(p))),
            ]
        })
        .boxed()
}

/// A predicate with a constant taken from the rows, moved a little: where bounds are met or just missed.
fn aimed(files: &[TestFile], pick: (usize, usize, usize), nudge: i8, op: CompareOp) -> Option<Predicate> {
    let file = files.get(pick.0 % files.len().max(1))?;
    let row: Row = file.rows.get(pick.1 % file.rows.len().max(1))?.iter().chain(&file.partition).cloned().collect();
    let index = pick.2 % COLUMNS.len();
    let value = match row[index].clone() {
        Scalar::Long(v) => Scalar::Long(v.saturating_add(nudge.into())),
        Scalar::Date(v) => Scalar::Date(v.saturating_add(nudge.into())),
        Scalar::Timestamp(v) => Scalar::Timestamp(v.saturating_add(nudge.into())),
        Scalar::TimestampNtz(v) => Scalar::TimestampNtz(v.saturating_add(nudge.into())),
        Scalar::Decimal { unscaled, scale } => Scalar::Decimal { unscaled: unscaled + i128::from(nudge), scale },
        Scalar::String(mut v) if nudge < 0 => {
            v.pop();
            Scalar::String(v)
        }
        Scalar::String(v) if nudge > 0 => Scalar::String(v + "a"),
        other => other,
    };
    let column = COLUMNS[index].0.iter().map(|p| (*p).to_owned()).collect();
    Some(Predicate::Compare { column, op, value })
}

fn check(
    files: &[TestFile],
    columns_indexed: Option<usize>,
    shape: Shape,
    predicate: &Predicate,
) -> std::result::Result<(), TestCaseError> {
    let state = state(files, columns_indexed, shape);
    let kept: BTreeMap<String, Truth> = prune_with_truth(&state, predicate)
        .expect("evaluated")
        .into_iter()
        .map(|(id, truth)| (state.files.get(&id).path().to_owned(), truth))
        .collect();
    let pruned: Vec<&str> =
        prune(&state, predicate).expect("evaluated").iter().map(|id| state.files.get(id).path()).collect();
    prop_assert_eq!(&pruned, &kept.keys().map(String::as_str).collect::<Vec<_>>());
    for (index, file) in files.iter().enumerate() {
        let truth = kept.get(&format!("file-{index}"));
        for row in &file.rows {
            let row: Row = row.iter().chain(&file.partition).cloned().collect();
            for engine in [Engine::Spark, Engine::Total, Engine::RoundedFloats] {
                let result = naive(engine, &row, predicate);
                if result == Ok(Some(true)) {
                    prop_assert!(truth.is_some(), "{:?} drops {:?} for {}", engine, row, predicate);
                }
                if truth == Some(&Truth::Yes) && result.is_ok() {
                    prop_assert_eq!(result, Ok(Some(true)), "{:?} claims {:?} for {}", engine, row, predicate);
                }
            }
        }
    }
    let text = serde_json::to_string(predicate).expect("serialisable");
    let back: Predicate = serde_json::from_str(&text).expect("deserialisable");
    prop_assert_eq!(back.to_string(), predicate.to_string());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pruning_never_drops_a_matching_row(
        files in prop::collection::vec(file(), 1..4),
        predicate in predicate(),
        columns_indexed in prop_oneof![3 => Just(Some(32)), 1 => Just(None), 1 => Just(Some(7))],
        shape in shape(),
    ) {
        check(&files, columns_indexed, shape, &predicate)?;
    }

    #[test]
    fn pruning_never_drops_a_row_at_a_bound(
        files in prop::collection::vec(file(), 1..3),
        pick in any::<(usize, usize, usize)>(),
        nudge in -2i8..3,
        negate in any::<bool>(),
        shape in shape(),
        op in prop::sample::select(vec![CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq]),
    ) {
        if let Some(predicate) = aimed(&files, pick, nudge, op) {
            let predicate = if negate { Predicate::Not(Box::new(predicate)) } else { predicate };
            check(&files, Some(32), shape, &predicate)?;
        }
    }
}

/// A file of the given `long` values.
fn longs(values: &[Option<i64>]) -> TestFile {
    let rows = values.iter().map(|v| {
        let mut row = vec![Scalar::Null; PARTITIONS];
        row[3] = v.map_or(Scalar::Null, Scalar::Long);
        row
    });
    let partition = vec![Scalar::String("p".into()), Scalar::Date(0), Scalar::Null];
    TestFile { rows: rows.collect(), partition, batches: 1, has_stats: true, deleted: false }
}

/// Which of the files are kept.
fn kept(files: &[TestFile], predicate: Predicate) -> Vec<usize> {
    let state = state(files, None, Shape::default());
    let path = |id: &FileId| state.files.get(id).path().trim_start_matches("file-").parse().expect("our paths");
    prune(&state, &predicate).expect("evaluated").iter().map(path).collect()
}

#[test]
fn files_that_cannot_match_are_dropped() {
    let files = [longs(&[Some(1), Some(5)]), longs(&[Some(10), None]), longs(&[None, None])];
    let long = |op, value| Predicate::compare("long", op, Scalar::Long(value));
    assert_eq!(kept(&files, long(CompareOp::Eq, 5)), [0]);
    assert_eq!(kept(&files, long(CompareOp::Eq, 7)), [0usize; 0]);
    assert_eq!(kept(&files, long(CompareOp::Gt, 4)), [0, 1]);
    assert_eq!(kept(&files, long(CompareOp::GtEq, 6)), [1]);
    assert_eq!(kept(&files, long(CompareOp::Lt, 1)), [0usize; 0]);
    assert_eq!(kept(&files, long(CompareOp::NotEq, 10)), [0]);
    assert_eq!(kept(&files, Predicate::IsNull(vec!["long".into()])), [1, 2]);
    assert_eq!(kept(&files, Predicate::IsNotNull(vec!["long".into()])), [0, 1]);
    let listed = |values: std::ops::Range<i64>| Predicate::In {
        column: vec!["LONG".into()],
        values: values.map(Scalar::Long).collect(),
    };
    assert_eq!(kept(&files, listed(5..9)), [0]);
    assert_eq!(kept(&files, listed(10..99)), [1]);
    // No value, and not null either, is in an empty list.
    assert_eq!(kept(&files, listed(0..0)), [0usize; 0]);
    assert_eq!(kept(&files, Predicate::Not(Box::new(listed(0..0)))), [0, 1, 2]);
    assert_eq!(kept(&files, Predicate::Not(Box::new(long(CompareOp::LtEq, 5)))), [1]);
    assert_eq!(kept(&files, Predicate::eq("p_text", Scalar::String("q".into()))), [0usize; 0]);
    assert_eq!(kept(&files, Predicate::Unknown), [0, 1, 2]);
}

#[test]
fn constants_of_another_kind_prove_nothing() {
    let files = [longs(&[Some(1)])];
    for value in [Scalar::String("x".into()), Scalar::Double(0.5), Scalar::Boolean(true), Scalar::Date(9)] {
        assert_eq!(kept(&files, Predicate::eq("long", value)), [0]);
    }
    assert_eq!(kept(&files, Predicate::eq("no such column", Scalar::Long(9))), [0]);
    assert_eq!(kept(&files, Predicate::eq("long", Scalar::Null)), [0usize; 0], "null equals nothing");
}

/// Statistics as other writers leave them.
fn foreign(column: usize, stats: &str, value: Scalar, op: CompareOp) -> bool {
    let mut add = add(0, &longs(&[Some(1)]), None, Shape::default());
    add.stats = Some(stats.to_owned());
    let partitions: Vec<&str> = COLUMNS[PARTITIONS..].iter().map(|(path, _)| path[0]).collect();
    let state =
        table_of(protocol(&["timestampNtz"]), metadata(&schema(Shape::default()), &partitions, &[]), None, &[add]);
    !prune(&state, &Predicate::compare(COLUMNS[column].0[0], op, value)).expect("evaluated").is_empty()
}

#[test]
fn foreign_statistics_are_read_with_care() {
    let bounds = |column: &str, min: &str, max: &str| {
        format!(
            r#"{{"numRecords":2,"minValues":{{"{column}":{min}}},"maxValues":{{"{column}":{max}}},"nullCount":{{"{column}":0}}}}"#
        )
    };
    // A maximum cut to milliseconds stands for any microsecond after it.
    let second = bounds("ts", "\"1970-01-01T00:00:00.000Z\"", "\"1970-01-01T00:00:01.000Z\"");
    assert!(foreign(8, &second, Scalar::Timestamp(1_000_999), CompareOp::Eq));
    assert!(!foreign(8, &second, Scalar::Timestamp(1_001_000), CompareOp::Eq));
    // One engine writes offsets with seconds.
    let odd = bounds("ts", "\"1970-01-01T00:00:00.000+00:00:00\"", "\"1970-01-01T00:00:01.000+00:00:00\"");
    assert!(foreign(8, &odd, Scalar::Timestamp(500_000), CompareOp::Eq));
    // Text cut to 32 characters and not made larger.
    let stem = "a".repeat(32);
    let cut = bounds("text", &format!("{stem:?}"), &format!("{stem:?}"));
    assert!(foreign(6, &cut, Scalar::String(stem.clone() + "b"), CompareOp::Eq));
    assert!(foreign(6, &cut, Scalar::String(stem.clone() + "b"), CompareOp::Gt));
    assert!(!foreign(6, &cut, Scalar::String("b".into()), CompareOp::GtEq));
    // NaN and infinities as text.
    let nan = bounds("double", "\"NaN\"", "\"NaN\"");
    assert!(foreign(5, &nan, Scalar::Double(1.0), CompareOp::Eq));
    let zero = bounds("double", "0.0", "0.0");
    assert!(foreign(5, &zero, Scalar::Double(0.0), CompareOp::Lt), "-0.0 may hide behind 0.0");
    // Decimals with more digits than a double has.
    let wide = bounds("wide", "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789");
    let unscaled = 12_345_678_901_234_567_890_123_456_780_123_456_789;
    assert!(foreign(10, &wide, Scalar::Decimal { unscaled, scale: 10 }, CompareOp::Eq));
    assert!(!foreign(10, &wide, Scalar::Decimal { unscaled: unscaled + 1, scale: 10 }, CompareOp::Eq));
    // Nonsense proves nothing.
    for nonsense in ["{", "[]", r#"{"minValues":7}"#, r#"{"numRecords":"many","maxValues":{"long":"x"}}"#] {
        assert!(foreign(3, nonsense, Scalar::Long(1), CompareOp::Eq), "{nonsense}");
    }
}

#[test]
fn wide_null_counts_mean_something_at_their_ends_only() {
    let stats = |nulls: u64| format!(r#"{{"numRecords":4,"nullCount":{{"long":{nulls}}},"tightBounds":false}}"#);
    let some = |nulls: u64| foreign(3, &stats(nulls), Scalar::Long(1), CompareOp::Eq);
    assert!(some(0) && some(3));
    assert!(!some(4), "all rows were null, so those left are");
}

#[test]
fn statistics_of_a_file_tell_what_is_exact() {
    let mut marked = longs(&[Some(1), Some(5), None]);
    marked.deleted = true;
    let state = state(&[longs(&[Some(1), Some(5), None]), marked], None, Shape::default());
    let ids: Vec<FileId> = state.files.iter().map(|f| f.id()).collect();
    let found = files_stats(&state, &ids).expect("read");
    let (long, partition) = (&found[0].columns[3], &found[0].columns[14]);
    let exact = ColumnStatistics {
        null_count: Some(1),
        min: Some(Scalar::Long(1)),
        max: Some(Scalar::Long(5)),
        min_exact: true,
        max_exact: true,
    };
    assert_eq!((found[0].num_rows, long), (Some(3), &exact));
    assert_eq!(partition.min, Some(Scalar::String("p".into())));
    assert_eq!(file_stats(&state, ids[0]).expect("read"), found[0]);
    let wide = ColumnStatistics { null_count: None, min_exact: false, max_exact: false, ..exact };
    assert_eq!(found[1].columns[3], wide);
}

#[test]
fn partition_values_alone_decide_where_they_can() {
    let schema = schema(Shape::default());
    let columns = vec!["p_text".to_owned(), "p_date".to_owned()];
    let names = ColumnNames { schema: &schema, partition_columns: &columns, mode: ColumnMappingMode::None };
    let values = BTreeMap::from([
        ("p_text".to_owned(), Some("x".to_owned())),
        ("p_date".to_owned(), Some("1970-01-02".to_owned())),
    ]);
    let truth = |predicate: Predicate| evaluate_partitions(&values, names, &predicate);
    assert_eq!(truth(Predicate::eq("p_date", Scalar::Date(1))), Truth::Yes);
    assert_eq!(truth(Predicate::eq("p_date", Scalar::Date(2))), Truth::No);
    assert_eq!(truth(Predicate::eq("long", Scalar::Long(2))), Truth::Unknown);
    let both = Predicate::eq("long", Scalar::Long(2)).and(Predicate::eq("p_text", Scalar::String("y".into())));
    assert_eq!(truth(both), Truth::No);
}
