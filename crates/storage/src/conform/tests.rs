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
