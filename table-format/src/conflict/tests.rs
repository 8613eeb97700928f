use super::*;
use crate::action::{DomainMetadata, Txn};
use crate::change::Operation;
use crate::commit::testing::{file, metadata, protocol, removal, schema, table, vector, with_vector};
use crate::predicate::{CompareOp, Predicate};
use crate::scalar::Scalar;

/// `a` and `c` in partition 1, `b` in partition 2; `c` has three rows deleted already.
fn base() -> TableState {
    table(&["deletionVectors"], &[("delta.enableDeletionVectors", "true")], &[a(), b(), c()])
}

fn a() -> Add {
    file("a", 1, 0, 9)
}

fn b() -> Add {
    file("b", 2, 10, 19)
}

fn c() -> Add {
    with_vector(&file("c", 1, 20, 29), "three", 3)
}

fn kept(add: Add) -> Add {
    Add { data_change: false, ..add }
}

fn partition_one() -> Predicate {
    Predicate::eq("p", Scalar::Long(1))
}

struct Tried {
    change: ChangeSet,
    read: ReadSet,
}

fn tried(adds: Vec<Add>, removes: Vec<Remove>) -> Tried {
    let change = ChangeSet { adds, removes, ..ChangeSet::new(Operation::new("TEST")) };
    Tried { change, read: ReadSet { version: Some(Version::ZERO), ..ReadSet::default() } }
}

impl Tried {
    fn reading(mut self, predicate: Predicate, files: &[&str]) -> Self {
        self.read.predicates.push(predicate);
        self.read.files = files.iter().map(|f| (*f).to_owned()).collect();
        self
    }

    fn decide(&self, winners: &[Vec<Action>]) -> Verdict {
        let winners: Vec<Winner> = winners
            .iter()
            .enumerate()
            .map(|(index, actions)| Winner {
                version: Version::new(index as u64 + 1).expect("small"),
                actions: actions.clone(),
            })
            .collect();
        decide(&Attempt { change: &self.change, read: &self.read }, &winners, &base())
    }

    /// The letter of the tables below.
    fn letter(&self, winner: &[Action]) -> char {
        match self.decide(&[winner.to_vec()]) {
            Verdict::Clear => '-',
            Verdict::Redo(redo) if redo.look_up_keys.is_empty() => 'U',
            Verdict::Redo(_) => 'L',
            Verdict::Conflict(why) => match why.rule {
                Rule::ProtocolChanged => 'P',
                Rule::MetadataChanged => 'M',
                Rule::ConcurrentTransaction => 'T',
                Rule::ConcurrentAppend => 'A',
                Rule::ConcurrentDeleteRead => 'R',
                Rule::ConcurrentDeleteDelete => 'D',
            },
        }
    }
}

fn attempts(isolation: IsolationLevel) -> Vec<(&'static str, Tried)> {
    let new = || file("new", 1, 0, 9);
    let mut attempts = vec![
        ("append", tried(vec![new()], vec![])),
        ("read", tried(vec![new()], vec![]).reading(partition_one(), &["a"])),
        ("update", tried(vec![new()], vec![removal(&a(), true)]).reading(partition_one(), &["a"])),
        ("mark", tried(vec![with_vector(&a(), "mine", 1)], vec![removal(&a(), true)]).reading(partition_one(), &[])),
        ("rewrite", {
            let removes = vec![removal(&a(), false), removal(&b(), false)];
            let mut rewrite = tried(vec![kept(new())], removes);
            rewrite.read.files = ["a".to_owned(), "b".to_owned()].into();
            rewrite
        }),
        ("replace", {
            let mut replace = tried(vec![new()], vec![removal(&a(), true), removal(&b(), true)]);
            replace.read.whole_table = true;
            replace
        }),
        ("stream", {
            let mut stream = tried(vec![new()], vec![]);
            stream.read.app_ids.insert("app".into());
            stream.change.txns.push(Txn { app_id: "app".into(), version: 1, last_updated: None });
            stream
        }),
        ("alter", {
            let mut alter = tried(vec![], vec![]);
            alter.change.metadata = Some(metadata(&schema(), &["p"], &[("x", "y")]));
            alter
        }),
    ];
    for (_, attempt) in &mut attempts {
        attempt.read.isolation = isolation;
    }
    attempts
}

fn info(blind: bool) -> Action {
    Action::CommitInfo(CommitInfo { is_blind_append: Some(blind), ..CommitInfo::default() })
}

