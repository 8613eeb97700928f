use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::action::Format;
use crate::schema::{DataType, PrimitiveType, StructField};

fn legacy(reader: i32, writer: i32) -> Protocol {
    Protocol { min_reader_version: reader, min_writer_version: writer, reader_features: None, writer_features: None }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn by_name(readers: &[&str], writers: &[&str]) -> Protocol {
    Protocol {
        min_reader_version: 3,
        min_writer_version: 7,
        reader_features: Some(names(readers)),
        writer_features: Some(names(writers)),
    }
}

fn metadata(configuration: &[(&str, &str)]) -> Metadata {
    Metadata {
        id: "id".into(),
        name: None,
        description: None,
        format: Format::default(),
        schema_string: String::new(),
        partition_columns: Vec::new(),
        configuration: configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        created_time: None,
    }
}

fn schema(fields: Vec<StructField>) -> StructType {
    StructType { fields }
}

fn plain() -> StructField {
    StructField::new("a", PrimitiveType::Long, true)
}

fn nested(field: StructField) -> StructField {
    StructField::new("outer", DataType::array_of(DataType::struct_of(vec![field]), true), true)
}

fn in_the_way<T: std::fmt::Debug>(result: Result<T>) -> Vec<String> {
    match result {
        Err(FormatError::UnsupportedFeature { features, .. }) => features,
        other => panic!("expected an unsupported feature, got {other:?}"),
    }
}

#[test]
fn mapped_columns_without_name_or_id_are_refused_at_any_depth() {
    let mapped = metadata(&[("delta.columnMapping.mode", "name")]);
    let named = |field: StructField, name: &str, id: i64| {
        field.with_metadata("delta.columnMapping.physicalName", name).with_metadata("delta.columnMapping.id", id)
    };
    let refused = |fields: Vec<StructField>| match check_column_mapping(&mapped, &schema(fields)) {
        Err(FormatError::CorruptLog { what, .. }) => what,
        other => panic!("expected a corrupt log, got {other:?}"),
    };
    let sound = named(nested(named(plain(), "c2", 2)), "c1", 1);
    assert_eq!(check_column_mapping(&mapped, &schema(vec![sound.clone()])), Ok(()));
    assert!(refused(vec![plain()]).contains("column a lacks"));
    assert!(refused(vec![named(nested(plain()), "c1", 1)]).contains("column a lacks"));
    assert!(refused(vec![plain().with_metadata("delta.columnMapping.physicalName", "c")]).contains("lacks"));
    let other = StructField::new("b", PrimitiveType::Long, true);
    assert!(refused(vec![sound.clone(), named(other.clone(), "c1", 5)]).contains("of another column"));
    assert!(refused(vec![sound, named(other, "c5", 1)]).contains("of another column"));
    assert_eq!(check_column_mapping(&metadata(&[]), &schema(vec![plain()])), Ok(()), "nothing is mapped");
}

#[test]
fn names_are_unique_and_come_back() {
    let mut seen = HashSet::new();
    for row in registry::ROWS {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(seen.insert(*name), "{name} twice");
            assert_eq!(Feature::from_name(name), row.feature);
        }
        assert_eq!(row.feature.name(), row.name);
        // A required feature that is not known could not be listed.
        assert!(row.requires.iter().all(|required| row_of(required).is_some()));
    }
    assert_eq!(Feature::from_name("timestampWithoutTimezone"), Feature::TimestampNtz);
    assert_eq!(Feature::from_name("variantType-preview"), Feature::VariantType);
}

#[test]
fn every_feature_of_the_plan_is_readable() {
    let readers = ["columnMapping", "deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"];
    assert_eq!(check_readable(&by_name(&readers, &readers), &metadata(&[])), Ok(()));
    // What only writers must know never blocks a reader.
    assert_eq!(check_readable(&by_name(&[], &["identityColumns", "fromTheFuture"]), &metadata(&[])), Ok(()));
    assert_eq!(check_readable(&legacy(2, 6), &metadata(&[])), Ok(()));
    assert_eq!(check_readable(&by_name(&["timestampWithoutTimezone"], &[]), &metadata(&[])), Ok(()));
}

