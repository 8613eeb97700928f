//! Row ids: every file has its range, and no two ranges meet. Protocol section "Row Tracking".

use floe_table_format::feature::{Feature, has_feature};
use floe_table_format::{FileId, TableState};

use super::finding::{Finding, Findings, Rule, Severity};

const DOMAIN: &str = "delta.rowTracking";

/// A file's row ids: first, after the last, and which file.
type Range = (i64, i64, FileId);

/// Looks at the ranges of all live files. Holds 24 bytes a file.
pub(super) fn examine(state: &TableState, findings: &mut Findings) {
    if !has_feature(&state.protocol, &Feature::RowTracking) {
        return;
    }
    let mark = high_water_mark(state);
    let mut ranges: Vec<Range> = Vec::new();
    for file in state.files.iter() {
        let tell = |findings: &mut Findings, what: String, severity: Severity| {
            let finding = Finding::new(Rule::RowIdsUnique, what).at(state.version).of(file.path());
            findings.push(finding.with_severity(severity));
        };
        let (Some(first), Some(_)) = (file.base_row_id(), file.default_row_commit_version()) else {
            // Files from before row tracking was supported get their ids when it is enabled.
            let severity = if state.properties.enable_row_tracking { Severity::Error } else { Severity::Note };
            tell(findings, "it has no base row id or no default row commit version".into(), severity);
            continue;
        };
        let Some(rows) = file.num_records().and_then(|rows| i64::try_from(rows).ok()) else {
            tell(findings, "its statistics do not say how many row ids it takes".into(), Severity::Error);
            continue;
        };
        let Some(end) = first.checked_add(rows).filter(|_| first >= 0) else {
            tell(findings, format!("row ids from {first} on for {rows} rows are no row ids"), Severity::Error);
            continue;
        };
        if rows > 0 && mark.is_none_or(|mark| mark < end - 1) {
            let mark = mark.map_or("none".to_owned(), |mark| mark.to_string());
            tell(findings, format!("its last row id is {}, the high-water mark is {mark}", end - 1), Severity::Error);
        }
        ranges.push((first, end, file.id()));
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        let [(_, end, before), (first, _, file)] = pair else { continue };
        if first < end {
            let (before, file) = (state.files.get(before), state.files.get(file));
            let what = format!("its row ids begin with {first}, those of {} end before {end}", before.path());
            findings.push(Finding::new(Rule::RowIdsUnique, what).at(state.version).of(file.path()));
        }
    }
}

fn high_water_mark(state: &TableState) -> Option<i64> {
    let domain = state.domains.get(DOMAIN)?;
    let parsed: serde_json::Value = serde_json::from_str(&domain.configuration).ok()?;
    parsed.get("rowIdHighWaterMark")?.as_i64()
}
