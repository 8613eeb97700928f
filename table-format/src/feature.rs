//! Table features: what a table asks of its readers and writers, and what this build can do.
//!
//! Protocol section "Table Features". All that differs between features stands in one table, the registry: name, kind,
//! the legacy versions that imply it, and how far it is supported here. The functions below only walk that table.
//!
//! Legacy versions imply features that most tables never use. Those are not refused but *validated when active*: a table
//! of writer version 6 is writable as long as no column is an identity column.
//!
//! ```
//! use floe_table_format::feature::{Feature, has_feature, minimal_protocol};
//!
//! let protocol = minimal_protocol(&[Feature::DeletionVectors]);
//! assert_eq!((protocol.min_reader_version, protocol.min_writer_version), (3, 7));
//! assert!(has_feature(&protocol, &Feature::AppendOnly));
//! ```

mod activity;
mod registry;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::action::{Metadata, Protocol};
use crate::error::{FormatError, Result, printable};
use crate::property::TableProperties;
use crate::schema::{ColumnMappingMode, DataType, StructField, StructType};

pub use activity::required_for;
pub use registry::{Feature, supported_features};

use activity::TableUse;
use registry::{Kind, Row, Support, row_of};

/// The newest version that readers of this build know.
pub const READER_VERSION_MAX: i32 = 3;

/// The newest version that writers of this build know.
pub const WRITER_VERSION_MAX: i32 = 7;

const READ: &str = "read the table";
const WRITE: &str = "write to the table";

/// Refuses a table that this build cannot read soundly.
///
/// # Errors
/// [`FormatError::UnsupportedFeature`] with all that is in the way; [`FormatError::CorruptLog`] for a protocol that
/// contradicts itself, such as reader version 3 without a list of features.
pub fn check_readable(protocol: &Protocol, metadata: &Metadata) -> Result<()> {
    check_readable_given(protocol, metadata, &[])
}

/// As [`check_readable`], where what some features ask for is given: of a table that a catalog manages, what the catalog says.
///
/// # Errors
/// As [`check_readable`].
pub fn check_readable_given(protocol: &Protocol, metadata: &Metadata, given: &[Feature]) -> Result<()> {
    check_shape(protocol)?;
    if protocol.min_reader_version > READER_VERSION_MAX {
        return Err(unsupported(READ, vec![format!("reader version {}", protocol.min_reader_version)]));
    }
    if !metadata.format.provider.eq_ignore_ascii_case("parquet") {
        return Err(unsupported(READ, vec![format!("format {}", printable(&metadata.format.provider))]));
    }
    let named = protocol.reader_features.iter().flatten().map(|name| Feature::from_name(name));
    let mut missing: Vec<String> = named
        .filter(|feature| !row_of(feature).is_some_and(|row| row.read == Support::Full) && !given.contains(feature))
        .map(|feature| printable(feature.name()))
        .collect();
    // The mode would count for some readers and not for others, which then read columns under other names.
    if column_mapping_mode(metadata)? != ColumnMappingMode::None && !has_feature(protocol, &Feature::ColumnMapping) {
        missing.push("column mapping that the protocol does not list".into());
    }
    if missing.is_empty() { Ok(()) } else { Err(unsupported(READ, missing)) }
}

/// Refuses a table whose files name columns by what its schema does not say.
///
/// Protocol section "Column Mapping": with a mode other than `none` every column, at any depth, has a physical name and an
/// id, and no two of one struct share either. Reading by the name instead would give nulls where the table has values.
///
/// # Errors
/// [`FormatError::CorruptLog`] with the first such column; [`FormatError::InvalidProperty`] for a mode that does not exist.
pub fn check_column_mapping(metadata: &Metadata, schema: &StructType) -> Result<()> {
    if column_mapping_mode(metadata)? == ColumnMappingMode::None {
        return Ok(());
    }
    let mut problem = check_mapped_fields(&schema.fields);
    schema.visit(&mut |field| {
        for inner in structs_in(&field.data_type) {
            problem = problem.take().or_else(|| check_mapped_fields(&inner.fields));
        }
    });
    problem.map_or(Ok(()), |what| Err(FormatError::corrupt_log(None, "metaData", what)))
}

