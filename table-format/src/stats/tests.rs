use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array,
    Int64Array, LargeStringArray, ListArray, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType as ArrowType, Field, Fields, Int32Type, Int64Type};
use proptest::prelude::*;

use super::extent::cut_max;
use super::*;
use crate::schema::PrimitiveType;

fn schema(fields: Vec<(&str, DataType)>) -> StructType {
    StructType::new(fields.into_iter().map(|(name, t)| StructField::new(name, t, true)).collect()).expect("distinct")
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c, true));
    RecordBatch::try_from_iter_with_nullable(named).expect("equal lengths")
}

fn collect(schema: &StructType, properties: &TableProperties, batches: &[RecordBatch]) -> serde_json::Value {
    let mut stats = StatsCollector::new(schema, &[], ColumnMappingMode::None, properties).expect("known types");
    for batch in batches {
        stats.update(batch).expect("fits");
    }
    serde_json::from_str(&stats.finish().json).expect("JSON")
}

/// Minimum and maximum of one column, as JSON text.
fn bounds(data_type: PrimitiveType, column: ArrayRef) -> (Option<String>, Option<String>) {
    let schema = schema(vec![("c", DataType::Primitive(data_type))]);
    let mut stats =
        StatsCollector::new(&schema, &[], ColumnMappingMode::None, &TableProperties::default()).expect("known types");
    stats.update(&batch(vec![column])).expect("fits");
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        min_values: BTreeMap<String, Box<RawValue>>,
        max_values: BTreeMap<String, Box<RawValue>>,
    }
    let raw: Raw = serde_json::from_str(&stats.finish().json).expect("JSON");
    let text = |values: &BTreeMap<String, Box<RawValue>>| values.get("c").map(|v| v.get().to_owned());
    (text(&raw.min_values), text(&raw.max_values))
}

fn both(min: &str, max: &str) -> (Option<String>, Option<String>) {
    (Some(min.into()), Some(max.into()))
}

#[test]
fn numbers_dates_and_decimals_keep_every_digit() {
    let longs = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
    assert_eq!(bounds(PrimitiveType::Long, longs), both("-9223372036854775808", "9223372036854775807"));
    let dates = Arc::new(Date32Array::from(vec![-1, 19_723]));
    assert_eq!(bounds(PrimitiveType::Date, dates), both("\"1969-12-31\"", "\"2024-01-01\""));
    let most = 10i128.pow(38) - 1;
    let decimals = Decimal128Array::from(vec![-5, most]).with_precision_and_scale(38, 2).expect("fits");
    let expected = both("-0.05", "999999999999999999999999999999999999.99");
    assert_eq!(bounds(PrimitiveType::Decimal(38, 2), Arc::new(decimals)), expected);
    let floats = Arc::new(Float32Array::from(vec![0.1, 1e30]));
    assert_eq!(bounds(PrimitiveType::Float, floats), both("0.1", "1e+30"));
}

#[test]
fn bounds_that_readers_could_not_hold_are_left_out() {
    let nan = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    assert_eq!(bounds(PrimitiveType::Double, nan), (None, None));
    let negative_nan = Arc::new(Float64Array::from(vec![1.0, -f64::NAN]));
    assert_eq!(bounds(PrimitiveType::Double, negative_nan), (None, None));
    let infinite = Arc::new(Float64Array::from(vec![1.5, f64::INFINITY]));
    assert_eq!(bounds(PrimitiveType::Double, infinite), (Some("1.5".into()), None));
    let far = Arc::new(Date32Array::from(vec![0, 4_000_000]));
    assert_eq!(bounds(PrimitiveType::Date, far), (Some("\"1970-01-01\"".into()), None));
    let flags = Arc::new(BooleanArray::from(vec![true, false]));
    assert_eq!(bounds(PrimitiveType::Boolean, flags), (None, None));
    let bytes = Arc::new(BinaryArray::from_iter_values([b"x"]));
    assert_eq!(bounds(PrimitiveType::Binary, bytes), (None, None));
    let none = Arc::new(Int64Array::from(vec![None, None]));
    assert_eq!(bounds(PrimitiveType::Long, none), (None, None));
}

