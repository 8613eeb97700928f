//! The table of features.

/// A table feature by its canonical name.
///
/// Preview names that mean the same (`variantType-preview`, ...) are other names of the feature; all else is
/// [`Feature::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the protocol's names; the registry says what each needs")]
pub enum Feature {
    AppendOnly,
    Invariants,
    CheckConstraints,
    ChangeDataFeed,
    GeneratedColumns,
    ColumnMapping,
    IdentityColumns,
    DeletionVectors,
    RowTracking,
    TimestampNtz,
    DomainMetadata,
    V2Checkpoint,
    CatalogManaged,
    IcebergCompatV1,
    IcebergCompatV2,
    IcebergCompatV3,
    IcebergWriterCompatV1,
    IcebergWriterCompatV3,
    Clustering,
    VacuumProtocolCheck,
    InCommitTimestamp,
    AllowColumnDefaults,
    TypeWidening,
    VariantType,
    VariantShredding,
    CheckpointProtection,
    Collations,
    ColumnMappingUsageTracking,
    MaterializePartitionColumns,
    TimestampNanos,
    AdaptiveMetadata,
    Geospatial,
    /// One that this build does not know.
    Unknown(String),
}

/// Who must respect a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ReaderWriter,
    Writer,
}

/// The first versions that imply a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Legacy {
    pub(super) reader: i32,
    pub(super) writer: i32,
}

/// How far this build goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    /// All the way.
    Full,
    /// As long as the table lists the feature without using it.
    UnlessActive,
    /// Not at all.
    None,
}

/// All about one feature.
pub(super) struct Row {
    pub(super) feature: Feature,
    pub(super) name: &'static str,
    /// Other names found in the wild. Read, never written.
    pub(super) aliases: &'static [&'static str],
    pub(super) kind: Kind,
    pub(super) legacy: Option<Legacy>,
    pub(super) read: Support,
    pub(super) write: Support,
    /// Features that must be supported beside it.
    pub(super) requires: &'static [Feature],
}

impl Row {
    /// A feature that only writers must know; it never stands in a reader's way.
    const fn writer(feature: Feature, name: &'static str, write: Support) -> Row {
        let (aliases, requires) = (&[], &[]);
        Row { feature, name, aliases, kind: Kind::Writer, legacy: None, read: Support::Full, write, requires }
    }

    /// A feature that readers must know too.
    const fn reader(feature: Feature, name: &'static str, read: Support, write: Support) -> Row {
        let (aliases, requires) = (&[], &[]);
        Row { feature, name, aliases, kind: Kind::ReaderWriter, legacy: None, read, write, requires }
    }

    const fn implied_by(mut self, reader: i32, writer: i32) -> Row {
        self.legacy = Some(Legacy { reader, writer });
        self
    }

    const fn requires(mut self, requires: &'static [Feature]) -> Row {
        self.requires = requires;
        self
    }

    const fn also_called(mut self, aliases: &'static [&'static str]) -> Row {
        self.aliases = aliases;
        self
    }
}

use Support::{Full, None as No, UnlessActive};

