use arrow::array::Int64Array;
use arrow::buffer::OffsetBuffer;
use floe_table_format::PrimitiveType;

use super::*;

fn long(name: &str, physical: &str, id: i64) -> StructField {
    let mut field = StructField::new(name, PrimitiveType::Long, true);
    field.metadata.insert("delta.columnMapping.physicalName".into(), physical.into());
    field.metadata.insert(COLUMN_MAPPING_ID.into(), id.into());
    field
}

fn rewritten(mode: ColumnMappingMode, physical: Vec<Field>, column: &str) -> String {
    let schema = StructType { fields: vec![long("a", "col-1", 1), long("b", "col-2", 2)] };
    let logical =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]));
    let factory = FileColumnsAdapterFactory::new(&schema, mode).expect("the schema maps");
    let index = logical.index_of(column).expect("a column of the table");
    let adapter = factory.create(logical, Arc::new(Schema::new(physical))).expect("an adapter");
    adapter.rewrite(Arc::new(Column::new(column, index))).expect("it rewrites").to_string()
}

#[test]
fn columns_are_found_by_physical_name() {
    let file = vec![Field::new("col-2", DataType::Int64, true), Field::new("col-1", DataType::Int64, true)];
    assert_eq!(rewritten(ColumnMappingMode::Name, file.clone(), "a"), "col-1@1");
    assert_eq!(rewritten(ColumnMappingMode::Name, file, "b"), "col-2@0");
}

#[test]
fn columns_are_found_by_field_id_whatever_their_name() {
    let with_id = |name: &str, id: &str| {
        Field::new(name, DataType::Int64, true).with_metadata([(FIELD_ID.to_string(), id.to_string())].into())
    };
    let file = vec![with_id("x", "2"), with_id("y", "1")];
    assert_eq!(rewritten(ColumnMappingMode::Id, file.clone(), "a"), "y@1");
    assert_eq!(rewritten(ColumnMappingMode::Id, file, "b"), "x@0");
}

#[test]
fn a_mapped_column_the_file_lacks_is_null_even_if_another_has_its_name() {
    let file = vec![Field::new("a", DataType::Int64, true), Field::new("col-2", DataType::Int64, true)];
    assert_eq!(rewritten(ColumnMappingMode::Name, file, "a"), "NULL");
}

#[test]
fn nested_names_change_and_values_do_not() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let list: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([2, 1]), values, None));
    let wanted = DataType::List(Arc::new(Field::new("element", DataType::Int64, true)));
    assert!(same_layout(list.data_type(), &wanted));
    let relabelled = relabel(&list, &wanted).expect("it relabels");
    assert_eq!(relabelled.data_type(), &wanted);
    assert_eq!(relabelled.as_list::<i32>().value(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[1, 2]);
}

#[test]
fn fields_of_structs_are_the_same_by_id_or_name_and_not_by_place() {
    let field = |name: &str, id: Option<&str>| {
        let ids = id.map(|id| (FIELD_ID.to_string(), id.to_string()));
        Field::new(name, DataType::Int64, true).with_metadata(ids.into_iter().collect())
    };
    let type_of = |fields: Vec<Field>| DataType::Struct(fields.into());
    let table = type_of(vec![field("a", Some("1")), field("b", Some("2"))]);
    assert!(same_layout(&type_of(vec![field("a", None), field("b", None)]), &table));
    assert!(same_layout(&type_of(vec![field("x", Some("1")), field("y", Some("2"))]), &table));
    assert!(!same_layout(&type_of(vec![field("b", None), field("a", None)]), &table));
    assert!(!same_layout(&type_of(vec![field("a", Some("2")), field("b", Some("1"))]), &table));
    assert!(!same_layout(&type_of(vec![field("a", None)]), &table));
}