/// What is wrong with the mapping of the fields of one struct.
fn check_mapped_fields(fields: &[StructField]) -> Option<String> {
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    fields.iter().find_map(|field| {
        let column = printable(&field.name);
        let (Some(name), Some(id)) = (field.mapped_name(), field.mapping_id()) else {
            return Some(format!("columns are mapped, but column {column} lacks its physical name or its id"));
        };
        let unique = names.insert(name) && ids.insert(id);
        (!unique).then(|| format!("column {column} has the physical name or the id of another column"))
    })
}

/// The structs that a type holds without another struct around them.
fn structs_in(data_type: &DataType) -> Vec<&StructType> {
    match data_type {
        DataType::Primitive(_) | DataType::Variant | DataType::Void | DataType::Interval(_) => Vec::new(),
        DataType::Struct(inner) => vec![inner],
        DataType::Array(inner) => structs_in(&inner.element),
        DataType::Map(inner) => structs_in(&inner.key).into_iter().chain(structs_in(&inner.value)).collect(),
    }
}

/// Refuses a table that this build cannot write to soundly; what it cannot read, it cannot write to either.
///
/// # Errors
/// As [`check_readable`], and [`FormatError::UnsupportedFeature`] for a feature, version or column type in the way.
pub fn check_writable(protocol: &Protocol, metadata: &Metadata, schema: &StructType) -> Result<()> {
    check_readable(protocol, metadata)?;
    check_column_mapping(metadata, schema)?;
    if protocol.min_writer_version > WRITER_VERSION_MAX {
        return Err(unsupported(WRITE, vec![format!("writer version {}", protocol.min_writer_version)]));
    }
    let table = TableUse { metadata, schema };
    let mut missing: Vec<String> = Vec::new();
    for feature in supported_by_writers(protocol) {
        match row_of(&feature).map(|row| row.write) {
            Some(Support::Full) => {}
            Some(Support::UnlessActive) => missing.extend(table.activity(&feature)),
            Some(Support::None) | None => missing.push(printable(feature.name())),
        }
    }
    // A column type asks for its feature even where the protocol fails to list it.
    let variant = Feature::VariantType;
    if missing.is_empty() && table.is_active(&variant) && !has_feature(protocol, &variant) {
        missing.push(Feature::VariantType.name().to_owned());
    }
    if missing.is_empty() { Ok(()) } else { Err(unsupported(WRITE, missing)) }
}

/// Whether the table supports the feature, by name or by the legacy versions that imply it.
///
/// For a feature of readers and writers the reader's side decides: a reader has to respect it from there on.
pub fn has_feature(protocol: &Protocol, feature: &Feature) -> bool {
    let row = row_of(feature);
    if row.is_none_or(|row| row.kind == Kind::ReaderWriter) && reads_with(protocol, feature, row) {
        return true;
    }
    // An unknown feature may be either kind; where it is named tells.
    row.is_none_or(|row| row.kind == Kind::Writer) && writes_with(protocol, feature, row)
}

/// How data files name columns, in a table that [`check_readable`] has passed.
///
/// Protocol section "Column Mapping". The property counts only where the protocol has the feature; a table that sets it
/// without is refused there, so that nobody has to look at both.
///
/// # Errors
/// [`FormatError::InvalidProperty`] for a mode that does not exist.
pub fn column_mapping_mode(metadata: &Metadata) -> Result<ColumnMappingMode> {
    Ok(TableProperties::parse(&metadata.configuration)?.column_mapping_mode)
}

/// The largest id that column mapping has given to a column; 0 where none was given.
///
/// Protocol section "Writer Requirements for Column Mapping".
///
/// # Errors
/// [`FormatError::InvalidProperty`] for a value that is no id: another column might get one that is taken.
pub fn column_mapping_last_id(metadata: &Metadata) -> Result<i64> {
    let key = crate::property::name::COLUMN_MAPPING_MAX_ID;
    let Some(text) = metadata.configuration.get(key) else { return Ok(0) };
    text.trim().parse().ok().filter(|id| *id >= 0).ok_or_else(|| FormatError::InvalidProperty {
        key: key.into(),
        value: printable(text),
        what: "expected the largest id given to a column".into(),
    })
}

