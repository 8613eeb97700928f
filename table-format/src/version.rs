//! Versions of a table and points in time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a commit: 0 for the first, without gaps from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version that creates a table.
    pub const ZERO: Version = Version(0);

    /// The largest version: the protocol stores versions as signed 64-bit numbers.
    pub const MAX: Version = Version(i64::MAX as u64);

    /// The version with this number.
    ///
    /// # Errors
    /// [`VersionOutOfRange`] above [`Version::MAX`].
    pub fn new(number: u64) -> Result<Self, VersionOutOfRange> {
        if number > Version::MAX.0 {
            return Err(VersionOutOfRange { found: i128::from(number) });
        }
        Ok(Version(number))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as the protocol's signed integer.
    pub fn as_i64(self) -> i64 {
        self.0 as i64
    }

    /// The version after this one.
    ///
    /// # Errors
    /// As [`Version::new`].
    pub fn next(self) -> Result<Self, VersionOutOfRange> {
        Version::new(self.0 + 1)
    }

    /// The version before this one; none before 0.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Version)
    }
}

impl TryFrom<i64> for Version {
    type Error = VersionOutOfRange;

    fn try_from(number: i64) -> Result<Self, VersionOutOfRange> {
        let out_of_range = VersionOutOfRange { found: i128::from(number) };
        Version::new(u64::try_from(number).map_err(|_| out_of_range)?)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A number that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no version: versions are 0 to {}", Version::MAX)]
pub struct VersionOutOfRange {
    /// The number.
    pub found: i128,
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

impl TimestampMs {
    /// This time less a number of milliseconds, saturating.
    pub fn minus_ms(self, ms: i64) -> Self {
        TimestampMs(self.0.saturating_sub(ms))
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Which version of a table is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSpec {
    /// The newest one.
    #[default]
    Latest,
    /// This one.
    Version(Version),
    /// The newest one whose commit is not later than this time.
    Timestamp(TimestampMs),
}

impl From<Version> for VersionSpec {
    fn from(version: Version) -> Self {
        VersionSpec::Version(version)
    }
}

impl From<TimestampMs> for VersionSpec {
    fn from(at: TimestampMs) -> Self {
        VersionSpec::Timestamp(at)
    }
}
