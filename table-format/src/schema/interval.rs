//! Spark's types for spans of time. Not in the protocol: Spark writes them as plain integers.

use std::fmt;

/// Which units a span of time has, from the largest to the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IntervalType(&'static str);

/// All there are: by months, and by days and times.
const NAMES: [&str; 13] = [
    "interval year",
    "interval month",
    "interval year to month",
    "interval day",
    "interval day to hour",
    "interval day to minute",
    "interval day to second",
    "interval hour",
    "interval hour to minute",
    "interval hour to second",
    "interval minute",
    "interval minute to second",
    "interval second",
];

impl IntervalType {
    /// The type of a name as the schema's JSON has it.
    pub(super) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|known| **known == name).map(|known| IntervalType(known))
    }

    /// The name in the schema's JSON.
    pub fn name(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for IntervalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
