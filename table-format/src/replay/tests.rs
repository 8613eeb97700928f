//! Law 1: replay from any checkpoint equals replay from zero, and so does every refresh.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::action::{
    Add, CheckpointMetadata, CommitInfo, DeletionVectorDescriptor, DomainMetadata, Format, Metadata, Protocol, Remove,
    Txn, parse_commit, write_commit,
};
use crate::checkpoint::{checkpoint_batches, manifest, sidecar_batches};
use crate::error::FormatError;
use crate::version::TimestampMs;

const NOW: i64 = 1_700_000_000_000;

fn v(number: usize) -> Version {
    Version::new(number as u64).expect("small")
}

fn protocol(writer: i32) -> Protocol {
    let features = (writer == 7).then(|| vec!["deletionVectors".to_owned()]);
    let min_reader_version = if writer == 7 { 3 } else { 1 };
    let (reader_features, writer_features) = (features.clone(), features);
    Protocol { min_reader_version, min_writer_version: writer, reader_features, writer_features }
}

fn metadata(name: Option<&str>, as_text: bool) -> Metadata {
    let schema = r#"{"type":"struct","fields":[{"name":"a","type":"long","nullable":true,"metadata":{}},{"name":"s","type":{"type":"struct","fields":[{"name":"t","type":"timestamp","nullable":true,"metadata":{}},{"name":"l","type":{"type":"array","elementType":"long","containsNull":true},"nullable":true,"metadata":{}}]},"nullable":true,"metadata":{}},{"name":"p","type":"integer","nullable":true,"metadata":{}}]}"#;
    let configuration = [
        ("delta.checkpoint.writeStatsAsJson", if as_text { "true" } else { "false" }),
        ("delta.checkpoint.writeStatsAsStruct", "true"),
    ];
    Metadata {
        id: "id".into(),
        name: name.map(str::to_owned),
        description: None,
        format: Format::default(),
        schema_string: schema.into(),
        partition_columns: vec!["p".into()],
        configuration: configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        created_time: Some(1),
    }
}

/// What may happen to one of a few logical files in a commit.
#[derive(Debug, Clone)]
enum Step {
    Add { size: i64, stats: Option<i64>, partition: Option<u8>, tagged: bool },
    Remove { age: i64 },
}

#[derive(Debug, Clone)]
struct Plan {
    files: BTreeMap<u8, Step>,
    txn: Option<(u8, i64)>,
    domain: Option<(u8, bool)>,
    rename: Option<u8>,
    upgrade: bool,
    timestamp: Option<i64>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..1000i64, proptest::option::of(0..100i64), proptest::option::of(0..4u8), any::<bool>())
            .prop_map(|(size, stats, partition, tagged)| Step::Add { size, stats, partition, tagged }),
        2 => (0..1000i64).prop_map(|age| Step::Remove { age }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        proptest::collection::btree_map(0..40u8, step(), 0..12),
        proptest::option::of((0..3u8, 0..9i64)),
        proptest::option::of((0..3u8, any::<bool>())),
        proptest::option::weighted(0.2, 0..3u8),
        proptest::bool::weighted(0.1),
        proptest::option::of(0..99i64),
    )
        .prop_map(|(files, txn, domain, rename, upgrade, timestamp)| Plan {
            files,
            txn,
            domain,
            rename,
            upgrade,
            timestamp,
        })
}

/// Ten paths, each with four deletion vectors: none, two in files that differ by offset, one inline.
fn key(file: u8) -> (String, Option<DeletionVectorDescriptor>) {
    let dv = |storage: &str, offset| DeletionVectorDescriptor {
        storage_type: storage.into(),
        path_or_inline_dv: "ab^-aqEH.-t@S}K{vb[*k^".into(),
        offset,
        size_in_bytes: 34,
        cardinality: 2,
    };
    let dv = match file % 4 {
        0 => None,
        1 => Some(dv("u", Some(1))),
        2 => Some(dv("u", Some(40))),
        _ => Some(dv("i", None)),
    };
    (format!("p=1/part-{:05}%20x.parquet", file / 4), dv)
}