fn committed(blind: bool, adds: Vec<Add>, removes: Vec<Remove>) -> Vec<Action> {
    let mut actions = vec![info(blind)];
    actions.extend(removes.into_iter().map(Action::Remove));
    actions.extend(adds.into_iter().map(Action::Add));
    actions
}

fn winners() -> Vec<(&'static str, Vec<Action>)> {
    let txn = |app: &str| vec![info(false), Action::Txn(Txn { app_id: app.into(), version: 7, last_updated: None })];
    vec![
        ("blind1", committed(true, vec![file("w", 1, 0, 9)], vec![])),
        ("blind2", committed(true, vec![file("w", 2, 0, 9)], vec![])),
        ("append1", committed(false, vec![file("w", 1, 0, 9)], vec![])),
        ("append2", committed(false, vec![file("w", 2, 0, 9)], vec![])),
        ("updateA", committed(false, vec![file("w", 1, 0, 9)], vec![removal(&a(), true)])),
        ("updateB", committed(false, vec![file("w", 2, 0, 9)], vec![removal(&b(), true)])),
        ("deleteA", committed(false, vec![], vec![removal(&a(), true)])),
        ("markA", committed(false, vec![with_vector(&a(), "theirs", 1)], vec![removal(&a(), true)])),
        ("markB", committed(false, vec![with_vector(&b(), "theirs", 1)], vec![removal(&b(), true)])),
        ("rewriteA", committed(false, vec![kept(file("w", 1, 0, 9))], vec![removal(&a(), false)])),
        ("rewriteB", committed(false, vec![kept(file("w", 2, 0, 9))], vec![removal(&b(), false)])),
        ("alter", vec![info(false), Action::Metadata(metadata(&schema(), &["p"], &[("x", "z")]))]),
        ("enable", vec![info(false), Action::Protocol(protocol(&["deletionVectors", "domainMetadata"]))]),
        ("require", vec![info(false), Action::Protocol(protocol(&["deletionVectors", "typeWidening"]))]),
        ("app", txn("app")),
        ("other", txn("other")),
    ]
}

fn check(isolation: IsolationLevel, expected: &str) {
    let names: Vec<&str> = winners().iter().map(|(name, _)| *name).collect();
    let mut found = format!("{:8}{}\n", "", names.join(" "));
    for (name, attempt) in attempts(isolation) {
        let row: Vec<String> = winners()
            .iter()
            .map(|(winner, actions)| format!("{:width$}", attempt.letter(actions), width = winner.len()))
            .collect();
        found.push_str(&format!("{name:8}{}\n", row.join(" ")));
    }
    let trimmed =
        |text: &str| -> Vec<String> { text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect() };
    assert_eq!(trimmed(&found), trimmed(expected), "\n{found}");
}

#[test]
fn every_attempt_meets_every_winner_under_write_serializable() {
    check(
        IsolationLevel::WriteSerializable,
        "
                blind1 blind2 append1 append2 updateA updateB deleteA markA markB rewriteA rewriteB alter enable require app other
        append  -      -      -       -       -       -       -       -     -     -        -        M     -      P       -   -
        read    -      -      A       -       A       -       R       A     -     -        -        M     -      P       -   -
        update  -      -      A       -       A       -       D       A     -     D        -        M     -      P       -   -
        mark    -      -      A       -       A       -       D       U     -     D        -        M     -      P       -   -
        rewrite -      -      -       -       D       D       D       D     D     D        D        M     -      P       -   -
        replace -      -      A       A       A       A       D       A     A     D        D        M     -      P       -   -
        stream  -      -      -       -       -       -       -       -     -     -        -        M     -      P       T   -
        alter   -      -      -       -       -       -       -       -     -     -        -        M     -      P       -   -
        ",
    );
}

#[test]
fn every_attempt_meets_every_winner_under_serializable() {
    check(
        IsolationLevel::Serializable,
        "
                blind1 blind2 append1 append2 updateA updateB deleteA markA markB rewriteA rewriteB alter enable require app other
        append  -      -      -       -       -       -       -       -     -     -        -        M     -      P       -   -
        read    A      -      A       -       A       -       R       A     -     -        -        M     -      P       -   -
        update  A      -      A       -       A       -       D       A     -     D        -        M     -      P       -   -
        mark    A      -      A       -       A       -       D       U     -     D        -        M     -      P       -   -
        rewrite -      -      -       -       D       D       D       D     D     D        D        M     -      P       -   -
        replace A      A      A       A       A       A       D       A     A     D        D        M     -      P       -   -
        stream  -      -      -       -       -       -       -       -     -     -        -        M     -      P       T   -
        alter   -      -      -       -       -       -       -       -     -     -        -        M     -      P       -   -
        ",
    );
}

