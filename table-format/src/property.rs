//! Table properties: the typed view of `metaData.configuration`.
//!
//! [`TableProperties::parse`] reads what a table has, whoever wrote it: properties it does not know pass, since other
//! writers have their own. [`check_set`] judges what a user wants to set: there an unknown `delta.` property is a typing
//! error, and is refused with the nearest name.
//!
//! ```
//! use floe_table_format::{TableProperties, property::check_set};
//!
//! let set = [("delta.logRetentionDuration".to_owned(), "interval 2 weeks".to_owned())].into();
//! assert_eq!(TableProperties::parse(&set)?.log_retention_ms, 14 * 24 * 60 * 60 * 1000);
//! let error = check_set("delta.apendOnly", "true").unwrap_err();
//! assert!(error.to_string().contains("did you mean delta.appendOnly?"));
//! # Ok::<(), floe_table_format::FormatError>(())
//! ```

mod columns;
mod registry;
mod value;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::error::{FormatError, Result, printable};
use crate::schema::ColumnMappingMode;
use crate::version::{TimestampMs, Version};

pub use columns::{drop_column, rename_column, role_of_column};
pub use registry::{check_set, is_internal, property_names};

/// Names of the properties that this crate acts on.
pub mod name {
    /// Only appends are allowed.
    pub const APPEND_ONLY: &str = "delta.appendOnly";
    /// Commits between checkpoints.
    pub const CHECKPOINT_INTERVAL: &str = "delta.checkpointInterval";
    /// Which checkpoints to write.
    pub const CHECKPOINT_POLICY: &str = "delta.checkpointPolicy";
    /// Whether checkpoints hold statistics as JSON.
    pub const WRITE_STATS_AS_JSON: &str = "delta.checkpoint.writeStatsAsJson";
    /// Whether checkpoints hold statistics as columns.
    pub const WRITE_STATS_AS_STRUCT: &str = "delta.checkpoint.writeStatsAsStruct";
    /// How data files name columns.
    pub const COLUMN_MAPPING_MODE: &str = "delta.columnMapping.mode";
    /// The largest id given to a column.
    pub const COLUMN_MAPPING_MAX_ID: &str = "delta.columnMapping.maxColumnId";
    /// Before each CHECK constraint's name.
    pub const CONSTRAINT_PREFIX: &str = "delta.constraints.";
    /// How long a history that is cut off with a feature has to be free of it.
    pub const DROP_FEATURE_RETENTION: &str = "delta.dropFeatureTruncateHistory.retentionDuration";
    /// Columns with statistics, by number.
    pub const DATA_SKIPPING_NUM_INDEXED_COLS: &str = "delta.dataSkippingNumIndexedCols";
    /// Columns with statistics, by name.
    pub const DATA_SKIPPING_STATS_COLUMNS: &str = "delta.dataSkippingStatsColumns";
    /// How long removed files are kept.
    pub const DELETED_FILE_RETENTION: &str = "delta.deletedFileRetentionDuration";
    /// Whether changes of rows are recorded.
    pub const ENABLE_CHANGE_DATA_FEED: &str = "delta.enableChangeDataFeed";
    /// Whether writers may write deletion vectors.
    pub const ENABLE_DELETION_VECTORS: &str = "delta.enableDeletionVectors";
    /// Whether old log files are cleaned up.
    pub const ENABLE_EXPIRED_LOG_CLEANUP: &str = "delta.enableExpiredLogCleanup";
    /// Whether commits carry their own time.
    pub const ENABLE_IN_COMMIT_TIMESTAMPS: &str = "delta.enableInCommitTimestamps";
    /// Whether rows have stable ids.
    pub const ENABLE_ROW_TRACKING: &str = "delta.enableRowTracking";
    /// Whether types of columns may change.
    pub const ENABLE_TYPE_WIDENING: &str = "delta.enableTypeWidening";
    /// `delta.enableVariantShredding`
    pub const ENABLE_VARIANT_SHREDDING: &str = "delta.enableVariantShredding";
    /// Before the name of a feature that a user asks for, with the value `supported`.
    pub const FEATURE_PREFIX: &str = "delta.feature.";
    /// The first version with in-commit timestamps.
    pub const IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION: &str = "delta.inCommitTimestampEnablementVersion";
    /// The in-commit timestamp of that version.
    pub const IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP: &str = "delta.inCommitTimestampEnablementTimestamp";
    /// How strict commits are about concurrent work.
    pub const ISOLATION_LEVEL: &str = "delta.isolationLevel";
    /// How long log files are kept.
    pub const LOG_RETENTION: &str = "delta.logRetentionDuration";
    /// Forbids cleaning the log before a version.
    pub const REQUIRE_CHECKPOINT_PROTECTION: &str = "delta.requireCheckpointProtectionBeforeVersion";
    /// How long transaction identifiers are kept.
    pub const SET_TRANSACTION_RETENTION: &str = "delta.setTransactionRetentionDuration";
    /// Bytes that compaction aims at for a file.
    pub const TARGET_FILE_SIZE: &str = "delta.targetFileSize";
    /// The columns of the primary key, as a JSON list of names.
    pub const PRIMARY_KEY: &str = "floe.primaryKey";
    /// How a row and an older one of its key become one.
    pub const MERGE_MODE: &str = "floe.mergeMode";
    /// Columns by which the later of two rows of a key is told.
    pub const ORDERING_FIELDS: &str = "floe.orderingFields";
    /// The column that says whether a row deletes its key.
    pub const DELETE_MARKER: &str = "floe.deleteMarker";
    /// What an upsert does where another writer has left a key with several rows.
    pub const DUPLICATE_KEYS: &str = "floe.duplicateKeys";
    /// Whether a record index is kept.
    pub const RECORD_INDEX: &str = "floe.recordIndex";
    /// Whether writers compact after their commits.
    pub const AUTO_COMPACT: &str = "floe.autoCompact";
    /// Ours: whether small deletion vectors are kept inside the log.
    pub const INLINE_DELETION_VECTORS: &str = "floe.inlineDeletionVectors";
}