/// Every feature we know, in the order in which a protocol lists them.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::writer(Feature::AppendOnly, "appendOnly", Full).implied_by(1, 2),
    Row::writer(Feature::Invariants, "invariants", Full).implied_by(1, 2),
    Row::writer(Feature::CheckConstraints, "checkConstraints", Full).implied_by(1, 3),
    // Which commits may do without change files is decided where a commit is assembled.
    Row::writer(Feature::ChangeDataFeed, "changeDataFeed", Full).implied_by(1, 4),
    Row::writer(Feature::GeneratedColumns, "generatedColumns", Full).implied_by(1, 4),
    Row::reader(Feature::ColumnMapping, "columnMapping", Full, Full).implied_by(2, 5),
    Row::writer(Feature::IdentityColumns, "identityColumns", Full).implied_by(1, 6),
    Row::reader(Feature::DeletionVectors, "deletionVectors", Full, Full),
    Row::writer(Feature::RowTracking, "rowTracking", Full).requires(&[Feature::DomainMetadata]),
    Row::reader(Feature::TimestampNtz, "timestampNtz", Full, Full).also_called(&["timestampWithoutTimezone"]),
    Row::writer(Feature::DomainMetadata, "domainMetadata", Full),
    Row::reader(Feature::V2Checkpoint, "v2Checkpoint", Full, Full),
    // The catalog, not the log, says which commits count.
    Row::reader(Feature::CatalogManaged, "catalogManaged", No, No).requires(&[Feature::InCommitTimestamp]),
    Row::writer(Feature::IcebergCompatV1, "icebergCompatV1", Full).requires(&[Feature::ColumnMapping]),
    Row::writer(Feature::IcebergCompatV2, "icebergCompatV2", Full).requires(&[Feature::ColumnMapping]),
    Row::writer(Feature::IcebergCompatV3, "icebergCompatV3", UnlessActive)
        .requires(&[Feature::ColumnMapping, Feature::RowTracking]),
    Row::writer(Feature::IcebergWriterCompatV1, "icebergWriterCompatV1", UnlessActive)
        .requires(&[Feature::IcebergCompatV2]),
    Row::writer(Feature::IcebergWriterCompatV3, "icebergWriterCompatV3", UnlessActive)
        .requires(&[Feature::IcebergCompatV3]),
    // A writer need not cluster: files it adds are clustered by whoever does.
    Row::writer(Feature::Clustering, "clustering", Full).requires(&[Feature::DomainMetadata]),
    Row::reader(Feature::VacuumProtocolCheck, "vacuumProtocolCheck", Full, Full),
    Row::writer(Feature::InCommitTimestamp, "inCommitTimestamp", Full),
    Row::writer(Feature::AllowColumnDefaults, "allowColumnDefaults", Full),
    Row::reader(Feature::TypeWidening, "typeWidening", Full, Full).also_called(&["typeWidening-preview"]),
    Row::reader(Feature::VariantType, "variantType", Full, Full).also_called(&["variantType-preview"]),
    Row::reader(Feature::VariantShredding, "variantShredding", Full, Full)
        .also_called(&["variantShredding-preview"])
        .requires(&[Feature::VariantType]),
    // Cleaning up the log looks at the version before which it may not stop.
    Row::writer(Feature::CheckpointProtection, "checkpointProtection", Full),
    Row::writer(Feature::Collations, "collations", No).requires(&[Feature::DomainMetadata]),
    Row::writer(Feature::ColumnMappingUsageTracking, "columnMappingUsageTracking", No),
    Row::writer(Feature::MaterializePartitionColumns, "materializePartitionColumns", No),
    Row::reader(Feature::TimestampNanos, "timestampNanos", No, No).requires(&[Feature::TimestampNtz]),
    Row::reader(Feature::AdaptiveMetadata, "adaptiveMetadata", No, No),
    Row::reader(Feature::Geospatial, "geospatial", No, No),
];

/// What we know of a feature; none for an unknown one.
pub(super) fn row_of(feature: &Feature) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.feature == *feature)
}

/// The names of the features of readers that this build reads in full, and of all features that it writes in full, in the
/// order in which a protocol lists them.
pub fn supported_features() -> (Vec<&'static str>, Vec<&'static str>) {
    let reads = ROWS.iter().filter(|row| row.kind == Kind::ReaderWriter && row.read == Full);
    let writes = ROWS.iter().filter(|row| row.write == Full);
    (reads.map(|row| row.name).collect(), writes.map(|row| row.name).collect())
}

impl Feature {
    /// The name in the protocol's lists.
    pub fn name(&self) -> &str {
        match self {
            Feature::Unknown(name) => name,
            known => row_of(known).map(|row| row.name).unwrap_or_default(),
        }
    }

    /// Whether readers have to know it; false for a feature that is not known.
    pub fn is_for_readers(&self) -> bool {
        row_of(self).is_some_and(|row| row.kind == Kind::ReaderWriter)
    }

    /// The features that must be supported beside it.
    pub fn requires(&self) -> &'static [Feature] {
        row_of(self).map(|row| row.requires).unwrap_or_default()
    }

    /// The feature of a name or of another name in use; names count case and all.
    pub fn from_name(name: &str) -> Feature {
        let row = ROWS.iter().find(|row| row.name == name || row.aliases.contains(&name));
        row.map(|row| row.feature.clone()).unwrap_or_else(|| Feature::Unknown(name.to_owned()))
    }
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
