//! Whether a change still holds after others committed first.
//!
//! Law 3 binds this module: concurrent outcomes equal some serial order, the one the versions give. [`decide`] compares
//! an attempt with every commit after the version it read, by these rules:
//!
//! | rule | a winner ... | gives |
//! |---|---|---|
//! | K1 | changed the protocol in a way the attempt is not prepared for | [`Rule::ProtocolChanged`] |
//! | K2 | changed the metadata beyond switching a feature on that the attempt needs not know | [`Rule::MetadataChanged`] |
//! | K3 | set a domain that the attempt sets | [`Rule::ConcurrentTransaction`] |
//! | K4 | moved an application's progress that the attempt read or moves | [`Rule::ConcurrentTransaction`] |
//! | K5 | added rows that the attempt would have read | [`Rule::ConcurrentAppend`] |
//! | K6 | removed rows that the attempt read | [`Rule::ConcurrentDeleteRead`] |
//! | K7 | removed a file that the attempt removes | [`Rule::ConcurrentDeleteDelete`] |
//!
//! Row ids (K8) and in-commit timestamps (K9) need no verdict: [`assemble`](crate::commit::assemble) makes them anew on
//! each base. A commit that carries the attempt's own token (K10) is the attempt: the caller looks for it first.
//!
//! A change that knows its rows by primary key ([`KeyRead`]) does not fail where a winner brings, takes or moves rows of these
//! keys: it looks the keys up again, [`Redo::look_up_keys`]. So two writers of different rows both win, and an update wins
//! over a compaction of its file.
//!
//! Files are compared by path, never by path and deletion vector (K7): two changes of one file's deletion vector are two
//! changes of one file. Where both only mark rows, the rows may still differ: [`Redo::union_vectors`].
//!
//! Rewrites that keep the rows (`dataChange = false`) are no appends and take nothing from who only read: the rows are
//! the same before and after.

mod schema_change;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::action::{Action, Add, CommitInfo, Metadata, Protocol, Remove};
use crate::change::{ChangeSet, KeyRead, ReadSet};
use crate::feature::{self, Feature};
use crate::predicate::Truth;
use crate::property::IsolationLevel;
use crate::prune::{ColumnNames, truth_of_adds};
use crate::state::TableState;
use crate::version::Version;

/// The domain of row ids: both sides may set it, the high water mark is made anew on each base.
pub(crate) const ROW_TRACKING_DOMAIN: &str = "delta.rowTracking";

/// What was tried: a change and what it relied on.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The change as it was to be committed.
    pub change: &'a ChangeSet,
    /// What it relied on.
    pub read: &'a ReadSet,
}

/// A commit that landed after the version that an attempt read.
#[derive(Debug, Clone, PartialEq)]
pub struct Winner {
    /// Its version.
    pub version: Version,
    /// Its actions, `commitInfo` included.
    pub actions: Vec<Action>,
}

/// What to do with an attempt that lost a race.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing it relied on has changed: assemble it again on the new base.
    Clear,
    /// Single steps have to be repeated on the new base; everything else stands.
    Redo(Redo),
    /// It no longer holds.
    Conflict(Why),
}

/// The steps to repeat; what they are not about stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redo {
    /// Files, as in the log, in which winners marked rows as deleted and this change marks rows too, while nobody did more
    /// to them.
    ///
    /// For each: if the winners' vector still holds every row of the vector the change started from, and no row that the
    /// change itself marks, the change goes on with the union of both, removing the winners' entry. Otherwise it is a
    /// conflict, [`Rule::ConcurrentDeleteDelete`].
    pub union_vectors: BTreeSet<String>,
    /// Files, as in the log, by which winners may have brought, taken or moved rows of the change's keys.
    ///
    /// The keys are looked up in the files that are new; rows found before count as far as their files are still live.
    pub look_up_keys: BTreeSet<String>,
}

impl Redo {
    fn is_empty(&self) -> bool {
        self.union_vectors.is_empty() && self.look_up_keys.is_empty()
    }
}

/// Why an attempt no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The commit in the way.
    pub version: Version,
    /// The file both touched, as in the log; none if the conflict is about the whole table.
    pub file: Option<String>,
    /// The rule broken.
    pub rule: Rule,
}

/// What kind of concurrent work is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// K1: the protocol was changed.
    ProtocolChanged,
    /// K2: schema, partitioning or properties were changed.
    MetadataChanged,
    /// K3, K4: an application's progress or a domain was changed.
    ConcurrentTransaction,
    /// K5: rows were added that should have been read.
    ConcurrentAppend,
    /// K6: rows were removed that had been read.
    ConcurrentDeleteRead,
    /// K7: a file was removed that is to be removed.
    ConcurrentDeleteDelete,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rule::ProtocolChanged => "the protocol was changed",
            Rule::MetadataChanged => "the schema, the partitioning or the table properties were changed",
            Rule::ConcurrentTransaction => "another transaction of this application, or on this domain, was committed",
            Rule::ConcurrentAppend => "rows were added that may match what was read",
            Rule::ConcurrentDeleteRead => "rows were removed from what was read",
            Rule::ConcurrentDeleteDelete => "a file was removed or rewritten that is removed or rewritten here too",
        })
    }
}

