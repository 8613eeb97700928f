use super::*;
use crate::commit::testing::{file, metadata, protocol, table_of};
use crate::schema::PrimitiveType;

const V2: (&str, &str) = (ENABLE_V2, "true");
const MAPPED: (&str, &str) = ("delta.columnMapping.mode", "name");

fn column(name: &str, data_type: DataType) -> StructField {
    let field = StructField::new(name, data_type, true);
    field.with_metadata("delta.columnMapping.physicalName", name).with_metadata("delta.columnMapping.id", 1)
}

fn schema_of(data_type: DataType) -> StructType {
    StructType { fields: vec![column("c", data_type)] }
}

fn long() -> DataType {
    DataType::Primitive(PrimitiveType::Long)
}

fn checked(schema: &StructType, properties: &[(&str, &str)], adds: &[Add]) -> Result<()> {
    check(&metadata(schema, &[], properties), schema, adds, None)
}

fn refused(outcome: Result<()>, part: &str) {
    let error = outcome.expect_err(part).to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn what_iceberg_has_no_like_of_is_refused() {
    let plain = schema_of(long());
    let list = schema_of(DataType::array_of(long(), true));
    assert_eq!(checked(&plain, &[V2, MAPPED], &[file("a", 1, 0, 9)]), Ok(()));
    assert_eq!(checked(&list, &[MAPPED], &[]), Ok(()), "the rules are not on");
    refused(checked(&plain, &[V2], &[]), "delta.columnMapping.mode");
    refused(checked(&plain, &[V2, MAPPED, ("delta.enableDeletionVectors", "true")], &[]), "deletion vectors");
    refused(checked(&plain, &[V2, MAPPED, (ENABLE_V1, "true")], &[]), "one of the two");
    refused(checked(&plain, &[V2, MAPPED], &[Add { stats: None, ..file("a", 1, 0, 9) }]), "number of rows");
    refused(checked(&list, &[(ENABLE_V1, "true"), MAPPED], &[]), "V2 alone");
    refused(checked(&list, &[V2, MAPPED], &[]), "lacks ids");
    refused(checked(&schema_of(DataType::Void), &[V2, MAPPED], &[]), "type void");
    refused(checked(&schema_of(DataType::Variant), &[V2, MAPPED], &[]), "type variant");
    let vector = crate::deletion_vector::encode_inline(&[1u64].into_iter().collect());
    refused(
        checked(&plain, &[V2, MAPPED], &[Add { deletion_vector: Some(vector), ..file("a", 1, 0, 9) }]),
        "deletion vectors",
    );
}

#[test]
fn nested_ids_are_given_once_each_and_go_on() {
    let inner = StructType { fields: vec![column("deep", DataType::array_of(long(), true))] };
    let elements = DataType::Struct(Box::new(inner));
    let mut schema = schema_of(DataType::map_of(long(), DataType::array_of(elements, true), true));
    assert_eq!(assign_nested_ids(&mut schema, 7), 11);
    let ids = schema.fields[0].metadata[NESTED_IDS].to_string();
    assert_eq!(ids, r#"{"c.key":8,"c.value":9,"c.value.element":10}"#);
    assert_eq!(checked(&schema, &[V2, MAPPED], &[]), Ok(()));
    assert_eq!(assign_nested_ids(&mut schema, 11), 11, "what has ids keeps them");
}

#[test]
fn only_changes_of_types_that_iceberg_follows_are_taken() {
    for (from, to, taken) in [
        ("integer", "long", true),
        ("byte", "integer", true),
        ("float", "double", true),
        ("decimal(10,2)", "decimal(20,2)", true),
        ("decimal(10,2)", "decimal(20,3)", false),
        ("date", "timestamp_ntz", false),
        ("integer", "double", false),
    ] {
        let changes = serde_json::json!([{"fromType": from, "toType": to}]);
        let schema = StructType { fields: vec![column("c", long()).with_metadata(TYPE_CHANGES, changes)] };
        assert_eq!(checked(&schema, &[V2, MAPPED], &[]).is_ok(), taken, "{from} to {to}");
    }
}

#[test]
fn tables_with_files_get_the_rules_only_where_their_files_keep_them() {
    let schema = schema_of(long());
    let before = |partitions: &[&str], properties: &[(&str, &str)], adds: &[Add]| {
        table_of(protocol(&["columnMapping"]), metadata(&schema, partitions, properties), None, adds)
    };
    let turned_on = |base: &TableState| check(&metadata(&schema, &[], &[V2, MAPPED]), &schema, &[], Some(base));
    assert_eq!(turned_on(&before(&[], &[MAPPED], &[file("a", 1, 0, 9)])), Ok(()));
    refused(turned_on(&before(&[], &[], &[file("a", 1, 0, 9)])), "no ids of columns");
    assert_eq!(turned_on(&before(&[], &[], &[])), Ok(()));
    let on = before(&[], &[V2, MAPPED], &[]);
    refused(check(&metadata(&schema, &["c"], &[V2, MAPPED]), &schema, &[], Some(&on)), "stays partitioned");
}
