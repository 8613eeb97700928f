//! What the listing of the log tells: gaps, checkpoints that nobody can use, names that mean nothing.

use floe_storage::StorageError;
use floe_table_format::path::commit_name;
use floe_table_format::segment::{LastCheckpointHint, LogSurvey};
use floe_table_format::{LogEntry, Version};

use super::finding::{Finding, Findings, Rule, Severity};
use crate::error::{OnTable, Result};
use crate::table::Table;

/// What the names and sizes of the log's files say.
pub(super) fn survey(listing: &[LogEntry], findings: &mut Findings) {
    let survey = LogSurvey::of(listing);
    gaps(&survey, findings);
    for (version, entry) in &survey.commits {
        if entry.size == 0 {
            findings.push(Finding::new(Rule::CommitReadable, "the commit is empty").at(*version).of(&entry.name));
        }
    }
    for lost in &survey.incomplete {
        let what = format!("a checkpoint of {} parts of which only {:?} are there", lost.parts, lost.found);
        findings.push(Finding::new(Rule::CheckpointComplete, what).at(lost.version));
    }
    for (version, entry) in &survey.empty_checkpoints {
        let finding = Finding::new(Rule::CheckpointComplete, "a checkpoint file of zero bytes");
        findings.push(finding.at(*version).of(&entry.name));
    }
    for (version, found) in survey.checkpoints.iter().filter(|(_, found)| found.len() > 1) {
        let names: Vec<&str> = found.iter().filter_map(|c| c.files.first()).map(|file| file.name.as_str()).collect();
        findings.push(Finding::new(Rule::CheckpointUnique, format!("checkpoints {}", names.join(", "))).at(*version));
    }
    compactions(&survey, findings);
    for entry in &survey.others {
        findings.push(Finding::new(Rule::LogNames, "a name that readers pass over").of(&entry.name));
    }
}

/// Versions between the oldest and the newest of which there is no commit.
fn gaps(survey: &LogSurvey<'_>, findings: &mut Findings) {
    let newest_checkpoint = survey.checkpoints.keys().next_back();
    let mut previous: Option<Version> = None;
    for (version, entry) in &survey.commits {
        let expected = previous.map(|previous| previous.get() + 1);
        if let Some(expected) = expected.filter(|expected| *expected < version.get()) {
            let last = version.get() - 1;
            let what = match expected == last {
                true => format!("version {expected} has no commit"),
                false => format!("versions {expected} to {last} have no commits"),
            };
            // A checkpoint from there on takes readers of later versions past the gap.
            let finding = Finding::new(Rule::LogContiguous, what).at(*version).of(&entry.name);
            let covered = newest_checkpoint.is_some_and(|checkpoint| checkpoint.get() >= last);
            findings.push(if covered { finding.with_severity(Severity::Warning) } else { finding });
        }
        previous = Some(*version);
    }
    let oldest = survey.commits.keys().next().copied();
    let base = survey.checkpoints.keys().next().copied();
    match (oldest, base) {
        (Some(oldest), None) if oldest > Version::ZERO => {
            let what = format!("the log starts with version {oldest} and has no complete checkpoint");
            findings.push(Finding::new(Rule::LogContiguous, what).of(commit_name(Version::ZERO)));
        }
        (Some(oldest), Some(base)) if oldest > Version::ZERO && oldest < base => {
            let last = base.get() - 1;
            let what = format!("versions {oldest} to {last} have commits but nothing to start from");
            findings.push(Finding::new(Rule::VersionsReachable, what).at(base).with_severity(Severity::Note));
        }
        (Some(oldest), Some(base)) if oldest.get() > base.get() + 1 => {
            let what = format!("no commit between the checkpoint of version {base} and version {oldest}");
            let newest = survey.checkpoints.keys().next_back().is_some_and(|newest| newest.get() + 1 >= oldest.get());
            let finding = Finding::new(Rule::LogContiguous, what).at(oldest);
            // A clean-up that left an older checkpoint behind.
            findings.push(if newest { finding.with_severity(Severity::Note) } else { finding });
        }
        _ => {}
    }
}

/// Compacted commits of versions that the log does not have.
fn compactions(survey: &LogSurvey<'_>, findings: &mut Findings) {
    let newest = survey.latest().unwrap_or(Version::ZERO);
    let checkpoint = survey.checkpoints.keys().next_back();
    for (from, ranges) in &survey.compacted {
        for (to, entry) in ranges {
            let finding = match survey.commits.range(*from..=*to).count() as u64 {
                _ if *to > newest => format!("it covers versions {from} to {to}, the newest is {newest}"),
                0 if checkpoint.is_some_and(|checkpoint| checkpoint >= to) => {
                    "none of the commits it covers is there, and a checkpoint covers them too".to_owned()
                }
                0 => "none of the commits it covers is there".to_owned(),
                _ => continue,
            };
            findings.push(Finding::new(Rule::CompactionCovered, finding).at(*to).of(&entry.name));
        }
    }
}

