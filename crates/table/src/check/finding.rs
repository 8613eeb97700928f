//! What a check finds: a rule, where it is broken, what was found, what helps.

use std::collections::BTreeMap;
use std::fmt;

use floe_table_format::Version;
use floe_table_format::error::printable;
use serde::{Serialize, Serializer};

use super::quirk::{Quirk, quirks_of};

/// Findings of one rule that are told in full; of the others only the number is.
pub(super) const TOLD_MAX: usize = 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing is wrong; who tidies up may want to know.
    Note,
    /// Readers cope with it, at a cost, or only some do.
    Warning,
    /// Readers refuse the table, or may read rows that are not the table's.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident, $name:literal, $severity:ident, $help:literal;)+) => {
        /// What a sound table keeps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $rule,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$rule,)+];

            /// The rule's name in output, in lower case with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$rule => $name,)+ }
            }

            /// How bad it is to break it.
            pub fn severity(self) -> Severity {
                match self { $(Rule::$rule => Severity::$severity,)+ }
            }

            /// What fixes it.
            pub fn help(self) -> &'static str {
                match self { $(Rule::$rule => $help,)+ }
            }
        }
    };
}

rules! {
    /// The newest version loads.
    TableReadable, "table-readable", Error, "see the other findings; a feature that floe does not read needs another engine";
    /// A commit file parses and follows from the versions before it.
    CommitReadable, "commit-readable", Error, "restore the commit file from a copy of the log; do not edit it";
    /// Versions follow each other without a gap.
    LogContiguous, "log-contiguous", Error, "restore the missing commit from a copy of the log";
    /// Versions that commits are there for can be rebuilt.
    VersionsReachable, "versions-reachable", Warning, "nothing, if these versions are no longer needed: a clean-up took the commits before them";
    /// A multi-part checkpoint has all its parts, and no checkpoint file is empty.
    CheckpointComplete, "checkpoint-complete", Warning, "floe check --repair writes a new checkpoint where this is the newest; the rest can be deleted";
    /// A checkpoint can be read.
    CheckpointReadable, "checkpoint-readable", Error, "floe check --repair writes a new checkpoint where this is the newest and the log suffices";
    /// A checkpoint holds what replaying the commits gives.
    CheckpointAgrees, "checkpoint-agrees", Error, "delete the checkpoint while the commits before it are there, then write a new one";
    /// A version has one checkpoint.
    CheckpointUnique, "checkpoint-unique", Note, "nothing: readers take any of them";
    /// Compacted commits cover commits of the log and hold what these hold.
    CompactionAgrees, "compaction-agrees", Error, "delete the compacted file while the commits it covers are there";
    /// Compacted commits cover versions that the log has.
    CompactionCovered, "compaction-covered", Warning, "delete the compacted file: no reader needs it";
    /// `_last_checkpoint` names the newest complete checkpoint.
    HintRight, "hint-right", Warning, "floe check --repair rewrites _last_checkpoint";
    /// A version checksum parses.
    ChecksumReadable, "checksum-readable", Warning, "delete the .crc file, or leave it: it proves nothing";
    /// A version checksum agrees with the version.
    ChecksumAgrees, "checksum-agrees", Error, "find out whether the log lost a commit or the writer of the checksum is wrong; only then delete the .crc file";
    /// With in-commit timestamps, every commit starts with its time and times rise.
    TimesRise, "times-rise", Error, "time travel by time may give other versions than meant; name versions instead";
    /// Names in `_delta_log` are those of the protocol.
    LogNames, "log-names", Note, "delete what a failed writer left behind";
    /// Protocol versions and lists of features agree with each other.
    ProtocolConsistent, "protocol-consistent", Error, "commit a protocol action that lists every feature for writers, and for readers what they must know";
    /// The features that properties, columns and files use are listed.
    FeaturesListed, "features-listed", Error, "enable the feature by name: SET TBLPROPERTIES ('delta.feature.<name>' = 'supported')";
    /// Property values decode.
    PropertyUsable, "property-usable", Warning, "set the property to a value that decodes, or unset it";
    /// Partition columns are columns of the schema, and partition values are of their types.
    PartitionValuesParse, "partition-values-parse", Error, "rewrite the file's partition: delete its rows and write them again";
    /// A file is live once.
    PathUnique, "path-unique", Error, "rewrite the rows of the file: readers show them twice";
    /// A path stays below the table and decodes.
    PathInside, "path-inside", Error, "remove the entry of the file from the log";
    /// A live file is there.
    FileThere, "file-there", Error, "restore the file, or give it up with floe check --repair --drop-missing-files";
    /// A change file of a version in the log is there. Vacuum takes those beyond the retention of deleted files.
    ChangeFileThere, "change-file-there", Warning, "restore the file; without it the change feed of the version cannot be read";
    /// A live file has the size that the log gives it.
    FileSize, "file-size", Error, "restore the file as it was written";
    /// The footer of a live file reads, and is true of its size.
    FileReadable, "file-readable", Error, "restore the file as it was written";
    /// A live file has as many rows as its statistics say.
    RowCount, "row-count", Error, "rewrite the file: UPDATE or OPTIMIZE writes statistics anew";
    /// Statistics parse.
    StatisticsReadable, "statistics-readable", Warning, "rewrite the file: OPTIMIZE writes statistics anew";
    /// Bounds and null counts are true of the rows.
    StatisticsTrue, "statistics-true", Error, "rewrite the file before filters are trusted: readers skip files by these values";
    /// A deletion vector reads, and marks as many rows as it says.
    VectorReadable, "vector-readable", Error, "restore the vector's file; without it deleted rows cannot be told from others";
    /// A deletion vector marks rows that the file has.
    VectorInFile, "vector-in-file", Error, "restore the data file and the vector that belong together";
    /// A file with a deletion vector says how many rows it has.
    VectorRowCount, "vector-row-count", Warning, "rewrite the file: readers that count rows by statistics cannot";
    /// With row tracking, every file has row ids, and no two files share one.
    RowIdsUnique, "row-ids-unique", Error, "rewrite the files with a writer that knows row tracking";
    /// Each primary key has one row.
    KeyUnique, "key-unique", Error, "delete all rows of the key but one, or set floe.duplicateKeys = latest and upsert it";
    /// Each row has a primary key.
    KeyThere, "key-there", Error, "delete the rows without a key";
    /// The record index knows every row of the files it covers.
    IndexTrue, "index-true", Error, "floe check --repair rebuilds the index";
    /// Index runs are usable.
    IndexUsable, "index-usable", Note, "floe check --repair rebuilds the index";
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which rule is broken.
    pub rule: Rule,
    /// The version it is about, where it is about one.
    pub version: Option<Version>,
    /// The file it is about, as in the log; a log file by its name below `_delta_log`.
    pub path: Option<String>,
    /// What was found, made safe to print.
    pub found: String,
    /// What fixes it.
    pub fix: &'static str,
    /// Who wrote the file or the commit, as it says itself.
    pub writer: Option<String>,
    /// Defects of writers that are known to leave this behind: of the writer, or of any where it is not known.
    pub quirks: Vec<Quirk>,
}

