//! Which `delta.` and `floe.` properties exist, and which values they take when a user sets them.

use super::{invalid, name, strip_prefix, value};
use crate::error::Result;
use crate::schema::nearest;

/// What a property takes.
#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Positive,
    Bytes,
    Interval,
    IndexedColumns,
    ColumnPaths,
    MappingMode,
    CheckpointPolicy,
    IsolationLevel,
    Codec,
    Version,
    /// Anything: another writer acts on it.
    Text,
    ColumnName,
    ColumnNames,
    MergeMode,
    DuplicateKeys,
    /// Declared by a statement that proves it.
    PrimaryKey,
    /// Kept by writers themselves.
    Internal,
}

/// The properties of the protocol and of its known writers.
const PROPERTIES: &[(&str, Kind)] = &[
    (name::APPEND_ONLY, Kind::Boolean),
    ("delta.autoOptimize", Kind::Boolean),
    ("delta.autoOptimize.autoCompact", Kind::Text),
    ("delta.autoOptimize.optimizeWrite", Kind::Boolean),
    (name::WRITE_STATS_AS_JSON, Kind::Boolean),
    (name::WRITE_STATS_AS_STRUCT, Kind::Boolean),
    (name::CHECKPOINT_INTERVAL, Kind::Positive),
    (name::CHECKPOINT_POLICY, Kind::CheckpointPolicy),
    ("delta.checkpointRetentionDuration", Kind::Interval),
    (name::COLUMN_MAPPING_MODE, Kind::MappingMode),
    (name::COLUMN_MAPPING_MAX_ID, Kind::Internal),
    ("delta.compatibility.symlinkFormatManifest.enabled", Kind::Boolean),
    (name::DATA_SKIPPING_NUM_INDEXED_COLS, Kind::IndexedColumns),
    (name::DATA_SKIPPING_STATS_COLUMNS, Kind::ColumnPaths),
    (name::DELETED_FILE_RETENTION, Kind::Interval),
    (name::DROP_FEATURE_RETENTION, Kind::Interval),
    (name::ENABLE_CHANGE_DATA_FEED, Kind::Boolean),
    (name::ENABLE_DELETION_VECTORS, Kind::Boolean),
    (name::ENABLE_EXPIRED_LOG_CLEANUP, Kind::Boolean),
    ("delta.enableFullRetentionRollback", Kind::Boolean),
    ("delta.enableIcebergCompatV1", Kind::Boolean),
    ("delta.enableIcebergCompatV2", Kind::Boolean),
    ("delta.enableIcebergCompatV3", Kind::Boolean),
    ("delta.enableIcebergWriterCompatV1", Kind::Boolean),
    ("delta.enableIcebergWriterCompatV3", Kind::Boolean),
    (name::ENABLE_IN_COMMIT_TIMESTAMPS, Kind::Boolean),
    (name::ENABLE_ROW_TRACKING, Kind::Boolean),
    (name::ENABLE_TYPE_WIDENING, Kind::Boolean),
    (name::ENABLE_VARIANT_SHREDDING, Kind::Boolean),
    (name::IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION, Kind::Internal),
    (name::IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP, Kind::Internal),
    (name::ISOLATION_LEVEL, Kind::IsolationLevel),
    (name::LOG_RETENTION, Kind::Interval),
    ("delta.minReaderVersion", Kind::Version),
    ("delta.minWriterVersion", Kind::Version),
    ("delta.parquet.compression.codec", Kind::Codec),
    ("delta.parquet.format.version", Kind::Text),
    ("delta.randomizeFilePrefixes", Kind::Boolean),
    ("delta.randomPrefixLength", Kind::Positive),
    (name::REQUIRE_CHECKPOINT_PROTECTION, Kind::Internal),
    ("delta.rowTracking.materializedRowIdColumnName", Kind::Internal),
    ("delta.rowTracking.materializedRowCommitVersionColumnName", Kind::Internal),
    ("delta.rowTrackingSuspended", Kind::Boolean),
    (name::SET_TRANSACTION_RETENTION, Kind::Interval),
    (name::TARGET_FILE_SIZE, Kind::Bytes),
    ("delta.tuneFileSizesForRewrites", Kind::Boolean),
    ("delta.universalFormat.enabledFormats", Kind::Text),
    (name::PRIMARY_KEY, Kind::PrimaryKey),
    (name::MERGE_MODE, Kind::MergeMode),
    (name::ORDERING_FIELDS, Kind::ColumnNames),
    (name::DELETE_MARKER, Kind::ColumnName),
    (name::DUPLICATE_KEYS, Kind::DuplicateKeys),
    (name::RECORD_INDEX, Kind::Boolean),
    (name::AUTO_COMPACT, Kind::Boolean),
    (name::INLINE_DELETION_VECTORS, Kind::Boolean),
];

