//! A table at one version, as a value.
//!
//! [`TableState`] holds what a version *is*: protocol, metadata, application progress, domains, the live files as Arrow
//! columns ([`FileTable`]) and the tombstones. It is immutable and cheap to clone; [`TableState::apply`] makes the next
//! state from this one and the commits after it, at a cost that grows with those commits and not with the table.
//!
//! Law 1 binds this module: replay from any checkpoint equals replay from zero.

pub(crate) mod builder;
mod chunk;
mod column_stats;
pub(crate) mod draft;
mod files;
mod index;
mod stats_text;
mod tombstones;

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::{Action, DomainMetadata, Metadata, Protocol, Txn};
use crate::error::{FormatError, Result};
use crate::feature::{Feature, check_column_mapping, check_readable_given, has_feature};
use crate::property::TableProperties;
use crate::schema::StructType;
use crate::version::{TimestampMs, Version};

pub use chunk::{ChunkColumns, DeletionVectorColumns, FileChunk};
pub(crate) use column_stats::arrow_type as stats_arrow_type;
pub use column_stats::{ColumnStats, Reading, StatsColumnSpec, parse_stats_columns};
pub use files::{FileId, FileTable, FileView};
pub use stats_text::struct_to_stats_json;
pub use tombstones::{TombstoneBatch, Tombstones};

/// A table at one version.
#[derive(Debug, Clone)]
pub struct TableState {
    /// The version.
    pub version: Version,
    /// What a reader and a writer must understand.
    pub protocol: Protocol,
    /// Schema string, partition columns and properties as they lie in the log.
    pub metadata: Metadata,
    /// The schema, parsed.
    pub schema: Arc<StructType>,
    /// The table properties, parsed.
    pub properties: Arc<TableProperties>,
    /// How far each application has written.
    pub txns: Arc<BTreeMap<String, Txn>>,
    /// The domains that are set.
    pub domains: Arc<BTreeMap<String, DomainMetadata>>,
    /// The live files.
    pub files: FileTable,
    /// Files that were removed and may still be read by older versions.
    pub tombstones: Tombstones,
    /// The in-commit timestamp of [`version`](Self::version). None if its commit carries none, or was not read because a
    /// checkpoint or a compacted log file covers it.
    pub commit_timestamp: Option<TimestampMs>,
}

impl TableState {
    /// Whether commits must let readers see the changed rows (`delta.enableChangeDataFeed`).
    pub fn has_change_feed(&self) -> bool {
        self.properties.enable_change_data_feed && has_feature(&self.protocol, &Feature::ChangeDataFeed)
    }

    /// The same version as it would be with another protocol and other metadata: the same files, seen in another way.
    ///
    /// # Errors
    /// Those of parsing the schema and the properties.
    pub fn seen_as(&self, protocol: Protocol, metadata: Metadata) -> Result<TableState> {
        let schema = Arc::new(StructType::parse(&metadata.schema_string)?);
        let properties = Arc::new(TableProperties::parse(&metadata.configuration)?);
        Ok(TableState { protocol, metadata, schema, properties, ..self.clone() })
    }

    /// Refuses a version that this build cannot read soundly.
    ///
    /// # Errors
    /// As [`crate::feature::check_readable`] and [`check_column_mapping`].
    pub fn check_readable(&self) -> Result<()> {
        self.check_readable_given(&[])
    }

    /// As [`TableState::check_readable`], where what some features ask for is given.
    ///
    /// # Errors
    /// As [`TableState::check_readable`].
    pub fn check_readable_given(&self, given: &[Feature]) -> Result<()> {
        check_readable_given(&self.protocol, &self.metadata, given)?;
        check_column_mapping(&self.metadata, &self.schema)?;
        // Readers must fail on any other change (protocol section "Reader Requirements for Type Widening").
        match self.schema.unknown_type_change().filter(|_| has_feature(&self.protocol, &Feature::TypeWidening)) {
            Some(change) => Err(FormatError::UnsupportedFeature { operation: "read".into(), features: vec![change] }),
            None => Ok(()),
        }
    }

    /// The state after these commits, which follow this version in order.
    ///
    /// A compacted log file counts as one commit at the last version it covers. The cost grows with the commits; what
    /// they do not touch is shared with this state. [`FileId`]s of this state mean nothing in the new one.
    ///
    /// # Errors
    /// [`FormatError::CorruptLog`] if versions are not ascending, a commit holds two protocols, two metadatas, two adds
    /// of one file or an add and a remove of one file; errors of parsing a new schema or new properties.
    pub fn apply<A: Borrow<Action>>(&self, commits: &[(Version, Vec<A>)]) -> Result<TableState> {
        let Some((last, _)) = commits.last() else { return Ok(self.clone()) };
        let mut draft = draft::Draft::from_state(self);
        let mut previous = self.version;
        for (version, actions) in commits {
            if *version <= previous {
                let what = format!("version {version} cannot be applied after version {previous}");
                return Err(FormatError::corrupt_log(Some(*version), crate::path::commit_name(*version), what));
            }
            draft.apply(*version, actions.iter().map(Borrow::borrow))?;
            previous = *version;
        }
        draft.finish(*last)
    }
}