/// Whether an attempt holds after these commits, oldest first.
///
/// `base` is the table at the version that the attempt read; for a change that creates the table, any state after the
/// first winner, because K1 and K2 end that race before anything else is looked at.
pub fn decide(attempt: &Attempt<'_>, winners: &[Winner], base: &TableState) -> Verdict {
    let mut known = Known { protocol: &base.protocol, metadata: &base.metadata };
    let mine = Mine::of(attempt);
    let mut redo = Redo::default();
    for winner in winners {
        if let Err(why) = check(&mine, &Summary::of(winner), &mut known, base, &mut redo) {
            return Verdict::Conflict(why);
        }
    }
    if redo.is_empty() { Verdict::Clear } else { Verdict::Redo(redo) }
}

/// An attempt, with its files by path.
struct Mine<'a> {
    change: &'a ChangeSet,
    read: &'a ReadSet,
    isolation: IsolationLevel,
    adds: HashMap<&'a str, &'a Add>,
    removes: HashSet<&'a str>,
}

impl<'a> Mine<'a> {
    fn of(attempt: &Attempt<'a>) -> Self {
        let Attempt { change, read } = *attempt;
        let only_files = change.metadata.is_none()
            && change.protocol.is_none()
            && change.txns.is_empty()
            && change.domains.is_empty();
        let any_file = !(change.adds.is_empty() && change.removes.is_empty());
        // K12: a change that keeps the rows and does nothing else relies on its own files only.
        let keeps_rows = any_file && only_files && !change.changes_data();
        Mine {
            change,
            read,
            isolation: if keeps_rows { IsolationLevel::Snapshot } else { read.isolation },
            adds: change.adds.iter().map(|add| (add.path.as_str(), add)).collect(),
            removes: change.removes.iter().map(|remove| remove.path.as_str()).collect(),
        }
    }
}

/// Protocol and metadata as of the winner before.
struct Known<'a> {
    protocol: &'a Protocol,
    metadata: &'a Metadata,
}

/// The actions of a winner by kind.
struct Summary<'a> {
    version: Version,
    info: Option<&'a CommitInfo>,
    protocol: Option<&'a Protocol>,
    metadata: Option<&'a Metadata>,
    adds: Vec<&'a Add>,
    removes: Vec<&'a Remove>,
    app_ids: BTreeSet<&'a str>,
    domains: BTreeSet<&'a str>,
}

impl<'a> Summary<'a> {
    fn of(winner: &'a Winner) -> Self {
        let mut summary = Summary {
            version: winner.version,
            info: None,
            protocol: None,
            metadata: None,
            adds: Vec::new(),
            removes: Vec::new(),
            app_ids: BTreeSet::new(),
            domains: BTreeSet::new(),
        };
        for action in &winner.actions {
            match action {
                Action::CommitInfo(info) => summary.info = Some(info),
                Action::Protocol(protocol) => summary.protocol = Some(protocol),
                Action::Metadata(metadata) => summary.metadata = Some(metadata),
                Action::Add(add) => summary.adds.push(add),
                Action::Remove(remove) => summary.removes.push(remove),
                Action::Txn(txn) => _ = summary.app_ids.insert(&txn.app_id),
                Action::DomainMetadata(domain) => _ = summary.domains.insert(&domain.domain),
                Action::Cdc(_) | Action::CheckpointMetadata(_) | Action::Sidecar(_) => {}
            }
        }
        summary
    }

    /// K12. A commit that says it read nothing but takes files away has read them.
    fn is_blind_append(&self) -> bool {
        self.removes.is_empty() && self.info.and_then(|i| i.is_blind_append) == Some(true)
    }

    fn conflict<T>(&self, rule: Rule, file: Option<&str>) -> Result<T, Why> {
        Err(Why { version: self.version, file: file.map(str::to_owned), rule })
    }
}

