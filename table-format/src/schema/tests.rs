use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, Fields, Schema, TimeUnit, UnionFields, UnionMode};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: Value) -> Result<StructType> {
    StructType::parse(&value.to_string())
}

fn schema_of_type(data_type: Value) -> Value {
    json!({"type": "struct", "fields": [{"name": "a", "type": data_type, "nullable": true, "metadata": {}}]})
}

fn type_of(data_type: Value) -> Result<DataType> {
    parse(schema_of_type(data_type)).map(|schema| schema.fields[0].data_type.clone())
}

fn check_invalid<T: std::fmt::Debug>(result: Result<T>, part: &str) {
    match result {
        Err(FormatError::InvalidSchema { what }) => assert!(what.contains(part), "{what:?} lacks {part:?}"),
        other => panic!("expected an invalid schema ({part}), got {other:?}"),
    }
}

/// Protocol section "Schema Serialization Format", the example.
#[test]
fn the_protocols_example_round_trips() {
    let text = r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":false,"metadata":{}},{"name":"b","type":{"type":"struct","fields":[{"name":"d","type":"integer","nullable":false,"metadata":{}}]},"nullable":true,"metadata":{}},{"name":"c","type":{"type":"array","elementType":"integer","containsNull":false},"nullable":true,"metadata":{}},{"name":"e","type":{"type":"array","elementType":{"type":"struct","fields":[{"name":"d","type":"integer","nullable":false,"metadata":{}}]},"containsNull":true},"nullable":true,"metadata":{}},{"name":"f","type":{"type":"map","keyType":"string","valueType":"string","valueContainsNull":true},"nullable":true,"metadata":{}}]}"#;
    let schema = StructType::parse(text).expect("the protocol's example");
    assert_eq!(schema.to_json(), text);
    assert_eq!(schema.fields[4].data_type.to_string(), "map<string,string>");
    assert_eq!(schema.fields[3].data_type.to_string(), "array<struct<d:integer>>");
}

