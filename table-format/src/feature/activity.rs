//! Whether a table uses a feature: what its properties and columns ask for.

use super::registry::{Feature, ROWS};
use crate::action::Metadata;
use crate::error::{Result, printable};
use crate::property::{TableProperties, name};
use crate::schema::{PrimitiveType, StructField, StructType};

/// The features that a table with these properties and columns must support, in the order of the registry.
///
/// This includes features asked for by a property `delta.feature.<name> = supported`. What they require in turn is added
/// by [`enable`](super::enable).
///
/// # Errors
/// [`FormatError::InvalidProperty`](crate::FormatError::InvalidProperty) for a value that does not decode: whether the
/// feature is wanted cannot be told.
pub fn required_for(metadata: &Metadata, schema: &StructType) -> Result<Vec<Feature>> {
    TableProperties::parse(&metadata.configuration)?.check()?;
    let table = TableUse { metadata, schema };
    let mut required: Vec<Feature> = ROWS
        .iter()
        .map(|row| &row.feature)
        .filter(|feature| table.is_active(feature) || table.is_asked_for(feature))
        .cloned()
        .collect();
    // An unknown feature cannot be given: the caller finds it in the protocol and is refused by `check_writable`.
    required.extend(table.asked_for().filter(|feature| matches!(feature, Feature::Unknown(_))));
    Ok(required)
}

/// What a table's metadata says about its use of features.
pub(super) struct TableUse<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) schema: &'a StructType,
}

impl TableUse<'_> {
    /// Whether the metadata asks for the feature. Protocol section "Active Features".
    pub(super) fn is_active(&self, feature: &Feature) -> bool {
        match feature {
            Feature::AppendOnly => self.is_set(name::APPEND_ONLY),
            Feature::Invariants => self.schema.has_invariants(),
            Feature::CheckConstraints => {
                let constraints = self.metadata.configuration.keys().filter(|k| {
                    k.get(..name::CONSTRAINT_PREFIX.len())
                        .is_some_and(|head| head.eq_ignore_ascii_case(name::CONSTRAINT_PREFIX))
                });
                constraints.count() > 0
            }
            Feature::ChangeDataFeed => self.is_set(name::ENABLE_CHANGE_DATA_FEED),
            Feature::GeneratedColumns => self.schema.any_field(is_generated),
            Feature::ColumnMapping => {
                self.value(name::COLUMN_MAPPING_MODE).is_some_and(|mode| !mode.trim().eq_ignore_ascii_case("none"))
            }
            Feature::IdentityColumns => self.schema.any_field(StructField::is_identity),
            Feature::DeletionVectors => self.is_set(name::ENABLE_DELETION_VECTORS),
            Feature::RowTracking => self.is_set(name::ENABLE_ROW_TRACKING),
            Feature::TimestampNtz => self.has_type(PrimitiveType::TimestampNtz),
            Feature::V2Checkpoint => {
                self.value(name::CHECKPOINT_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case("v2"))
            }
            Feature::IcebergCompatV1 => self.is_set("delta.enableIcebergCompatV1"),
            Feature::IcebergCompatV2 => self.is_set("delta.enableIcebergCompatV2"),
            Feature::IcebergCompatV3 => self.is_set("delta.enableIcebergCompatV3"),
            Feature::IcebergWriterCompatV1 => self.is_set("delta.enableIcebergWriterCompatV1"),
            Feature::IcebergWriterCompatV3 => self.is_set("delta.enableIcebergWriterCompatV3"),
            Feature::InCommitTimestamp => self.is_set(name::ENABLE_IN_COMMIT_TIMESTAMPS),
            Feature::AllowColumnDefaults => self.schema.any_field(|f| f.default_expression().is_some()),
            Feature::TypeWidening => self.is_set(name::ENABLE_TYPE_WIDENING),
            Feature::VariantType => self.schema.fields.iter().any(|f| f.data_type.contains_variant()),
            Feature::VariantShredding => self.is_set(name::ENABLE_VARIANT_SHREDDING),
            // Anything but 0 is a version before which nothing may be cleaned.
            Feature::CheckpointProtection => {
                self.value(name::REQUIRE_CHECKPOINT_PROTECTION).is_some_and(|version| version.trim() != "0")
            }
            Feature::DomainMetadata
            | Feature::CatalogManaged
            | Feature::Clustering
            | Feature::VacuumProtocolCheck
            | Feature::Collations
            | Feature::ColumnMappingUsageTracking
            | Feature::MaterializePartitionColumns
            | Feature::TimestampNanos
            | Feature::AdaptiveMetadata
            | Feature::Geospatial
            | Feature::Unknown(_) => false,
        }
    }

    /// The feature's name with what uses it, for a message; none if nothing does.
    pub(super) fn activity(&self, feature: &Feature) -> Option<String> {
        if !self.is_active(feature) {
            return None;
        }
        let mut columns = Vec::new();
        self.schema.visit(&mut |field| {
            let uses = match feature {
                Feature::GeneratedColumns => is_generated(field),
                Feature::IdentityColumns => field.is_identity(),
                _ => false,
            };
            if uses {
                columns.push(printable(&field.name));
            }
        });
        let detail = if columns.is_empty() { String::new() } else { format!(" (column {})", columns.join(", ")) };
        Some(format!("{}{detail}", feature.name()))
    }

    fn asked_for(&self) -> impl Iterator<Item = Feature> + '_ {
        self.metadata.configuration.iter().filter_map(|(key, value)| {
            let value = value.trim();
            let asked = value.eq_ignore_ascii_case("supported") || value.eq_ignore_ascii_case("enabled");
            let name = key.strip_prefix(name::FEATURE_PREFIX).filter(|name| asked && !name.is_empty())?;
            Some(Feature::from_name(name))
        })
    }

    fn is_asked_for(&self, feature: &Feature) -> bool {
        self.asked_for().any(|asked| asked == *feature)
    }

    fn has_type(&self, primitive: PrimitiveType) -> bool {
        self.schema.fields.iter().any(|f| f.data_type.contains_primitive(primitive))
    }

    fn is_set(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.metadata.configuration.get(key).map(String::as_str)
    }
}

fn is_generated(field: &StructField) -> bool {
    field.generation_expression().is_some()
}