#[test]
fn unreadable_tables_are_refused_with_all_reasons() {
    let protocol =
        by_name(&["deletionVectors", "typeWidening", "geospatial", "fromTheFuture", "adaptiveMetadata"], &[]);
    let expected = ["geospatial", "fromTheFuture", "adaptiveMetadata"];
    assert_eq!(in_the_way(check_readable(&protocol, &metadata(&[]))), expected);
    assert_eq!(in_the_way(check_readable(&legacy(4, 8), &metadata(&[]))), ["reader version 4"]);
    let csv = Metadata { format: Format { provider: "csv".into(), ..Format::default() }, ..metadata(&[]) };
    assert_eq!(in_the_way(check_readable(&legacy(1, 2), &csv)), ["format csv"]);
}

#[test]
fn a_mapping_mode_that_the_protocol_does_not_list_is_refused() {
    let mapped = metadata(&[("delta.columnMapping.mode", "name")]);
    for protocol in [legacy(1, 2), legacy(1, 5), by_name(&[], &["columnMapping"])] {
        assert_eq!(in_the_way(check_readable(&protocol, &mapped)).len(), 1, "{protocol:?}");
    }
    let reader_2 = Protocol { writer_features: Some(names(&["columnMapping"])), ..legacy(2, 7) };
    for protocol in [legacy(2, 5), reader_2, by_name(&["columnMapping"], &["columnMapping"])] {
        assert_eq!(check_readable(&protocol, &mapped), Ok(()), "{protocol:?}");
    }
    assert_eq!(column_mapping_mode(&mapped), Ok(ColumnMappingMode::Name));
    assert_eq!(column_mapping_mode(&metadata(&[])), Ok(ColumnMappingMode::None));
}

#[test]
fn protocols_that_contradict_themselves_are_corrupt() {
    for protocol in [
        legacy(0, 2),
        legacy(1, -1),
        legacy(1, 7),
        legacy(3, 7),
        Protocol { reader_features: Some(Vec::new()), ..legacy(3, 5) },
        Protocol { writer_features: Some(Vec::new()), ..legacy(3, 7) },
    ] {
        let refused = check_readable(&protocol, &metadata(&[]));
        assert!(matches!(refused, Err(FormatError::CorruptLog { .. })), "{protocol:?}: {refused:?}");
    }
}

#[test]
fn every_feature_of_the_plan_is_writable() {
    let readers = ["columnMapping", "deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"];
    let writers = [
        "appendOnly",
        "invariants",
        "checkConstraints",
        "changeDataFeed",
        "domainMetadata",
        "inCommitTimestamp",
        "allowColumnDefaults",
        "rowTracking",
        "clustering",
        "generatedColumns",
        "identityColumns",
        "icebergCompatV2",
    ];
    let protocol = by_name(&readers, &[&readers[..], &writers].concat());
    assert_eq!(check_writable(&protocol, &metadata(&[]), &schema(vec![plain()])), Ok(()));
}

/// Decision: implied legacy features are validated when active.
#[test]
fn legacy_features_block_only_where_they_are_used() {
    for writer in 1..=6 {
        assert_eq!(check_writable(&legacy(1, writer), &metadata(&[]), &schema(vec![plain()])), Ok(()));
    }
    let iceberg = metadata(&[("delta.enableIcebergCompatV3", "true")]);
    let named = by_name(&["columnMapping"], &["columnMapping", "icebergCompatV3"]);
    assert_eq!(in_the_way(check_writable(&named, &iceberg, &schema(vec![plain()]))), ["icebergCompatV3"]);
    // A version that does not know them gives their metadata no meaning.
    assert_eq!(check_writable(&legacy(1, 6), &iceberg, &schema(vec![plain()])), Ok(()));
}