/// The protocol with these features and all that they require.
///
/// A feature that is supported already changes nothing. Any other takes the table to writer version 7, and to reader
/// version 3 if readers must know it. The features that the legacy versions implied are then listed by name, because
/// nothing is implied any more: a writer that found `appendOnly` missing would not look at the property.
///
/// Protocol section "Table Features for New and Existing Tables".
pub fn enable(protocol: &Protocol, features: &[Feature]) -> Protocol {
    let wanted: Vec<Feature> =
        with_requirements(features).into_iter().filter(|feature| !has_feature(protocol, feature)).collect();
    if wanted.is_empty() {
        return protocol.clone();
    }
    let mut writers = supported_by_writers(protocol);
    // Half of a feature of readers and writers is none: writer version 5 with reader version 1 has no column mapping.
    writers.retain(|feature| protocol.writer_features.is_some() || has_feature(protocol, feature));
    let implied_for_readers = registry::ROWS.iter().map(|row| row.feature.clone()).filter(|f| has_feature(protocol, f));
    for feature in implied_for_readers.chain(wanted) {
        if !writers.contains(&feature) {
            writers.push(feature);
        }
    }
    let for_readers = |feature: &&Feature| row_of(feature).is_some_and(|row| row.kind == Kind::ReaderWriter);
    let mut readers = named(protocol.reader_features.as_deref());
    for feature in writers.iter().filter(for_readers) {
        if !readers.contains(feature) {
            readers.push(feature.clone());
        }
    }
    let names = |features: Vec<Feature>| features.iter().map(|f| f.name().to_owned()).collect::<Vec<_>>();
    let reads_by_name = !readers.is_empty() || protocol.reader_features.is_some();
    Protocol {
        min_reader_version: if reads_by_name { READER_VERSION_MAX } else { protocol.min_reader_version },
        min_writer_version: WRITER_VERSION_MAX,
        reader_features: reads_by_name.then(|| names(readers)),
        writer_features: Some(names(writers)),
    }
}

/// The least that a new table with these features asks of others: reader 1 and writer 2 where that suffices.
pub fn minimal_protocol(features: &[Feature]) -> Protocol {
    let least = Protocol { min_reader_version: 1, min_writer_version: 2, reader_features: None, writer_features: None };
    enable(&least, features)
}

/// The protocol without one feature; what the versions implied is listed by name, unless older versions imply just the rest.
///
/// Only for a table that no longer uses the feature, see [`ChangeSet::dropped`](crate::ChangeSet::dropped).
pub fn without(protocol: &Protocol, dropped: &Feature) -> Protocol {
    let mut writers = supported_by_writers(protocol);
    let implied = registry::ROWS.iter().map(|row| row.feature.clone()).filter(|f| has_feature(protocol, f));
    let implied: Vec<Feature> = implied.filter(|f| !writers.contains(f)).collect();
    writers.extend(implied);
    writers.retain(|feature| feature != dropped && has_feature(protocol, feature));
    let for_readers = |feature: &&Feature| row_of(feature).is_none_or(|row| row.kind == Kind::ReaderWriter);
    let named_for_readers = named(protocol.reader_features.as_deref());
    let readers: Vec<&Feature> =
        writers.iter().filter(for_readers).filter(|f| row_of(f).is_some() || named_for_readers.contains(f)).collect();
    let names =
        |features: &mut dyn Iterator<Item = &Feature>| features.map(|f| f.name().to_owned()).collect::<Vec<_>>();
    if readers.is_empty() {
        let mut sorted = writers.clone();
        sorted.sort();
        let legacy = (1..WRITER_VERSION_MAX).find(|version| {
            let lower = Protocol {
                min_reader_version: 1,
                min_writer_version: *version,
                reader_features: None,
                writer_features: None,
            };
            let mut implied: Vec<Feature> =
                supported_by_writers(&lower).into_iter().filter(|f| has_feature(&lower, f)).collect();
            implied.sort();
            implied == sorted && *version > 1
        });
        if let Some(min_writer_version) = legacy {
            return Protocol {
                min_reader_version: 1,
                min_writer_version,
                reader_features: None,
                writer_features: None,
            };
        }
    }
    Protocol {
        min_reader_version: if readers.is_empty() { 1 } else { READER_VERSION_MAX },
        min_writer_version: WRITER_VERSION_MAX,
        reader_features: (!readers.is_empty()).then(|| names(&mut readers.into_iter())),
        writer_features: Some(names(&mut writers.iter())),
    }
}

/// The features of a table that need another one.
pub fn dependents(protocol: &Protocol, feature: &Feature) -> Vec<Feature> {
    let needing = registry::ROWS.iter().filter(|row| row.requires.contains(feature));
    needing.map(|row| row.feature.clone()).filter(|needing| has_feature(protocol, needing)).collect()
}