/// How much concurrent work a transaction tolerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// The result equals the serial order of the versions, reads included.
    Serializable,
    /// Writes are serial; a blind append may land between a transaction's read and its write. Delta's default.
    #[default]
    WriteSerializable,
    /// Only what was read is stable. For changes that keep the rows, such as compaction.
    Snapshot,
}

impl IsolationLevel {
    /// As `commitInfo.isolationLevel` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            IsolationLevel::Serializable => "Serializable",
            IsolationLevel::WriteSerializable => "WriteSerializable",
            IsolationLevel::Snapshot => "SnapshotIsolation",
        }
    }
}

/// The properties of a table that Floe acts on, with the value that holds where the table does not set one.
#[derive(Debug, Clone, PartialEq)]
pub struct TableProperties {
    /// Whether rows may only be added.
    pub append_only: bool,
    /// Whether types of columns may become wider ones.
    pub enable_type_widening: bool,
    /// Whether writers may shred variants: `delta.enableVariantShredding`. Protocol section "Variant Shredding".
    pub enable_variant_shredding: bool,
    /// Commits from one checkpoint to the next.
    pub checkpoint_interval: u64,
    /// Which checkpoints to write.
    pub checkpoint_policy: CheckpointPolicy,
    /// How long log files are kept for time travel, in milliseconds.
    pub log_retention_ms: i64,
    /// How long files that are no longer part of the table are kept, in milliseconds.
    pub deleted_file_retention_ms: i64,
    /// How long a history that is cut off with a feature has to be free of it, in milliseconds.
    pub drop_feature_retention_ms: i64,
    /// The version before which checkpoints are cleaned up all at once or not at all.
    pub checkpoint_protection_before: Option<Version>,
    /// How long transaction identifiers are kept, in milliseconds; none is for ever.
    pub set_transaction_retention_ms: Option<i64>,
    /// Whether old log files are cleaned up at all.
    pub enable_expired_log_cleanup: bool,
    /// Whether new deletion vectors may be written.
    pub enable_deletion_vectors: bool,
    /// Whether commits carry their own time.
    pub enable_in_commit_timestamps: bool,
    /// The first version whose commit carries its time; none if all do.
    pub in_commit_timestamp_enablement_version: Option<Version>,
    /// The time of that version.
    pub in_commit_timestamp_enablement_timestamp: Option<TimestampMs>,
    /// Whether writers record changes of rows.
    pub enable_change_data_feed: bool,
    /// Whether rows have stable ids.
    pub enable_row_tracking: bool,
    /// How data files name columns. Holds only if the table has the feature: see
    /// [`crate::feature::check_readable`].
    pub column_mapping_mode: ColumnMappingMode,
    /// Statistics are collected for the first so many leaf columns; none is all of them.
    pub data_skipping_num_indexed_cols: Option<usize>,
    /// Statistics are collected for these columns, each a path of names, in place of the first ones.
    pub data_skipping_stats_columns: Option<Vec<Vec<String>>>,
    /// What compaction aims at, in bytes a file.
    pub target_file_size: u64,
    /// Whether checkpoints hold statistics as JSON text.
    pub write_stats_as_json: bool,
    /// Whether checkpoints hold statistics as columns.
    pub write_stats_as_struct: bool,
    /// How strict commits are about concurrent work.
    pub isolation_level: IsolationLevel,
    /// CHECK constraints: name and SQL, by name.
    pub constraints: Vec<(String, String)>,
    /// The columns of the primary key, in order; empty for a table without one.
    pub primary_key: Vec<String>,
    /// How a row and an older one of its key become one.
    pub merge_mode: MergeMode,
    /// Columns by which the later of two rows of a key is told, the first first; empty if the later written is.
    pub ordering_fields: Vec<String>,
    /// The boolean column that says whether a row deletes its key.
    pub delete_marker: Option<String>,
    /// What an upsert does where another writer has left a key with several rows.
    pub duplicate_keys: DuplicateKeys,
    /// Whether a record index is kept for a table with a primary key.
    pub record_index: bool,
    /// Whether writers compact after their commits.
    pub auto_compact: bool,
    /// Whether small deletion vectors are kept inside the log, which saves each commit a file and which Trino 476 refuses.
    pub inline_deletion_vectors: bool,
    /// What is wrong with values that do not decode and that only writers act on: see [`check`](Self::check).
    pub unusable: Vec<FormatError>,
}

