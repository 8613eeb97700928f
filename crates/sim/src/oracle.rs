//! The judge: replays what was committed against the model and compares every reader with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use floe_table::Table;
use floe_table_format::deletion_vector::unique_id;
use floe_table_format::{TimestampMs, Version, VersionSpec};
use serde_json::Value;

use crate::actor::{Actor, COUNTER, FILE_RETENTION_MS, LOG_RETENTION_MS, ROOT, Shared, scan_rows};
use crate::executor::{Executor, Process};
use crate::ledger::{Attempt, OpKey, Records, Told};
use crate::model::{Filter, Intent, Model, Row};
use crate::naive::{FileKey, NaiveReader, NaiveVersion};
use crate::sabotage::Role;

/// More findings than anybody reads.
const VIOLATIONS_MAX: usize = 12;
/// How many versions Floe reads row by row, besides the newest; of the others it lists the files.
const VERSIONS_READ: u64 = 4;

/// What the judge found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<String>,
    pub(crate) versions: u64,
}

/// Judges a world whose actors have ended. Faults must be off.
pub(crate) fn judge(shared: &Arc<Shared>, executor: &Executor) -> Verdict {
    let records = shared.ledger.records();
    let mut verdict = Verdict { violations: records.complaints.clone(), versions: 0 };
    let root = format!("{ROOT}/");
    let naive = NaiveReader::new(&shared.disk, &root);
    let found = naive.versions().and_then(|versions| {
        verdict.versions = versions.len() as u64;
        let history = History::replay(shared, &records, &naive, &versions)?;
        Ok((versions, history))
    });
    match found {
        Err(what) => verdict.violations.push(what),
        Ok((versions, history)) => {
            let findings = Findings { shared, records: &records, versions: &versions, history: &history };
            verdict.violations.extend(findings.commits());
            verdict.violations.extend(findings.observations());
            verdict.violations.extend(findings.files());
            verdict.violations.extend(findings.times());
            verdict.violations.extend(findings.stewardship());
            for (what, times) in findings.meetings() {
                shared.ledger.count_many(what, times);
            }
            let jobs = FloeReading {
                world: Actor::new(shared, "judge", Role::World, Process::WORLD, 0),
                must_open: findings.versions_that_must_open(),
                must_read: findings.versions_that_must_read(),
                live: versions.iter().map(|version| version.live.keys().cloned().collect()).collect(),
                progress: versions.iter().map(|version| version.progress.clone()).collect(),
                times: findings.in_commit_times(),
                rows: history.rows.clone(),
            };
            match executor.run(jobs.findings()) {
                Ok(found) => verdict.violations.extend(found),
                Err(stall) => verdict.violations.push(format!("while reading back: {stall}")),
            }
        }
    }
    verdict.violations.truncate(VIOLATIONS_MAX);
    verdict
}

/// What the log says was done, in the model's words.
struct History {
    /// The model's rows at each version.
    rows: Vec<Vec<Row>>,
    /// Which attempt each version is, if it is one.
    attempts: Vec<Option<usize>>,
    /// What does not add up.
    violations: Vec<String>,
}

impl History {
    fn replay(
        shared: &Shared,
        records: &Records,
        naive: &NaiveReader<'_>,
        versions: &[NaiveVersion],
    ) -> Result<History, String> {
        let mut model = Model::new(shared.scenario.serializable);
        let mut history = History { rows: Vec::new(), attempts: Vec::new(), violations: Vec::new() };
        let mut checked: BTreeSet<FileKey> = BTreeSet::new();
        for (number, version) in versions.iter().enumerate() {
            let number_u64 = number as u64;
            let attempt = identify(records, naive, version)?;
            if let Some(attempt) = attempt {
                let Attempt { op, intent, read, .. } = &records.attempts[attempt];
                let read = read.unwrap_or(number_u64.saturating_sub(1));
                if let Err(what) = model.apply(intent, read, number_u64) {
                    history.violations.push(format!("version {number}, {op:?} attempt {attempt}: {what}"));
                }
            } else if let Some(target) = restored(version) {
                let rows = history.rows.get(target as usize).cloned().ok_or("restores a version that never was")?;
                let read =
                    version.info.get("readVersion").and_then(Value::as_u64).ok_or("a restore without readVersion")?;
                if let Err(what) = model.apply(&Intent::Restore(rows), read, number_u64) {
                    history.violations.push(format!("version {number}, restore of {target}: {what}"));
                }
            } else if version.data_change {
                history
                    .violations
                    .push(format!("version {number} changes rows and belongs to no operation: {:?}", version.info));
            }
            if shared.scenario.keyed
                && let Some(key) = model.repeated_key()
            {
                history.violations.push(format!("version {number}: two rows have the key {key}"));
            }
            let expected = model.rows();
            let found = naive.rows(version).map_err(|what| format!("version {number}: {what}"))?;
            if found != expected {
                let what = attempt.map_or_else(|| "upkeep".to_owned(), |a| describe(&records.attempts[a], a));
                history
                    .violations
                    .push(format!("rows of version {number} ({what}): {}", difference(&expected, &found)));
                // What follows from a wrong version is wrong as well, and says nothing new.
                history.rows.push(expected);
                history.attempts.push(attempt);
                break;
            }
            for (key, file) in &version.live {
                if checked.insert(key.clone())
                    && let Err(what) = naive.check_statistics(file)
                {
                    history.violations.push(format!("version {number}: {what}"));
                }
            }
            history.rows.push(expected);
            history.attempts.push(attempt);
        }
        Ok(history)
    }
}

