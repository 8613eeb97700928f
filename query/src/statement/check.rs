//! CHECK TABLE and FSCK REPAIR TABLE, and the same for programs.

use datafusion::sql::sqlparser::ast::ObjectName;
use floe_table::{CheckOptions, CheckReport, Repair, RepairOptions};

use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::rows::{Cell, Rows};
use crate::session::Session;

/// A finding a row; the last row says whether the table is sound.
pub(super) async fn check(session: &Session, name: &ObjectName) -> Result<Outcome> {
    let table = session.unopened_table(name).await?;
    let report = Box::pin(table.check()).await?;
    rows_of(&report)
}

fn rows_of(report: &CheckReport) -> Result<Outcome> {
    let mut rows = Rows::new(&[("finding", Cell::Text(None)), ("detail", Cell::Text(None))]);
    for (finding, detail) in report.lines() {
        rows.push(vec![finding.into(), detail.into()])?;
    }
    rows.outcome()
}

/// Gives up the live files that are not there any more. As Databricks has it, a dry run lists them.
pub(super) async fn repair(session: &Session, name: &ObjectName, dry_run: bool) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let repair = Box::pin(table.drop_missing_files(dry_run)).await?;
    let (version, files) = match repair {
        Some(Repair::FilesDropped { version, files }) => (version, files),
        _ => (None, Vec::new()),
    };
    if dry_run {
        let mut rows = Rows::new(&[("path", Cell::Text(None)), ("rows", Cell::Long(None))]);
        for file in files {
            let lost = file.rows.and_then(|rows| i64::try_from(rows).ok());
            rows.push(vec![file.path.into(), Cell::Long(lost)])?;
        }
        return rows.outcome();
    }
    let Some(version) = version else {
        return Ok(Done::new(format!("nothing to repair in {name}: every file is there")).into());
    };
    let rows: Option<u64> = files.iter().map(|file| file.rows).sum();
    let rows = rows.map_or("an unknown number of".to_owned(), |rows| rows.to_string());
    let text = format!("repaired {name}: gave up {} missing files with {rows} rows (version {version})", files.len());
    Ok(Done::new(text).with_version(version).into())
}

/// A report as one JSON object, with `sound` beside what it holds.
fn json(report: &impl serde::Serialize, sound: bool) -> String {
    let mut json = serde_json::json!(report);
    json["sound"] = sound.into();
    json.to_string()
}

/// How [`Session::check`] looks at a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableCheck {
    /// Whether rows are left unread: statistics and keys are not held against them.
    pub quick: bool,
    /// Whether what is certainly safe to mend is mended.
    pub repair: bool,
    /// Whether a repair gives up files that are gone.
    pub drop_missing_files: bool,
    /// Whether a repair changes nothing and only says what it would do.
    pub dry_run: bool,
}

/// What a check found, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether nothing is wrong, after the repair if there was one.
    pub sound: bool,
    /// A finding a line; the last says whether the table is sound.
    pub lines: Vec<String>,
    /// The report as one JSON object.
    pub json: String,
}

impl Session {
    /// Checks a table by its name, path or URI, also one that does not load, and mends it where that is asked for.
    ///
    /// # Errors
    /// [`QueryError::ReadOnly`] for a repair in a session that only reads; whatever the store meets. What is wrong with the
    /// table is part of the answer.
    pub async fn check(&self, name: &str, how: TableCheck) -> Result<Checked> {
        let table = self.unopened(name).await?;
        let check = CheckOptions { rows: !how.quick, ..CheckOptions::default() };
        let line = |(what, detail): (String, String)| format!("{what}: {detail}");
        if !how.repair {
            let report = Box::pin(table.check_with(check)).await?;
            let json = json(&report, report.is_sound());
            return Ok(Checked {
                sound: report.is_sound(),
                lines: report.lines().into_iter().map(line).collect(),
                json,
            });
        }
        if self.is_read_only() && !how.dry_run {
            return Err(QueryError::ReadOnly { statement: "a repair".into() });
        }
        let options = RepairOptions { check, drop_missing_files: how.drop_missing_files, dry_run: how.dry_run };
        let report = Box::pin(table.repair(options)).await?;
        let told = if how.dry_run { "would repair" } else { "repaired" };
        let mut lines = report.before.lines();
        lines.extend(report.repairs.iter().map(|repair| (told.to_owned(), repair.to_string())));
        lines.extend(report.after.iter().flat_map(CheckReport::lines));
        let json = json(&report, report.is_sound());
        Ok(Checked { sound: report.is_sound(), lines: lines.into_iter().map(line).collect(), json })
    }
}