/// How an upserted row and the row that its key has already become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MergeMode {
    /// The new row takes the place of the old.
    #[default]
    Overwrite,
    /// Columns that the new rows lack keep the values of the old row.
    Partial,
    /// The old row stays.
    FirstRow,
}

/// What an upsert does with a key that has several live rows, which only a writer without the key can have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicateKeys {
    /// It fails and names the key.
    #[default]
    Fail,
    /// It keeps the latest by the ordering fields, as if the others had been replaced by it.
    Latest,
}

/// Which checkpoints a writer makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointPolicy {
    /// One file that every reader knows.
    #[default]
    Classic,
    /// Following the V2 specification.
    V2,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Default for TableProperties {
    fn default() -> Self {
        TableProperties {
            append_only: false,
            enable_type_widening: false,
            enable_variant_shredding: false,
            checkpoint_interval: 100,
            checkpoint_policy: CheckpointPolicy::Classic,
            log_retention_ms: 30 * DAY_MS,
            deleted_file_retention_ms: 7 * DAY_MS,
            drop_feature_retention_ms: DAY_MS,
            checkpoint_protection_before: None,
            set_transaction_retention_ms: None,
            enable_expired_log_cleanup: true,
            enable_deletion_vectors: false,
            enable_in_commit_timestamps: false,
            in_commit_timestamp_enablement_version: None,
            in_commit_timestamp_enablement_timestamp: None,
            enable_change_data_feed: false,
            enable_row_tracking: false,
            column_mapping_mode: ColumnMappingMode::None,
            data_skipping_num_indexed_cols: Some(32),
            data_skipping_stats_columns: None,
            target_file_size: 128 << 20,
            write_stats_as_json: true,
            write_stats_as_struct: true,
            isolation_level: IsolationLevel::WriteSerializable,
            constraints: Vec::new(),
            primary_key: Vec::new(),
            merge_mode: MergeMode::Overwrite,
            ordering_fields: Vec::new(),
            delete_marker: None,
            duplicate_keys: DuplicateKeys::Fail,
            record_index: true,
            auto_compact: false,
            inline_deletion_vectors: false,
            unusable: Vec::new(),
        }
    }
}