/// Which version a restore went back to.
fn restored(version: &NaiveVersion) -> Option<u64> {
    let is_restore = version.info.get("operation").and_then(Value::as_str) == Some("RESTORE");
    let target = version.info.get("operationParameters").and_then(|p| p.get("version")).filter(|_| is_restore)?;
    target.to_string().replace(['"', '\\'], "").parse().ok()
}

/// Which attempt made a version: by the number it left in the commit, or by the rows it added.
fn identify(records: &Records, naive: &NaiveReader<'_>, version: &NaiveVersion) -> Result<Option<usize>, String> {
    let parameters = version.info.get("operationParameters");
    let number = parameters.and_then(|p| p.get("simAttempt")).map(|n| n.to_string().replace(['"', '\\'], ""));
    if let Some(number) = number {
        let number: usize = number.parse().map_err(|_| format!("attempt {number:?} in a commit"))?;
        return if number < records.attempts.len() { Ok(Some(number)) } else { Err(format!("no attempt {number}")) };
    }
    if !version.data_change || restored(version).is_some() {
        return Ok(None);
    }
    let Some(file) = version.added.first().and_then(|key| version.live.get(key)) else { return Ok(None) };
    let tag = naive.live_rows(file)?.first().map(|row| row.tag.clone());
    // Attempts of one operation through a verb look alike: prefer the one that was told to have made it.
    let of_tag = |attempt: &Attempt| Some(format!("{}/{}", attempt.op.actor, attempt.op.seq)) == tag;
    let candidates = || records.attempts.iter().enumerate().filter(|(_, a)| of_tag(a) && a.read.is_none());
    let told = candidates().find(|(_, a)| matches!(a.told, Told::Committed(_)));
    let open = || candidates().find(|(_, a)| matches!(a.told, Told::Nothing | Told::Unknown));
    Ok(told.or_else(open).or_else(|| candidates().next_back()).map(|(number, _)| number))
}

fn describe(attempt: &Attempt, number: usize) -> String {
    format!(
        "{}/{} attempt {number} on version {:?}: {:?}",
        attempt.op.actor, attempt.op.seq, attempt.read, attempt.intent
    )
}

/// How two sorted lists of rows differ.
fn difference(expected: &[Row], found: &[Row]) -> String {
    let counts = |rows: &[Row]| {
        let mut counts: BTreeMap<Row, i64> = BTreeMap::new();
        for row in rows {
            *counts.entry(row.clone()).or_default() += 1;
        }
        counts
    };
    let (expected, found) = (counts(expected), counts(found));
    let minus = |a: &BTreeMap<Row, i64>, b: &BTreeMap<Row, i64>| -> Vec<Row> {
        a.iter().filter(|(row, n)| b.get(row).copied().unwrap_or(0) < **n).map(|(row, _)| row.clone()).take(4).collect()
    };
    format!("missing {:?}, too many {:?}", minus(&expected, &found), minus(&found, &expected))
}

/// The checks that need no reading through Floe.
struct Findings<'a> {
    shared: &'a Shared,
    records: &'a Records,
    versions: &'a [NaiveVersion],
    history: &'a History,
}