#[test]
fn k1_two_protocol_changes_conflict_even_if_equal() {
    let mut attempt = tried(vec![], vec![]);
    attempt.change.protocol = Some(protocol(&["deletionVectors", "domainMetadata"]));
    assert_eq!(attempt.letter(&winners()[12].1), 'P');
    let dropped = [info(false), Action::Protocol(protocol(&[]))];
    assert_eq!(tried(vec![file("new", 1, 0, 9)], vec![]).letter(&dropped), 'P');
}

#[test]
fn k2_switching_features_on_is_survived_and_anything_else_is_not() {
    let append = tried(vec![file("new", 1, 0, 9)], vec![]);
    let update = tried(vec![file("new", 1, 0, 9)], vec![removal(&a(), true)]);
    let winner = |properties: &[(&str, &str)]| {
        let mut all = vec![("delta.enableDeletionVectors", "true")];
        all.extend_from_slice(properties);
        vec![info(false), Action::Metadata(metadata(&schema(), &["p"], &all))]
    };
    for survived in [
        &[("delta.enableInCommitTimestamps", "true"), ("delta.inCommitTimestampEnablementVersion", "1")][..],
        &[("delta.checkpointPolicy", "v2")],
    ] {
        assert_eq!(update.letter(&winner(survived)), '-', "{survived:?}");
    }
    let row_tracking = winner(&[("delta.enableRowTracking", "true")]);
    assert_eq!((append.letter(&row_tracking), update.letter(&row_tracking)), ('-', 'M'));
    for refused in [("delta.appendOnly", "true"), ("delta.constraints.c", "id > 0"), ("x", "y")] {
        assert_eq!(append.letter(&winner(&[refused])), 'M', "{refused:?}");
    }
    let without = [info(false), Action::Metadata(metadata(&schema(), &["p"], &[]))];
    assert_eq!(append.letter(&without), 'M', "deletion vectors switched off");
}

#[test]
fn k2_column_mapping_is_survived_under_the_columns_own_names_only() {
    let mapped = |physical: &str| {
        let mut schema = schema();
        for (id, field) in schema.fields.iter_mut().enumerate() {
            let name = if field.name == "id" { physical } else { "p" };
            field.metadata.insert("delta.columnMapping.id".into(), (id + 1).into());
            field.metadata.insert("delta.columnMapping.physicalName".into(), name.into());
        }
        let properties = [
            ("delta.enableDeletionVectors", "true"),
            ("delta.columnMapping.mode", "name"),
            ("delta.columnMapping.maxColumnId", "2"),
        ];
        vec![info(false), Action::Metadata(metadata(&schema, &["p"], &properties))]
    };
    let append = tried(vec![file("new", 1, 0, 9)], vec![]);
    assert_eq!(append.letter(&mapped("id")), '-');
    assert_eq!(append.letter(&mapped("col-1")), 'M');
}

#[test]
fn k2_identity_values_given_out_are_survived_by_who_gives_none() {
    let given_out = |mark: Option<i64>, start: i64| {
        let mut schema = schema();
        let identity = crate::schema::Identity { start, step: 1, high_water_mark: mark, allow_explicit_insert: false };
        schema.fields[0] = schema.fields[0].clone().with_identity(&identity);
        metadata(&schema, &["p"], &[("delta.enableDeletionVectors", "true")])
    };
    let before = given_out(None, 1);
    let update = tried(vec![file("new", 1, 0, 9)], vec![removal(&a(), true)]);
    assert!(schema_change::is_survived(&update.change, &before, &given_out(Some(7), 1)));
    assert!(schema_change::is_survived(&update.change, &given_out(Some(7), 1), &given_out(Some(9), 1)));
    assert!(!schema_change::is_survived(&update.change, &before, &given_out(Some(7), 2)), "another sequence");
    // Who gives some out as well has new metadata, and both may have given out the same.
    let mut insert = tried(vec![file("new", 1, 0, 9)], vec![]);
    insert.change.metadata = Some(given_out(Some(3), 1));
    assert_eq!(insert.letter(&[info(false), Action::Metadata(given_out(Some(7), 1))]), 'M');
}