const CODECS: &[&str] = &["uncompressed", "none", "snappy", "gzip", "lz4", "lz4_raw", "zstd"];

/// Checks a property that a user wants to set, and returns its name in the case that readers look for.
///
/// Properties without the prefix `delta.` or `floe.` are the user's own and always fine.
///
/// # Errors
/// [`FormatError::InvalidProperty`](crate::FormatError::InvalidProperty) for an unknown `delta.` or `floe.` property, with the nearest
/// known name; for one that writers keep themselves; and for a value that the property does not take.
pub fn check_set(key: &str, text: &str) -> Result<String> {
    if strip_prefix(key, "delta.").is_none() && strip_prefix(key, "floe.").is_none() {
        return Ok(key.to_owned());
    }
    if let Some(constraint) = strip_prefix(key, name::CONSTRAINT_PREFIX) {
        let what = format!("add the constraint with ALTER TABLE ... ADD CONSTRAINT {constraint} CHECK (...)");
        return Err(invalid(key, text, what));
    }
    if let Some(feature) = strip_prefix(key, name::FEATURE_PREFIX) {
        return match text.trim().to_ascii_lowercase().as_str() {
            "supported" | "enabled" => Ok(format!("{}{feature}", name::FEATURE_PREFIX)),
            _ => Err(invalid(key, text, "expected supported")),
        };
    }
    let Some((name, kind)) = PROPERTIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) else {
        let hint = nearest(key, PROPERTIES.iter().map(|(name, _)| *name));
        let hint = hint.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
        return Err(invalid(key, text, format!("there is no such property{hint}")));
    };
    check_value(*kind, text).map_err(|what| invalid(name, text, what))?;
    Ok((*name).to_owned())
}

/// The names of the properties that users can set.
pub fn property_names() -> impl Iterator<Item = &'static str> {
    PROPERTIES.iter().filter(|(_, kind)| !matches!(kind, Kind::Internal | Kind::PrimaryKey)).map(|(name, _)| *name)
}

/// Whether a property is kept by writers themselves, and may neither be set nor unset by users.
pub fn is_internal(key: &str) -> bool {
    PROPERTIES
        .iter()
        .any(|(name, kind)| matches!(kind, Kind::Internal | Kind::PrimaryKey) && name.eq_ignore_ascii_case(key))
}

fn check_value(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Boolean => value::boolean(text).map(drop),
        Kind::Positive => value::positive(text).map(drop),
        Kind::Bytes => value::bytes(text).map(drop),
        Kind::Interval => value::interval(text).map(drop),
        Kind::IndexedColumns => value::indexed_columns(text).map(drop),
        Kind::ColumnPaths => value::column_paths(text).map(drop),
        Kind::MappingMode => value::mapping_mode(text).map(drop),
        Kind::CheckpointPolicy => value::checkpoint_policy(text).map(drop),
        Kind::IsolationLevel => value::isolation_level(text).map(drop),
        Kind::Version => value::positive(text).map(drop),
        Kind::Codec => match CODECS.contains(&text.trim().to_ascii_lowercase().as_str()) {
            true => Ok(()),
            false => Err(format!("expected one of {}", CODECS.join(", "))),
        },
        Kind::ColumnName => value::column_name(text).map(drop),
        Kind::ColumnNames => value::column_names(text).map(drop),
        Kind::MergeMode => value::merge_mode(text).map(drop),
        Kind::DuplicateKeys => value::duplicate_keys(text).map(drop),
        Kind::PrimaryKey => Err("declare it with PRIMARY KEY (...), or ALTER TABLE ... ADD PRIMARY KEY (...)".into()),
        Kind::Text => Ok(()),
        Kind::Internal => Err("writers keep this property themselves".into()),
    }
}
