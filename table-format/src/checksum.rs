//! The version checksum: what a version holds in numbers, written beside its commit.
//!
//! Protocol section "Version Checksum File". Who rebuilds a version from the log can compare: a file lost from the middle of
//! the log, or a log edited by hand, shows as a difference.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::action::{DomainMetadata, Metadata, Protocol, Txn};
use crate::error::{FormatError, Result, printable};
use crate::path::checksum_name;
use crate::state::TableState;
use crate::version::Version;

/// More transactions than this are left out, as the protocol allows: the file is written with every commit.
const TRANSACTIONS_MAX: usize = 1000;

/// The content of a `.crc` file. Histograms and the list of files, which other writers add, are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionChecksum {
    /// The commit token of the commit that made the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn_id: Option<String>,
    /// Bytes of all live files together.
    pub table_size_bytes: i64,
    /// Live files.
    pub num_files: i64,
    /// Always 1.
    pub num_metadata: i64,
    /// Always 1.
    pub num_protocol: i64,
    /// The version's time in milliseconds since 1970, if its commit carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_commit_timestamp_opt: Option<i64>,
    /// How far each application has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_transactions: Option<Vec<Txn>>,
    /// The domains that are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_metadata: Option<Vec<DomainMetadata>>,
    /// The version's metadata; early writers left it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The version's protocol; early writers left it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

impl VersionChecksum {
    /// The checksum in the bytes of a `.crc` file.
    ///
    /// # Errors
    /// [`FormatError::CorruptLog`] if it does not decode. A reader may go on without: the checksum proves something only
    /// where it is there.
    pub fn parse(bytes: &[u8]) -> Result<VersionChecksum> {
        serde_json::from_slice(bytes).map_err(|e| {
            FormatError::corrupt_log(
                None,
                "version checksum",
                format!("does not decode: {}", printable(&e.to_string())),
            )
        })
    }

    /// The bytes of a `.crc` file, one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a checksum holds only JSON values with text keys")
    }

    /// The checksum of a state; `txn_id` is the token of its commit.
    pub fn from_state(state: &TableState, txn_id: Option<&str>) -> VersionChecksum {
        let few_transactions = state.txns.len() <= TRANSACTIONS_MAX;
        let in_commit_timestamp = state.commit_timestamp.filter(|_| state.properties.enable_in_commit_timestamps);
        VersionChecksum {
            txn_id: txn_id.map(str::to_owned),
            table_size_bytes: i64::try_from(state.files.total_bytes()).unwrap_or(i64::MAX),
            num_files: state.files.len() as i64,
            num_metadata: 1,
            num_protocol: 1,
            in_commit_timestamp_opt: in_commit_timestamp.map(|time| time.0),
            set_transactions: few_transactions.then(|| state.txns.values().cloned().collect()),
            domain_metadata: Some(state.domains.values().cloned().collect()),
            metadata: Some(state.metadata.clone()),
            protocol: Some(state.protocol.clone()),
        }
    }

    /// Checks that a state rebuilt from the log is the one that the checksum was made of.
    ///
    /// Transactions that the state has beyond those listed are fine, since writers leave expired ones out.
    ///
    /// # Errors
    /// [`FormatError::CorruptLog`] with the version and all that differs.
    pub fn verify(&self, state: &TableState) -> Result<()> {
        let mut differences = Differences::default();
        let total_bytes = i64::try_from(state.files.total_bytes()).unwrap_or(i64::MAX);
        differences.number("files", self.num_files, state.files.len() as i64);
        differences.number("bytes in files", self.table_size_bytes, total_bytes);
        differences.number("metadata actions", self.num_metadata, 1);
        differences.number("protocol actions", self.num_protocol, 1);
        if let (Some(stored), Some(found)) = (self.in_commit_timestamp_opt, state.commit_timestamp) {
            differences.number("in-commit timestamp", stored, found.0);
        }
        if let Some(metadata) = &self.metadata {
            differences.metadata(metadata, &state.metadata);
        }
        if self.protocol.as_ref().is_some_and(|stored| !same_protocol(stored, &state.protocol)) {
            differences.0.push("the protocol differs".into());
        }
        for stored in self.set_transactions.iter().flatten() {
            // A retention takes transactions out of a state as time passes.
            match state.txns.get(&stored.app_id) {
                None if state.properties.set_transaction_retention_ms.is_some() => {}
                Some(found) if found.version == stored.version => {}
                _ => differences.0.push(format!("the transaction of {} differs", printable(&stored.app_id))),
            }
        }
        if let Some(stored) = &self.domain_metadata {
            differences.domains(stored, &state.domains);
        }
        differences.into_result(state.version)
    }
}

/// What a checksum and a state do not agree on.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    /// The first so many are named.
    const NAMED_MAX: usize = 5;

    fn number(&mut self, what: &str, stored: i64, found: i64) {
        if stored != found {
            self.0.push(format!("{what}: the checksum says {stored}, the log holds {found}"));
        }
    }

    fn metadata(&mut self, stored: &Metadata, found: &Metadata) {
        let parts = [
            ("table id", stored.id == found.id),
            ("schema", stored.schema_string == found.schema_string),
            ("partition columns", stored.partition_columns == found.partition_columns),
            ("properties", stored.configuration == found.configuration),
        ];
        let differing = parts.into_iter().filter(|(_, same)| !same);
        self.0.extend(differing.map(|(part, _)| format!("the {part} in the metadata differs")));
    }

    fn domains(&mut self, stored: &[DomainMetadata], found: &BTreeMap<String, DomainMetadata>) {
        let stored: BTreeMap<&str, &DomainMetadata> =
            stored.iter().filter(|d| !d.removed).map(|d| (d.domain.as_str(), d)).collect();
        let names: BTreeSet<&str> = stored.keys().copied().chain(found.keys().map(String::as_str)).collect();
        for name in names {
            let same = match (stored.get(name), found.get(name)) {
                (Some(stored), Some(found)) => stored.configuration == found.configuration,
                _ => false,
            };
            if !same {
                self.0.push(format!("the domain {} differs", printable(name)));
            }
        }
    }

    fn into_result(mut self, version: Version) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let more = self.0.len().saturating_sub(Self::NAMED_MAX);
        self.0.truncate(Self::NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!("the log does not rebuild what was written: {}{more}", self.0.join("; "));
        Err(FormatError::corrupt_log(Some(version), checksum_name(version), what))
    }
}

/// Lists of features are sets: writers order them as they like.
fn same_protocol(a: &Protocol, b: &Protocol) -> bool {
    let set = |names: &Option<Vec<String>>| names.iter().flatten().cloned().collect::<BTreeSet<_>>();
    a.min_reader_version == b.min_reader_version
        && a.min_writer_version == b.min_writer_version
        && set(&a.reader_features) == set(&b.reader_features)
        && set(&a.writer_features) == set(&b.writer_features)
}