impl Finding {
    pub(crate) fn new(rule: Rule, found: impl Into<String>) -> Self {
        Finding {
            severity: rule.severity(),
            rule,
            version: None,
            path: None,
            found: bounded(&found.into()),
            fix: rule.help(),
            writer: None,
            quirks: Vec::new(),
        }
    }

    pub(crate) fn at(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    pub(crate) fn of(mut self, path: impl AsRef<str>) -> Self {
        self.path = Some(printable(path.as_ref()));
        self
    }

    pub(crate) fn by(mut self, writer: Option<&str>) -> Self {
        self.writer = writer.map(printable);
        self
    }

    pub(crate) fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Text made safe to print; longer than a value, since it is a sentence.
fn bounded(text: &str) -> String {
    const LONGEST: usize = 1000;
    let mut out: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(version) = self.version {
            write!(f, "version {version}: ")?;
        }
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.found)?;
        if let Some(writer) = &self.writer {
            write!(f, " (written by {writer})")?;
        }
        write!(f, "; {}", self.fix)?;
        for quirk in &self.quirks {
            write!(f, "; known of {}: {}", quirk.writer, quirk.what)?;
        }
        Ok(())
    }
}

/// Findings in the order they came, so many of each rule, and how many there are of each.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) told: Vec<Finding>,
    pub(crate) totals: BTreeMap<Rule, u64>,
}

impl Findings {
    pub(crate) fn push(&mut self, mut finding: Finding) {
        let total = self.totals.entry(finding.rule).or_default();
        *total += 1;
        if *total <= TOLD_MAX as u64 {
            finding.quirks = quirks_of(finding.rule, finding.writer.as_deref());
            self.told.push(finding);
        }
    }

    /// Counts findings of a rule that are told together.
    pub(crate) fn count_more(&mut self, rule: Rule, more: u64) {
        *self.totals.entry(rule).or_default() += more;
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}