#[test]
fn k3_one_domain_twice_conflicts_but_not_row_ids() {
    let domain = |name: &str| DomainMetadata { domain: name.into(), configuration: "{}".into(), removed: false };
    let sets = |name: &str| [info(false), Action::DomainMetadata(domain(name))];
    let mut attempt = tried(vec![file("new", 1, 0, 9)], vec![]);
    attempt.change.domains = vec![domain("mine"), domain(ROW_TRACKING_DOMAIN)];
    assert_eq!(attempt.letter(&sets("mine")), 'T');
    assert_eq!(attempt.letter(&sets("theirs")), '-');
    assert_eq!(attempt.letter(&sets(ROW_TRACKING_DOMAIN)), '-');
}

#[test]
fn k4_written_progress_counts_as_read() {
    let mut attempt = tried(vec![file("new", 1, 0, 9)], vec![]);
    attempt.change.txns.push(Txn { app_id: "app".into(), version: 2, last_updated: None });
    assert_eq!(attempt.letter(&winners()[14].1), 'T');
}

#[test]
fn k5_a_file_that_surely_holds_no_matching_row_is_no_conflict() {
    let read = |predicate| tried(vec![file("new", 1, 0, 9)], vec![]).reading(predicate, &[]);
    let above = |value| Predicate::compare("id", CompareOp::Gt, Scalar::Long(value));
    let winner = committed(false, vec![file("w", 1, 30, 39)], vec![]);
    assert_eq!(read(above(39)).letter(&winner), '-');
    assert_eq!(read(above(38)).letter(&winner), 'A');
    let unknown = committed(false, vec![Add { stats: None, ..file("w", 1, 30, 39) }], vec![]);
    assert_eq!(read(above(39)).letter(&unknown), 'A', "no statistics prove nothing");
    assert_eq!(read(Predicate::Unknown).letter(&winner), 'A');
}

#[test]
fn k5_a_commit_without_commit_info_is_no_blind_append() {
    let read = tried(vec![file("new", 1, 0, 9)], vec![]).reading(partition_one(), &[]);
    assert_eq!(read.letter(&[Action::Add(file("w", 1, 0, 9))]), 'A');
    let liar = committed(true, vec![file("w", 1, 0, 9)], vec![removal(&b(), true)]);
    assert_eq!(read.letter(&liar), 'A', "who removes files has read them");
}

#[test]
fn k5_under_changed_metadata_blind_appends_count() {
    let mut alter = tried(vec![], vec![]).reading(partition_one(), &[]);
    alter.change.metadata = Some(metadata(&schema(), &["p"], &[("x", "y")]));
    assert_eq!(alter.letter(&winners()[0].1), 'A');
    assert_eq!(alter.letter(&winners()[1].1), '-');
}

#[test]
fn k5_one_path_added_by_both_conflicts() {
    let restored = tried(vec![file("old", 1, 0, 9)], vec![]);
    assert_eq!(restored.letter(&committed(true, vec![file("old", 1, 0, 9)], vec![])), 'A');
}

#[test]
fn k7_compares_paths_and_not_deletion_vectors() {
    let mut other = removal(&c(), true);
    other.deletion_vector = Some(vector("another", 5));
    let attempt = tried(vec![file("new", 1, 0, 9)], vec![removal(&c(), true)]);
    assert_eq!(attempt.letter(&committed(false, vec![], vec![other])), 'D');
}

#[test]
fn both_marking_rows_of_one_file_asks_for_the_union() {
    let mark = |file: &Add, name: &str, rows| tried(vec![with_vector(file, name, rows)], vec![removal(file, true)]);
    let theirs =
        |file: &Add, rows| committed(false, vec![with_vector(file, "theirs", rows)], vec![removal(file, true)]);
    let union = Verdict::Redo(Redo { union_vectors: ["c".to_owned()].into(), ..Redo::default() });
    assert_eq!(mark(&c(), "mine", 4).decide(&[theirs(&c(), 5), theirs(&c(), 6)]), union);
    assert_eq!(mark(&c(), "mine", 4).letter(&theirs(&c(), 2)), 'D', "rows came back");
    // Later the file goes away after all.
    let gone = committed(false, vec![], vec![removal(&c(), false)]);
    assert!(matches!(
        mark(&c(), "mine", 4).decide(&[theirs(&c(), 5), gone]),
        Verdict::Conflict(Why { rule: Rule::ConcurrentDeleteDelete, version, file: Some(file) })
            if version.get() == 2 && file == "c"
    ));
    // New rows beside the marks are judged on their own.
    let mut updated = theirs(&c(), 5);
    updated.push(Action::Add(file("w", 2, 0, 9)));
    let reading_one = mark(&c(), "mine", 4).reading(partition_one(), &[]);
    assert_eq!(reading_one.letter(&updated), 'U');
    updated.push(Action::Add(file("v", 1, 0, 9)));
    assert_eq!(reading_one.letter(&updated), 'A');
    // Who read more of the file than the rows it marks may have read the rows that are gone.
    let reader = mark(&c(), "mine", 4).reading(partition_one(), &["c"]);
    assert_ne!(reader.letter(&theirs(&c(), 5)), 'U');
    let mut reader = mark(&c(), "mine", 4);
    reader.read.whole_table = true;
    assert_ne!(reader.letter(&theirs(&c(), 5)), 'U');
}