impl Findings<'_> {
    /// Acknowledged commits are there once, refused ones are not, and no operation happened twice. Laws 3 and 7.
    fn commits(&self) -> Vec<String> {
        let mut violations = self.history.violations.clone();
        // A history that breaks off does not tell what is missing behind.
        let complete = self.history.attempts.len() == self.versions.len();
        let mut versions_of: BTreeMap<&OpKey, Vec<u64>> = BTreeMap::new();
        for (version, attempt) in self.history.attempts.iter().enumerate() {
            let Some(number) = *attempt else { continue };
            let attempt = &self.records.attempts[number];
            versions_of.entry(&attempt.op).or_default().push(version as u64);
            match &attempt.told {
                Told::Committed(told) if *told != version as u64 => {
                    violations
                        .push(format!("version {version} is {}, told to be version {told}", describe(attempt, number)));
                }
                Told::Refused(why) => {
                    violations
                        .push(format!("version {version} is {}, told not to be: {why}", describe(attempt, number)));
                }
                _ => {}
            }
        }
        for (op, versions) in &versions_of {
            if versions.len() > 1 {
                violations.push(format!("{op:?} happened {} times, as versions {versions:?}", versions.len()));
            }
        }
        for (number, attempt) in self.records.attempts.iter().enumerate().filter(|_| complete) {
            let there = versions_of.get(&attempt.op);
            match attempt.told {
                Told::Committed(version) if !there.is_some_and(|versions| versions.contains(&version)) => {
                    violations
                        .push(format!("{} was told to be version {version} and is not", describe(attempt, number)));
                }
                Told::DoneBefore if there.is_none() => {
                    violations.push(format!("{} was told to be done before and is not", describe(attempt, number)));
                }
                _ => {}
            }
        }
        violations
    }

    /// How often operations that overlapped in time both went through, and on the same file at that: proof that the worlds
    /// put the conflict rules to work.
    fn meetings(&self) -> BTreeMap<&'static str, u64> {
        let mut times = BTreeMap::new();
        for (version, attempt) in self.history.attempts.iter().enumerate() {
            let Some(read) = attempt.and_then(|attempt| self.records.attempts[attempt].read) else { continue };
            let between = read as usize + 1..version;
            if between.is_empty() {
                continue;
            }
            *times.entry("commit behind others").or_default() += 1;
            let removed = &self.versions[version].removed;
            if between.into_iter().any(|other| self.versions[other].removed.intersection(removed).next().is_some()) {
                *times.entry("commit on a file that others changed").or_default() += 1;
            }
        }
        times
    }

    /// Readers were given what the model holds at that version.
    fn observations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for seen in &self.records.observations {
            let Some(rows) = self.history.rows.get(seen.version as usize) else { continue };
            let expected: Vec<Row> = rows.iter().filter(|row| seen.filter.matches(row)).cloned().collect();
            if expected != seen.rows {
                let what = difference(&expected, &seen.rows);
                violations.push(format!("{} read version {} with {:?}: {what}", seen.actor, seen.version, seen.filter));
            }
        }
        violations
    }

    /// When a version was made, in microseconds; none if it never was. Commits are published once, so the first sight of
    /// one is its time.
    fn made_us(&self, version: u64) -> Option<u64> {
        self.shared.disk.first_written_us(&commit_path(version))
    }

    fn skew_us(&self) -> u64 {
        2 * self.shared.scenario.skew_ms_max * 1000
    }

    /// Versions whose files vacuum had to leave. Law 8.
    fn versions_that_must_read(&self) -> Vec<u64> {
        let last_vacuum = self.records.vacuums_us.iter().max().copied().unwrap_or(0);
        let horizon = last_vacuum.saturating_sub(FILE_RETENTION_MS as u64 * 1000) + self.skew_us();
        let retained = |version: &u64| self.made_us(*version + 1).is_none_or(|replaced| replaced > horizon);
        self.versions_that_must_open().into_iter().filter(retained).collect()
    }

    /// Versions whose log clean-up had to leave.
    fn versions_that_must_open(&self) -> Vec<u64> {
        let horizon = self.shared.executor.now_us().saturating_sub(LOG_RETENTION_MS as u64 * 1000) + self.skew_us();
        let newest = self.versions.len() as u64 - 1;
        (0..=newest).filter(|v| *v == newest || self.made_us(*v).is_some_and(|made| made > horizon)).collect()
    }

    /// All files of versions inside the retention exist. Law 8.
    fn files(&self) -> Vec<String> {
        let mut violations = Vec::new();
        let mut looked_at: BTreeSet<&str> = BTreeSet::new();
        for number in self.versions_that_must_read() {
            for file in self.versions[number as usize].live.values() {
                for name in [Some(&file.name), file.vector_name.as_ref()].into_iter().flatten() {
                    if looked_at.insert(name) && self.shared.disk.get(&format!("{ROOT}/{name}")).is_none() {
                        violations.push(format!("version {number} needs {name}, which is gone"));
                    }
                }
            }
        }
        violations
    }

    /// What stewards did is not undone by others: features and columns stay, but for columns after a restore, and each count
    /// of the counter follows the one before. Law 3.
    fn stewardship(&self) -> Vec<String> {
        let count = |version: &NaiveVersion| version.domains.get(COUNTER).and_then(|text| text.parse::<u64>().ok());
        let mut violations = Vec::new();
        for (before, pair) in self.versions.windows(2).enumerate() {
            let (earlier, later, version) = (&pair[0], &pair[1], before + 1);
            if let Some(lost) = earlier.features.difference(&later.features).next() {
                violations.push(format!("version {version} loses the feature {lost}"));
            }
            if let Some(lost) = earlier.columns.difference(&later.columns).next()
                && restored(later).is_none()
            {
                violations.push(format!("version {version} loses the column {lost}"));
            }
            let (counted, counts) = (count(earlier), count(later));
            let counts_on = later.info.get("operation").and_then(Value::as_str) == Some(COUNTER);
            let expected = if counts_on { Some(counted.unwrap_or(0) + 1) } else { counted };
            if counts != expected {
                violations.push(format!("version {version} counts {counts:?} after {counted:?}"));
            }
        }
        violations
    }

    fn in_commit_times(&self) -> Vec<Option<i64>> {
        self.versions.iter().map(|v| v.info.get("inCommitTimestamp").and_then(Value::as_i64)).collect()
    }

    /// In-commit timestamps rise with the version. Protocol section "In-Commit Timestamps".
    fn times(&self) -> Vec<String> {
        let times = self.in_commit_times();
        let mut violations = Vec::new();
        if self.shared.scenario.in_commit_timestamps {
            if let Some(version) = times.iter().position(Option::is_none) {
                violations.push(format!("version {version} has no in-commit timestamp"));
            }
            for (version, pair) in times.windows(2).enumerate() {
                if pair[0] >= pair[1] {
                    violations.push(format!("version {} is not later than version {version}: {pair:?}", version + 1));
                }
            }
        }
        violations
    }
}

