//! Tables for the tests of this crate's pure decisions.

use std::collections::BTreeMap;

use crate::action::{Action, Add, CommitInfo, DeletionVectorDescriptor, Metadata, Protocol, Remove};
use crate::replay::Replay;
use crate::schema::{DataType, PrimitiveType, StructField, StructType};
use crate::state::TableState;
use crate::version::Version;

pub(crate) fn protocol(features: &[&str]) -> Protocol {
    let features: Vec<String> = features.iter().map(|f| (*f).to_owned()).collect();
    Protocol {
        min_reader_version: 3,
        min_writer_version: 7,
        reader_features: Some(
            features.iter().filter(|f| ["deletionVectors", "timestampNtz"].contains(&f.as_str())).cloned().collect(),
        ),
        writer_features: Some(features),
    }
}

/// `id long, p long`, partitioned by `p`.
pub(crate) fn schema() -> StructType {
    let field = |name: &str| StructField::new(name, DataType::Primitive(PrimitiveType::Long), true);
    StructType::new(vec![field("id"), field("p")]).expect("two columns")
}

pub(crate) fn metadata(schema: &StructType, partition_columns: &[&str], properties: &[(&str, &str)]) -> Metadata {
    Metadata {
        id: "5fba94ed-9794-4965-ba6e-6ee3c0d22af9".into(),
        name: None,
        description: None,
        format: Default::default(),
        schema_string: schema.to_json(),
        partition_columns: partition_columns.iter().map(|c| (*c).to_owned()).collect(),
        configuration: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        created_time: Some(0),
    }
}

/// A table of [`schema`] at version 0.
pub(crate) fn table(features: &[&str], properties: &[(&str, &str)], adds: &[Add]) -> TableState {
    table_of(protocol(features), metadata(&schema(), &["p"], properties), None, adds)
}

pub(crate) fn table_of(protocol: Protocol, metadata: Metadata, time: Option<i64>, adds: &[Add]) -> TableState {
    let info = CommitInfo { in_commit_timestamp: time, ..CommitInfo::default() };
    let mut actions = vec![Action::CommitInfo(info), Action::Protocol(protocol), Action::Metadata(metadata)];
    actions.extend(adds.iter().cloned().map(Action::Add));
    let mut replay = Replay::new();
    replay.add_commit(Version::ZERO, actions).expect("a valid commit");
    replay.finish(Version::ZERO).expect("a whole table")
}

/// A file of ten rows with ids from `min` to `max` in partition `p`.
pub(crate) fn file(path: &str, p: i64, min: i64, max: i64) -> Add {
    let stats = format!(
        r#"{{"numRecords":10,"minValues":{{"id":{min}}},"maxValues":{{"id":{max}}},"nullCount":{{"id":0}},"tightBounds":true}}"#
    );
    Add {
        path: path.into(),
        partition_values: BTreeMap::from([("p".to_owned(), Some(p.to_string()))]),
        size: 100,
        data_change: true,
        stats: Some(stats),
        ..Add::default()
    }
}

pub(crate) fn vector(name: &str, cardinality: i64) -> DeletionVectorDescriptor {
    DeletionVectorDescriptor {
        storage_type: "i".into(),
        path_or_inline_dv: name.into(),
        offset: None,
        size_in_bytes: 10,
        cardinality,
    }
}

pub(crate) fn with_vector(add: &Add, name: &str, cardinality: i64) -> Add {
    Add { deletion_vector: Some(vector(name, cardinality)), ..add.clone() }
}

pub(crate) fn removal(add: &Add, data_change: bool) -> Remove {
    Remove { path: add.path.clone(), data_change, deletion_vector: add.deletion_vector.clone(), ..Remove::default() }
}