/// What is wrong with `_last_checkpoint`; none if it is right, or there is no checkpoint to name.
pub(super) async fn hint(table: &Table, listing: &[LogEntry]) -> Result<Option<Finding>> {
    let survey = LogSurvey::of(listing);
    let newest = survey.checkpoints.iter().next_back().and_then(|(version, found)| Some((*version, found.first()?)));
    let wrong = |what: String| Some(Finding::new(Rule::HintRight, what).of(LastCheckpointHint::NAME));
    let bytes = match table.log_store().read(LastCheckpointHint::NAME).await {
        Ok(bytes) => bytes,
        Err(StorageError::NotFound { .. }) => {
            let missing = |(version, _)| format!("it is missing; the newest checkpoint is of version {version}");
            return Ok(newest.map(missing).and_then(wrong));
        }
        Err(StorageError::Format(_)) => return Ok(wrong("it cannot be read whole".into())),
        Err(error) => return Err(error).on(table.uri()),
    };
    let Some(hint) = LastCheckpointHint::parse(&bytes) else { return Ok(wrong("it does not parse".into())) };
    let Some((version, checkpoint)) = newest else {
        return Ok(wrong(format!("it names version {}, and there is no complete checkpoint", hint.version)));
    };
    if hint.version != version {
        // Older ones only cost a longer listing, and another writer may be about to write the newest.
        let finding =
            wrong(format!("it names version {}, the newest checkpoint is of version {version}", hint.version));
        let older = survey.checkpoints.contains_key(&hint.version) && hint.version < version;
        return Ok(finding.map(|f| if older { f.with_severity(Severity::Note) } else { f }));
    }
    let parts = u32::try_from(checkpoint.files.len()).unwrap_or(u32::MAX);
    let several = survey.checkpoints.get(&version).is_some_and(|found| found.len() > 1);
    if !several && hint.parts.unwrap_or(1) != parts {
        return Ok(wrong(format!("it names {} parts, the checkpoint has {parts}", hint.parts.unwrap_or(1))));
    }
    Ok(None)
}

/// The names alone, as tests want them.
#[cfg(test)]
mod tests {
    use floe_table_format::TimestampMs;
    use floe_table_format::path::{checkpoint_name, multi_part_checkpoint_name};

    use super::*;

    fn v(number: u64) -> Version {
        Version::new(number).expect("small")
    }

    fn found(names: &[String]) -> Vec<(Rule, Severity)> {
        let entry = |name: &String| LogEntry { name: name.clone(), size: 9, modified: TimestampMs(0) };
        let listing: Vec<LogEntry> = names.iter().map(entry).collect();
        let mut findings = Findings::default();
        survey(&listing, &mut findings);
        findings.told.iter().map(|finding| (finding.rule, finding.severity)).collect()
    }

    fn commits(versions: &[u64]) -> Vec<String> {
        versions.iter().map(|number| commit_name(v(*number))).collect()
    }

    #[test]
    fn a_gap_is_an_error_unless_a_checkpoint_covers_it() {
        assert_eq!(found(&commits(&[0, 1, 2])), []);
        let mut names = commits(&[0, 1, 3, 4]);
        assert_eq!(found(&names), [(Rule::LogContiguous, Severity::Error)]);
        names.push(checkpoint_name(v(3)));
        assert_eq!(found(&names), [(Rule::LogContiguous, Severity::Warning)]);
        assert_eq!(found(&commits(&[2, 3])), [(Rule::LogContiguous, Severity::Error)]);
        let cleaned = [commits(&[3, 4]), vec![checkpoint_name(v(3))]].concat();
        assert_eq!(found(&cleaned), []);
        let far = [commits(&[6, 7]), vec![checkpoint_name(v(3))]].concat();
        assert_eq!(found(&far), [(Rule::LogContiguous, Severity::Error)]);
    }

    #[test]
    fn checkpoints_that_nobody_can_use_are_named() {
        let mut names = commits(&[0, 1, 2]);
        names.extend([multi_part_checkpoint_name(v(1), 1, 2), checkpoint_name(v(2))]);
        names.extend([multi_part_checkpoint_name(v(2), 1, 2), multi_part_checkpoint_name(v(2), 2, 2)]);
        let expected = [(Rule::CheckpointComplete, Severity::Warning), (Rule::CheckpointUnique, Severity::Note)];
        assert_eq!(found(&names), expected);
    }

    #[test]
    fn compacted_commits_of_versions_that_are_not_there_are_named() {
        let mut names = commits(&[0, 1, 2, 3]);
        names.push(format!("{:020}.{:020}.compacted.json", 1, 2));
        assert_eq!(found(&names), []);
        names.push(format!("{:020}.{:020}.compacted.json", 2, 9));
        names.push("00000000000000000003.json.tmp".into());
        let expected = [(Rule::CompactionCovered, Severity::Warning), (Rule::LogNames, Severity::Note)];
        assert_eq!(found(&names), expected);
    }
}