impl TableProperties {
    /// Whether checkpoints follow the V2 specification.
    pub fn wants_v2_checkpoints(&self) -> bool {
        self.checkpoint_policy == CheckpointPolicy::V2
    }

    /// Checks properties that a user wants to set: see [`check_set`].
    ///
    /// # Errors
    /// As [`check_set`], and [`FormatError::InvalidProperty`] for a name in another case than readers look for.
    pub fn check_settable(properties: &BTreeMap<String, String>) -> Result<()> {
        for (key, value) in properties {
            let canonical = check_set(key, value)?;
            if canonical != *key {
                return Err(invalid(key, value, format!("the property is spelled {canonical}")));
            }
        }
        Ok(())
    }

    /// The properties in a table's configuration.
    ///
    /// A value that only writers and maintenance act on and that does not decode leaves the table readable: its default
    /// stands in, and [`check`](Self::check) tells of it before anything is written or deleted.
    ///
    /// # Errors
    /// [`FormatError::InvalidProperty`] if a property that decides what a reader sees does not decode: how files name
    /// columns, and what the time of a version is.
    pub fn parse(configuration: &BTreeMap<String, String>) -> Result<TableProperties> {
        let read = Reader { configuration, unusable: RefCell::default() };
        let default = TableProperties::default();
        let parsed = TableProperties {
            append_only: read.optional(name::APPEND_ONLY, value::boolean).unwrap_or(default.append_only),
            enable_variant_shredding: read.optional(name::ENABLE_VARIANT_SHREDDING, value::boolean).unwrap_or(false),
            enable_type_widening: read.optional(name::ENABLE_TYPE_WIDENING, value::boolean).unwrap_or(false),
            checkpoint_interval: read
                .optional(name::CHECKPOINT_INTERVAL, value::positive)
                .unwrap_or(default.checkpoint_interval),
            checkpoint_policy: read
                .optional(name::CHECKPOINT_POLICY, value::checkpoint_policy)
                .unwrap_or(default.checkpoint_policy),
            log_retention_ms: read
                .optional(name::LOG_RETENTION, value::lenient_interval)
                .unwrap_or(default.log_retention_ms),
            deleted_file_retention_ms: read
                .optional(name::DELETED_FILE_RETENTION, value::lenient_interval)
                .unwrap_or(default.deleted_file_retention_ms),
            drop_feature_retention_ms: read
                .optional(name::DROP_FEATURE_RETENTION, value::lenient_interval)
                .unwrap_or(default.drop_feature_retention_ms),
            checkpoint_protection_before: read.optional(name::REQUIRE_CHECKPOINT_PROTECTION, value::version),
            set_transaction_retention_ms: read.optional(name::SET_TRANSACTION_RETENTION, value::lenient_interval),
            enable_expired_log_cleanup: read
                .optional(name::ENABLE_EXPIRED_LOG_CLEANUP, value::boolean)
                .unwrap_or(default.enable_expired_log_cleanup),
            enable_deletion_vectors: read.optional(name::ENABLE_DELETION_VECTORS, value::boolean).unwrap_or(false),
            enable_in_commit_timestamps: read.get(name::ENABLE_IN_COMMIT_TIMESTAMPS, value::boolean)?.unwrap_or(false),
            in_commit_timestamp_enablement_version: read
                .get(name::IN_COMMIT_TIMESTAMP_ENABLEMENT_VERSION, value::version)?,
            in_commit_timestamp_enablement_timestamp: read
                .get(name::IN_COMMIT_TIMESTAMP_ENABLEMENT_TIMESTAMP, value::timestamp)?,
            enable_change_data_feed: read.optional(name::ENABLE_CHANGE_DATA_FEED, value::boolean).unwrap_or(false),
            enable_row_tracking: read.optional(name::ENABLE_ROW_TRACKING, value::boolean).unwrap_or(false),
            column_mapping_mode: read.get(name::COLUMN_MAPPING_MODE, value::mapping_mode)?.unwrap_or_default(),
            data_skipping_num_indexed_cols: read
                .optional(name::DATA_SKIPPING_NUM_INDEXED_COLS, value::indexed_columns)
                .unwrap_or(default.data_skipping_num_indexed_cols),
            data_skipping_stats_columns: read.optional(name::DATA_SKIPPING_STATS_COLUMNS, value::column_paths),
            target_file_size: read.optional(name::TARGET_FILE_SIZE, value::bytes).unwrap_or(default.target_file_size),
            write_stats_as_json: read.optional(name::WRITE_STATS_AS_JSON, value::boolean).unwrap_or(true),
            write_stats_as_struct: read
                .optional(name::WRITE_STATS_AS_STRUCT, value::boolean)
                .unwrap_or(default.write_stats_as_struct),
            isolation_level: read
                .optional(name::ISOLATION_LEVEL, value::isolation_level)
                .unwrap_or(default.isolation_level),
            constraints: constraints(configuration),
            primary_key: read.optional(name::PRIMARY_KEY, value::column_names).unwrap_or_default(),
            merge_mode: read.optional(name::MERGE_MODE, value::merge_mode).unwrap_or_default(),
            ordering_fields: read.optional(name::ORDERING_FIELDS, value::column_names).unwrap_or_default(),
            delete_marker: read.optional(name::DELETE_MARKER, value::column_name),
            duplicate_keys: read.optional(name::DUPLICATE_KEYS, value::duplicate_keys).unwrap_or_default(),
            record_index: read.optional(name::RECORD_INDEX, value::boolean).unwrap_or(default.record_index),
            auto_compact: read.optional(name::AUTO_COMPACT, value::boolean).unwrap_or(default.auto_compact),
            inline_deletion_vectors: read.optional(name::INLINE_DELETION_VECTORS, value::boolean).unwrap_or(false),
            unusable: Vec::new(),
        };
        Ok(TableProperties { unusable: read.unusable.into_inner(), ..parsed })
    }