#[test]
fn catalog_managed_tables_are_refused_by_name() {
    // What is in the folder may be more or less than what the catalog says is committed.
    for name in ["catalogManaged", "catalogOwned-preview"] {
        let protocol = by_name(&[name], &["inCommitTimestamp"]);
        assert_eq!(in_the_way(check_readable(&protocol, &metadata(&[]))), [name]);
        let one = schema(vec![plain()]);
        assert_eq!(in_the_way(check_writable(&protocol, &metadata(&[]), &one)), [name]);
    }
}

#[test]
fn unwritable_tables_are_refused() {
    let one = schema(vec![plain()]);
    assert_eq!(in_the_way(check_writable(&legacy(1, 8), &metadata(&[]), &one)), ["writer version 8"]);
    let future = by_name(&[], &["fromTheFuture", "collations"]);
    assert_eq!(in_the_way(check_writable(&future, &metadata(&[]), &one)), ["fromTheFuture", "collations"]);
    assert_eq!(in_the_way(check_writable(&by_name(&["geospatial"], &[]), &metadata(&[]), &one)), ["geospatial"]);
    let iceberg = metadata(&[("delta.enableIcebergCompatV3", "true")]);
    assert_eq!(in_the_way(check_writable(&by_name(&[], &["icebergCompatV3"]), &iceberg, &one)), ["icebergCompatV3"]);
    let protected = metadata(&[("delta.requireCheckpointProtectionBeforeVersion", "7")]);
    let protocol = by_name(&[], &["checkpointProtection"]);
    assert_eq!(check_writable(&protocol, &protected, &one), Ok(()), "clean-up looks at the version");
    let variant = schema(vec![StructField::new("v", DataType::Variant, true)]);
    assert_eq!(in_the_way(check_writable(&legacy(1, 2), &metadata(&[]), &variant)), ["variantType"]);
}

#[test]
fn features_are_supported_by_name_or_by_version() {
    for (protocol, feature, expected) in [
        (legacy(1, 1), Feature::AppendOnly, false),
        (legacy(1, 2), Feature::AppendOnly, true),
        (legacy(1, 2), Feature::CheckConstraints, false),
        (legacy(1, 6), Feature::IdentityColumns, true),
        (legacy(1, 6), Feature::ColumnMapping, false),
        (legacy(2, 5), Feature::ColumnMapping, true),
        (legacy(2, 6), Feature::DeletionVectors, false),
        // Nothing is implied once features are named.
        (by_name(&[], &[]), Feature::AppendOnly, false),
        (by_name(&[], &[]), Feature::ColumnMapping, false),
        (by_name(&["timestampWithoutTimezone"], &[]), Feature::TimestampNtz, true),
        (by_name(&[], &["deletionVectors"]), Feature::DeletionVectors, false),
        (by_name(&[], &["new"]), Feature::Unknown("new".into()), true),
        (by_name(&["new"], &[]), Feature::Unknown("new".into()), true),
        (by_name(&[], &["new"]), Feature::Unknown("other".into()), false),
    ] {
        assert_eq!(has_feature(&protocol, &feature), expected, "{protocol:?} {feature}");
    }
}

#[test]
fn a_new_table_asks_for_the_least() {
    assert_eq!(minimal_protocol(&[]), legacy(1, 2));
    assert_eq!(minimal_protocol(&[Feature::AppendOnly, Feature::Invariants]), legacy(1, 2));
    let writers = ["appendOnly", "invariants", "checkConstraints"];
    let expected = Protocol { writer_features: Some(names(&writers)), ..legacy(1, 7) };
    assert_eq!(minimal_protocol(&[Feature::CheckConstraints]), expected);
}