#[test]
fn k12_a_rewrite_that_also_records_progress_is_checked_in_full() {
    let mut rewrite = tried(vec![kept(file("new", 1, 0, 9))], vec![removal(&a(), false)]);
    rewrite.read.whole_table = true;
    assert_eq!(rewrite.letter(&winners()[2].1), '-');
    rewrite.change.txns.push(Txn { app_id: "mine".into(), version: 1, last_updated: None });
    assert_eq!(rewrite.letter(&winners()[2].1), 'A');
}

#[test]
fn the_first_conflict_is_told() {
    let attempt = tried(vec![file("new", 1, 0, 9)], vec![removal(&b(), true)]);
    let winners: Vec<Vec<Action>> = [0, 5, 11].map(|i: usize| winners()[i].1.clone()).into();
    let Verdict::Conflict(why) = attempt.decide(&winners) else { panic!("no conflict") };
    assert_eq!((why.version.get(), why.file.as_deref(), why.rule), (2, Some("b"), Rule::ConcurrentDeleteDelete));
}

/// An upsert of keys between 0 and 9, which found rows in `a` and marks one of them.
fn upsert() -> Tried {
    let mut upsert = tried(vec![file("new", 1, 0, 9), with_vector(&a(), "mine", 1)], vec![removal(&a(), true)]);
    upsert.read.isolation = IsolationLevel::Serializable;
    upsert.read.keys = Some(KeyRead {
        predicate: Predicate::compare("id", CompareOp::LtEq, Scalar::Long(9)),
        found_in: ["a".to_owned()].into(),
        movable: BTreeSet::new(),
    });
    upsert
}

#[test]
fn keys_are_looked_up_again_where_their_rows_may_have_come_gone_or_moved() {
    let upsert = upsert();
    let appended = |add: Add| committed(true, vec![add], vec![]);
    assert_eq!(upsert.letter(&appended(file("w", 1, 5, 6))), 'L', "a blind append may bring one of the keys");
    assert_eq!(upsert.letter(&appended(file("w", 1, 10, 19))), '-', "other keys");
    let marked = |add: &Add| committed(false, vec![with_vector(add, "theirs", 2)], vec![removal(add, true)]);
    assert_eq!(upsert.letter(&marked(&a())), 'L', "rows of the file where keys were found");
    assert_eq!(upsert.letter(&marked(&b())), '-', "rows of another file");
    let compacted = committed(false, vec![kept(file("w", 1, 0, 9))], vec![removal(&a(), false)]);
    assert_eq!(upsert.letter(&compacted), 'L', "the file was rewritten");
    let deleted = committed(false, vec![], vec![removal(&a(), true)]);
    assert_eq!(upsert.letter(&deleted), 'L', "the file is gone");
    let mut revived = committed(false, vec![with_vector(&c(), "fewer", 1)], vec![removal(&c(), true)]);
    assert_eq!(upsert.letter(&revived), '-', "rows come back whose keys are others");
    if let Some(Action::Add(add)) = revived.iter_mut().find(|action| matches!(action, Action::Add(_))) {
        add.stats = file("c", 1, 0, 9).stats;
    }
    assert_eq!(upsert.letter(&revived), 'L', "rows come back");
    assert!(!upsert.change.is_blind_append(&upsert.read), "it has read where its keys are");
}

#[test]
fn a_change_by_condition_follows_a_rewrite_but_not_a_deletion() {
    let mut update = upsert();
    if let Some(keys) = &mut update.read.keys {
        (keys.found_in, keys.movable) = (BTreeSet::new(), ["a".to_owned()].into());
    }
    assert_eq!(update.letter(&committed(false, vec![kept(file("w", 1, 0, 9))], vec![removal(&a(), false)])), 'L');
    assert_eq!(update.letter(&committed(false, vec![], vec![removal(&a(), true)])), 'D');
    // Without a key there is no finding the rows again.
    update.read.keys = None;
    assert_eq!(update.letter(&committed(false, vec![kept(file("w", 1, 0, 9))], vec![removal(&a(), false)])), 'D');
}
