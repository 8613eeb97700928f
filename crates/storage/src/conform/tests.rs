use arrow::array::{
    BinaryArray, DictionaryArray, Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Int8Type, Int32Type, Schema};

use super::*;

fn with_id(field: Field, id: &str) -> Field {
    field.with_metadata([(FIELD_ID.to_owned(), id.to_owned())].into())
}

fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn int64(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

#[test]
fn columns_are_found_in_any_order_widened_and_missing_ones_are_null() {
    let file = batch(vec![
        (Field::new("b", DataType::Int32, true), Arc::new(Int32Array::from(vec![Some(1), None]))),
        (Field::new("a", DataType::Utf8, true), Arc::new(StringArray::from(vec!["x", "y"]))),
        (int64("unused"), Arc::new(Int64Array::from(vec![7, 8]))),
    ]);
    let wanted = schema(vec![Field::new("a", DataType::Utf8View, true), int64("b"), int64("c")]);
    let conformed = conform(&file, &wanted).unwrap();
    assert_eq!(conformed.schema(), wanted);
    assert_eq!(conformed.column(1).as_ref(), &Int64Array::from(vec![Some(1), None]));
    assert_eq!(conformed.column(2).null_count(), 2);
}

#[test]
fn field_ids_win_over_names_where_both_sides_have_them() {
    let file = batch(vec![
        (with_id(int64("old"), "1"), Arc::new(Int64Array::from(vec![1]))),
        (with_id(int64("new"), "2"), Arc::new(Int64Array::from(vec![2]))),
    ]);
    let conformed = conform(&file, &schema(vec![with_id(int64("new"), "1"), with_id(int64("x"), "3")])).unwrap();
    assert_eq!(conformed.column(0).as_ref(), &Int64Array::from(vec![1]));
    assert_eq!(conformed.column(1).null_count(), 1);
    // A table without column mapping does not care about ids some other writer put there.
    let conformed = conform(&file, &schema(vec![int64("new")])).unwrap();
    assert_eq!(conformed.column(0).as_ref(), &Int64Array::from(vec![2]));
}

#[test]
fn nested_columns_are_conformed_too() {
    let inner = Fields::from(vec![Field::new("x", DataType::Int32, true)]);
    let values = StructArray::new(inner.clone(), vec![Arc::new(Int32Array::from(vec![1, 2, 3]))], None);
    let element = Arc::new(Field::new("item", DataType::Struct(inner), true));
    let lists =
        ListArray::new(element.clone(), arrow::buffer::OffsetBuffer::from_lengths([2, 1]), Arc::new(values), None);
    let file = batch(vec![(Field::new("l", DataType::List(element), true), Arc::new(lists))]);
    let wanted_inner = Fields::from(vec![int64("added"), int64("x")]);
    let element = Arc::new(Field::new("element", DataType::Struct(wanted_inner), true));
    let wanted = schema(vec![Field::new("l", DataType::List(element), true)]);
    let conformed = conform(&file, &wanted).unwrap();
    let list = conformed.column(0).as_any().downcast_ref::<ListArray>().unwrap();
    let values = list.values().as_any().downcast_ref::<StructArray>().unwrap();
    assert_eq!(values.column(1).as_ref(), &Int64Array::from(vec![1, 2, 3]));
    assert_eq!(values.column(0).null_count(), 3);
}

#[test]
fn times_of_all_units_become_microseconds() {
    let nanos = TimestampNanosecondArray::from(vec![Some(1_000_001_000), None]);
    let file = batch(vec![(Field::new("t", DataType::Timestamp(TimeUnit::Nanosecond, None), true), Arc::new(nanos))]);
    for zone in [None, Some("UTC".into())] {
        let wanted = schema(vec![Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, zone.clone()), true)]);
        let conformed = conform(&file, &wanted).unwrap();
        let expected = TimestampMicrosecondArray::from(vec![Some(1_000_001), None]).with_timezone_opt(zone);
        assert_eq!(conformed.column(0).as_ref(), &expected);
    }
}

#[test]
fn dictionaries_and_text_stored_as_bytes_become_text() {
    let dictionary: DictionaryArray<Int8Type> = vec!["a", "b", "a"].into_iter().collect();
    let bytes = BinaryArray::from(vec![&b"x"[..], b"y", b"z"]);
    let file = batch(vec![
        (Field::new("d", dictionary.data_type().clone(), true), Arc::new(dictionary)),
        (Field::new("s", DataType::Binary, true), Arc::new(bytes)),
    ]);
    let wanted = schema(vec![Field::new("d", DataType::Utf8, true), Field::new("s", DataType::Utf8, true)]);
    let conformed = conform(&file, &wanted).unwrap();
    assert_eq!(conformed.column(0).as_ref(), &StringArray::from(vec!["a", "b", "a"]));
    assert_eq!(conformed.column(1).as_ref(), &StringArray::from(vec!["x", "y", "z"]));
}