/// Whether a protocol asks for everything that another one asks for: what a table had, its next protocol must have.
pub fn includes(protocol: &Protocol, earlier: &Protocol) -> bool {
    protocol.min_reader_version >= earlier.min_reader_version
        && protocol.min_writer_version >= earlier.min_writer_version
        && includes_but_for(protocol, earlier, None)
}

/// Whether a protocol asks for every feature that another one asks for, one feature aside.
pub(crate) fn includes_but_for(protocol: &Protocol, earlier: &Protocol, aside: Option<&Feature>) -> bool {
    let mut features = supported_by_writers(earlier);
    features.extend(named(earlier.reader_features.as_deref()));
    features.iter().all(|f| Some(f) == aside || has_feature(protocol, f) || !has_feature(earlier, f))
}

/// The features, each once, after the features that they require.
fn with_requirements(features: &[Feature]) -> Vec<Feature> {
    fn add(feature: &Feature, seen: &mut BTreeSet<Feature>, out: &mut Vec<Feature>) {
        if seen.insert(feature.clone()) {
            for required in row_of(feature).map(|row| row.requires).unwrap_or_default() {
                add(required, seen, out);
            }
            out.push(feature.clone());
        }
    }
    let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
    for feature in features {
        add(feature, &mut seen, &mut out);
    }
    out
}

/// All features that writers must respect: those named, or those that the version implies. Those of readers are among them.
pub fn supported_by_writers(protocol: &Protocol) -> Vec<Feature> {
    if protocol.min_writer_version >= WRITER_VERSION_MAX {
        return named(protocol.writer_features.as_deref());
    }
    let implied =
        registry::ROWS.iter().filter(|row| row.legacy.is_some_and(|l| l.writer <= protocol.min_writer_version));
    implied.map(|row| row.feature.clone()).collect()
}

fn named(names: Option<&[String]>) -> Vec<Feature> {
    let mut features = Vec::new();
    for feature in names.into_iter().flatten().map(|name| Feature::from_name(name)) {
        // An alias may stand beside the name itself.
        if !features.contains(&feature) {
            features.push(feature);
        }
    }
    features
}

fn reads_with(protocol: &Protocol, feature: &Feature, row: Option<&Row>) -> bool {
    if protocol.min_reader_version >= READER_VERSION_MAX {
        return protocol.reader_features.iter().flatten().any(|name| Feature::from_name(name) == *feature);
    }
    row.and_then(|row| row.legacy).is_some_and(|legacy| legacy.reader <= protocol.min_reader_version)
}

fn writes_with(protocol: &Protocol, feature: &Feature, row: Option<&Row>) -> bool {
    if protocol.min_writer_version >= WRITER_VERSION_MAX {
        return protocol.writer_features.iter().flatten().any(|name| Feature::from_name(name) == *feature);
    }
    row.and_then(|row| row.legacy).is_some_and(|legacy| legacy.writer <= protocol.min_writer_version)
}

/// The rules that tie versions and lists to each other.
fn check_shape(protocol: &Protocol) -> Result<()> {
    let Protocol { min_reader_version: reader, min_writer_version: writer, reader_features, writer_features } =
        protocol;
    let corrupt = |what: String| Err(FormatError::corrupt_log(None, "protocol", what));
    if *reader < 1 || *writer < 1 {
        return corrupt(format!("versions start at 1, found reader {reader} and writer {writer}"));
    }
    // What a newer version asks for is not known here; it is refused as unsupported.
    if *reader > READER_VERSION_MAX || *writer > WRITER_VERSION_MAX {
        return Ok(());
    }
    if *reader == READER_VERSION_MAX && *writer != WRITER_VERSION_MAX {
        return corrupt(format!("reader version 3 needs writer version 7, found {writer}"));
    }
    if *reader == READER_VERSION_MAX && reader_features.is_none() {
        return corrupt("reader version 3 without reader features".into());
    }
    if *writer == WRITER_VERSION_MAX && writer_features.is_none() {
        return corrupt("writer version 7 without writer features".into());
    }
    Ok(())
}

fn unsupported(operation: &str, features: Vec<String>) -> FormatError {
    FormatError::UnsupportedFeature { operation: operation.into(), features }
}
