use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet_variant::VariantBuilder;
use parquet_variant_compute::{json_to_variant, shred_variant};
use proptest::prelude::*;

use super::*;

/// The JSON text of a column as a file may hold it.
fn read(column: &ArrayRef) -> Result<ArrayRef, String> {
    to_json(&checked(column)?)
}

fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    column.as_any().downcast_ref::<StringArray>().expect("text").iter().map(|t| t.map(str::to_owned)).collect()
}

fn variants(texts: &[Option<&str>]) -> parquet_variant_compute::VariantArray {
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    json_to_variant(&texts).expect("JSON")
}

/// JSON without spaces, of up to three levels.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "[a-z é]{0,9}".prop_map(|t| format!("\"{t}\"")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// As [`json`], with numbers of every kind.
fn typed_json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-300i64..300).prop_map(|n| n.to_string()),
        (-3000i64..3000).prop_map(|n| format!("{}.{:02}", n / 100, n.unsigned_abs() % 100)),
        (-40i32..40).prop_map(|n| format!("1.5e{n}")),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        number,
        "[a-z é]{0,70}".prop_map(|t| format!("\"{t}\"")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|fields| {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// A column of variants beside a struct that holds the same.
fn parsed(rows: &[Option<String>]) -> RecordBatch {
    let mut builder = parquet_variant_compute::VariantArrayBuilder::new(rows.len());
    for row in rows {
        match row {
            Some(text) => append_json(text, &mut builder).expect("JSON"),
            None => builder.append_null(),
        }
    }
    let column: ArrayRef = Arc::new(builder.build().inner().clone());
    let column = checked(&column).expect("variants");
    let field = Arc::new(Field::new("v", variant_type(), true));
    let around: ArrayRef = Arc::new(StructArray::from(vec![(field.clone(), column.clone())]));
    let fields = vec![Field::clone(&field), Field::new("s", around.data_type().clone(), true)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![column, around]).expect("two columns")
}

proptest! {
    #[test]
    fn variants_are_shown_as_the_json_they_hold_shredded_or_not(rows in prop::collection::vec(prop::option::of(json()), 1..6)) {
        let rows: Vec<Option<&str>> = rows.iter().map(|row| row.as_deref()).collect();
        let array = variants(&rows);
        let expected: Vec<Option<String>> = rows.iter().map(|row| row.map(str::to_owned)).collect();
        let plain: ArrayRef = Arc::new(array.inner().clone());
        prop_assert_eq!(&texts(&read(&plain).expect("variants")), &expected);
        let inner = Fields::from(vec![Field::new("b", DataType::Int64, true)]);
        let shape = Fields::from(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Struct(inner), true),
            Field::new("c", DataType::new_list(DataType::Utf8, true), true),
        ]);
        let shredded = shred_variant(&array, &DataType::Struct(shape)).expect("shredded");
        let shredded: ArrayRef = Arc::new(shredded.inner().clone());
        prop_assert_eq!(&texts(&read(&shredded).expect("variants")), &expected);
    }

    #[test]
    fn what_is_shredded_for_a_file_comes_back_value_for_value(
        sample in prop::collection::vec(prop::option::of(typed_json()), 1..6),
        rows in prop::collection::vec(prop::option::of(typed_json()), 1..6),
    ) {
        let (sample, whole) = (parsed(&sample), parsed(&rows));
        if let Some(shredding) = Shredding::suited(&sample.schema(), &sample).expect("variants") {
            let shredded = shredding.apply(&whole).expect("variants");
            prop_assert_ne!(shredded.column(0).data_type(), whole.column(0).data_type());
            let back = checked(shredded.column(0)).expect("variants");
            let (back, whole) = (Variants::of(&back).expect("variants"), Variants::of(whole.column(0)).expect("variants"));
            for row in 0..rows.len() {
                let (back, whole) = (back.get(row).expect("a variant"), whole.get(row).expect("a variant"));
                // Integers come back as wide as their column.
                prop_assert_eq!(back.map(|v| text_of(&v).expect("flat")), whole.map(|v| text_of(&v).expect("flat")));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_variant_are_told(metadata in prop::collection::vec(any::<u8>(), 0..12), value in prop::collection::vec(any::<u8>(), 0..24)) {
        let column = |bytes: &[u8]| -> ArrayRef { Arc::new(BinaryArray::from(vec![bytes])) };
        let columns = [("metadata", column(&metadata)), ("value", column(&value))];
        let array: ArrayRef = Arc::new(StructArray::try_from(columns.to_vec()).expect("two columns"));
        if let Err(what) = read(&array) {
            prop_assert!(!what.is_empty());
        }
    }
}

/// Lists in lists, as bytes: each holds one.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = vec![0];
    for _ in 0..depth {
        let length = u32::try_from(value.len()).expect("small").to_le_bytes();
        // A list with offsets of four bytes: its header, one element, where it begins, where it ends.
        value = [&[0b1111, 1, 0, 0, 0, 0][..], &length, &value].concat();
    }
    value
}

fn of_bytes(value: &[u8]) -> ArrayRef {
    let column = |bytes: &[u8]| -> ArrayRef { Arc::new(BinaryArray::from(vec![bytes])) };
    let columns = vec![("metadata", column(&[1, 0, 0])), ("value", column(value))];
    Arc::new(StructArray::try_from(columns).expect("two columns"))
}

#[test]
fn a_variant_that_nests_too_deep_is_refused_before_anyone_follows_it() {
    let shown = texts(&read(&of_bytes(&nested(100))).expect("a variant"));
    assert_eq!(shown, [Some(format!("{}null{}", "[".repeat(100), "]".repeat(100)))]);
    // By hand: as many headers as a stack never has frames.
    let mut deep = Vec::new();
    for level in (0..20_000u32).rev() {
        deep.extend([0b1111, 1, 0, 0, 0, 0]);
        deep.extend((level * 10 + 1).to_le_bytes());
    }
    deep.push(0);
    // Of the very type, so that nobody has looked before.
    let part = |bytes: &[u8]| -> ArrayRef { Arc::new(arrow::array::BinaryViewArray::from(vec![bytes])) };
    let whole: ArrayRef = Arc::new(StructArray::new(fields(), vec![part(&deep), part(&[1, 0, 0])], None));
    assert!(to_json(&whole).expect_err("too deep").contains("deeper"));
    let error = read(&of_bytes(&deep)).expect_err("too deep");
    assert!(error.contains("deeper"), "{error}");
    let shredded: ArrayRef = Arc::new(
        StructArray::try_from(vec![
            ("metadata", Arc::new(BinaryArray::from(vec![&[1u8, 0, 0][..]])) as ArrayRef),
            ("value", Arc::new(BinaryArray::from(vec![&deep[..]]))),
            ("typed_value", Arc::new(Int64Array::from(vec![None]))),
        ])
        .expect("three columns"),
    );
    assert!(read(&shredded).expect_err("too deep").contains("deeper"));
}

#[test]
fn a_variant_that_holds_a_part_of_itself_twice_is_refused() {
    // Each list names what lies in it twice: as many ways down as there are numbers.
    let mut value = vec![0];
    for _ in 0..60 {
        let length = u8::try_from(value.len() % 200).expect("small");
        value = [&[0b11, 2, 0, 0, length][..], &value].concat();
    }
    let error = read(&of_bytes(&value)).expect_err("exponential");
    assert!(error.contains("several times"), "{error}");
}

#[test]
fn another_shape_is_no_variant() {
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(read(&number).is_err());
    let wrong: ArrayRef = Arc::new(StructArray::try_from(vec![("value", number)]).expect("a column"));
    assert!(read(&wrong).is_err());
}

#[test]
fn numbers_of_json_keep_every_digit() {
    let kind = |text: &str| {
        let mut builder = VariantBuilder::new();
        append_json(text, &mut builder).expect("a number");
        let (metadata, value) = builder.finish();
        let variant = Variant::try_new(&metadata, &value).expect("a variant");
        (format!("{variant:?}").split('(').next().unwrap_or_default().to_owned(), text_of(&variant).expect("flat"))
    };
    for (text, expected, shown) in [
        ("7", "Int8", "7"),
        ("-300", "Int16", "-300"),
        ("70000", "Int32", "70000"),
        ("9223372036854775807", "Int64", "9223372036854775807"),
        ("9223372036854775808", "Decimal16", "9223372036854775808"),
        ("0.10", "Decimal4", "0.1"),
        ("12345678901.25", "Decimal8", "12345678901.25"),
        ("-0.12345678901234567890123456789012345678", "Decimal16", "-0.12345678901234567890123456789012345678"),
        ("1e3", "Double", "1000.0"),
        ("123456789012345678901234567890123456789.5", "Double", "1.2345678901234568e38"),
    ] {
        assert_eq!(kind(text), (expected.to_owned(), shown.to_owned()), "{text}");
    }
}

#[test]
fn text_that_is_no_json_is_told() {
    let error = |text: &str| append_json(text, &mut VariantBuilder::new()).expect_err(text);
    assert!(error("{\"a\": 1,}").contains("key must be a string"), "{}", error("{\"a\": 1,}"));
    assert!(error("").contains("EOF"), "{}", error(""));
    assert!(error("1 2").contains("trailing"), "{}", error("1 2"));
    assert!(error(r#"{"a": 1, "a": 2}"#).contains("a is there twice"), "{}", error(r#"{"a": 1, "a": 2}"#));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(!error(&deep).is_empty());
}

#[test]
fn columns_are_chosen_by_what_the_sample_holds() {
    let rows = |texts: &[&str]| parsed(&texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>());
    let typed = |texts: &[&str]| {
        let sample = rows(texts);
        let shredding = Shredding::suited(&sample.schema(), &sample).expect("variants")?;
        let DataType::Struct(parts) = shredding.schema().field(0).data_type().clone() else { panic!("a struct") };
        let names: Vec<&str> = parts.iter().map(|part| part.name().as_str()).collect();
        assert_eq!(names, ["metadata", "value", "typed_value"]);
        Some(parts[2].data_type().clone())
    };
    assert_eq!(typed(&["1", "300", "70000"]), Some(DataType::Int64));
    assert_eq!(typed(&["\"a\"", "1", "\"b\""]), Some(DataType::Utf8));
    // Nothing but lists, nulls and decimals: no column takes them.
    assert_eq!(typed(&["[1]", "null", "1.5"]), None);
    let Some(DataType::Struct(fields)) = typed(&[r#"{"a": 1, "b": {"c": true}, "d": [1]}"#, r#"{"a": 2}"#]) else {
        panic!("an object");
    };
    assert_eq!(fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["a", "b"]);
    // One value in twenty has the field.
    let mut sparse = vec!["{}"; 19];
    sparse.push(r#"{"rare": 1}"#);
    assert_eq!(typed(&sparse), None);
}

#[test]
fn what_has_not_the_very_type_of_its_column_stays_as_it_is() {
    let kinds = [
        "null",
        "true",
        "1",
        "300",
        "70000",
        "5000000000",
        "1.5",
        "1.5e0",
        "\"a\"",
        "[1]",
        "{}",
        r#"{"k":1}"#,
        r#"{"k":1.5e0,"x":2}"#,
    ];
    for sampled in kinds {
        for within in [|value: &str| value.to_owned(), |value: &str| format!(r#"{{"f":{value}}}"#)] {
            let sample = parsed(&[Some(within(sampled))]);
            let Some(shredding) = Shredding::suited(&sample.schema(), &sample).expect("variants") else { continue };
            let rows: Vec<Option<String>> = kinds.iter().map(|kind| Some(within(kind))).chain([None]).collect();
            let whole = parsed(&rows);
            let back = checked(shredding.apply(&whole).expect("variants").column(0)).expect("variants");
            let (back, whole) = (to_json(&back).expect("variants"), to_json(whole.column(0)).expect("variants"));
            assert_eq!(texts(&back), texts(&whole), "by a sample of {sampled}");
        }
    }
}
