//! K8: row ids. Protocol section "Writer Requirements for Row Tracking".

use serde::{Deserialize, Serialize};

use crate::action::{Add, DomainMetadata};
use crate::change::ChangeSet;
use crate::conflict::ROW_TRACKING_DOMAIN;
use crate::error::{FormatError, Result, printable};
use crate::state::TableState;
use crate::stats;
use crate::version::Version;

#[derive(Serialize, Deserialize)]
struct HighWaterMark {
    #[serde(rename = "rowIdHighWaterMark")]
    row_id: i64,
}

/// Gives every added file row ids above all that were ever given, and the version its rows appeared in.
///
/// A file that is added again keeps what it had: with a new deletion vector its rows are the same rows.
pub(super) fn assign(change: &mut ChangeSet, base: Option<&TableState>, version: Version) -> Result<()> {
    let given = high_water_mark(base)?;
    let mut highest = given;
    for add in &mut change.adds {
        if let Some(known) = base.and_then(|base| base.files.find(&add.path)) {
            add.base_row_id = add.base_row_id.or(known.base_row_id());
            add.default_row_commit_version = add.default_row_commit_version.or(known.default_row_commit_version());
        }
        match add.base_row_id {
            Some(kept) => {
                // Ids of a restored file were given before; a mark that was lost must not give them again.
                let last = kept.saturating_add(rows_of(add).unwrap_or(0)).saturating_sub(1);
                highest = highest.max(last);
            }
            None => {
                let rows = rows_of(add).ok_or_else(|| {
                    let path = printable(&add.path);
                    FormatError::invalid_change(format!(
                        "row ids need the number of rows of {path}, its statistics lack it"
                    ))
                })?;
                let overflow = || FormatError::LimitExceeded {
                    which: "row id".into(),
                    found: i64::MAX as u64,
                    limit: i64::MAX as u64 - 1,
                };
                let first = highest.checked_add(1).ok_or_else(overflow)?;
                highest = highest.checked_add(rows).ok_or_else(overflow)?;
                add.base_row_id = Some(first);
            }
        }
        add.default_row_commit_version.get_or_insert(version.as_i64());
    }
    for remove in &mut change.removes {
        if let Some(known) = base.and_then(|base| base.files.find(&remove.path)) {
            remove.base_row_id = remove.base_row_id.or(known.base_row_id());
            remove.default_row_commit_version =
                remove.default_row_commit_version.or(known.default_row_commit_version());
        }
    }
    if highest > given {
        let configuration = format!(r#"{{"rowIdHighWaterMark":{highest}}}"#);
        change.domains.push(DomainMetadata { domain: ROW_TRACKING_DOMAIN.into(), configuration, removed: false });
    }
    Ok(())
}

/// The highest row id given so far, -1 if none was.
fn high_water_mark(base: Option<&TableState>) -> Result<i64> {
    let Some(domain) = base.and_then(|base| base.domains.get(ROW_TRACKING_DOMAIN)) else { return Ok(-1) };
    match serde_json::from_str::<HighWaterMark>(&domain.configuration) {
        Ok(mark) => Ok(mark.row_id),
        // Starting over would give ids twice.
        Err(_) => Err(FormatError::InvalidValue {
            value: printable(&domain.configuration),
            target: format!("domain {ROW_TRACKING_DOMAIN}"),
            what: "expected {\"rowIdHighWaterMark\": n}".into(),
        }),
    }
}

fn rows_of(add: &Add) -> Option<i64> {
    i64::try_from(stats::parse_num_records(add.stats.as_deref()?)?).ok()
}
