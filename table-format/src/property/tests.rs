use proptest::prelude::*;

use super::*;

fn parse(pairs: &[(&str, &str)]) -> Result<TableProperties> {
    let configuration = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    TableProperties::parse(&configuration)
}

fn check_refused<T: std::fmt::Debug>(result: Result<T>, part: &str) {
    match result {
        Err(FormatError::InvalidProperty { what, .. }) => assert!(what.contains(part), "{what:?} lacks {part:?}"),
        other => panic!("expected an invalid property ({part}), got {other:?}"),
    }
}

#[test]
fn a_table_without_properties_has_the_defaults() {
    let properties = parse(&[("owner", "me"), ("delta.ofAnotherWriter", "?")]).expect("unknown properties pass");
    assert_eq!(properties, TableProperties::default());
    assert_eq!(properties.log_retention_ms, 30 * 86_400_000);
    assert_eq!(properties.deleted_file_retention_ms, 7 * 86_400_000);
    assert_eq!(properties.data_skipping_num_indexed_cols, Some(32));
    assert_eq!(properties.isolation_level, IsolationLevel::WriteSerializable);
}

#[test]
fn all_properties_are_read() {
    let properties = parse(&[
        ("delta.appendOnly", "TRUE"),
        ("delta.checkpointInterval", "7"),
        ("delta.checkpointPolicy", "v2"),
        ("delta.logRetentionDuration", "interval 2 weeks"),
        ("delta.deletedFileRetentionDuration", "INTERVAL '36' HOURS"),
        ("delta.setTransactionRetentionDuration", "1 day 1 minute"),
        ("delta.enableExpiredLogCleanup", "false"),
        ("delta.enableDeletionVectors", "true"),
        ("delta.enableInCommitTimestamps", "true"),
        ("delta.inCommitTimestampEnablementVersion", "5"),
        ("delta.inCommitTimestampEnablementTimestamp", "1700000000000"),
        ("delta.enableChangeDataFeed", "true"),
        ("delta.enableRowTracking", "true"),
        ("delta.columnMapping.mode", "Name"),
        ("delta.dataSkippingNumIndexedCols", "-1"),
        ("delta.dataSkippingStatsColumns", "a, b.c, `d,e`.`f``g`"),
        ("delta.targetFileSize", "64mb"),
        ("delta.checkpoint.writeStatsAsJson", "false"),
        ("delta.checkpoint.writeStatsAsStruct", "false"),
        ("delta.isolationLevel", "Serializable"),
        ("delta.constraints.positive", "a > 0"),
        ("delta.constraints.Born", "birthDate > '1900-01-01'"),
        ("floe.primaryKey", r#"["id", "a,b"]"#),
        ("floe.mergeMode", "firstRow"),
        ("floe.orderingFields", "ts, seq"),
        ("floe.deleteMarker", "gone"),
        ("floe.duplicateKeys", "latest"),
        ("floe.recordIndex", "false"),
        ("floe.autoCompact", "true"),
        ("delta.enableTypeWidening", "true"),
        ("delta.enableVariantShredding", "true"),
        ("floe.inlineDeletionVectors", "true"),
        ("delta.dropFeatureTruncateHistory.retentionDuration", "12 hours"),
        ("delta.requireCheckpointProtectionBeforeVersion", "9"),
    ]);
    let path = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let expected = TableProperties {
        append_only: true,
        enable_type_widening: true,
        enable_variant_shredding: true,
        checkpoint_interval: 7,
        checkpoint_policy: CheckpointPolicy::V2,
        log_retention_ms: 14 * DAY_MS,
        deleted_file_retention_ms: 36 * 3_600_000,
        drop_feature_retention_ms: 12 * 3_600_000,
        checkpoint_protection_before: Some(Version::new(9).expect("small")),
        set_transaction_retention_ms: Some(DAY_MS + 60_000),
        enable_expired_log_cleanup: false,
        enable_deletion_vectors: true,
        enable_in_commit_timestamps: true,
        in_commit_timestamp_enablement_version: Some(Version::new(5).expect("small")),
        in_commit_timestamp_enablement_timestamp: Some(TimestampMs(1_700_000_000_000)),
        enable_change_data_feed: true,
        enable_row_tracking: true,
        column_mapping_mode: ColumnMappingMode::Name,
        data_skipping_num_indexed_cols: None,
        data_skipping_stats_columns: Some(vec![path(&["a"]), path(&["b", "c"]), path(&["d,e", "f`g"])]),
        target_file_size: 64 << 20,
        write_stats_as_json: false,
        write_stats_as_struct: false,
        isolation_level: IsolationLevel::Serializable,
        constraints: vec![("Born".into(), "birthDate > '1900-01-01'".into()), ("positive".into(), "a > 0".into())],
        primary_key: path(&["id", "a,b"]),
        merge_mode: MergeMode::FirstRow,
        ordering_fields: path(&["ts", "seq"]),
        delete_marker: Some("gone".into()),
        duplicate_keys: DuplicateKeys::Latest,
        record_index: false,
        auto_compact: true,
        inline_deletion_vectors: true,
        unusable: Vec::new(),
    };
    assert_eq!(properties, Ok(expected));
}

#[test]
fn values_that_do_not_decode_are_refused_by_name() {
    for (key, value) in [
        ("delta.appendOnly", "yes"),
        ("delta.checkpointInterval", "0"),
        ("delta.checkpointInterval", "-1"),
        ("delta.checkpointPolicy", "v3"),
        ("delta.logRetentionDuration", "interval"),
        ("delta.logRetentionDuration", "30"),
        ("delta.logRetentionDuration", "interval 3 fortnights"),
        ("delta.logRetentionDuration", "interval -3 days"),
        ("delta.logRetentionDuration", "interval 9223372036854775807 days"),
        ("delta.columnMapping.mode", "ordinal"),
        ("delta.dataSkippingNumIndexedCols", "-2"),
        ("delta.dataSkippingStatsColumns", "a,,b"),
        ("delta.dataSkippingStatsColumns", "`a"),
        ("delta.dataSkippingStatsColumns", "`a`b"),
        ("delta.targetFileSize", "0"),
        ("delta.targetFileSize", "1x"),
        ("delta.targetFileSize", "99999999999p"),
        ("delta.isolationLevel", "ReadCommitted"),
        ("delta.inCommitTimestampEnablementVersion", "-1"),
    ] {
        match parse(&[(key, value)]).and_then(|properties| properties.check()) {
            Err(FormatError::InvalidProperty { key: found, value: shown, .. }) => {
                assert_eq!((found.as_str(), shown.as_str()), (key, value));
            }
            other => panic!("{key} = {value}: {other:?}"),
        }
    }
}

#[test]
fn values_that_only_writers_act_on_do_not_keep_readers_out() {
    let properties = parse(&[("delta.checkpointInterval", "often"), ("delta.appendOnly", "true")]);
    let properties = properties.expect("readers pass over it");
    assert_eq!((properties.checkpoint_interval, properties.append_only), (100, true));
    check_refused(properties.check(), "whole number");
    // Under another mode columns would be read by other names, and under another version times would be others.
    for key in
        ["delta.columnMapping.mode", "delta.enableInCommitTimestamps", "delta.inCommitTimestampEnablementVersion"]
    {
        check_refused(parse(&[(key, "?")]), "expected");
    }
}

#[test]
fn months_are_read_as_long_ones_but_cannot_be_set() {
    let properties = parse(&[("delta.logRetentionDuration", "interval 1 month")]).expect("another writer set it");
    assert_eq!(properties.log_retention_ms, 31 * DAY_MS);
    check_refused(check_set("delta.logRetentionDuration", "interval 1 month"), "days or weeks");
    assert_eq!(value::interval("1 microsecond"), Ok(1));
    assert_eq!(value::interval("interval 0 days"), Ok(0));
}

#[test]
fn users_may_set_what_exists() {
    assert_eq!(check_set("owner", "x").as_deref(), Ok("owner"));
    assert_eq!(check_set("DELTA.APPENDONLY", "true").as_deref(), Ok("delta.appendOnly"));
    assert_eq!(check_set("delta.feature.v2Checkpoint", "supported").as_deref(), Ok("delta.feature.v2Checkpoint"));
    assert_eq!(check_set("delta.parquet.compression.codec", "ZSTD").as_deref(), Ok("delta.parquet.compression.codec"));
    check_refused(check_set("delta.apendOnly", "true"), "did you mean delta.appendOnly?");
    check_refused(check_set("delta.zzz", "true"), "no such property");
    check_refused(check_set("delta.appendOnly", "maybe"), "true or false");
    check_refused(check_set("delta.constraints.a", "a > 0"), "ADD CONSTRAINT a");
    check_refused(check_set("delta.feature.v2Checkpoint", "true"), "supported");
    check_refused(check_set("delta.columnMapping.maxColumnId", "9"), "themselves");
    assert!(is_internal("delta.columnMapping.maxColumnId") && !is_internal("delta.appendOnly"));
    let wrong_case = BTreeMap::from([("delta.appendonly".to_owned(), "true".to_owned())]);
    check_refused(TableProperties::check_settable(&wrong_case), "spelled delta.appendOnly");
}

proptest! {
    #[test]
    fn any_text_is_a_value_or_refused(text in "\\PC{0,20}|(interval )?[0-9]{1,20} (day|hour|week)s?|[0-9]{1,20}[kmgtp]b?") {
        let _ = value::boolean(&text);
        let _ = value::bytes(&text);
        let _ = value::interval(&text);
        let _ = value::lenient_interval(&text);
        let _ = value::column_paths(&text);
        let _ = check_set(&text, &text);
    }

    #[test]
    fn column_paths_round_trip_through_backticks(paths in proptest::collection::vec(proptest::collection::vec("\\PC{1,5}", 1..3), 1..4)) {
        let quoted = |name: &String| format!("`{}`", name.replace('`', "``"));
        let path = |names: &Vec<String>| names.iter().map(quoted).collect::<Vec<_>>().join(".");
        let text = paths.iter().map(path).collect::<Vec<_>>().join(" , ");
        prop_assert_eq!(value::column_paths(&text), Ok(paths));
    }
}