    /// Refuses properties of which one does not decode: a default in its place could delete files that someone meant to
    /// keep, or write rows that someone meant to forbid.
    ///
    /// # Errors
    /// [`FormatError::InvalidProperty`] with the first such property.
    pub fn check(&self) -> Result<()> {
        self.unusable.first().map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// The CHECK constraints of a configuration: name and SQL, by name. Protocol section "CHECK Constraints".
fn constraints(configuration: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let named = configuration.iter().filter_map(|(key, sql)| Some((strip_prefix(key, name::CONSTRAINT_PREFIX)?, sql)));
    named.map(|(name, sql)| (name.to_owned(), sql.clone())).collect()
}

/// The rest of a property's name behind a prefix, which counts in any case, as names of properties do in Spark.
fn strip_prefix<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = key.split_at_checked(prefix.len())?;
    (head.eq_ignore_ascii_case(prefix) && !rest.is_empty()).then_some(rest)
}

struct Reader<'a> {
    configuration: &'a BTreeMap<String, String>,
    unusable: RefCell<Vec<FormatError>>,
}

impl Reader<'_> {
    /// A value that readers can do without; where it does not decode, that is noted.
    fn optional<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.get(key, parse).unwrap_or_else(|error| {
            self.unusable.borrow_mut().push(error);
            None
        })
    }

    fn get<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>> {
        let Some(text) = self.configuration.get(key) else { return Ok(None) };
        parse(text).map(Some).map_err(|what| invalid(key, text, what))
    }
}

fn invalid(key: &str, value: &str, what: impl Into<String>) -> FormatError {
    FormatError::InvalidProperty { key: printable(key), value: printable(value), what: what.into() }
}