fn commit_path(version: u64) -> String {
    format!("{ROOT}/_delta_log/{version:020}.json")
}

/// The checks that read through Floe.
struct FloeReading {
    world: Actor,
    must_open: Vec<u64>,
    must_read: Vec<u64>,
    live: Vec<BTreeSet<FileKey>>,
    progress: Vec<BTreeMap<String, i64>>,
    times: Vec<Option<i64>>,
    rows: Vec<Vec<Row>>,
}

impl FloeReading {
    async fn findings(self) -> Vec<String> {
        let mut violations = Vec::new();
        let Some(table) = self.world.open().await else { return violations };
        let newest = self.live.len() as u64 - 1;
        match table.snapshot().await {
            Ok(snapshot) if snapshot.version().get() != newest => {
                violations.push(format!("the newest version is {newest}, floe finds {}", snapshot.version()));
            }
            Ok(_) => {}
            Err(error) => violations.push(format!("the newest version cannot be read: {error}")),
        }
        let mut rng = self.world.rng("versions to read");
        let permille = (1000 * VERSIONS_READ / self.must_read.len().max(1) as u64) as u32;
        for version in &self.must_open {
            let whole = self.must_read.contains(version) && (*version == newest || rng.chance(permille));
            if let Err(what) = self.check_version(&table, *version, whole).await {
                violations.push(format!("floe at version {version}: {what}"));
            }
        }
        violations
    }

    async fn check_version(&self, table: &Table, number: u64, whole: bool) -> Result<(), String> {
        let text = |error: floe_table::TableError| error.to_string();
        let spec = Version::new(number).map(VersionSpec::Version).map_err(|e| e.to_string())?;
        let snapshot = table.at(spec).await.map_err(text)?;
        let state = snapshot.state();
        let at = number as usize;
        let live: BTreeSet<FileKey> = state
            .files
            .iter()
            .map(|view| (view.path().to_owned(), view.deletion_vector().map(|dv| unique_id(&dv)).unwrap_or_default()))
            .collect();
        if live != self.live[at] || state.files.len() != live.len() {
            let missing: Vec<_> = self.live[at].difference(&live).collect();
            let extra: Vec<_> = live.difference(&self.live[at]).collect();
            return Err(format!("{} files: missing {missing:?}, too many {extra:?}", state.files.len()));
        }
        let progress: BTreeMap<String, i64> = state.txns.iter().map(|(app, txn)| (app.clone(), txn.version)).collect();
        if progress != self.progress[at] {
            return Err(format!("applications came as far as {:?}, floe finds {progress:?}", self.progress[at]));
        }
        if let Some(time) = self.times[at] {
            let found = table.at(VersionSpec::Timestamp(TimestampMs(time))).await.map_err(text)?;
            if found.version().get() != number {
                return Err(format!("its own time finds version {}", found.version()));
            }
        }
        let Some(expected) = self.rows.get(at).filter(|_| whole) else { return Ok(()) };
        for filter in [Filter::ALL, Filter { from: 0, to: 4 }] {
            let found = scan_rows(&snapshot, filter).await.map_err(text)?;
            let expected: Vec<Row> = expected.iter().filter(|row| filter.matches(row)).cloned().collect();
            if found != expected {
                return Err(format!("rows of {filter:?}: {}", difference(&expected, &found)));
            }
        }
        Ok(())
    }
}
