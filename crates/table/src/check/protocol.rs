//! Whether protocol, properties and columns agree with each other.

use std::collections::BTreeSet;

use floe_table_format::feature::{self, Feature, has_feature};
use floe_table_format::{Protocol, TableState};

use super::finding::{Finding, Findings, Rule, Severity};

/// Looks at protocol and metadata of one version.
pub(super) fn examine(state: &TableState, writer: Option<&str>, findings: &mut Findings) {
    let about = |rule, what: String| Finding::new(rule, what).at(state.version).by(writer);
    for what in contradictions(&state.protocol) {
        findings.push(about(Rule::ProtocolConsistent, what));
    }
    for (active, forbidden) in [
        (Feature::IcebergCompatV1, Feature::DeletionVectors),
        (Feature::IcebergCompatV2, Feature::DeletionVectors),
        (Feature::IcebergCompatV1, Feature::IcebergCompatV2),
    ] {
        let both = [&active, &forbidden].iter().all(|feature| has_feature(&state.protocol, feature));
        let property = |feature: &Feature| match feature {
            Feature::IcebergCompatV1 => "delta.enableIcebergCompatV1",
            Feature::IcebergCompatV2 => "delta.enableIcebergCompatV2",
            _ => "delta.enableDeletionVectors",
        };
        let on = |feature: &Feature| {
            state.metadata.configuration.get(property(feature)).is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        if both && on(&active) && on(&forbidden) {
            findings.push(about(Rule::ProtocolConsistent, format!("{active} and {forbidden} are on together")));
        }
    }
    for error in &state.properties.unusable {
        findings.push(about(Rule::PropertyUsable, error.to_string()));
    }
    // Where a value does not decode, what it asks for is not known, and told of already.
    for feature in feature::required_for(&state.metadata, &state.schema).unwrap_or_default() {
        if !is_listed(&state.protocol, &feature) {
            // Readers that do not know it read other rows; a writer that does not know it is not bound by it.
            let severity = if feature.is_for_readers() { Severity::Error } else { Severity::Warning };
            let what = format!("the table uses {feature}, which the protocol does not list");
            findings.push(about(Rule::FeaturesListed, what).with_severity(severity));
        }
    }
    if !has_feature(&state.protocol, &Feature::DeletionVectors)
        && let Some(file) = state.files.iter().find(|file| file.has_deletion_vector())
    {
        let what = format!("{} has a deletion vector, and the protocol does not list the feature", file.path());
        findings.push(about(Rule::FeaturesListed, what));
    }
    let columns: BTreeSet<&str> = state.schema.names().collect();
    for column in state.metadata.partition_columns.iter().filter(|column| !columns.contains(column.as_str())) {
        findings
            .push(about(Rule::PartitionValuesParse, format!("partition column {column} is no column of the schema")));
    }
}

/// Whether the protocol has the feature, be it under its preview name.
fn is_listed(protocol: &Protocol, feature: &Feature) -> bool {
    let preview = format!("{feature}-preview");
    let mut named = protocol.reader_features.iter().chain(&protocol.writer_features).flatten();
    has_feature(protocol, feature) || named.any(|name| *name == preview)
}

/// What of a protocol cannot be true together. Protocol section "Protocol Evolution".
fn contradictions(protocol: &Protocol) -> Vec<String> {
    let mut found = Vec::new();
    let Protocol { min_reader_version: reader, min_writer_version: writer, reader_features, writer_features } =
        protocol;
    // What versions to come ask for is not known.
    if *reader > feature::READER_VERSION_MAX || *writer > feature::WRITER_VERSION_MAX {
        return found;
    }
    if *reader >= 3 && *writer < 7 {
        found.push(format!("reader version {reader} with writer version {writer}"));
    }
    for (version, named, features, kind) in
        [(*reader, 3, reader_features, "reader"), (*writer, 7, writer_features, "writer")]
    {
        match features {
            Some(_) if version < named => {
                found.push(format!("{kind} version {version} with a list of {kind} features"))
            }
            None if version >= named => found.push(format!("{kind} version {version} without {kind} features")),
            _ => {}
        }
        let mut seen = BTreeSet::new();
        let twice = features.iter().flatten().filter(|name| !seen.insert(name.as_str()));
        found.extend(twice.map(|name| format!("{kind} feature {name} is listed twice")));
    }
    for name in reader_features.iter().flatten() {
        if !writer_features.iter().flatten().any(|writers| writers == name) {
            found.push(format!("{name} is listed for readers and not for writers"));
        }
    }
    for name in writer_features.iter().flatten() {
        let feature = Feature::from_name(name);
        // Reader versions below 3 imply some.
        let known_to_readers = has_feature(protocol, &feature) || reader_features.iter().flatten().any(|n| n == name);
        if feature.is_for_readers() && !known_to_readers {
            found.push(format!("{name} is listed for writers alone, and readers have to know it"));
        }
        for required in feature.requires() {
            if !is_listed(protocol, required) {
                found.push(format!("{name} is listed without {required}, which it requires"));
            }
        }
    }
    found
}
