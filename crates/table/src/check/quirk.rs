//! Defects of writers that leave tables broken in a way that can be told afterwards.

use serde::Serialize;

use super::finding::Rule;

/// A defect that a writer is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quirk {
    /// The writer's name.
    pub writer: &'static str,
    /// What it does, and where that is told.
    pub what: &'static str,
}

struct Known {
    rule: Rule,
    /// What the writer calls itself in a file's footer or in `commitInfo.engineInfo`, in lower case.
    calls_itself: &'static [&'static str],
    quirk: Quirk,
}

const fn known(rule: Rule, calls_itself: &'static [&'static str], writer: &'static str, what: &'static str) -> Known {
    Known { rule, calls_itself, quirk: Quirk { writer, what } }
}

const SPARK: &[&str] = &["parquet-mr", "delta-lake", "apache-spark"];
const DELTA_RS: &[&str] = &["parquet-rs", "delta-rs", "deltalake"];
const TRINO: &[&str] = &["trino"];
const DUCKDB: &[&str] = &["duckdb"];
const CLICKHOUSE: &[&str] = &["clickhouse"];

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    known(Rule::PathUnique, TRINO, "Trino", "a remove without the id of the deletion vector leaves the old entry live (trino 24648, 31253)"),
    known(Rule::PathUnique, &["delta-kernel"], "the Java kernel", "two changes of one file rebased past each other (delta 7163)"),
    known(Rule::CheckpointAgrees, DELTA_RS, "delta-rs", "a checkpoint made of a partial snapshot drops live files (delta-rs 3049)"),
    known(Rule::CheckpointAgrees, SPARK, "Delta on Spark", "a writer that failed half way closes into a valid, shorter checkpoint (delta 7174)"),
    known(Rule::CheckpointReadable, DELTA_RS, "delta-rs", "a checkpoint that was interrupted stays under its name (delta-rs 2258, 2643)"),
    known(Rule::CheckpointComplete, SPARK, "Delta on Spark", "two checkpoints of one version written at once leave parts of both (delta 5458)"),
    known(Rule::LogContiguous, DELTA_RS, "delta-rs", "log clean-up removes commits that versions still need (delta-rs 3057, 3692)"),
    known(Rule::LogContiguous, SPARK, "Delta on Spark", "log clean-up removed commits of retained versions (delta 255, 606, 4784)"),
    known(Rule::CommitReadable, DELTA_RS, "writers on a local disk without fsync", "a machine that stops leaves a commit of zeros (s2 670)"),
    known(Rule::FileReadable, SPARK, "Spark", "a full disk let a partial Parquet file be committed (delta 91)"),
    known(Rule::FileThere, DELTA_RS, "delta-rs", "percent-encoding of paths done twice or never (delta-rs 4646, 1896); vacuum of files of a concurrent writer (delta-rs 3645, 3835)"),
    known(Rule::FileThere, CLICKHOUSE, "ClickHouse", "percent-encoding of paths never undone (ClickHouse 103509)"),
    known(Rule::StatisticsTrue, DELTA_RS, "delta-rs", "the maximum of a time is cut to milliseconds and lies below the rows (delta-rs 4659); statistics of decimals overflow (delta-rs 3909)"),
    known(Rule::StatisticsTrue, TRINO, "Trino", "the maximum of a time is cut to milliseconds and lies below the rows (trino 31231)"),
    known(Rule::StatisticsReadable, SPARK, "Spark 4", "times before 1900 carry zone offsets with seconds (delta 5512)"),
    known(Rule::PartitionValuesParse, DUCKDB, "DuckDB", "null partition values are lost (duckdb-delta 342)"),
    known(Rule::PartitionValuesParse, CLICKHOUSE, "ClickHouse", "special characters and decimals in partition values are misspelled (ClickHouse 111758, 120691)"),
    known(Rule::FeaturesListed, DELTA_RS, "delta-rs", "tables with timestamp_ntz are made without the features that Spark expects (delta-rs 2882)"),
    known(Rule::KeyUnique, &[], "writers that do not know the key", "a blind append adds a second row of a key"),
];

/// The defects that explain a finding: those of its writer, or all that are known where the writer is not.
pub(super) fn quirks_of(rule: Rule, writer: Option<&str>) -> Vec<Quirk> {
    let writer = writer.map(str::to_lowercase);
    let explains = |known: &&Known| {
        known.rule == rule
            && writer.as_ref().is_none_or(|writer| {
                known.calls_itself.is_empty() || known.calls_itself.iter().any(|name| writer.contains(name))
            })
    };
    KNOWN.iter().filter(explains).map(|known| known.quirk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_named_for_its_writer_alone_where_that_is_known() {
        let names = |writer| quirks_of(Rule::StatisticsTrue, writer).iter().map(|q| q.writer).collect::<Vec<_>>();
        assert_eq!(names(Some("Trino version 476")), ["Trino"]);
        assert_eq!(names(Some("floe version 0.1.0")), Vec::<&str>::new());
        assert_eq!(names(None), ["delta-rs", "Trino"]);
    }
}
