//! Upserts, against a map from keys to rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use bytes::Bytes;
use floe_storage::object_store::memory::InMemory;
use floe_storage::object_store::{ObjectStore, ObjectStoreExt};
use floe_storage::{DataFileWriter, FileCache, Location, PutOutcome, WriterSettings};
use floe_table::{
    CommitOutcome, CreateTable, ErrorKind, OnDuplicate, OptimizeOptions, Table, TableError, UpsertReport,
};
use floe_table_format::commit::{Stamp, assemble};
use floe_table_format::{Add, ChangeSet, Operation, ReadSet, RowSet, TimestampMs, path::DataPath};
use floe_testkit::{Batch, rows};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use crate::world::{World, rows_now};

/// What a row of the model has beside its key: a time and two values.
type Values = (Option<i64>, Option<String>, Option<String>);
type Row = (i64, Values);

fn keyed() -> CreateTable {
    CreateTable::from_arrow(&batch(&[]).schema()).expect("a Delta schema").with_primary_key(["id"])
}

fn batch(rows: &[Row]) -> RecordBatch {
    Batch::new()
        .long("id", rows.iter().map(|row| row.0))
        .long("ts", rows.iter().map(|row| row.1.0))
        .text("a", rows.iter().map(|row| row.1.1.as_deref()))
        .text("b", rows.iter().map(|row| row.1.2.as_deref()))
        .build()
}

fn row(id: i64, ts: i64, a: &str, b: &str) -> Row {
    (id, (Some(ts), Some(a.to_owned()), Some(b.to_owned())))
}

fn printed(model: &BTreeMap<i64, Values>) -> Vec<String> {
    rows(&[batch(&model.iter().map(|(id, values)| (*id, values.clone())).collect::<Vec<_>>())])
}

async fn keys_of(table: &Table) -> Vec<String> {
    let snapshot = table.snapshot().await.expect("loaded");
    let batches: Vec<RecordBatch> =
        snapshot.scan().with_columns(["id"]).stream().await.expect("planned").try_collect().await.expect("read");
    rows(&batches)
}

fn counts(report: &UpsertReport) -> (u64, u64, u64, u64) {
    (report.rows_inserted, report.rows_updated, report.rows_deleted, report.rows_ignored)
}

/// A file that a writer without the key commits.
async fn append_like_another_engine(table: &Table, rows: &RecordBatch) {
    let snapshot = table.snapshot().await.expect("loaded");
    let state = snapshot.state();
    let relative = format!("foreign-{}.parquet", table.env().uuid());
    let mut writer =
        DataFileWriter::new(table.data_store(), &relative, rows.schema(), WriterSettings::default()).expect("a path");
    writer.write(rows).await.expect("written");
    let written = writer.finish().await.expect("written");
    let add = Add {
        path: DataPath::encode(&relative),
        size: written.size as i64,
        modification_time: 1,
        data_change: true,
        stats: Some(format!("{{\"numRecords\":{}}}", rows.num_rows())),
        ..Add::default()
    };
    let change = ChangeSet { adds: vec![add], ..ChangeSet::new(Operation::new("WRITE")) };
    let read = ReadSet { version: Some(state.version), ..ReadSet::default() };
    let stamp = Stamp { token: table.env().uuid().to_string(), now: TimestampMs(1) };
    let commit = assemble(&change, &read, Some(state), stamp).expect("a sound commit");
    let put = table.log_store().put_if_absent(commit.version, Bytes::from(commit.bytes)).await.expect("put");
    assert_eq!(put, PutOutcome::Written);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Overwrite,
    EventTime,
    Partial,
    PartialEventTime,
    FirstRow,
}

impl Mode {
    fn create(self) -> CreateTable {
        let create = keyed().with_property("floe.autoCompact", "false").with_property("floe.deleteMarker", "gone");
        match self {
            Mode::Overwrite => create,
            Mode::EventTime => create.with_property("floe.orderingFields", "ts"),
            Mode::Partial => create.with_property("floe.mergeMode", "partial"),
            Mode::PartialEventTime => {
                create.with_property("floe.mergeMode", "partial").with_property("floe.orderingFields", "ts")
            }
            Mode::FirstRow => create.with_property("floe.mergeMode", "firstRow"),
        }
    }

    /// What an upsert does to the model, one row after the other.
    fn apply(self, model: &mut BTreeMap<i64, Values>, new: &[(Row, bool)], with_b: bool) {
        // Of the rows of a key in one batch the latest counts, before it meets the table.
        let mut counting: BTreeMap<i64, (Values, bool)> = BTreeMap::new();
        for ((id, values), gone) in new {
            match counting.get(id) {
                Some(_) if self == Mode::FirstRow => continue,
                Some((known, _)) if self.orders() && values.0 < known.0 => continue,
                _ => drop(counting.insert(*id, (values.clone(), *gone))),
            }
        }
        for (id, (mut values, gone)) in counting {
            let old = model.get(&id).cloned();
            if let Some(old) = &old {
                if self.orders() && values.0 < old.0 {
                    continue;
                }
                if self == Mode::FirstRow && !gone {
                    continue;
                }
            }
            if gone {
                model.remove(&id);
                continue;
            }
            if !with_b {
                let keeps = matches!(self, Mode::Partial | Mode::PartialEventTime);
                values.2 = old.filter(|_| keeps).and_then(|old| old.2);
            }
            model.insert(id, values);
        }
    }