fn action(file: u8, step: &Step) -> Action {
    let (path, deletion_vector) = key(file);
    match step {
        Step::Add { size, stats, partition, tagged } => Action::Add(Add {
            path,
            partition_values: BTreeMap::from([("p".into(), partition.map(|p| p.to_string()))]),
            size: *size,
            modification_time: *size * 2,
            data_change: true,
            stats: stats.map(|n| {
                let values = format!(r#"{{"a":{n},"s":{{"t":"2021-01-01T00:00:00.00{}Z"}}}}"#, n % 10);
                format!(
                    r#"{{"numRecords":{n},"minValues":{values},"maxValues":{values},"nullCount":{{"a":0,"s":{{"t":1,"l":2}}}},"tightBounds":{}}}"#,
                    n % 2 == 0
                )
            }),
            tags: tagged.then(|| BTreeMap::from([("k".into(), Some("v\"".into())), ("n".into(), None)])),
            deletion_vector,
            base_row_id: tagged.then_some(*size),
            default_row_commit_version: tagged.then_some(3),
            clustering_provider: tagged.then(|| "liquid".into()),
        }),
        Step::Remove { age } => Action::Remove(Remove {
            path,
            deletion_timestamp: Some(NOW - age),
            data_change: true,
            extended_file_metadata: Some(true),
            partition_values: Some(BTreeMap::from([("p".into(), None)])),
            size: Some(*age),
            deletion_vector,
            base_row_id: Some(*age),
            ..Remove::default()
        }),
    }
}

fn commits(plans: &[Plan], as_text: bool) -> Vec<Vec<Action>> {
    let mut commits = vec![vec![Action::Protocol(protocol(2)), Action::Metadata(metadata(None, as_text))]];
    for plan in plans {
        let mut actions: Vec<Action> = Vec::new();
        let in_commit_timestamp = plan.timestamp;
        actions.push(Action::CommitInfo(CommitInfo { in_commit_timestamp, ..CommitInfo::default() }));
        actions.extend(plan.files.iter().map(|(file, step)| action(*file, step)));
        actions.extend(plan.txn.map(|(app, version)| {
            Action::Txn(Txn { app_id: format!("app{app}"), version, last_updated: Some(version) })
        }));
        actions.extend(plan.domain.map(|(domain, removed)| {
            let configuration = format!("{{\"x\":{domain}}}");
            Action::DomainMetadata(DomainMetadata { domain: format!("d{domain}"), configuration, removed })
        }));
        actions.extend(plan.rename.map(|n| Action::Metadata(metadata(Some(&format!("t{n}")), as_text))));
        actions.extend(plan.upgrade.then(|| Action::Protocol(protocol(7))));
        commits.push(actions);
    }
    commits
}

/// A state in a form that compares: what a checkpoint keeps of it.
#[derive(Debug, PartialEq)]
struct Seen {
    version: Version,
    protocol: Protocol,
    metadata: Metadata,
    txns: BTreeMap<String, Txn>,
    domains: BTreeMap<String, DomainMetadata>,
    files: BTreeMap<String, String>,
    total_bytes: u64,
    tombstones: BTreeSet<String>,
}

fn seen(state: &TableState) -> Seen {
    let mut files = BTreeMap::new();
    for view in state.files.iter() {
        let mut add = view.to_add();
        let stats = add.stats.take().map(|s| serde_json::from_str::<serde_json::Value>(&s).expect("JSON"));
        let described = format!("{add:?} {stats:?} {:?}", view.num_records());
        let dv = add.deletion_vector.as_ref();
        let key = format!("{} {:?}", add.path, dv);
        assert!(files.insert(key, described).is_none(), "one row for each logical file");
        assert_eq!(state.files.find_logical(&add.path, dv).map(|f| f.id()), Some(view.id()));
    }
    assert_eq!(files.len(), state.files.len());
    let tombstones = state
        .tombstones
        .live(&state.files)
        .into_iter()
        .map(|remove| format!("{:?}", Remove { data_change: false, stats: None, tags: None, ..remove.clone() }));
    Seen {
        version: state.version,
        protocol: state.protocol.clone(),
        metadata: state.metadata.clone(),
        txns: (*state.txns).clone(),
        domains: (*state.domains).clone(),
        total_bytes: state.files.total_bytes(),
        tombstones: tombstones.collect(),
        files,
    }
}

/// What the commits mean, said as plainly as can be.
fn oracle(commits: &[Vec<Action>]) -> Seen {
    let mut protocol = None;
    let mut metadata = None;
    let (mut txns, mut domains) = (BTreeMap::new(), BTreeMap::new());
    let mut files: BTreeMap<String, Action> = BTreeMap::new();
    let id = |path: &str, dv: &Option<DeletionVectorDescriptor>| format!("{path} {:?}", dv.as_ref());
    for action in commits.iter().flatten() {
        match action.clone() {
            Action::Protocol(p) => protocol = Some(p),
            Action::Metadata(m) => metadata = Some(m),
            Action::Txn(t) => drop(txns.insert(t.app_id.clone(), t)),
            Action::DomainMetadata(d) if d.removed => drop(domains.remove(&d.domain)),
            Action::DomainMetadata(d) => drop(domains.insert(d.domain.clone(), d)),
            Action::Add(a) => drop(files.insert(id(&a.path, &a.deletion_vector), Action::Add(a))),
            Action::Remove(r) => drop(files.insert(id(&r.path, &r.deletion_vector), Action::Remove(r))),
            _ => {}
        }
    }
    let mut seen = Seen {
        version: v(commits.len() - 1),
        protocol: protocol.expect("in the first commit"),
        metadata: metadata.expect("in the first commit"),
        txns,
        domains,
        files: BTreeMap::new(),
        total_bytes: 0,
        tombstones: BTreeSet::new(),
    };
    for (key, action) in files {
        match action {
            Action::Add(mut add) => {
                seen.total_bytes += add.size as u64;
                add.data_change = false;
                let stats = add.stats.take().map(|s| serde_json::from_str::<serde_json::Value>(&s).expect("JSON"));
                let records = stats.as_ref().and_then(|s| s["numRecords"].as_u64());
                seen.files.insert(key, format!("{add:?} {stats:?} {records:?}"));
            }
            Action::Remove(remove) => {
                seen.tombstones.insert(format!("{:?}", Remove { data_change: false, ..remove }));
            }
            _ => {}
        }
    }
    seen
}

fn from_zero(commits: &[Vec<Action>]) -> TableState {
    let mut replay = Replay::new();
    for (version, actions) in commits.iter().enumerate() {
        replay.add_commit(v(version), actions).expect("a valid commit");
    }
    replay.finish(v(commits.len() - 1)).expect("a state")
}

/// The state rebuilt from a checkpoint of `base` and the commits after it.
fn from_checkpoint(base: &TableState, rows_per_batch: usize, commits: &[Vec<Action>]) -> TableState {
    let mut replay = Replay::new();
    for batch in checkpoint_batches(base, TimestampMs(NOW), rows_per_batch).expect("batches") {
        let batch = batch.expect("a batch");
        assert!(batch.num_rows() <= rows_per_batch.max(2 + base.txns.len() + base.domains.len()));
        assert!(replay.add_checkpoint_batch(&batch).expect("readable").is_empty());
    }
    for (version, actions) in commits.iter().enumerate().skip(base.version.get() as usize + 1) {
        replay.add_commit(v(version), actions).expect("a valid commit");
    }
    replay.finish(v(commits.len() - 1)).expect("a state")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_way_to_a_version_gives_the_same_state(
        plans in proptest::collection::vec(plan(), 1..14),
        cut in any::<prop::sample::Index>(),
        rows_per_batch in 1usize..20,
        as_text in any::<bool>(),
    ) {
        let commits = commits(&plans, as_text);
        let state = from_zero(&commits);
        prop_assert_eq!(seen(&state), oracle(&commits));

        let cut = cut.index(commits.len());
        let base = from_zero(&commits[..=cut]);
        let rebuilt = from_checkpoint(&base, rows_per_batch, &commits);
        prop_assert_eq!(seen(&rebuilt), seen(&state));

        // A checkpoint of a state that itself came from a checkpoint.
        let again = from_checkpoint(&rebuilt, 1000, &commits);
        prop_assert_eq!(seen(&again), seen(&state));

        // Refresh, one commit at a time and all at once.
        let rest: Vec<(Version, Vec<Action>)> =
            commits.iter().cloned().enumerate().skip(cut + 1).map(|(version, actions)| (v(version), actions)).collect();
        let refreshed = base.apply(&rest).expect("a state");
        prop_assert_eq!(seen(&refreshed), seen(&state));
        prop_assert_eq!(refreshed.commit_timestamp, if rest.is_empty() { base.commit_timestamp } else { state.commit_timestamp });
        let mut stepwise = from_checkpoint(&base, rows_per_batch, &commits[..=cut]);
        for commit in &rest {
            stepwise = stepwise.apply(std::slice::from_ref(commit)).expect("a state");
        }
        prop_assert_eq!(seen(&stepwise), seen(&state));

        // From the bytes of the log.
        let mut bytes = Replay::new();
        for (version, actions) in commits.iter().enumerate() {
            bytes.add_commit_bytes(v(version), "x.json", &write_commit(actions)).expect("a valid commit");
        }
        prop_assert_eq!(seen(&bytes.finish(state.version).expect("a state")), seen(&state));
    }
}

/// The commits of a range as one file: the last word on every logical file, application and domain.
fn compacted(commits: &[Vec<Action>]) -> Vec<Action> {
    let mut last: BTreeMap<String, Action> = BTreeMap::new();
    for action in commits.iter().flatten() {
        let dv = |dv: &Option<DeletionVectorDescriptor>| format!("{:?}", dv.as_ref());
        let key = match action {
            Action::Protocol(_) => "protocol".to_owned(),
            Action::Metadata(_) => "metadata".to_owned(),
            Action::Txn(txn) => format!("txn {}", txn.app_id),
            Action::DomainMetadata(domain) => format!("domain {}", domain.domain),
            Action::Add(add) => format!("file {} {}", add.path, dv(&add.deletion_vector)),
            Action::Remove(remove) => format!("file {} {}", remove.path, dv(&remove.deletion_vector)),
            // Protocol section "Log Compaction Files": neither provenance nor row changes.
            _ => continue,
        };
        last.insert(key, action.clone());
    }
    last.into_values().collect()
}

/// The state rebuilt from a V2 checkpoint of `base`, a manifest of actions with sidecars of files, and the commits after it.
fn from_manifest(base: &TableState, rows_per_batch: usize, inline: usize, commits: &[Vec<Action>]) -> TableState {
    let mut actions = vec![
        Action::CheckpointMetadata(CheckpointMetadata { version: base.version.as_i64(), tags: None }),
        Action::Protocol(base.protocol.clone()),
        Action::Metadata(base.metadata.clone()),
    ];
    actions.extend(base.txns.values().cloned().map(Action::Txn));
    actions.extend(base.domains.values().cloned().map(Action::DomainMetadata));
    let mut files: Vec<Action> = base.files.iter().map(|file| Action::Add(file.to_add())).collect();
    files.extend(base.tombstones.live(&base.files).into_iter().cloned().map(Action::Remove));
    // Some lie in the manifest itself.
    let sidecars = files.split_off(inline.min(files.len()));
    actions.extend(files);
    let names: Vec<Sidecar> = (0..sidecars.len().div_ceil(rows_per_batch))
        .map(|n| Sidecar { path: format!("{n}.parquet"), size_in_bytes: 1, modification_time: 1, tags: None })
        .collect();
    actions.extend(names.iter().cloned().map(Action::Sidecar));
    let mut replay = Replay::new();
    // As its file has it: bytes, and back.
    let actions = parse_commit(base.version, "x.checkpoint.json", &write_commit(&actions)).expect("a manifest");
    assert_eq!(replay.add_checkpoint_actions(&actions).expect("readable"), names);
    for part in sidecars.chunks(rows_per_batch) {
        assert!(replay.add_checkpoint_actions(part).expect("readable").is_empty());
    }
    for (version, actions) in commits.iter().enumerate().skip(base.version.get() as usize + 1) {
        replay.add_commit(v(version), actions).expect("a valid commit");
    }
    replay.finish(v(commits.len() - 1)).expect("a state")
}

/// The state rebuilt from the V2 checkpoint that a writer makes of `base`, and the commits after it.
fn from_v2(base: &TableState, rows_per_batch: usize, per_sidecar: usize, commits: &[Vec<Action>]) -> TableState {
    let now = TimestampMs(NOW);
    let mut parts = Vec::new();
    let mut batches = sidecar_batches(base, now, rows_per_batch, per_sidecar).expect("batches");
    while let Some(sidecar) = batches.next_sidecar() {
        let part: Vec<_> = sidecar.map(|batch| batch.expect("a batch")).collect();
        let rows: usize = part.iter().map(|batch| batch.num_rows()).sum();
        assert!((1..=per_sidecar).contains(&rows), "{rows} actions in a sidecar of {per_sidecar}");
        parts.push(part);
    }
    let names: Vec<Sidecar> = (0..parts.len())
        .map(|n| Sidecar { path: format!("{n}.parquet"), size_in_bytes: 1, modification_time: 1, tags: None })
        .collect();
    let bytes = write_commit(&manifest(base, now, &names));
    let actions = parse_commit(base.version, "x.checkpoint.json", &bytes).expect("a manifest");
    let mut replay = Replay::new();
    assert_eq!(replay.add_checkpoint_actions(&actions).expect("readable"), names);
    for batch in parts.iter().rev().flatten() {
        assert!(replay.add_checkpoint_batch(batch).expect("readable").is_empty());
    }
    for (version, actions) in commits.iter().enumerate().skip(base.version.get() as usize + 1) {
        replay.add_commit(v(version), actions).expect("a valid commit");
    }
    replay.finish(v(commits.len() - 1)).expect("a state")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kind_of_checkpoint_and_compacted_commits_give_the_same_state(
        plans in proptest::collection::vec(plan(), 1..14),
        cuts in any::<[prop::sample::Index; 3]>(),
        rows_per_batch in 1usize..20,
        inline in 0usize..10,
        seed in any::<u64>(),
    ) {
        let commits = commits(&plans, true);
        let state = from_zero(&commits);
        let mut cuts = cuts.map(|cut| cut.index(commits.len()));
        cuts.sort_unstable();
        let [cut, from, to] = cuts;
        let base = from_zero(&commits[..=cut]);

        // V1 in several parts, which a reader may take in any order.
        let mut parts: Vec<_> = checkpoint_batches(&base, TimestampMs(NOW), rows_per_batch).expect("batches").collect();
        let turn = (seed % parts.len() as u64) as usize;
        parts.rotate_left(turn);
        let mut replay = Replay::new();
        for part in parts {
            replay.add_checkpoint_batch(&part.expect("a batch")).expect("readable");
        }
        for (version, actions) in commits.iter().enumerate().skip(cut + 1) {
            replay.add_commit(v(version), actions).expect("a valid commit");
        }
        prop_assert_eq!(seen(&replay.finish(state.version).expect("a state")), seen(&state));

        prop_assert_eq!(seen(&from_manifest(&base, rows_per_batch, inline, &commits)), seen(&state));

        // V2 as it is written here, cut into sidecars.
        prop_assert_eq!(seen(&from_v2(&base, rows_per_batch, inline + 1, &commits)), seen(&state));

        // Compacted commits in the place of those they cover.
        let mut replay = Replay::new();
        for (version, actions) in commits.iter().enumerate().take(from) {
            replay.add_commit(v(version), actions).expect("a valid commit");
        }
        let bytes = write_commit(&compacted(&commits[from..=to]));
        if !bytes.is_empty() {
            replay.add_commit_bytes(v(to), "x.compacted.json", &bytes).expect("compacted commits");
        }
        for (version, actions) in commits.iter().enumerate().skip(to + 1) {
            replay.add_commit(v(version), actions).expect("a valid commit");
        }
        prop_assert_eq!(seen(&replay.finish(state.version).expect("a state")), seen(&state));
    }
}

#[test]
fn a_live_file_without_its_partition_values_is_refused() {
    let head = vec![Action::Protocol(protocol(2)), Action::Metadata(metadata(None, true))];
    let bare = |path: &str| Add { path: path.into(), size: 1, ..Add::default() };
    let whole = |path: &str| Add { partition_values: BTreeMap::from([("p".into(), None)]), ..bare(path) };
    let refused = |result: Result<TableState>| match result {
        Err(FormatError::CorruptLog { what, .. }) => what,
        other => panic!("expected a corrupt log, got {:?}", other.map(|state| state.version)),
    };
    let with = |add: Add| [head.clone(), vec![Action::Add(whole("b")), Action::Add(add)]].concat();
    let fold = |actions: &[Action]| {
        let mut replay = Replay::new();
        replay.add_commit_bytes(Version::ZERO, "0.json", &write_commit(actions))?;
        replay.finish(Version::ZERO)
    };
    assert!(refused(fold(&with(bare("a")))).contains("add of a names 0 partition values"));
    // Adds may stand before the metadata that names the columns.
    let mut turned = with(bare("a"));
    turned.reverse();
    assert!(refused(fold(&turned)).contains("add of a"));
    assert_eq!(fold(&with(whole("a"))).expect("null is a value").files.len(), 2);
    // A file that is gone again harms nobody.
    let base = fold(&with(whole("a"))).expect("a state");
    let gone = Action::Remove(Remove { path: "c".into(), ..Remove::default() });
    let commits = [(v(1), vec![Action::Add(bare("c"))]), (v(2), vec![gone])];
    assert!(refused(base.apply(&commits[..1])).contains("add of c"));
    assert_eq!(base.apply(&commits).expect("a state").files.len(), 2);
    // The same in a checkpoint.
    let mut replay = Replay::new();
    replay.add_checkpoint_actions(with(bare("a"))).expect("readable");
    assert!(refused(replay.finish(Version::ZERO)).contains("add of a"));
}

#[test]
fn bytes_are_judged_like_actions() {
    let mut head = write_commit(&[Action::Protocol(protocol(2)), Action::Metadata(metadata(None, true))]);
    let fold = |line: &str| {
        let mut replay = Replay::new();
        let mut bytes = head.clone();
        bytes.extend_from_slice(line.as_bytes());
        replay.add_commit_bytes(Version::ZERO, "0.json", &bytes)?;
        replay.finish(Version::ZERO)
    };
    // Escapes, unknown fields, nulls and absent fields.
    let state = fold(concat!(
        r#"{"add":{"path":"a\u0020b","size":1,"partitionValues":{"p":"1"},"stats":"{\"numRecords\":4}","new":{"x":[1]},"tags":null}}"#,
        "\r\n\n",
        r#" { "add" : {"path":"c","size":2,"partitionValues":{"p":null},"deletionVector":null} } "#,
    ))
    .expect("a state");
    assert_eq!(state.files.len(), 2);
    assert_eq!(state.files.find("a b").and_then(|f| f.num_records()), Some(4));
    for (line, at) in [
        (r#"{"add":{"path":"a","size":-1}}"#, 3),
        (r#"{"add":{"path":"","size":1}}"#, 3),
        (r#"{"add":{"path":"a"}}"#, 3),
        (r#"{"add":{"path":"a","size":1,"partitionValues":7}}"#, 3),
        (r#"{"add":{"path":"a","size":1"#, 3),
        ("{\"txn\":{\"appId\":\"a\",\"version\":1}}\n\n{\"remove\":{}}", 5),
    ] {
        let error = fold(line).expect_err(line);
        assert!(matches!(error, FormatError::CorruptLog { line: Some(found), .. } if found == at), "{error}");
    }
    let twice = "{\"add\":{\"path\":\"a\",\"size\":1}}\n{\"add\":{\"path\":\"a\",\"size\":1}}";
    assert!(matches!(fold(twice), Err(FormatError::CorruptLog { .. })));
    head.clear();
    assert!(matches!(
        Replay::new().add_commit_bytes(Version::ZERO, "0.json", &head),
        Err(FormatError::CorruptLog { .. })
    ));
}

#[test]
fn rows_of_a_checkpoint_do_not_come_after_commits() {
    let commits = commits(&[], true);
    let state = from_zero(&commits);
    let batch = checkpoint_batches(&state, TimestampMs(NOW), 10).expect("batches").next().expect("one").expect("good");
    let mut replay = Replay::new();
    replay.add_commit(Version::ZERO, &commits[0]).expect("applies");
    assert!(matches!(replay.add_checkpoint_batch(&batch), Err(FormatError::CorruptCheckpoint { .. })));
}