/// The rules, in the order in which the reference implementation applies them.
fn check<'a>(
    mine: &Mine<'_>,
    winner: &Summary<'a>,
    known: &mut Known<'a>,
    base: &TableState,
    redo: &mut Redo,
) -> Result<(), Why> {
    protocol_changed(mine, winner, known)?;
    metadata_changed(mine, winner, known)?;
    progress_changed(mine, winner)?;
    let both_mark = files_both_mark(mine, winner, base);
    rows_added(mine, winner, base, &both_mark)?;
    files_removed(mine, winner, &both_mark)?;
    if let Some(keys) = &mine.read.keys {
        redo.look_up_keys.extend(files_with_keys(keys, winner, base).map(str::to_owned));
    }
    redo.union_vectors.extend(both_mark.into_iter().map(str::to_owned));
    Ok(())
}

/// Files by which a winner may have brought, taken or moved rows of these keys.
fn files_with_keys<'a>(keys: &KeyRead, winner: &Summary<'a>, base: &TableState) -> impl Iterator<Item = &'a str> {
    let touched = |path: &str| keys.found_in.contains(path);
    // New rows, or rows that come back. A vector that only grows matters where rows were found, and its remove says that.
    let brings = |add: &Add| {
        let known = base.files.find(&add.path);
        let marked = add.deletion_vector.as_ref().and_then(|dv| u64::try_from(dv.cardinality).ok()).unwrap_or(0);
        add.data_change && known.is_none_or(|known| marked < known.deleted_rows())
    };
    let brought: Vec<&Add> = winner.adds.iter().copied().filter(|add| brings(add)).collect();
    let truths = truth_of_adds(&brought, ColumnNames::of(base), &keys.predicate);
    let truths = truths.unwrap_or_else(|_| vec![Truth::Unknown; brought.len()]);
    let brought =
        brought.into_iter().zip(truths).filter(|(_, truth)| *truth != Truth::No).map(|(add, _)| add.path.as_str());
    let taken = winner.removes.iter().filter(|r| touched(&r.path) || moves(keys, r)).map(|r| r.path.as_str());
    brought.chain(taken).collect::<Vec<_>>().into_iter()
}

/// Whether a file was rewritten whose rows can be found again by their keys.
fn moves(keys: &KeyRead, remove: &Remove) -> bool {
    !remove.data_change && keys.movable.contains(&remove.path)
}

/// K1.
fn protocol_changed<'a>(mine: &Mine<'_>, winner: &Summary<'a>, known: &mut Known<'a>) -> Result<(), Why> {
    let Some(new) = winner.protocol else { return Ok(()) };
    let old = std::mem::replace(&mut known.protocol, new);
    if mine.change.protocol.is_some() {
        return winner.conflict(Rule::ProtocolChanged, None);
    }
    let (before, after) = (features_of(old), features_of(new));
    // What these ask of a writer depends on the metadata, where K2 sees it, or is done when a commit is assembled. Any
    // other feature may ask for something that files already written do not have.
    let harmless = |feature: &Feature| {
        matches!(
            feature,
            Feature::AppendOnly
                | Feature::Invariants
                | Feature::CheckConstraints
                | Feature::ChangeDataFeed
                | Feature::GeneratedColumns
                | Feature::IdentityColumns
                | Feature::AllowColumnDefaults
                | Feature::ColumnMapping
                | Feature::DeletionVectors
                | Feature::RowTracking
                | Feature::TimestampNtz
                | Feature::DomainMetadata
                | Feature::V2Checkpoint
                | Feature::InCommitTimestamp
                | Feature::VacuumProtocolCheck
        )
    };
    if before.is_subset(&after) && after.difference(&before).all(harmless) {
        Ok(())
    } else {
        winner.conflict(Rule::ProtocolChanged, None)
    }
}

/// The features a protocol supports, those implied by legacy versions included.
fn features_of(protocol: &Protocol) -> BTreeSet<Feature> {
    const IMPLIED: [Feature; 7] = [
        Feature::AppendOnly,
        Feature::Invariants,
        Feature::CheckConstraints,
        Feature::ChangeDataFeed,
        Feature::GeneratedColumns,
        Feature::ColumnMapping,
        Feature::IdentityColumns,
    ];
    let named = [&protocol.reader_features, &protocol.writer_features];
    let named = named.into_iter().flatten().flatten().map(|name| Feature::from_name(name));
    IMPLIED.into_iter().filter(|f| feature::has_feature(protocol, f)).chain(named).collect()
}

/// K2.
fn metadata_changed<'a>(mine: &Mine<'_>, winner: &Summary<'a>, known: &mut Known<'a>) -> Result<(), Why> {
    let Some(new) = winner.metadata else { return Ok(()) };
    let old = std::mem::replace(&mut known.metadata, new);
    if mine.change.metadata.is_some() || !schema_change::is_survived(mine.change, old, new) {
        return winner.conflict(Rule::MetadataChanged, None);
    }
    Ok(())
}