    fn orders(self) -> bool {
        matches!(self, Mode::EventTime | Mode::PartialEventTime)
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Rows, whether each deletes, whether column `b` is given.
    Upsert(Vec<(Row, bool)>, bool),
    DeleteKeys(Vec<i64>),
    Insert(Vec<Row>),
    /// Deletes rows with keys of a range by their positions, as DELETE does.
    DeleteRange(i64, i64),
    ForeignAppend(Vec<Row>),
    Optimize,
    BuildIndex,
    DropIndex,
    /// Flips a byte of, cuts, or removes an index file.
    Damage(u8, prop::sample::Index),
    Reopen,
    /// Goes on with the handle that was used before the last turn, which has not seen what came since.
    Turn,
    RestoreFirst,
}

fn new_row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![Just(None), "[a-c]{1,2}".prop_map(Some)];
    (0i64..24, prop_oneof![1 => Just(None), 6 => (0i64..12).prop_map(Some)], text.clone(), text)
        .prop_map(|(id, ts, a, b)| (id, (ts, a, b)))
}

fn op() -> impl Strategy<Value = Op> {
    let marked = (new_row(), prop::bool::weighted(0.15));
    prop_oneof![
        8 => (prop::collection::vec(marked, 0..12), any::<bool>()).prop_map(|(rows, with_b)| Op::Upsert(rows, with_b)),
        2 => prop::collection::vec(0i64..24, 0..5).prop_map(Op::DeleteKeys),
        2 => prop::collection::vec(new_row(), 1..4).prop_map(Op::Insert),
        1 => (0i64..24, 1i64..6).prop_map(|(from, width)| Op::DeleteRange(from, from + width)),
        1 => prop::collection::vec(new_row(), 1..4).prop_map(Op::ForeignAppend),
        1 => Just(Op::Optimize),
        2 => Just(Op::BuildIndex),
        1 => Just(Op::DropIndex),
        3 => (0u8..3, any::<prop::sample::Index>()).prop_map(|(how, at)| Op::Damage(how, at)),
        1 => Just(Op::Reopen),
        3 => Just(Op::Turn),
        1 => Just(Op::RestoreFirst),
    ]
}