#[test]
fn every_primitive_has_a_name_and_an_arrow_type() {
    for (name, primitive, arrow) in [
        ("string", PrimitiveType::String, ArrowType::Utf8),
        ("long", PrimitiveType::Long, ArrowType::Int64),
        ("integer", PrimitiveType::Integer, ArrowType::Int32),
        ("short", PrimitiveType::Short, ArrowType::Int16),
        ("byte", PrimitiveType::Byte, ArrowType::Int8),
        ("float", PrimitiveType::Float, ArrowType::Float32),
        ("double", PrimitiveType::Double, ArrowType::Float64),
        ("decimal(10,2)", PrimitiveType::Decimal(10, 2), ArrowType::Decimal128(10, 2)),
        ("decimal(38,38)", PrimitiveType::Decimal(38, 38), ArrowType::Decimal128(38, 38)),
        ("boolean", PrimitiveType::Boolean, ArrowType::Boolean),
        ("binary", PrimitiveType::Binary, ArrowType::Binary),
        ("date", PrimitiveType::Date, ArrowType::Date32),
        ("timestamp", PrimitiveType::Timestamp, ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("timestamp_ntz", PrimitiveType::TimestampNtz, ArrowType::Timestamp(TimeUnit::Microsecond, None)),
    ] {
        assert_eq!(type_of(json!(name)), Ok(primitive.into()), "{name}");
        assert_eq!(primitive.to_string(), name);
        assert_eq!(primitive.to_arrow(), arrow);
        assert_eq!(DataType::from_arrow(&arrow), Ok(primitive.into()));
    }
    assert_eq!(type_of(json!("decimal")), Ok(PrimitiveType::Decimal(10, 0).into()));
    assert_eq!(type_of(json!("decimal( 5 , 5 )")), Ok(PrimitiveType::Decimal(5, 5).into()));
}

#[test]
fn bad_decimals_are_refused() {
    for name in [
        "decimal(0,0)",
        "decimal(39,0)",
        "decimal(5,6)",
        "decimal(5,-1)",
        "decimal(+5,1)",
        "decimal(5)",
        "decimal(,)",
        "decimal(300,1)",
    ] {
        check_invalid(type_of(json!(name)), "column a");
    }
}

#[test]
fn unknown_types_are_named_with_their_column() {
    let nested = json!({"type": "array", "elementType": schema_of_type(json!("interval week")), "containsNull": true});
    for (data_type, expected) in [
        (json!("geometry"), "type geometry of column a"),
        (json!({"type": "udt", "class": "x"}), "type udt of column a"),
        (nested, "type interval week of column a.element.a"),
    ] {
        match type_of(data_type) {
            Err(FormatError::UnsupportedFeature { features, .. }) => assert_eq!(features, [expected]),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn variants_have_a_type_of_their_own_and_intervals_are_text_to_readers() {
    for name in ["variant", "interval day to second", "interval year"] {
        let schema = parse(schema_of_type(json!(name))).expect("a known type");
        let field = &schema.fields[0];
        let is_variant = name == "variant";
        let read_only = field.data_type.first_read_only().map(|t| t.to_string());
        assert_eq!(read_only.as_deref(), (!is_variant).then_some(name));
        assert_eq!(field.data_type.contains_variant(), is_variant);
        let shown = schema.to_arrow().expect("readable");
        let expected = if is_variant { variant_type() } else { ArrowType::Utf8 };
        assert_eq!((shown.field(0).data_type(), shown.field(0).metadata().len()), (&expected, 0));
        if is_variant {
            assert_eq!(DataType::from_arrow(&expected), Ok(DataType::Variant));
        }
        let stored = schema.to_physical_arrow(ColumnMappingMode::None).expect("readable");
        assert_eq!(stored.field(0).metadata().get(STORED_TYPE).map(String::as_str), Some(name));
        assert_eq!(StructType::parse(&schema.to_json()), Ok(schema));
    }
    let void = parse(schema_of_type(json!("void"))).expect("a known type");
    assert_eq!(void.to_arrow().expect("readable").field(0).data_type(), &ArrowType::Null);
    assert!(!void.fields[0].data_type.contains_void() && void.fields[0].data_type.first_read_only().is_none());
    assert_eq!(StructType::parse(&void.to_json()), Ok(void));
}

#[test]
fn malformed_schemas_are_refused() {
    check_invalid(StructType::parse(""), "not JSON");
    check_invalid(StructType::parse("{\"type\":\"struct\""), "not JSON");
    check_invalid(parse(json!("string")), "a table's schema is a struct");
    check_invalid(parse(json!([])), "an array");
    check_invalid(parse(json!({"fields": []})), "type is missing");
    check_invalid(parse(json!({"type": "struct"})), "fields is missing");
    check_invalid(parse(json!({"type": "struct", "fields": {}})), "array");
    check_invalid(parse(json!({"type": "struct", "fields": [1]})), "a field is an object");
    check_invalid(parse(json!({"type": "struct", "fields": [{"name": "a", "type": "long"}]})), "nullable is missing");
    check_invalid(type_of(json!({"type": "map", "keyType": "long"})), "column a: valueType is missing");
    check_invalid(type_of(json!(null)), "found null");
}

#[test]
fn names_that_differ_only_in_case_are_refused_at_any_depth() {
    let field =
        |name: &str, data_type: Value| json!({"name": name, "type": data_type, "nullable": true, "metadata": {}});
    let twice = json!({"type": "struct", "fields": [field("b", json!("long")), field("B", json!("long"))]});
    check_invalid(parse(twice.clone()), "\"B\" exists twice");
    check_invalid(type_of(twice.clone()), "\"a.B\" exists twice");
    check_invalid(type_of(json!({"type": "array", "elementType": twice, "containsNull": true})), "a.element.B");
    check_invalid(parse(json!({"type": "struct", "fields": [field("", json!("long"))]})), "empty name");
}

#[test]
fn nesting_is_limited() {
    let nested = |levels: usize| {
        let open = r#"{"type":"array","containsNull":true,"elementType":"#.repeat(levels);
        format!(
            r#"{{"type":"struct","fields":[{{"name":"a","type":{open}"long"{},"nullable":true,"metadata":{{}}}}]}}"#,
            "}".repeat(levels)
        )
    };
    let deepest = StructType::parse(&nested(NESTING_MAX - 3)).expect("as deep as allowed");
    assert!(StructType::new(deepest.fields.clone()).is_ok());
    assert_eq!(StructType::from_arrow(&deepest.to_arrow().expect("arrays")), Ok(deepest.clone()));
    for levels in [NESTING_MAX - 2, 100_000] {
        let refused = StructType::parse(&nested(levels));
        assert!(matches!(refused, Err(FormatError::LimitExceeded { limit: 127, .. })), "{levels}");
    }
    let deeper = vec![StructField::new("a", DataType::array_of(deepest.fields[0].data_type.clone(), true), true)];
    assert!(matches!(StructType::new(deeper), Err(FormatError::LimitExceeded { .. })));
    // Brackets inside text do not count.
    let comment = format!(r#"{{"comment":"{}\""}}"#, "[{".repeat(500));
    assert!(StructType::parse(&nested(0).replace(r#""metadata":{}"#, &format!(r#""metadata":{comment}"#))).is_ok());
}

#[test]
fn metadata_of_others_survives() {
    let metadata = json!({"x": {"y": [1, 2.5, null, "z"]}, "comment": "c", "big": 18446744073709551615u64});
    let value = json!({"type": "struct", "fields": [
        {"name": "a", "type": "long", "nullable": false, "metadata": metadata},
        {"name": "b", "type": "long", "nullable": true},
    ]});
    let schema = parse(value).expect("a schema");
    let again: Value = serde_json::from_str(&schema.to_json()).expect("our own JSON");
    assert_eq!(again["fields"][0]["metadata"], metadata);
    assert_eq!(again["fields"][1]["metadata"], json!({}));
    assert_eq!(schema.fields[0].comment(), Some("c"));
}

#[test]
fn field_metadata_is_understood() {
    let field = StructField::new("x", PrimitiveType::Integer, true)
        .with_metadata("delta.invariants", r#"{"expression": { "expression": "x > 3"} }"#)
        .with_metadata("CURRENT_DEFAULT", "7")
        .with_metadata("delta.generationExpression", "y + 1");
    assert_eq!(field.invariant_expression(), Ok(Some("x > 3".into())));
    assert_eq!(field.default_expression(), Some("7"));
    assert_eq!(field.generation_expression(), Some("y + 1"));
    assert!(!field.is_identity());
    let plain = StructField::new("x", PrimitiveType::Integer, true);
    assert_eq!(plain.invariant_expression(), Ok(None));
    check_invalid(plain.clone().with_metadata("delta.invariants", "x > 3").invariant_expression(), "column x");
    assert!(plain.with_metadata("delta.identity.start", 1).is_identity());
}

#[test]
fn fields_are_found_by_exact_name_first() {
    let inner = DataType::struct_of(vec![StructField::new("Deep", PrimitiveType::Long, true)]);
    let schema = StructType {
        fields: vec![
            StructField::new("name", PrimitiveType::Long, true),
            StructField::new("Straße", PrimitiveType::Date, true),
            StructField::new("s", inner, true),
        ],
    };
    assert_eq!(schema.field("NAME").map(|f| f.name.as_str()), Some("name"));
    assert_eq!(schema.field("STRAßE").map(|f| f.name.as_str()), Some("Straße"));
    assert_eq!(schema.field("other"), None);
    assert_eq!(schema.field_at(&["S", "deep"]).map(|f| f.name.as_str()), Some("Deep"));
    assert_eq!(schema.field_at(&["name", "deep"]), None);
    assert_eq!(schema.field_at(&[] as &[&str]), None);
}

fn mapped(name: &str, physical: &str, id: i64, data_type: impl Into<DataType>) -> StructField {
    StructField::new(name, data_type, true)
        .with_metadata("delta.columnMapping.id", id)
        .with_metadata("delta.columnMapping.physicalName", physical)
}

#[test]
fn column_mapping_names_and_numbers_the_columns_of_files() {
    let inner = DataType::struct_of(vec![mapped("d", "col-5", 5, PrimitiveType::Integer)]);
    let outer = mapped("e", "col-4", 4, DataType::array_of(inner, true))
        .with_metadata("delta.columnMapping.nested.ids", json!({"col-4.element": 6}));
    let schema = StructType { fields: vec![outer] };
    let with_id = |field: Field, id: i64| field.with_metadata([(PARQUET_FIELD_ID.to_owned(), id.to_string())].into());
    let leaf = with_id(Field::new("col-5", ArrowType::Int32, true), 5);
    let element = with_id(Field::new("element", ArrowType::Struct(vec![leaf].into()), true), 6);
    let expected = with_id(Field::new("col-4", ArrowType::List(Arc::new(element)), true), 4);
    for mode in [ColumnMappingMode::Name, ColumnMappingMode::Id] {
        assert_eq!(schema.to_physical_arrow(mode), Ok(Arc::new(Schema::new(vec![expected.clone()]))));
        assert_eq!(schema.to_physical(mode).fields[0].name, "col-4");
    }
    // Left-over physical names count for nothing without the mode.
    assert_eq!(schema.to_physical_arrow(ColumnMappingMode::None), schema.to_arrow());
    assert_eq!(schema.to_physical(ColumnMappingMode::None), schema);
    assert_eq!(schema.fields[0].physical_name(), "col-4");
    assert_eq!(schema.fields[0].physical_name_in(ColumnMappingMode::None), "e");
}

#[test]
fn column_mapping_without_names_or_ids_is_refused() {
    let plain = StructType { fields: vec![StructField::new("a", PrimitiveType::Long, true)] };
    check_invalid(plain.to_physical_arrow(ColumnMappingMode::Name), "physicalName");
    let mut no_id = mapped("a", "col-1", 1, PrimitiveType::Long);
    no_id.metadata.remove("delta.columnMapping.id");
    let no_id = StructType { fields: vec![no_id] };
    assert!(no_id.to_physical_arrow(ColumnMappingMode::Name).is_ok());
    check_invalid(no_id.to_physical_arrow(ColumnMappingMode::Id), "delta.columnMapping.id");
}

#[test]
fn names_that_parquet_text_schemas_cannot_hold_need_column_mapping() {
    let schema = StructType { fields: vec![StructField::new("a b", PrimitiveType::Long, true)] };
    check_invalid(schema.check_names(ColumnMappingMode::None), "\"a b\"");
    assert_eq!(schema.check_names(ColumnMappingMode::Name), Ok(()));
}

#[test]
fn arrow_types_widen_to_what_delta_has() {
    let dictionary = ArrowType::Dictionary(Box::new(ArrowType::Int32), Box::new(ArrowType::Utf8));
    for (arrow, expected) in [
        (ArrowType::UInt8, PrimitiveType::Short),
        (ArrowType::UInt16, PrimitiveType::Integer),
        (ArrowType::UInt32, PrimitiveType::Long),
        (ArrowType::UInt64, PrimitiveType::Decimal(20, 0)),
        (ArrowType::Float16, PrimitiveType::Float),
        (ArrowType::Utf8View, PrimitiveType::String),
        (ArrowType::LargeUtf8, PrimitiveType::String),
        (dictionary, PrimitiveType::String),
        (ArrowType::BinaryView, PrimitiveType::Binary),
        (ArrowType::FixedSizeBinary(4), PrimitiveType::Binary),
        (ArrowType::Date64, PrimitiveType::Date),
        (ArrowType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())), PrimitiveType::Timestamp),
        (ArrowType::Timestamp(TimeUnit::Second, None), PrimitiveType::TimestampNtz),
        (ArrowType::Decimal256(38, 10), PrimitiveType::Decimal(38, 10)),
        (ArrowType::Decimal32(5, 2), PrimitiveType::Decimal(5, 2)),
        (ArrowType::Decimal128(5, -3), PrimitiveType::Decimal(8, 0)),
    ] {
        assert_eq!(DataType::from_arrow(&arrow), Ok(expected.into()), "{arrow}");
    }
}

#[test]
fn arrow_types_without_a_delta_type_are_refused_with_their_column() {
    let union = ArrowType::Union(UnionFields::empty(), UnionMode::Sparse);
    for arrow in [
        ArrowType::Null,
        ArrowType::Time64(TimeUnit::Microsecond),
        ArrowType::Duration(TimeUnit::Second),
        ArrowType::Decimal256(39, 0),
        ArrowType::Decimal128(38, -1),
        ArrowType::Struct(Fields::empty()),
        union,
    ] {
        let schema = Schema::new(vec![Field::new("col", ArrowType::new_list(arrow, true), true)]);
        check_invalid(StructType::from_arrow(&schema), "column col.element");
    }
    let twice = Schema::new(vec![Field::new("a", ArrowType::Int8, true), Field::new("A", ArrowType::Int8, true)]);
    check_invalid(StructType::from_arrow(&twice), "exists twice");
}

#[test]
fn arrow_maps_and_lists_are_named_as_parquet_wants_them() {
    let map = DataType::map_of(PrimitiveType::String.into(), PrimitiveType::Long.into(), false);
    let ArrowType::Map(entries, false) = map.to_arrow().expect("a map") else { panic!("a map") };
    assert_eq!((entries.name().as_str(), entries.is_nullable()), ("key_value", false));
    let ArrowType::Struct(parts) = entries.data_type() else { panic!("pairs") };
    assert_eq!(parts[0].as_ref(), &Field::new("key", ArrowType::Utf8, false));
    assert_eq!(parts[1].as_ref(), &Field::new("value", ArrowType::Int64, false));
    let ArrowType::List(element) = DataType::array_of(map, true).to_arrow().expect("a list") else { panic!("a list") };
    assert_eq!((element.name().as_str(), element.is_nullable()), ("element", true));
}

#[test]
fn the_nearest_name_is_offered() {
    let columns = ["l_orderkey", "l_partkey", "l_quantity", "id"];
    for (name, expected) in [
        ("l_orderkye", Some("l_orderkey")),
        ("L_ORDERKEY", Some("l_orderkey")),
        ("orderkey", Some("l_orderkey")),
        ("l_quantitiy", Some("l_quantity")),
        ("di", Some("id")),
        ("ix", Some("id")),
        ("something", None),
        ("", None),
    ] {
        assert_eq!(nearest(name, columns), expected, "{name}");
    }
    assert_eq!(nearest(&"x".repeat(1000), columns), None);
}

fn any_primitive() -> impl Strategy<Value = DataType> {
    let decimal = (1..=38u8).prop_flat_map(|p| (Just(p), 0..=p)).prop_map(|(p, s)| PrimitiveType::Decimal(p, s));
    prop_oneof![
        decimal,
        prop::sample::select(vec![
            PrimitiveType::String,
            PrimitiveType::Long,
            PrimitiveType::Byte,
            PrimitiveType::Float,
            PrimitiveType::Boolean,
            PrimitiveType::Binary,
            PrimitiveType::Date,
            PrimitiveType::Timestamp,
            PrimitiveType::TimestampNtz,
        ]),
    ]
    .prop_map(DataType::from)
}

fn fields_of(types: Vec<(DataType, bool, String)>) -> Vec<StructField> {
    let field = |(index, (data_type, nullable, name)): (usize, (DataType, bool, String))| {
        // The index keeps names apart whatever their case.
        StructField::new(format!("{name}{index}"), data_type, nullable)
    };
    types.into_iter().enumerate().map(field).collect()
}

fn any_fields(of: impl Strategy<Value = DataType>) -> impl Strategy<Value = Vec<StructField>> {
    proptest::collection::vec((of, any::<bool>(), "[a-zA-Zé\"\\\\ ]{1,4}"), 1..4).prop_map(fields_of)
}

fn any_type() -> impl Strategy<Value = DataType> {
    any_primitive().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), any::<bool>()).prop_map(|(element, nulls)| DataType::array_of(element, nulls)),
            (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(k, v, nulls)| DataType::map_of(k, v, nulls)),
            any_fields(inner).prop_map(DataType::struct_of),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn schemas_round_trip_through_json_and_arrow(fields in any_fields(any_type())) {
        let schema = StructType::new(fields).expect("names are unique");
        prop_assert_eq!(StructType::parse(&schema.to_json()), Ok(schema.clone()));
        let arrow = schema.to_arrow().expect("no variants");
        prop_assert_eq!(StructType::from_arrow(&arrow), Ok(schema));
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "[\\[{\"a:,}\\]0]{0,40}|\\PC{0,40}") {
        let _ = StructType::parse(&text);
        let _ = type_of(json!(text));
    }

    #[test]
    fn a_name_with_one_slip_is_found(name in "[a-z_]{3,12}", at in any::<prop::sample::Index>()) {
        let mut slipped: Vec<char> = name.chars().collect();
        slipped.remove(at.index(slipped.len()));
        let slipped: String = slipped.into_iter().collect();
        prop_assert_eq!(nearest(&slipped, [name.as_str()]), Some(name.as_str()));
    }
}