/// Spark refuses a table with `timestampNtz` that does not list `appendOnly` and `invariants`.
#[test]
fn going_to_named_features_lists_what_the_version_implied() {
    assert_eq!(
        minimal_protocol(&[Feature::TimestampNtz]),
        by_name(&["timestampNtz"], &["appendOnly", "invariants", "timestampNtz"])
    );
    assert_eq!(
        enable(&legacy(1, 4), &[Feature::DeletionVectors]),
        by_name(
            &["deletionVectors"],
            &["appendOnly", "invariants", "checkConstraints", "changeDataFeed", "generatedColumns", "deletionVectors"]
        )
    );
    // Architecture decision 9: column mapping is declared as reader 3 and writer 7.
    assert_eq!(
        enable(&legacy(1, 2), &[Feature::ColumnMapping]),
        by_name(&["columnMapping"], &["appendOnly", "invariants", "columnMapping"])
    );
    let from_mapped = enable(&legacy(2, 5), &[Feature::AllowColumnDefaults]);
    assert_eq!(from_mapped.reader_features, Some(names(&["columnMapping"])));
    assert!(has_feature(&from_mapped, &Feature::ColumnMapping));
}

#[test]
fn enabling_keeps_what_is_named_and_adds_what_is_required() {
    let protocol = by_name(&["new"], &["new", "appendOnly"]);
    assert_eq!(
        enable(&protocol, &[Feature::RowTracking]),
        by_name(&["new"], &["new", "appendOnly", "domainMetadata", "rowTracking"])
    );
    assert_eq!(enable(&protocol, &[Feature::AppendOnly]), protocol);
    assert_eq!(enable(&legacy(2, 6), &[Feature::IdentityColumns, Feature::ColumnMapping]), legacy(2, 6));
    let writers_only = Protocol { writer_features: Some(names(&["appendOnly"])), ..legacy(1, 7) };
    assert_eq!(enable(&writers_only, &[Feature::InCommitTimestamp]).min_reader_version, 1);
    assert_eq!(
        enable(&writers_only, &[Feature::V2Checkpoint]),
        by_name(&["v2Checkpoint"], &["appendOnly", "v2Checkpoint"])
    );
    let reader_2 = Protocol { writer_features: Some(names(&["columnMapping"])), ..legacy(2, 7) };
    let raised = enable(&reader_2, &[Feature::DeletionVectors]);
    assert_eq!(raised.reader_features, Some(names(&["columnMapping", "deletionVectors"])));
}

#[test]
fn properties_and_columns_ask_for_their_features() {
    let required = |configuration: &[(&str, &str)], fields: Vec<StructField>| {
        required_for(&metadata(configuration), &schema(fields)).expect("valid properties")
    };
    assert_eq!(required(&[("delta.enableDeletionVectors", "false"), ("x", "y")], vec![plain()]), []);
    for (key, value, feature) in [
        ("delta.enableDeletionVectors", "TRUE", Feature::DeletionVectors),
        ("delta.enableInCommitTimestamps", "true", Feature::InCommitTimestamp),
        ("delta.enableChangeDataFeed", "true", Feature::ChangeDataFeed),
        ("delta.enableRowTracking", "true", Feature::RowTracking),
        ("delta.appendOnly", "true", Feature::AppendOnly),
        ("delta.columnMapping.mode", "id", Feature::ColumnMapping),
        ("delta.checkpointPolicy", "v2", Feature::V2Checkpoint),
        ("delta.constraints.c", "a > 0", Feature::CheckConstraints),
        ("delta.enableTypeWidening", "true", Feature::TypeWidening),
        ("delta.feature.vacuumProtocolCheck", "supported", Feature::VacuumProtocolCheck),
        ("delta.feature.new", "enabled", Feature::Unknown("new".into())),
    ] {
        assert_eq!(required(&[(key, value)], vec![plain()]), [feature]);
    }
    for (field, feature) in [
        (StructField::new("t", PrimitiveType::TimestampNtz, true), Feature::TimestampNtz),
        (plain().with_metadata("CURRENT_DEFAULT", "1"), Feature::AllowColumnDefaults),
        (plain().with_metadata("delta.invariants", "{}"), Feature::Invariants),
        (plain().with_metadata("delta.generationExpression", "b"), Feature::GeneratedColumns),
        (plain().with_metadata("delta.identity.step", 1), Feature::IdentityColumns),
        (StructField::new("v", DataType::Variant, true), Feature::VariantType),
    ] {
        assert_eq!(required(&[], vec![field.clone()]).as_slice(), std::slice::from_ref(&feature));
        assert_eq!(required(&[], vec![nested(field)]), [feature]);
    }
    let unclear = required_for(&metadata(&[("delta.enableDeletionVectors", "perhaps")]), &schema(vec![]));
    assert!(matches!(unclear, Err(FormatError::InvalidProperty { .. })));
}