/// K3 and K4.
fn progress_changed(mine: &Mine<'_>, winner: &Summary<'_>) -> Result<(), Why> {
    let change = mine.change;
    let mut domains = change.domains.iter().map(|d| d.domain.as_str()).filter(|d| *d != ROW_TRACKING_DOMAIN);
    let mut apps = mine.read.app_ids.iter().chain(change.txns.iter().map(|t| &t.app_id));
    if domains.any(|d| winner.domains.contains(d)) || apps.any(|app| winner.app_ids.contains(app.as_str())) {
        return winner.conflict(Rule::ConcurrentTransaction, None);
    }
    Ok(())
}

/// Files of which both the attempt and the winner change the deletion vector and nothing else, by marking more rows.
///
/// Not those that the attempt has read beyond the rows it marks: what it wrote may depend on a row that is gone now.
fn files_both_mark<'a>(mine: &Mine<'_>, winner: &Summary<'a>, base: &TableState) -> BTreeSet<&'a str> {
    if mine.read.whole_table {
        return BTreeSet::new();
    }
    let marks_rows = |add: &Add| mine.adds.get(add.path.as_str()).is_some_and(|ours| ours.deletion_vector.is_some());
    let removed: HashSet<&str> = winner.removes.iter().map(|r| r.path.as_str()).collect();
    winner
        .adds
        .iter()
        .filter(|add| {
            removed.contains(add.path.as_str())
                && mine.removes.contains(add.path.as_str())
                && marks_rows(add)
                && !mine.read.files.contains(&add.path)
        })
        .filter(|add| {
            let before = base.files.find(&add.path).map_or(0, |file| file.deleted_rows());
            let after = add.deletion_vector.as_ref().and_then(|dv| u64::try_from(dv.cardinality).ok());
            // A vector that shrinks brings rows back: that is an append, not a deletion.
            after.is_some_and(|after| after >= before)
        })
        .map(|add| add.path.as_str())
        .collect()
}

/// K5.
fn rows_added(mine: &Mine<'_>, winner: &Summary<'_>, base: &TableState, both_mark: &BTreeSet<&str>) -> Result<(), Why> {
    let conflict = |add: &Add| winner.conflict(Rule::ConcurrentAppend, Some(&add.path));
    // The same path live twice would be two files to some readers and one to others.
    let twice = winner.adds.iter().find(|theirs| {
        let path = theirs.path.as_str();
        !both_mark.contains(path) && mine.adds.contains_key(path) && !mine.removes.contains(path)
    });
    if let Some(add) = twice {
        return conflict(add);
    }
    let changes_metadata = mine.change.metadata.is_some();
    let concerned = match mine.isolation {
        IsolationLevel::Snapshot => false,
        IsolationLevel::WriteSerializable => !winner.is_blind_append() || changes_metadata,
        IsolationLevel::Serializable => true,
    };
    let read = mine.read;
    let read_rows = read.whole_table || !read.predicates.is_empty();
    if !(concerned && read_rows) {
        return Ok(());
    }
    let added: Vec<&Add> =
        winner.adds.iter().copied().filter(|add| add.data_change && !both_mark.contains(add.path.as_str())).collect();
    let Some(first) = added.first() else { return Ok(()) };
    if read.whole_table {
        return conflict(first);
    }
    for predicate in &read.predicates {
        // A schema that a winner changed ends in K2, but for column mapping under the columns' own names: the base's
        // names find every statistic. Statistics that cannot be read prove nothing.
        let truths = truth_of_adds(&added, ColumnNames::of(base), predicate);
        let truths = truths.unwrap_or_else(|_| vec![Truth::Unknown; added.len()]);
        if let Some((add, _)) = added.iter().zip(truths).find(|(_, truth)| *truth != Truth::No) {
            return conflict(add);
        }
    }
    Ok(())
}

/// K6 and K7. A file that is removed here has been read here too: K7 says more of it.
fn files_removed(mine: &Mine<'_>, winner: &Summary<'_>, both_mark: &BTreeSet<&str>) -> Result<(), Why> {
    let removes = || winner.removes.iter().filter(|r| !both_mark.contains(r.path.as_str()));
    // Rows that were found by key are looked for again.
    let found_again = |r: &Remove| {
        mine.read
            .keys
            .as_ref()
            .is_some_and(|keys| keys.found_in.contains(&r.path) && !keys.movable.contains(&r.path) || moves(keys, r))
    };
    if let Some(remove) = removes().find(|r| mine.removes.contains(r.path.as_str()) && !found_again(r)) {
        return winner.conflict(Rule::ConcurrentDeleteDelete, Some(&remove.path));
    }
    let read = mine.read;
    match removes().find(|r| r.data_change && (read.whole_table || read.files.contains(&r.path))) {
        Some(remove) => winner.conflict(Rule::ConcurrentDeleteRead, Some(&remove.path)),
        None => Ok(()),
    }
}
