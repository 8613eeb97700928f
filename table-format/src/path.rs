//! Names in `_delta_log`, and the paths of data files.
//!
//! ```
//! use floe_table_format::path::{DataPath, LogFile, partition_directory};
//!
//! assert!(matches!(LogFile::parse("00000000000000000042.json"), LogFile::Commit(v) if v.get() == 42));
//! let folder = partition_directory(&[("region", Some("a/b"))]);
//! assert_eq!(folder, "region=a%2Fb");
//! assert_eq!(DataPath::encode(&folder), "region=a%252Fb");
//! assert_eq!(DataPath::decode("region=a%252Fb")?, folder);
//! assert!(DataPath::decode("%2e%2e/secrets").is_err());
//! # Ok::<(), floe_table_format::FormatError>(())
//! ```

mod data;
mod partition;
mod root;

#[cfg(test)]
mod tests;

use uuid::Uuid;

use crate::version::Version;

pub use data::DataPath;
pub use partition::{NULL_PARTITION, parse_partition_directory, partition_directory};
pub use root::TableRoot;

/// What a file in `_delta_log` is, by its name.
///
/// Protocol sections "Delta Log Entries", "Checkpoints", "Log Compaction Files" and "Version Checksum File".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogFile {
    /// `<version>.json`.
    Commit(Version),
    /// `<from>.<to>.compacted.json`: the commits of a range, reconciled.
    CompactedCommits {
        /// The first version of the range.
        from: Version,
        /// The last version of the range, later than the first.
        to: Version,
    },
    /// `<version>.checkpoint.parquet`, which may follow the V1 or the V2 specification.
    ClassicCheckpoint(Version),
    /// `<version>.checkpoint.<part>.<parts>.parquet`.
    MultiPartCheckpoint {
        /// The version it stands for.
        version: Version,
        /// Which part, from 1.
        part: u32,
        /// How many parts there are.
        parts: u32,
    },
    /// `<version>.checkpoint.<uuid>.{json|parquet}`, which follows the V2 specification.
    UuidCheckpoint {
        /// The version it stands for.
        version: Version,
        /// What makes the name unique.
        uuid: String,
        /// Whether it is written as JSON; else as Parquet.
        json: bool,
    },
    /// `<version>.crc`.
    Checksum(Version),
    /// Anything else, which readers ignore.
    Other,
}

impl LogFile {
    /// What the file of this name is. Names that are nearly right, such as a version of 19 digits, are [`LogFile::Other`].
    pub fn parse(file_name: &str) -> LogFile {
        parse(file_name).unwrap_or(LogFile::Other)
    }

    /// The version that the file brings a reader to: of compacted commits, the last one.
    pub fn version(&self) -> Option<Version> {
        match self {
            LogFile::Commit(version) | LogFile::ClassicCheckpoint(version) | LogFile::Checksum(version) => {
                Some(*version)
            }
            LogFile::CompactedCommits { to, .. } => Some(*to),
            LogFile::MultiPartCheckpoint { version, .. } | LogFile::UuidCheckpoint { version, .. } => Some(*version),
            LogFile::Other => None,
        }
    }

    /// Whether the file is a checkpoint or a part of one.
    pub fn is_checkpoint(&self) -> bool {
        matches!(
            self,
            LogFile::ClassicCheckpoint(_) | LogFile::MultiPartCheckpoint { .. } | LogFile::UuidCheckpoint { .. }
        )
    }
}

/// `<version>.json`, the version in 20 digits.
pub fn commit_name(version: Version) -> String {
    format!("{:020}.json", version.get())
}

/// `<version>.checkpoint.parquet`.
pub fn checkpoint_name(version: Version) -> String {
    format!("{:020}.checkpoint.parquet", version.get())
}

/// `<version>.checkpoint.<part>.<parts>.parquet`, parts counted from 1.
pub fn multi_part_checkpoint_name(version: Version, part: u32, parts: u32) -> String {
    format!("{:020}.checkpoint.{part:010}.{parts:010}.parquet", version.get())
}

/// `<version>.checkpoint.<uuid>.json`, which follows the V2 specification.
pub fn uuid_checkpoint_name(version: Version, uuid: Uuid) -> String {
    format!("{:020}.checkpoint.{}.json", version.get(), uuid.as_hyphenated())
}

/// `<version>.crc`.
pub fn checksum_name(version: Version) -> String {
    format!("{:020}.crc", version.get())
}

fn parse(file_name: &str) -> Option<LogFile> {
    let (digits, rest) = file_name.split_at_checked(20)?;
    let version = version(digits)?;
    let words: Vec<&str> = rest.strip_prefix('.')?.split('.').collect();
    Some(match words[..] {
        ["json"] => LogFile::Commit(version),
        ["crc"] => LogFile::Checksum(version),
        [to, "compacted", "json"] => {
            let to = self::version(to)?;
            (version < to).then_some(LogFile::CompactedCommits { from: version, to })?
        }
        ["checkpoint", "parquet"] => LogFile::ClassicCheckpoint(version),
        ["checkpoint", part, parts, "parquet"] => {
            let (part, parts) = (number(part, 10)?, number(parts, 10)?);
            let (part, parts) = (u32::try_from(part).ok()?, u32::try_from(parts).ok()?);
            (1..=parts).contains(&part).then_some(LogFile::MultiPartCheckpoint { version, part, parts })?
        }
        ["checkpoint", uuid, format @ ("json" | "parquet")] => {
            // Only the canonical form: 36 characters with hyphens.
            (uuid.len() == 36 && Uuid::try_parse(uuid).is_ok()).then(|| LogFile::UuidCheckpoint {
                version,
                uuid: uuid.to_owned(),
                json: format == "json",
            })?
        }
        _ => return None,
    })
}

fn version(digits: &str) -> Option<Version> {
    Version::new(number(digits, 20)?).ok()
}

/// A number of exactly so many digits; `parse` alone would take a sign.
fn number(digits: &str, length: usize) -> Option<u64> {
    if digits.len() != length || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
