//! Looking whether a table is what it says it is: a log without gaps whose parts agree, every file there and true of its
//! statistics, every key once. [`Table::repair`] mends what can be mended without guessing.
//!
//! What is broken is a [`Finding`], and not an error: a check that stopped at the first one would tell little. Only a store
//! that fails ends it. Memory does not grow with the rows; with the files it grows by what a [`TableState`] holds of each.

mod finding;
mod quirk;

mod compare;
mod history;
mod log;
mod protocol;

mod files;
mod row_ids;
mod statistics;
mod vectors;

mod keys;
mod repair;

use std::collections::BTreeMap;
use std::sync::Arc;

use floe_table_format::segment::LogSurvey;
use floe_table_format::{FormatError, TableState, Version};
use serde::Serialize;

pub use finding::{Finding, Rule, Severity};
pub use keys::RepeatedKey;
pub(crate) use keys::find_repeated_keys;
pub use quirk::Quirk;
pub use repair::{DroppedFile, Repair, RepairOptions, RepairReport};

use crate::error::{OnTable, Result};
use crate::load;
use crate::table::Table;
use finding::Findings;

/// How thorough a check is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// Whether rows are read, to hold statistics and keys against them. Without, of each file only the footer is.
    pub rows: bool,
    /// Files looked at at the same time.
    pub files_at_once: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions { rows: true, files_at_once: 8 }
    }
}

/// What [`Table::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// The version looked at; the newest in the log where it does not load.
    pub version: Version,
    /// Live files.
    pub files: u64,
    /// Live rows that were looked at for their keys; zero for a table without a primary key.
    pub rows: u64,
    /// What is not as it should be; of each rule the first few.
    pub findings: Vec<Finding>,
    /// How many findings of each rule there are, those not told included.
    pub totals: BTreeMap<Rule, u64>,
    /// Keys that several rows have; the first few.
    pub repeated_keys: Vec<RepeatedKey>,
    /// How many such keys there are.
    pub repeated_keys_total: u64,
    /// Rows with a null in their key.
    pub rows_without_key: u64,
    /// Rows of files covered by the index that it does not know. There should be none, ever.
    pub index_entries_missing: u64,
    /// Index runs that are damaged, or about another table or key. They do no harm.
    pub index_runs_unusable: u64,
}

impl CheckReport {
    /// Whether nothing is wrong: there is no finding beyond notes.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }

    /// The findings of one rule that are told.
    pub fn of(&self, rule: Rule) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.rule == rule)
    }

    /// The report for people: what and the details, a finding a line; the last line says whether the table is sound.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = self
            .findings
            .iter()
            .map(|finding| (format!("{} {}", finding.severity, finding.rule.name()), finding.to_string()))
            .collect();
        for (rule, total) in &self.totals {
            let told = self.of(*rule).count() as u64;
            if *total > told {
                lines
                    .push((format!("{} {}", rule.severity(), rule.name()), format!("{total} in all, {told} are told")));
            }
        }
        let looked_at = match self.rows {
            0 => format!("version {}, {} files", self.version, self.files),
            rows => format!("version {}, {} files, {rows} rows with keys", self.version, self.files),
        };
        lines.push((if self.is_sound() { "sound" } else { "not sound" }.to_owned(), looked_at));
        lines
    }
}

impl Table {
    /// Checks the whole log and the newest version, rows included: see [`Table::check_with`].
    ///
    /// # Errors
    /// As [`Table::check_with`].
    pub async fn check(&self) -> Result<CheckReport> {
        self.check_with(CheckOptions::default()).await
    }

    /// Looks whether the log has no gap and its checkpoints, compacted commits and checksums agree with its commits; whether
    /// protocol and properties agree; whether every live file is there, reads, and is true of its statistics, its deletion
    /// vector, its partition values and its row ids; whether each primary key has one row. Changes nothing.
    ///
    /// # Errors
    /// `NotATable` where there is no log, and the failures of the store. What is wrong with the table is a finding.
    pub async fn check_with(&self, options: CheckOptions) -> Result<CheckReport> {
        let (report, _) = self.examine(&options).await?;
        Ok(report)
    }

    /// The report, and the state that replaying the commits gives, if it does.
    async fn examine(&self, options: &CheckOptions) -> Result<(CheckReport, Option<Arc<TableState>>)> {
        let listing = self.log_store().list(Version::ZERO).await.on(self.uri())?;
        let newest = LogSurvey::of(&listing).latest().ok_or(FormatError::NotATable).on(self.uri())?;
        let mut findings = Findings::default();
        log::survey(&listing, &mut findings);
        findings.extend(log::hint(self, &listing).await?);
        let replayed = history::replay(self, &listing, &mut findings).await?;
        let mut report = CheckReport { version: newest, ..CheckReport::default() };
        // Afresh: what this handle knows may be from before the damage.
        let state = match load::at(self, None).await {
            Ok(state) => Some(state),
            Err(error) => {
                findings.push(Finding::new(Rule::TableReadable, history::what_is_wrong(error)?).at(newest));
                replayed.newest.clone().filter(|state| state.version == newest)
            }
        };
        if let Some(state) = &state {
            (report.version, report.files) = (state.version, state.files.len() as u64);
            protocol::examine(state, replayed.writer.as_deref(), &mut findings);
            if state.check_readable().is_ok() {
                self.examine_version(state, options, &mut report, &mut findings).await?;
            }
        }
        (report.findings, report.totals) = (findings.told, findings.totals);
        Ok((report, replayed.newest))
    }

    async fn examine_version(
        &self,
        state: &Arc<TableState>,
        options: &CheckOptions,
        report: &mut CheckReport,
        findings: &mut Findings,
    ) -> Result<()> {
        row_ids::examine(state, findings);
        files::examine(self, state, options, findings).await?;
        let unreadable = [Rule::PathInside, Rule::FileThere, Rule::FileSize, Rule::FileReadable, Rule::VectorReadable];
        let readable = unreadable.iter().all(|rule| !findings.totals.contains_key(rule));
        if options.rows && readable {
            keys::examine(self, state, report, findings).await?;
        }
        Ok(())
    }
}