#[test]
fn times_are_cut_to_milliseconds_outwards() {
    let micros = vec![-1, 1_000_001];
    let utc = Arc::new(TimestampMicrosecondArray::from(micros.clone()).with_timezone("UTC"));
    let expected = both("\"1969-12-31T23:59:59.999Z\"", "\"1970-01-01T00:00:01.001Z\"");
    assert_eq!(bounds(PrimitiveType::Timestamp, utc), expected);
    let local = Arc::new(TimestampMicrosecondArray::from(vec![0, 2000]));
    let expected = both("\"1970-01-01T00:00:00.000\"", "\"1970-01-01T00:00:00.002\"");
    assert_eq!(bounds(PrimitiveType::TimestampNtz, local), expected);
}

#[test]
fn long_text_is_cut_and_the_upper_bound_made_larger() {
    let stem = "a".repeat(32);
    let cut = |tail: &str| cut_max(&(stem.clone() + tail));
    assert_eq!(cut(""), Some(stem.clone()));
    assert_eq!(cut("b"), Some(stem.clone() + "\u{7f}"));
    assert_eq!(cut("\u{7f}"), Some(stem.clone() + "\u{10ffff}"));
    assert_eq!(cut("é"), Some(stem.clone() + "\u{10ffff}"));
    assert_eq!(cut("\u{10ffff}"), Some(stem.clone() + "\u{10ffff}"), "the end of the text is reached");
    assert_eq!(cut("\u{10ffff}b"), Some(stem.clone() + "\u{10ffff}\u{7f}"));
    assert_eq!(cut(&"\u{10ffff}".repeat(40)), None, "no short bound exists");
    let texts = Arc::new(StringArray::from(vec!["a".repeat(40)]));
    let expected = both(&format!("\"{stem}\""), &format!("\"{stem}\u{7f}\""));
    assert_eq!(bounds(PrimitiveType::String, texts), expected);
}

#[test]
fn nested_columns_count_nulls_of_the_structs_around_them() {
    let inner =
        Fields::from(vec![Field::new("x", ArrowType::Int64, true), Field::new("l", list().data_type().clone(), true)]);
    let x: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(-100), None]));
    let structs = StructArray::new(inner, vec![x, Arc::new(list())], Some(vec![true, false, true].into()));
    let schema = schema(vec![(
        "s",
        DataType::struct_of(vec![
            StructField::new("x", PrimitiveType::Long, true),
            StructField::new("l", DataType::array_of(PrimitiveType::Long.into(), true), true),
        ]),
    )]);
    let found = collect(&schema, &TableProperties::default(), &[batch(vec![Arc::new(structs)])]);
    assert_eq!(
        found,
        serde_json::json!({
            "numRecords": 3,
            "minValues": {"s": {"x": 7}},
            "maxValues": {"s": {"x": 7}},
            "nullCount": {"s": {"x": 2, "l": 2}},
            "tightBounds": true,
        })
    );
}

fn list() -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![]), None])
}