fn any_feature() -> impl Strategy<Value = Feature> {
    let known: Vec<Feature> = registry::ROWS.iter().map(|row| row.feature.clone()).collect();
    prop_oneof![9 => prop::sample::select(known), 1 => Just(Feature::Unknown("new".into()))]
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    let versions = prop_oneof![(1..=2i32, 1..=6i32).prop_map(|(r, w)| legacy(r, w)), Just(legacy(1, 2))];
    (versions, proptest::collection::vec(any_feature(), 0..4)).prop_map(|(base, features)| enable(&base, &features))
}

proptest! {
    #[test]
    fn enabling_never_loses_a_feature(protocol in any_protocol(), features in proptest::collection::vec(any_feature(), 0..4)) {
        let enabled = enable(&protocol, &features);
        prop_assert_eq!(check_shape(&enabled), Ok(()));
        prop_assert!(includes(&enabled, &protocol));
        for feature in &features {
            prop_assert!(has_feature(&enabled, feature), "{} in {:?}", feature, enabled);
        }
        prop_assert_eq!(enable(&enabled, &features), enabled);
    }

    #[test]
    fn readers_list_nothing_that_writers_do_not(protocol in any_protocol()) {
        let writers = protocol.writer_features.unwrap_or_default();
        prop_assert!(protocol.reader_features.iter().flatten().all(|name| writers.contains(name)));
    }

    #[test]
    fn what_is_unreadable_is_unwritable(protocol in any_protocol()) {
        let metadata = metadata(&[]);
        if check_readable(&protocol, &metadata).is_err() {
            prop_assert!(check_writable(&protocol, &metadata, &schema(vec![plain()])).is_err());
        }
    }
}

#[test]
fn a_dropped_feature_leaves_the_least_that_says_the_same() {
    let both = ["columnMapping", "deletionVectors"];
    let table = by_name(&both, &[&both[..], &["appendOnly", "invariants", "rowTracking", "domainMetadata"]].concat());
    let without_vectors = without(&table, &Feature::DeletionVectors);
    let expected =
        by_name(&["columnMapping"], &["columnMapping", "appendOnly", "invariants", "rowTracking", "domainMetadata"]);
    assert_eq!(without_vectors, expected);
    let without_mapping = without(&without_vectors, &Feature::ColumnMapping);
    assert_eq!((without_mapping.min_reader_version, &without_mapping.reader_features), (1, &None));
    assert_eq!(dependents(&without_mapping, &Feature::DomainMetadata), [Feature::RowTracking]);
    let left = without(&without(&without_mapping, &Feature::RowTracking), &Feature::DomainMetadata);
    assert_eq!(left, legacy(1, 2), "older versions imply just the rest");
    assert_eq!(without(&legacy(1, 3), &Feature::CheckConstraints), legacy(1, 2));
    assert_eq!(without(&legacy(2, 5), &Feature::ColumnMapping), legacy(1, 4));
    let odd = without(&legacy(1, 4), &Feature::CheckConstraints);
    assert_eq!(odd.min_writer_version, 7);
    assert!(has_feature(&odd, &Feature::GeneratedColumns) && !has_feature(&odd, &Feature::CheckConstraints));
    let unknown = by_name(&["deletionVectors", "fromTheFuture"], &["deletionVectors", "fromTheFuture", "appendOnly"]);
    let left = without(&unknown, &Feature::DeletionVectors);
    assert_eq!(left.reader_features.as_deref(), Some(&["fromTheFuture".to_owned()][..]));
}