#[test]
fn what_would_change_a_value_is_refused() {
    let text = batch(vec![(Field::new("c", DataType::Utf8, true), Arc::new(StringArray::from(vec!["1"])))]);
    let error = conform(&text, &schema(vec![int64("c")])).unwrap_err();
    assert_eq!(error, "column c is Utf8 in the file and Int64 in the table");
    let large = batch(vec![(int64("c"), Arc::new(Int64Array::from(vec![1])))]);
    assert!(conform(&large, &schema(vec![Field::new("c", DataType::Int32, true)])).is_err());
    // The types allow it and the value does not: an error, never a null.
    let wide = batch(vec![(Field::new("c", DataType::Int32, true), Arc::new(Int32Array::from(vec![300])))]);
    assert!(conform(&wide, &schema(vec![Field::new("c", DataType::Int8, true)])).is_err());
    let bytes = batch(vec![(Field::new("c", DataType::Binary, true), Arc::new(BinaryArray::from(vec![&b"\xff"[..]])))]);
    assert!(conform(&bytes, &schema(vec![Field::new("c", DataType::Utf8, true)])).is_err());
}

#[test]
fn a_null_where_none_may_be_is_refused() {
    let wanted = schema(vec![Field::new("c", DataType::Int64, false)]);
    let nulls = batch(vec![(int64("c"), Arc::new(Int64Array::from(vec![None::<i64>])))]);
    assert!(conform(&nulls, &wanted).is_err());
    let lacking = batch(vec![(int64("x"), Arc::new(Int64Array::from(vec![1])))]);
    assert_eq!(conform(&lacking, &wanted).unwrap_err(), "column c is missing and must not be null");
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), None]);
    let file = batch(vec![(Field::new("l", lists.data_type().clone(), true), Arc::new(lists))]);
    assert_eq!(conform(&file, &schema(vec![])).unwrap().num_rows(), 2);
}

mod variants {
    use arrow::array::{Array, ArrayRef, BinaryArray, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field, Fields};
    use parquet_variant_compute::{json_to_variant, shred_variant};
    use proptest::prelude::*;

    use super::super::variant::to_json;
    use super::*;

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

    proptest! {
        #[test]
        fn variants_are_shown_as_the_json_they_hold_shredded_or_not(rows in prop::collection::vec(prop::option::of(json()), 1..6)) {
            let rows: Vec<Option<&str>> = rows.iter().map(|row| row.as_deref()).collect();
            let array = variants(&rows);
            let expected: Vec<Option<String>> = rows.iter().map(|row| row.map(str::to_owned)).collect();
            let plain: ArrayRef = Arc::new(array.inner().clone());
            prop_assert_eq!(&texts(&to_json(&plain).expect("variants")), &expected);
            let inner = Fields::from(vec![Field::new("b", DataType::Int64, true)]);
            let shape = Fields::from(vec![
                Field::new("a", DataType::Int64, true),
                Field::new("b", DataType::Struct(inner), true),
                Field::new("c", DataType::new_list(DataType::Utf8, true), true),
            ]);
            let shredded = shred_variant(&array, &DataType::Struct(shape)).expect("shredded");
            let shredded: ArrayRef = Arc::new(shredded.inner().clone());
            prop_assert_eq!(&texts(&to_json(&shredded).expect("variants")), &expected);
        }

        #[test]
        fn bytes_that_are_no_variant_are_told(metadata in prop::collection::vec(any::<u8>(), 0..12), value in prop::collection::vec(any::<u8>(), 0..24)) {
            let column = |bytes: &[u8]| -> ArrayRef { Arc::new(BinaryArray::from(vec![bytes])) };
            let columns = [("metadata", column(&metadata)), ("value", column(&value))];
            let array: ArrayRef = Arc::new(StructArray::try_from(columns.to_vec()).expect("two columns"));
            if let Err(what) = to_json(&array) {
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
        let shown = texts(&to_json(&of_bytes(&nested(100))).expect("a variant"));
        assert_eq!(shown, [Some(format!("{}null{}", "[".repeat(100), "]".repeat(100)))]);
        // By hand: as many headers as a stack never has frames.
        let mut deep = Vec::new();
        for level in (0..20_000u32).rev() {
            deep.extend([0b1111, 1, 0, 0, 0, 0]);
            deep.extend((level * 10 + 1).to_le_bytes());
        }
        deep.push(0);
        let error = to_json(&of_bytes(&deep)).expect_err("too deep");
        assert!(error.contains("deeper"), "{error}");
        let shredded: ArrayRef = Arc::new(
            StructArray::try_from(vec![
                ("metadata", Arc::new(BinaryArray::from(vec![&[1u8, 0, 0][..]])) as ArrayRef),
                ("value", Arc::new(BinaryArray::from(vec![&deep[..]]))),
                ("typed_value", Arc::new(Int64Array::from(vec![None]))),
            ])
            .expect("three columns"),
        );
        assert!(to_json(&shredded).expect_err("too deep").contains("deeper"));
    }

    #[test]
    fn a_variant_that_holds_a_part_of_itself_twice_is_refused() {
        // Each list names what lies in it twice: as many ways down as there are numbers.
        let mut value = vec![0];
        for _ in 0..60 {
            let length = u8::try_from(value.len() % 200).expect("small");
            value = [&[0b11, 2, 0, 0, length][..], &value].concat();
        }
        let error = to_json(&of_bytes(&value)).expect_err("exponential");
        assert!(error.contains("several times"), "{error}");
    }

    #[test]
    fn another_shape_is_no_variant() {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(to_json(&number).is_err());
        let wrong: ArrayRef = Arc::new(StructArray::try_from(vec![("value", number)]).expect("a column"));
        assert!(to_json(&wrong).is_err());
    }
}