#[test]
fn the_first_leaf_columns_or_those_named_are_indexed() {
    let long = || DataType::from(PrimitiveType::Long);
    let pair = DataType::struct_of(vec![StructField::new("x", long(), true), StructField::new("y", long(), true)]);
    let schema = schema(vec![("a", long()), ("s", pair), ("b", long())]);
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let fields = Fields::from(vec![Field::new("x", ArrowType::Int64, true), Field::new("y", ArrowType::Int64, true)]);
    let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![one(), one()], None));
    let batch = [batch(vec![one(), structs, one()])];
    let nulls = |properties: TableProperties| collect(&schema, &properties, &batch)["nullCount"].to_string();
    let first = |n| nulls(TableProperties { data_skipping_num_indexed_cols: n, ..TableProperties::default() });
    assert_eq!(first(Some(0)), "{}");
    assert_eq!(first(Some(2)), r#"{"a":0,"s":{"x":0}}"#);
    assert_eq!(first(None), r#"{"a":0,"b":0,"s":{"x":0,"y":0}}"#);
    let named = |paths: &[&[&str]]| {
        let paths = paths.iter().map(|p| p.iter().map(|n| (*n).to_owned()).collect()).collect();
        nulls(TableProperties { data_skipping_stats_columns: Some(paths), ..TableProperties::default() })
    };
    assert_eq!(named(&[&["B"], &["s"]]), r#"{"b":0,"s":{"x":0,"y":0}}"#);
    assert_eq!(named(&[&["s", "y"]]), r#"{"s":{"y":0}}"#);
}

#[test]
fn physical_names_are_used_where_columns_are_mapped() {
    let field = StructField::new("a", PrimitiveType::Long, true)
        .with_metadata("delta.columnMapping.id", 1)
        .with_metadata("delta.columnMapping.physicalName", "col-1");
    let schema = StructType::new(vec![field, StructField::new("p", PrimitiveType::Long, true)]).expect("distinct");
    let json = |mode| {
        let mut stats = StatsCollector::new(&schema, &["p".into()], mode, &TableProperties::default()).expect("known");
        stats.update(&batch(vec![Arc::new(Int64Array::from(vec![1]))])).expect("fits");
        stats.finish().json
    };
    assert!(json(ColumnMappingMode::Name).contains(r#""minValues":{"col-1":1}"#));
    assert!(json(ColumnMappingMode::None).contains(r#""minValues":{"a":1}"#));
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let schema = schema(vec![("a", PrimitiveType::Long.into())]);
    let mut stats =
        StatsCollector::new(&schema, &[], ColumnMappingMode::None, &TableProperties::default()).expect("known types");
    assert!(
        stats.update(&batch(vec![Arc::new(Int32Array::from(vec![1])), Arc::new(Int32Array::from(vec![1]))])).is_err()
    );
    assert!(stats.update(&batch(vec![Arc::new(list())])).is_err());
}

#[test]
fn widening_keeps_what_still_holds() {
    let json = r#"{"numRecords":9,"minValues":{"d":0.12345678901234567890123456789},"tightBounds":true}"#;
    let wide = widen(json, 9);
    assert!(wide.contains(r#""minValues":{"d":0.12345678901234567890123456789}"#), "{wide}");
    assert!(wide.contains(r#""tightBounds":false"#) && !wide.contains("true"), "{wide}");
    assert_eq!(parse_num_records(&wide), Some(9));
    assert_eq!(widen("nonsense", 4), only_row_count(4));
    assert_eq!(parse_num_records(&only_row_count(4)), Some(4));
    for unknown in ["", "{}", "[]", r#"{"numRecords":-1}"#, r#"{"numRecords":"x"}"#] {
        assert_eq!(parse_num_records(unknown), None, "{unknown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_layout_of_text_gives_the_same_bounds(
        texts in prop::collection::vec(prop::option::of("(aaaaaaaa)?[a-c\u{0}é\u{10ffff}]{0,14}"), 0..20),
        offset in 0usize..3,
    ) {
        let present: Vec<&String> = texts.iter().skip(offset).flatten().collect();
        let least = present.iter().min().map(|t| json_text(t));
        let most = present.iter().max().map(|t| json_text(t));
        let expected = (least, most);
        let sliced = |array: ArrayRef| array.slice(offset.min(array.len()), array.len() - offset.min(array.len()));
        let plain = StringArray::from(texts.clone());
        let dictionary: DictionaryArray<Int32Type> = texts.iter().map(|t| t.as_deref()).collect();
        let layouts: [ArrayRef; 4] = [
            Arc::new(plain),
            Arc::new(LargeStringArray::from(texts.clone())),
            Arc::new(StringViewArray::from_iter(texts.iter().map(|t| t.as_deref()))),
            Arc::new(dictionary),
        ];
        for layout in layouts {
            prop_assert_eq!(&bounds(PrimitiveType::String, sliced(layout)), &expected);
        }
    }

    #[test]
    fn a_cut_upper_bound_is_one(text in "\\PC{0,70}", tail in "[a\u{7e}\u{7f}\u{10ffff}]{0,70}") {
        for value in [text.clone() + &tail, "a".repeat(31) + &tail, tail.clone()] {
            if let Some(bound) = cut_max(&value) {
                prop_assert!(bound.as_bytes() >= value.as_bytes());
                prop_assert!(bound.chars().count() <= 2 * TEXT_PREFIX_CHARS + 1);
            }
        }
    }
}