async fn carry_out(world: &mut World, resting: &mut Table, mode: Mode, op: &Op, model: &mut BTreeMap<i64, Values>) {
    let table = world.table.clone();
    match op {
        Op::Upsert(new, with_b) => {
            let given: Vec<Row> = new.iter().map(|(row, _)| row.clone()).collect();
            let marks = BooleanArray::from(new.iter().map(|(_, gone)| *gone).collect::<Vec<_>>());
            let mut rows = batch(&given);
            if !with_b {
                rows = rows.project(&[0, 1, 2]).expect("three columns");
            }
            let mut columns: Vec<(String, arrow::array::ArrayRef)> = rows
                .schema()
                .fields()
                .iter()
                .zip(rows.columns())
                .map(|(field, column)| (field.name().clone(), column.clone()))
                .collect();
            columns.push(("gone".into(), std::sync::Arc::new(marks)));
            let rows = RecordBatch::try_from_iter(columns).expect("columns of one length");
            let before = model.clone();
            mode.apply(model, new, *with_b);
            let report = table.upsert(vec![rows]).await.expect("upserted");
            let inserted = model.keys().filter(|id| !before.contains_key(id)).count() as u64;
            let deleted = before.keys().filter(|id| !model.contains_key(id)).count() as u64;
            assert_eq!((report.rows_inserted, report.rows_deleted), (inserted, deleted), "{report:?}");
        }
        Op::DeleteKeys(ids) => {
            let before = model.len();
            model.retain(|id, _| !ids.contains(id));
            let keys = Batch::new().long("id", ids.clone()).build();
            let report = table.delete_keys(vec![keys]).await.expect("deleted");
            assert_eq!(report.rows_deleted as usize, before - model.len());
        }
        Op::Insert(new) => {
            let ids: std::collections::BTreeSet<i64> = new.iter().map(|(id, _)| *id).collect();
            let clash = ids.len() < new.len() || ids.iter().any(|id| model.contains_key(id));
            match table.append(vec![batch(new)]).await {
                Ok(_) => {
                    assert!(!clash, "a key came in twice");
                    model.extend(new.iter().cloned());
                }
                Err(TableError::DuplicateKey { in_table: false, key, .. }) => {
                    assert!(clash && key.starts_with("id = "), "{key}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        Op::DeleteRange(from, to) => {
            let ids: Vec<i64> = (*from..*to).collect();
            let snapshot = table.snapshot().await.expect("loaded");
            let transaction = crate::world::delete_ids(&table, &snapshot, &ids).await.expect("prepared");
            transaction.commit().await.expect("committed").committed().expect("alone");
            model.retain(|id, _| !ids.contains(id));
        }
        Op::ForeignAppend(new) => {
            let fresh: BTreeMap<i64, Values> = new.iter().filter(|(id, _)| !model.contains_key(id)).cloned().collect();
            if !fresh.is_empty() {
                append_like_another_engine(&table, &batch(&fresh.clone().into_iter().collect::<Vec<_>>())).await;
                model.extend(fresh);
            }
        }
        Op::Optimize => drop(table.optimize(OptimizeOptions::default()).await.expect("optimised")),
        Op::BuildIndex => {
            let status = table.build_index().await.expect("built");
            assert_eq!(status.files_covered, status.files_total, "{status:?}");
        }
        Op::DropIndex => drop(table.drop_index().await.expect("dropped")),
        Op::Damage(how, at) => {
            let files = table.data_store().list_folder("_floe/index").await.expect("listed");
            if files.is_empty() {
                return;
            }
            let file = &files[at.index(files.len())];
            let mut bytes = table.data_store().get(&file.path).await.expect("read").to_vec();
            let place = at.index(bytes.len());
            match how {
                // Where entries stand, or else most flips would hit the space behind them.
                0 => bytes[place % 480] ^= 1 << (place % 8),
                1 => bytes.truncate(place),
                _ => return drop(table.data_store().delete_many(vec![file.path.clone()]).await),
            }
            table.data_store().put(&file.path, Bytes::from(bytes)).await.expect("written");
        }
        Op::Reopen => world.table = world.other_handle().await,
        Op::Turn => std::mem::swap(&mut world.table, resting),
        Op::RestoreFirst => {
            let version = floe_table_format::Version::new(1).expect("small");
            if table.snapshot().await.expect("loaded").version() > version {
                table.restore(floe_table_format::VersionSpec::Version(version)).await.expect("restored");
                model.clear();
                model.insert(3, row(3, 1, "first", "row").1);
            }
        }
    }
}

fn check_history(mode: Mode, ops: &[Op]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(mode.create()).await;
        let mut model = BTreeMap::new();
        let first = row(3, 1, "first", "row");
        world.table.append(vec![batch(std::slice::from_ref(&first))]).await.expect("appended");
        model.insert(first.0, first.1);
        let mut resting = world.other_handle().await;
        for (number, op) in ops.iter().enumerate() {
            carry_out(&mut world, &mut resting, mode, op, &mut model).await;
            assert_eq!(rows_now(&world).await, printed(&model), "after operation {number}: {op:?}");
        }
        // A look-up finds each row, whatever has become of the index.
        let ids = Batch::new().long("id", 0..24i64).build();
        let found: Vec<RecordBatch> =
            world.table.get(&ids).await.expect("looked up").try_collect().await.expect("read");
        assert_eq!(rows(&found), printed(&model));
        let report = world.table.check().await.expect("checked");
        assert!(report.is_sound(), "{report:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn upserts_equal_a_map(
        mode in prop_oneof![
            Just(Mode::Overwrite), Just(Mode::EventTime), Just(Mode::Partial), Just(Mode::PartialEventTime),
            Just(Mode::FirstRow)
        ],
        ops in prop::collection::vec(op(), 1..14),
    ) {
        check_history(mode, &ops);
    }
}

#[tokio::test]
async fn an_upsert_replaces_rows_of_its_keys_and_inserts_the_others() {
    let world = World::new(keyed()).await;
    let report = world.table.upsert(vec![batch(&[row(1, 1, "a", "b"), row(2, 1, "c", "d")])]).await.expect("upserted");
    assert_eq!(counts(&report), (2, 0, 0, 0));
    let report = world.table.upsert(vec![batch(&[row(2, 2, "e", "f"), row(3, 2, "g", "h")])]).await.expect("upserted");
    assert_eq!(counts(&report), (1, 1, 0, 0));
    assert_eq!(rows_now(&world).await, ["1|1|a|b", "2|2|e|f", "3|2|g|h"]);
    let history = world.table.history(None).await.expect("read");
    assert_eq!(history[0].info.operation.as_deref(), Some("UPSERT"));
}

#[tokio::test]
async fn a_small_upsert_to_an_open_table_costs_three_puts_or_two_and_its_checksum() {
    for (inline, most) in [("false", 4), ("true", 3)] {
        let world = World::new(keyed().with_property("floe.inlineDeletionVectors", inline)).await;
        let rows: Vec<Row> = (0..500).map(|n| row(n, 1, "a", "b")).collect();
        world.table.append(vec![batch(&rows)]).await.expect("appended");
        world.table.upsert(vec![batch(&[row(2, 2, "e", "f")])]).await.expect("upserted");
        let before = world.store.counts();
        let rows = [row(2, 3, "g", "h"), row(7, 3, "g", "h"), row(900, 3, "g", "h")];
        world.table.upsert(vec![batch(&rows)]).await.expect("upserted");
        let spent = world.store.counts() - before;
        assert!(spent.total() == most && spent.puts == most, "rows, bitmaps, commit and checksum: {spent:?}");
    }
}

#[tokio::test]
async fn an_index_is_read_from_a_local_cache_which_may_be_damaged() {
    let world = World::new(keyed()).await;
    // Files over one another, so that statistics leave the look-ups to the index.
    for first in 0..8 {
        let part: Vec<Row> = (first..30_000).step_by(8).map(|n| row(n, 1, "a", "b")).collect();
        world.table.append(vec![batch(&part)]).await.expect("appended");
    }
    world.table.build_index().await.expect("built");
    let disk = Arc::new(InMemory::new());
    let open = || async {
        let cache = FileCache::in_store(disk.clone(), "cache".into(), 1 << 30);
        let location = Location::with_store(world.store.clone(), "t".into(), "memory:///t").with_cache(cache);
        let builder = Table::builder("memory:///t").with_location(location).with_index_from_rows(0);
        builder.open().await.expect("opened")
    };
    let look_up = |table: Table, id: i64| async move {
        let key = Batch::new().long("id", [id]).build();
        let found: Vec<RecordBatch> = table.get(&key).await.expect("looked up").try_collect().await.expect("read");
        assert_eq!(rows(&found), [format!("{id}|1|a|b")]);
    };
    let kept = || async {
        let kept: Vec<_> = disk.list(None).try_collect().await.expect("listed");
        kept.into_iter().map(|file| (file.location, file.size)).collect::<Vec<_>>()
    };
    let table = open().await;
    for id in (0..30_000).step_by(211) {
        look_up(table.clone(), id).await;
    }
    let files = kept().await;
    assert_eq!(files.len(), 1, "the run was asked for more often than it is large");
    for damage in 0..3 {
        for (path, size) in &files {
            let bytes = match damage {
                0 => vec![0xa5; *size as usize],
                1 => vec![],
                _ => b"short".to_vec(),
            };
            disk.put(path, bytes.into()).await.expect("written");
        }
        let fresh = open().await;
        for id in [0, 17, 29_999] {
            look_up(fresh.clone(), id).await;
        }
        fresh.upsert(vec![batch(&[row(17, 1, "a", "b")])]).await.expect("upserted");
    }
    assert_eq!(rows_now(&world).await.len(), 30_000);
    table.drop_index().await.expect("dropped");
    assert!(kept().await.is_empty(), "what is dropped is not kept");
}

#[tokio::test]
async fn a_key_that_comes_twice_is_refused_by_name() {
    let world = World::new(keyed()).await;
    world.table.append(vec![batch(&[row(1, 1, "a", "b")])]).await.expect("appended");
    for rows in [vec![row(1, 2, "c", "d")], vec![row(5, 2, "c", "d"), row(5, 3, "e", "f")]] {
        let id = rows[0].0;
        let error = world.table.append(vec![batch(&rows)]).await.expect_err("the key is taken");
        assert!(error.to_string().contains(&format!("the key id = {id} is there already")), "{error}");
        assert_eq!(error.kind(), ErrorKind::FixInput);
    }
    let nothing = Batch::new().long("id", [None]).build();
    let error = world.table.append(vec![nothing]).await.expect_err("no key");
    assert!(error.to_string().contains("NOT NULL id"), "{error}");
    assert_eq!(rows_now(&world).await, ["1|1|a|b"]);
}

#[tokio::test]
async fn creating_with_rows_and_replacing_guards_keys_too() {
    let rows_twice = vec![batch(&[row(1, 1, "a", "b"), row(1, 2, "c", "d")])];
    let store = std::sync::Arc::new(floe_storage::object_store::memory::InMemory::new());
    let builder = || {
        let location = floe_storage::Location::with_store(store.clone(), "t".into(), "memory:///t");
        Table::builder("memory:///t").with_location(location)
    };
    let stream = |rows: Vec<RecordBatch>| futures::StreamExt::boxed(futures::stream::iter(rows.into_iter().map(Ok)));
    let error = builder().create_with(keyed(), stream(rows_twice)).await.expect_err("twice");
    assert!(matches!(error, TableError::DuplicateKey { .. }), "{error}");
    let table = builder().create_with(keyed(), stream(vec![batch(&[row(1, 1, "a", "b")])])).await.expect("created");
    let replaced = keyed().with_if_exists(floe_table::IfExists::Replace);
    builder().create_with(replaced, stream(vec![batch(&[row(1, 9, "z", "z")])])).await.expect("replaced");
    assert_eq!(keys_of(&table).await, ["1"]);
}

#[tokio::test]
async fn two_writers_of_different_rows_of_one_file_both_win() {
    let world = World::new(keyed()).await;
    world
        .table
        .append(vec![batch(&(0..100).map(|n| row(n, 1, "a", "b")).collect::<Vec<_>>())])
        .await
        .expect("appended");
    let (one, other) = (world.other_handle().await, world.other_handle().await);
    // Both have seen the same version; the second one has to come on top of the first.
    let first = one.upsert(vec![batch(&[row(3, 2, "one", "b")])]).await.expect("upserted");
    let second =
        other.upsert(vec![batch(&[row(4, 2, "other", "b"), row(200, 2, "new", "b")])]).await.expect("upserted");
    assert_eq!((counts(&first), counts(&second)), ((0, 1, 0, 0), (1, 1, 0, 0)));
    let rows = rows_now(&world).await;
    assert_eq!(rows.len(), 101);
    assert!(rows.contains(&"3|2|one|b".to_owned()) && rows.contains(&"4|2|other|b".to_owned()));
}

#[tokio::test]
async fn the_loser_of_a_race_leaves_only_the_change_file_of_the_version_it_became() {
    let world = World::new(keyed().with_property("delta.enableChangeDataFeed", "true")).await;
    let rows: Vec<Row> = (0..100).map(|n| row(n, 1, "a", "b")).collect();
    world.table.append(vec![batch(&rows)]).await.expect("appended");
    let (one, other) = (world.other_handle().await, world.other_handle().await);
    one.upsert(vec![batch(&[row(3, 2, "one", "b")])]).await.expect("upserted");
    // It has not seen that version, writes its changes for it, loses, and becomes the next one.
    let before = world.store.counts();
    let report =
        other.upsert(vec![batch(&[row(3, 3, "other", "b"), row(4, 3, "other", "b")])]).await.expect("upserted");
    assert_eq!(report.version.map(|version| version.get()), Some(3));
    assert!((world.store.counts() - before).deletes > 0, "what was written for version 2 is taken away");
    let mut images = BTreeMap::new();
    for file in world.table.data_store().list_folder("_change_data").await.expect("listed") {
        let bytes = world.table.data_store().get(&file.path).await.expect("read");
        let read = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("Parquet");
        let batches: Vec<RecordBatch> = read.map(|batch| batch.expect("read")).collect();
        images.insert(floe_testkit::rows(&batches), file.path);
    }
    let seen: Vec<Vec<String>> = images.into_keys().collect();
    let first = ["3|1|a|b|update_preimage", "3|2|one|b|update_postimage"];
    let second = [
        "3|2|one|b|update_preimage",
        "3|3|other|b|update_postimage",
        "4|1|a|b|update_preimage",
        "4|3|other|b|update_postimage",
    ];
    assert_eq!(seen, [first.map(str::to_owned).to_vec(), second.map(str::to_owned).to_vec()]);
}

#[tokio::test]
async fn two_writers_of_one_new_key_leave_one_row() {
    let world = World::new(keyed()).await;
    world.table.append(vec![batch(&[row(0, 1, "a", "b")])]).await.expect("appended");
    let (one, other, third) = (world.other_handle().await, world.other_handle().await, world.other_handle().await);
    one.upsert(vec![batch(&[row(7, 2, "one", "b")])]).await.expect("upserted");
    let report = other.upsert(vec![batch(&[row(7, 3, "other", "b")])]).await.expect("upserted");
    assert_eq!(counts(&report), (0, 1, 0, 0), "the row of the winner was found");
    let error = third.append(vec![batch(&[row(7, 4, "third", "b")])]).await.expect_err("the key is taken by now");
    assert!(matches!(error, TableError::DuplicateKey { .. }), "{error}");
    assert_eq!(rows_now(&world).await, ["0|1|a|b", "7|3|other|b"]);
}

async fn files_there(world: &World) -> usize {
    world.table.data_store().list_all().try_collect::<Vec<_>>().await.expect("listed").len()
}

/// A handle that has not seen the newest version must not say of it that there is nothing to do, or that a key is taken.
#[tokio::test]
async fn what_comes_to_nothing_is_held_against_the_newest_version() {
    let world = World::new(keyed()).await;
    world.table.append(vec![batch(&[row(1, 1, "a", "b")])]).await.expect("appended");
    let [one, other, third] = [world.other_handle().await, world.other_handle().await, world.other_handle().await];
    world.table.upsert(vec![batch(&[row(6, 1, "a", "b")])]).await.expect("upserted");
    let key = |id: i64| vec![Batch::new().long("id", [id]).build()];
    assert_eq!(one.delete_keys(key(6)).await.expect("deleted").rows_deleted, 1, "a row that came meanwhile");
    world.table.delete_keys(key(1)).await.expect("deleted");
    other.append(vec![batch(&[row(1, 2, "c", "d")])]).await.expect("the key is free by now");
    let files = files_there(&world).await;
    let error = third.append(vec![batch(&[row(1, 3, "e", "f")])]).await.expect_err("and taken again");
    assert_eq!(files_there(&world).await, files, "nothing is left behind");
    assert!(matches!(error, TableError::DuplicateKey { in_table: false, .. }), "{error}");
    assert_eq!(rows_now(&world).await, ["1|2|c|d"]);
}

#[tokio::test]
async fn rows_that_would_lose_against_a_row_deleted_meanwhile_are_taken() {
    for (property, value) in [("floe.orderingFields", "ts"), ("floe.mergeMode", "firstRow")] {
        let world = World::new(keyed().with_property(property, value)).await;
        world.table.append(vec![batch(&[row(1, 9, "a", "b")])]).await.expect("appended");
        let other = world.other_handle().await;
        world.table.delete_keys(vec![Batch::new().long("id", [1]).build()]).await.expect("deleted");
        let report = other.upsert(vec![batch(&[row(1, 5, "c", "d")])]).await.expect("upserted");
        assert_eq!(counts(&report), (1, 0, 0, 0), "{property}");
        assert_eq!(rows_now(&world).await, ["1|5|c|d"], "{property}");
    }
}

#[tokio::test]
async fn late_rows_lose_against_a_writer_that_came_first() {
    let world = World::new(keyed().with_property("floe.orderingFields", "ts")).await;
    world.table.append(vec![batch(&[row(1, 1, "a", "b")])]).await.expect("appended");
    let (one, other) = (world.other_handle().await, world.other_handle().await);
    one.upsert(vec![batch(&[row(1, 9, "late", "b"), row(2, 9, "late", "b")])]).await.expect("upserted");
    // What this one computed from version 1 does not hold any more: it computes again.
    let report =
        other.upsert(vec![batch(&[row(1, 5, "early", "b"), row(2, 5, "early", "b"), row(3, 5, "x", "y")])]).await;
    assert_eq!(counts(&report.expect("upserted")), (1, 0, 0, 2));
    assert_eq!(rows_now(&world).await, ["1|9|late|b", "2|9|late|b", "3|5|x|y"]);
}

#[tokio::test]
async fn an_upsert_wins_over_a_compaction_of_its_files() {
    let world = World::new(keyed().with_property("floe.autoCompact", "false")).await;
    for n in 0..4 {
        world.table.append(vec![batch(&[row(n, 1, "a", "b"), row(n + 10, 1, "a", "b")])]).await.expect("appended");
    }
    let (writer, compactor) = (world.other_handle().await, world.other_handle().await);
    writer.snapshot().await.expect("loaded");
    let report = compactor.optimize(OptimizeOptions::default()).await.expect("optimised");
    assert_eq!(report.files_removed, 4);
    let report = writer.upsert(vec![batch(&[row(2, 2, "new", "b")])]).await.expect("upserted");
    assert_eq!(counts(&report), (0, 1, 0, 0));
    assert_eq!(rows_now(&world).await.len(), 8);
}

#[tokio::test]
async fn a_delete_by_position_follows_its_rows_into_a_compacted_file() {
    let world = World::new(keyed().with_property("floe.autoCompact", "false")).await;
    for n in 0..4 {
        world.table.append(vec![batch(&[row(n, 1, "a", "b"), row(n + 10, 1, "a", "b")])]).await.expect("appended");
    }
    let writer = world.other_handle().await;
    let snapshot = writer.snapshot().await.expect("loaded");
    let delete = crate::world::delete_ids(&writer, &snapshot, &[2, 13]).await.expect("prepared");
    let beaten = crate::world::delete_ids(&writer, &snapshot, &[2]).await.expect("prepared");
    world.table.optimize(OptimizeOptions::default()).await.expect("optimised");
    delete.commit().await.expect("committed").committed().expect("the rows were found again");
    assert_eq!(rows_now(&world).await.len(), 6);
    // What is gone by now is not found, and that is a conflict.
    assert!(matches!(beaten.commit().await.expect("settled"), CommitOutcome::Conflicted { .. }));
    assert_eq!(rows_now(&world).await.len(), 6);
}

#[tokio::test]
async fn a_key_doubled_by_another_engine_is_told_and_can_be_settled() {
    let world = World::new(keyed()).await;
    world.table.append(vec![batch(&[row(1, 1, "a", "b"), row(2, 1, "c", "d")])]).await.expect("appended");
    append_like_another_engine(&world.table, &batch(&[row(2, 7, "foreign", "f")])).await;
    let report = world.table.check().await.expect("checked");
    assert_eq!((report.repeated_keys_total, report.repeated_keys[0].key.as_str()), (1, "id = 2"));
    assert!(!report.is_sound());
    // Upserts of other keys go on, those that touch it fail and say why.
    world.table.upsert(vec![batch(&[row(1, 2, "e", "f")])]).await.expect("upserted");
    let error = world.table.upsert(vec![batch(&[row(2, 8, "g", "h")])]).await.expect_err("which row is it?");
    assert!(error.to_string().contains("id = 2 has several rows"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Repair);
    let settle = [("floe.duplicateKeys".to_owned(), "latest".to_owned())];
    world.table.set_properties(settle.into()).await.expect("set");
    let report = world.table.upsert(vec![batch(&[row(2, 8, "g", "h")])]).await.expect("upserted");
    assert_eq!(report.rows_updated, 2);
    assert_eq!(rows_now(&world).await, ["1|2|e|f", "2|8|g|h"]);
    assert!(world.table.check().await.expect("checked").is_sound());
}

#[tokio::test]
async fn a_key_is_declared_on_a_table_that_keeps_it_only() {
    let world = World::with_names().await;
    world.table.append(vec![crate::world::names(&[(1, "a"), (2, "b"), (2, "c")])]).await.expect("appended");
    let error = world.table.upsert(vec![crate::world::names(&[(1, "x")])]).await.expect_err("no key");
    assert!(error.to_string().contains("no primary key"), "{error}");
    let error = world.table.add_primary_key(vec!["id".into()]).await.expect_err("2 is there twice");
    assert!(error.to_string().contains("id = 2 has several rows"), "{error}");
    let error = world.table.add_primary_key(vec!["nam".into()]).await.expect_err("no such column");
    assert!(error.to_string().contains("did you mean name?"), "{error}");
    world.table.add_primary_key(vec!["id".into(), "name".into()]).await.expect("all pairs differ");
    world.table.append(vec![crate::world::names(&[(2, "b")])]).await.expect_err("the pair is taken");
    world.table.append(vec![crate::world::names(&[(2, "d")])]).await.expect("another pair");
    world.table.drop_primary_key(false).await.expect("dropped");
    world.table.append(vec![crate::world::names(&[(2, "b")])]).await.expect("no key, no guard");
}

#[tokio::test]
async fn tables_without_deletion_vectors_are_upserted_by_rewriting() {
    let world = World::new(keyed().with_property("delta.enableDeletionVectors", "false")).await;
    world.table.append(vec![batch(&(0..20).map(|n| row(n, 1, "a", "b")).collect::<Vec<_>>())]).await.expect("appended");
    for n in 0..4 {
        let report = world.table.upsert(vec![batch(&[row(n, 2, "new", "b"), row(30, n, "x", "y")])]).await;
        assert_eq!(report.expect("upserted").rows_updated, if n == 0 { 1 } else { 2 });
    }
    let (one, other) = (world.other_handle().await, world.other_handle().await);
    one.upsert(vec![batch(&[row(5, 3, "one", "b")])]).await.expect("upserted");
    other.upsert(vec![batch(&[row(6, 3, "other", "b")])]).await.expect("upserted");
    assert_eq!(rows_now(&world).await.len(), 21);
    assert!(world.table.check().await.expect("checked").is_sound());
}

#[tokio::test]
async fn batches_larger_than_memory_are_upserted_in_chunks_of_one_commit() {
    for (mode, expected) in [("overwrite", "9"), ("firstRow", "0")] {
        let world = World::new(keyed().with_property("floe.mergeMode", mode)).await;
        // Every chunk has the same keys: the last one, or the first one, counts.
        let chunks: Vec<RecordBatch> =
            (0..10).map(|chunk| batch(&(0..20_000).map(|n| row(n, chunk, "a", "b")).collect::<Vec<_>>())).collect();
        let rows = futures::StreamExt::boxed(futures::stream::iter(chunks.into_iter().map(Ok)));
        let options = floe_table::UpsertOptions { memory_limit: 3 << 20, ..Default::default() };
        let report = world.table.upsert_stream(rows, options).await.expect("upserted");
        assert_eq!((report.rows_inserted, report.rows_updated), (20_000, 0));
        assert_eq!(report.version.map(|v| v.get()), Some(1));
        let rows = rows_now(&world).await;
        assert_eq!(rows.len(), 20_000);
        assert!(rows.iter().all(|row| row.split('|').nth(1) == Some(expected)), "{mode}");
    }
}

#[tokio::test]
async fn later_chunks_see_what_earlier_ones_staged() {
    let create = keyed().with_property("floe.mergeMode", "partial").with_property("floe.orderingFields", "ts");
    let world = World::new(create).await;
    let chunk = |ts: i64, a: &str| batch(&(0..20_000).map(|n| row(n, ts, a, "b")).collect::<Vec<_>>());
    let chunks = [chunk(5, "x"), chunk(9, "y"), chunk(7, "z")].map(|rows| rows.project(&[0, 1, 2]).expect("columns"));
    let rows = futures::StreamExt::boxed(futures::stream::iter(chunks.map(Ok)));
    let options = floe_table::UpsertOptions { memory_limit: 3 << 20, ..Default::default() };
    let report = world.table.upsert_stream(rows, options).await.expect("upserted");
    assert_eq!((report.rows_inserted, report.rows_ignored), (20_000, 40_000));
    assert!(rows_now(&world).await.iter().all(|row| row.ends_with("|9|y|NULL")));
}

#[tokio::test]
async fn a_transaction_settles_its_own_keys() {
    let world = World::new(keyed()).await;
    world.table.append(vec![batch(&[row(1, 1, "a", "b"), row(2, 1, "c", "d")])]).await.expect("appended");
    let stream = |rows: Vec<Row>| futures::StreamExt::boxed(futures::stream::iter([Ok(batch(&rows))]));
    // An update as a program writes it: the old row out by its place, the new one in.
    let snapshot = world.table.snapshot().await.expect("loaded");
    let file = snapshot.scan().plan().expect("planned").files[0].log_path.clone();
    let mut update = world.table.begin_at(&snapshot, Operation::new("UPDATE")).expect("writable");
    update.delete_rows(&file, RowSet::from_iter([0]));
    update.stage_rows(stream(vec![row(1, 2, "e", "f")])).await.expect("staged");
    update.commit().await.expect("committed").committed().expect("alone");
    // The same with a key that another row has.
    let snapshot = world.table.snapshot().await.expect("loaded");
    let mut clash = world.table.begin_at(&snapshot, Operation::new("UPDATE")).expect("writable");
    clash.delete_rows(&file, RowSet::from_iter([1]));
    clash.stage_rows(stream(vec![row(1, 2, "g", "h")])).await.expect("staged");
    let error = clash.commit().await.expect_err("1 is taken");
    assert!(matches!(error, TableError::DuplicateKey { .. }), "{error}");
    let mut keep = world.table.begin_at(&snapshot, Operation::new("WRITE")).expect("writable");
    keep.on_duplicate(OnDuplicate::Keep).expect("there is a key");
    keep.stage_rows(stream(vec![row(1, 3, "i", "j"), row(5, 3, "k", "l")])).await.expect("staged");
    keep.commit().await.expect("committed").committed().expect("alone");
    assert_eq!(rows_now(&world).await, ["1|2|e|f", "2|1|c|d", "5|3|k|l"]);
}

#[tokio::test]
async fn a_hundred_upserts_leave_few_files() {
    let world = World::new(keyed()).await;
    world
        .table
        .append(vec![batch(&(0..500).map(|n| row(n, 0, "a", "b")).collect::<Vec<_>>())])
        .await
        .expect("appended");
    for n in 1..=100 {
        let rows: Vec<Row> = (0..5).map(|i| row((n * 37 + i * 101) % 520, n, "c", "d")).collect();
        world.table.upsert(vec![batch(&rows)]).await.expect("upserted");
    }
    let files = world.table.snapshot().await.expect("loaded").state().files.len();
    assert!(files < 40, "{files} files after a hundred upserts");
    let mut ids: std::collections::BTreeSet<i64> = (0..500).collect();
    ids.extend((1..=100).flat_map(|n| (0..5).map(move |i| (n * 37 + i * 101) % 520)));
    assert_eq!(rows_now(&world).await.len(), ids.len());
    assert!(world.table.check().await.expect("checked").is_sound());
}

fn stream(chunks: Vec<RecordBatch>) -> floe_table::BatchStream {
    futures::StreamExt::boxed(futures::stream::iter(chunks.into_iter().map(Ok)))
}

fn marked(rows: &[Row], gone: bool) -> RecordBatch {
    let plain = batch(rows).project(&[0, 1]).expect("two columns");
    let marks = std::sync::Arc::new(BooleanArray::from(vec![gone; rows.len()]));
    RecordBatch::try_from_iter([
        ("id", plain.column(0).clone()),
        ("ts", plain.column(1).clone()),
        ("gone", marks as arrow::array::ArrayRef),
    ])
    .expect("columns of one length")
}

#[tokio::test]
async fn a_key_that_comes_again_after_its_deletion_has_the_new_row() {
    let ids = |ids: &[i64]| batch(&ids.iter().map(|id| row(*id, 1, "first", "b")).collect::<Vec<_>>());
    for (mode, expected) in [("overwrite", "1|2|again|b"), ("firstRow", "1|2|again|b")] {
        let create = keyed().with_property("floe.mergeMode", mode).with_property("floe.deleteMarker", "gone");
        let world = World::new(create).await;
        world.table.append(vec![ids(&[1])]).await.expect("appended");
        // Other columns begin another chunk: inserted, deleted, inserted again.
        let chunks = vec![ids(&[1, 2]), marked(&[row(1, 1, "", "")], true), batch(&[row(1, 2, "again", "b")])];
        world.table.upsert_stream(stream(chunks), Default::default()).await.expect("upserted");
        assert_eq!(rows_now(&world).await, [expected, "2|1|first|b"], "{mode}");
    }
}

#[tokio::test]
async fn a_long_upsert_that_reads_old_rows_stands_beside_changes_of_other_keys() {
    let filler = |first: i64| -> Vec<Row> { (first..first + 70_000).map(|n| row(n, 5, "x", "y")).collect() };
    let options = || floe_table::UpsertOptions { memory_limit: 3 << 20, ..Default::default() };
    let chunks = || {
        let mut first = vec![row(7, 5, "late", "b")];
        first.extend(filler(1_000));
        vec![batch(&first), batch(&filler(100_000))]
    };
    // The other writer's rows lie between those of the upsert, so that statistics do not tell them apart.
    for (others, stands) in [
        (vec![row(90_000, 1, "c", "d")], true),
        (vec![row(1_500, 9, "c", "d")], false),
        (vec![row(7, 2, "c", "d")], false),
    ] {
        let world = World::new(keyed().with_property("floe.orderingFields", "ts")).await;
        world.table.append(vec![batch(&[row(7, 9, "a", "b")])]).await.expect("appended");
        let other = world.other_handle().await;
        // The row that was newer than the upsert's goes, and an older one takes its place.
        if others[0].0 == 7 {
            world.table.delete_keys(vec![Batch::new().long("id", [7]).build()]).await.expect("deleted");
        }
        world.table.append(vec![batch(&others)]).await.expect("appended");
        let upserted = other.upsert_stream(stream(chunks()), options()).await;
        match upserted {
            Ok(report) => {
                assert!(stands, "{others:?}");
                assert_eq!((report.rows_inserted, report.rows_ignored), (140_000, 1), "{report:?}");
                assert!(world.table.check().await.expect("checked").is_sound());
            }
            Err(error) => assert!(!stands && matches!(error, TableError::Conflict { .. }), "{others:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_late_row_of_a_later_chunk_does_not_bring_the_old_row_back() {
    let create = || keyed().with_property("floe.orderingFields", "ts").with_property("floe.deleteMarker", "gone");
    let filler = |first: i64, ts: i64| -> Vec<Row> { (first..first + 70_000).map(|n| row(n, ts, "x", "y")).collect() };
    let options = || floe_table::UpsertOptions { memory_limit: 3 << 20, ..Default::default() };

    let world = World::new(create()).await;
    world.table.append(vec![batch(&[row(7, 1, "a", "b")])]).await.expect("appended");
    let mut first = vec![row(7, 10, "new", "b")];
    first.extend(filler(1000, 5));
    let chunks = vec![batch(&first), batch(&[row(7, 5, "late", "b")])];
    // A third of the limit ends a chunk: the late row comes in one of its own.
    assert!(chunks[0].get_array_memory_size() > 1 << 20);
    world.table.upsert_stream(stream(chunks), options()).await.expect("upserted");
    let rows = rows_now(&world).await;
    assert_eq!(rows.iter().filter(|row| row.starts_with("7|")).collect::<Vec<_>>(), ["7|10|new|b"]);

    // The same with a deletion: what is older than it stays away, in this upsert.
    let world = World::new(create()).await;
    world.table.append(vec![batch(&[row(7, 1, "a", "b")])]).await.expect("appended");
    let mut first = vec![row(7, 10, "gone", "b")];
    first.extend(filler(1000, 10));
    let chunks = vec![marked(&first, true), marked(&[row(7, 5, "late", "b")], false)];
    let report = world.table.upsert_stream(stream(chunks), options()).await.expect("upserted");
    assert_eq!((report.rows_deleted, report.rows_inserted), (1, 0));
    assert!(rows_now(&world).await.is_empty());
}

#[tokio::test]
async fn batches_of_different_columns_are_upserted_as_each_says() {
    let create = keyed().with_property("floe.mergeMode", "partial").with_property("floe.deleteMarker", "gone");
    let world = World::new(create).await;
    world
        .table
        .append(vec![batch(&[row(1, 1, "a", "b"), row(2, 1, "c", "d"), row(3, 1, "e", "f")])])
        .await
        .expect("appended");
    let all = batch(&[row(1, 2, "A", "B")]);
    let some = batch(&[row(2, 2, "C", "")]).project(&[0, 1, 2]).expect("three columns");
    world.table.upsert(vec![all, some, marked(&[row(3, 2, "", "")], true)]).await.expect("upserted");
    assert_eq!(rows_now(&world).await, ["1|2|A|B", "2|2|C|d"]);
}

#[tokio::test]
async fn an_index_of_another_key_covers_nothing() {
    let world = World::new(keyed()).await;
    world.table.append(vec![batch(&[row(1, 10, "a", "b"), row(2, 20, "c", "d")])]).await.expect("appended");
    let keyed_by_id = world.table.snapshot().await.expect("loaded").version();
    world.table.drop_primary_key(false).await.expect("dropped");
    world.table.add_primary_key(vec!["ts".into()]).await.expect("all differ");
    world.table.build_index().await.expect("built");
    world.table.restore(floe_table_format::VersionSpec::Version(keyed_by_id)).await.expect("restored");
    let error = world.table.append(vec![batch(&[row(1, 30, "x", "y")])]).await.expect_err("1 is taken");
    assert!(matches!(error, TableError::DuplicateKey { .. }), "{error}");
}

#[tokio::test]
async fn a_delete_does_not_follow_a_row_that_another_writer_has_replaced() {
    let world = World::new(keyed().with_property("floe.autoCompact", "false")).await;
    world.table.append(vec![batch(&[row(1, 1, "open", "b"), row(2, 1, "open", "b")])]).await.expect("appended");
    let writer = world.other_handle().await;
    let snapshot = writer.snapshot().await.expect("loaded");
    let delete = crate::world::delete_ids(&writer, &snapshot, &[1]).await.expect("prepared");
    world.table.upsert(vec![batch(&[row(1, 2, "paid", "b")])]).await.expect("upserted");
    world.table.optimize(OptimizeOptions::default()).await.expect("optimised");
    assert!(matches!(delete.commit().await.expect("settled"), CommitOutcome::Conflicted { .. }));
    assert_eq!(rows_now(&world).await, ["1|2|paid|b", "2|1|open|b"]);
}
