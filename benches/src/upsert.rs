//! Upserts by key into 10 and 100 million rows, and what reads cost afterwards.
//!
//! The data has twelve columns: `id` in load order, a time, a random 16-digit text `k`, four integers, two doubles, a text of
//! twelve values, a text of twenty letters and a boolean. A batch is 90% keys that are there and 10% new ones: *uniform* keys
//! are spread over the whole table, *recent* ones are drawn from the newest rows, twice as many as the batch has.
//!
//! Peers change copies of the same files: Sail with deletion vectors, deltalake with `streamed_exec=False`. All of a copy but
//! its log are hard links. Index maintenance is inside Floe's timed region.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use floe::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use floe::{CreateTable, Location, Session, SessionOptions, StorageOptions, Table};
use floe_storage::CountingStore;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::dml::copy_folder;
use crate::measure::{BoxError, Settings, Taken, floe_side, least_cpu, peer_side, print_table};

/// Rows of a batch in memory.
const BATCH_ROWS: u64 = 64 << 10;

/// A table of the workload.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    name: &'static str,
    rows: u64,
    files: u64,
}

pub(crate) const K10: Size = Size { name: "k10", rows: 10_000_000, files: 21 };
pub(crate) const K100: Size = Size { name: "k100", rows: 100_000_000, files: 50 };

struct Case {
    title: &'static str,
    size: Size,
    /// Rows of the batch.
    batch: u64,
    recent: bool,
    sail: bool,
    deltalake: bool,
    /// What the issue asks for at least: times less CPU than which peer.
    wanted: &'static [(&'static str, f64)],
}

const CASES: &[Case] = &[
    Case {
        title: "uniform 0.1% of 10M",
        size: K10,
        batch: 10_000,
        recent: false,
        sail: true,
        deltalake: true,
        wanted: &[("sail", 8.0)],
    },
    Case {
        title: "uniform 1% of 10M",
        size: K10,
        batch: 100_000,
        recent: false,
        sail: true,
        deltalake: true,
        wanted: &[("sail", 6.0)],
    },
    Case {
        title: "uniform 10% of 10M",
        size: K10,
        batch: 1_000_000,
        recent: false,
        sail: true,
        deltalake: true,
        wanted: &[("sail", 3.0)],
    },
    Case {
        title: "recent 0.1% of 10M",
        size: K10,
        batch: 10_000,
        recent: true,
        sail: false,
        deltalake: true,
        wanted: &[("deltalake", 5.0)],
    },
    Case {
        title: "recent 1% of 10M",
        size: K10,
        batch: 100_000,
        recent: true,
        sail: false,
        deltalake: true,
        wanted: &[("deltalake", 4.0)],
    },
];

const CASES_100M: &[Case] = &[Case {
    title: "uniform 0.1% of 100M",
    size: K100,
    batch: 100_000,
    recent: false,
    sail: true,
    deltalake: true,
    wanted: &[("sail", 15.0), ("deltalake", 40.0)],
}];

/// Everything on 10 million rows.
pub(crate) fn run(settings: &Settings) -> Result<(), BoxError> {
    prepare_all(settings, K10)?;
    for case in CASES {
        upserts(settings, case)?;
    }
    scans(settings)?;
    look_ups(settings)?;
    deletes(settings)?;
    row_of_upserts(settings)
}

/// The case on 100 million rows: 7 GB of data and some minutes a round.
pub(crate) fn run_100m(settings: &Settings) -> Result<(), BoxError> {
    prepare_all(settings, K100)?;
    CASES_100M.iter().try_for_each(|case| upserts(settings, case))
}

fn folder(settings: &Settings, size: Size) -> PathBuf {
    settings.data.join("upsert").join(size.name)
}

/// The tables of a size, made on first use: with the key `id`, with the key `k`, and one for peers without either.
fn prepare_all(settings: &Settings, size: Size) -> Result<(), BoxError> {
    let folder = folder(settings, size);
    let kinds: &[&str] =
        if size.rows > K10.rows { &["id", "peer", "vectors"] } else { &["id", "k", "peer", "vectors"] };
    for kind in kinds {
        if !folder.join(kind).join("_delta_log/ready").exists() {
            eprintln!("making table {kind} of {} rows in {}", size.rows, folder.display());
            let _ = std::fs::remove_dir_all(folder.join(kind));
            let taken = floe_side(&[&"prepare-upsert", &size.name, &kind, &folder.join(kind)])?;
            let written: u64 = taken.note["bytes"].as_u64().unwrap_or(0);
            println!(
                "load of {} rows, key {kind}: {:.1} s, {:.1} CPU-s, peak {:.0} MiB, {written} bytes",
                size.rows, taken.wall_s, taken.cpu_s, taken.peak_mib
            );
            std::fs::write(folder.join(kind).join("_delta_log/ready"), "")?;
        }
    }
    Ok(())
}

/// A copy of a table that may be changed: its files are hard links, its log is its own.
fn copy(settings: &Settings, size: Size, kind: &str) -> Result<PathBuf, BoxError> {
    let from = folder(settings, size).join(kind);
    let to = settings.scratch("upsert-copy")?;
    copy_folder(&from.join("_delta_log"), &to.join("_delta_log"))?;
    if from.join("_floe").exists() {
        copy_folder(&from.join("_floe"), &to.join("_floe"))?;
    }
    for entry in std::fs::read_dir(&from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::hard_link(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(to)
}

fn upserts(settings: &Settings, case: &Case) -> Result<(), BoxError> {
    let source = folder(settings, case.size).join(format!(
        "{}-{}.parquet",
        if case.recent { "recent" } else { "uniform" },
        case.batch
    ));
    if !source.exists() {
        write_batch(&source, case)?;
    }
    let python = settings.python()?;
    let (mut floe, mut sail, mut deltalake): (Vec<Taken>, Vec<Taken>, Vec<Taken>) = Default::default();
    for _ in 0..settings.rounds {
        floe.push(floe_side(&[&"upsert-floe", &copy(settings, case.size, "id")?, &source])?);
        if case.sail {
            sail.push(peer_side(&python, &[&"upsert-sail", &copy(settings, case.size, "vectors")?, &source])?);
        }
        if case.deltalake {
            deltalake.push(peer_side(&python, &[&"upsert-deltalake", &copy(settings, case.size, "peer")?, &source])?);
        }
    }
    let mut sides: Vec<(&str, &[Taken])> = vec![("floe", &floe)];
    if !sail.is_empty() {
        sides.push(("sail 0.7.2, deletion vectors", &sail));
    }
    if !deltalake.is_empty() {
        sides.push(("deltalake 1.6.6", &deltalake));
    }
    print_table(&format!("upsert, {}", case.title), &sides);
    for (peer, rounds) in [("sail", &sail), ("deltalake", &deltalake)] {
        if !rounds.is_empty() {
            let times = least_cpu(rounds) / least_cpu(&floe).max(0.01);
            let wanted = case.wanted.iter().find(|(name, _)| *name == peer).map(|(_, times)| *times);
            told(&format!("{} CPU vs {peer}", case.title), times, wanted);
        }
    }
    memory(case.title, &floe);
    Ok(())
}

fn told(what: &str, times: f64, wanted: Option<f64>) {
    let verdict = match wanted {
        Some(wanted) if times >= wanted => format!(", at least {wanted}x: reached"),
        Some(wanted) => format!(", at least {wanted}x: NOT reached"),
        None => String::new(),
    };
    println!("\n{what}: {times:.1}x less{verdict}");
}

fn memory(what: &str, rounds: &[Taken]) {
    let peak = rounds.iter().map(|taken| taken.peak_mib).fold(0.0, f64::max);
    let verdict = if peak <= 512.0 { "reached" } else { "NOT reached" };
    println!("{what}: peak memory {peak:.0} MiB, at most 512 MiB: {verdict}");
}

/// A scan of the table before and after an upsert of 1%.
fn scans(settings: &Settings) -> Result<(), BoxError> {
    let source = folder(settings, K10).join("uniform-100000.parquet");
    let clean = copy(settings, K10, "id")?;
    let before: Vec<Taken> =
        (0..settings.rounds + 2).map(|_| floe_side(&[&"scan-floe", &clean])).collect::<Result<_, _>>()?;
    floe_side(&[&"upsert-floe", &clean, &source])?;
    let after: Vec<Taken> =
        (0..settings.rounds + 2).map(|_| floe_side(&[&"scan-floe", &clean])).collect::<Result<_, _>>()?;
    print_table(
        "20 scans (count and sums of three columns) of 10M rows",
        &[("clean", &before), ("after an upsert of 1%", &after)],
    );
    let times = least_cpu(&after) / least_cpu(&before);
    println!(
        "\nscan after upsert vs clean: {times:.2}x the CPU, at most 1.1x: {}",
        if times <= 1.1 { "reached" } else { "NOT reached" }
    );
    Ok(())
}

/// Look-ups of one random text key at a time.
fn look_ups(settings: &Settings) -> Result<(), BoxError> {
    let python = settings.python()?;
    let (table, peer) = (folder(settings, K10).join("k"), folder(settings, K10).join("peer"));
    let (mut floe, mut deltalake): (Vec<Taken>, Vec<Taken>) = Default::default();
    for _ in 0..settings.rounds {
        floe.push(floe_side(&[&"get-floe", &table])?);
        deltalake.push(peer_side(&python, &[&"get-deltalake", &peer])?);
    }
    print_table(
        "look-ups of one random key in 10M rows (floe 200, deltalake 20)",
        &[("floe", &floe), ("deltalake 1.6.6", &deltalake)],
    );
    let times = (least_cpu(&deltalake) / 20.0) / (least_cpu(&floe).max(0.01) / 200.0);
    told("look-up of a random key, CPU vs deltalake", times, Some(50.0));
    memory("look-ups", &floe);
    Ok(())
}

/// A delete by predicate of some 100 rows in every file.
fn deletes(settings: &Settings) -> Result<(), BoxError> {
    let python = settings.python()?;
    let (mut floe, mut sail, mut deltalake): (Vec<Taken>, Vec<Taken>, Vec<Taken>) = Default::default();
    for _ in 0..settings.rounds {
        floe.push(floe_side(&[&"delete-k-floe", &copy(settings, K10, "id")?])?);
        sail.push(peer_side(&python, &[&"delete-sail", &copy(settings, K10, "vectors")?])?);
        deltalake.push(peer_side(&python, &[&"delete-deltalake", &copy(settings, K10, "peer")?])?);
    }
    print_table(
        "delete of 96 of 10M rows by predicate",
        &[("floe", &floe), ("sail 0.7.2, deletion vectors", &sail), ("deltalake 1.6.6", &deltalake)],
    );
    let least = |rounds: &[Taken]| rounds.iter().map(|taken| taken.wall_s).fold(f64::INFINITY, f64::min).max(0.001);
    told("delete, wall vs sail", least(&sail) / least(&floe), Some(1.0));
    told("delete, wall vs deltalake", least(&deltalake) / least(&floe), Some(60.0));
    memory("delete", &floe);
    Ok(())
}

/// A hundred upserts of 0.01% in a row, then a scan.
fn row_of_upserts(settings: &Settings) -> Result<(), BoxError> {
    let taken = floe_side(&[&"many-floe", &copy(settings, K10, "id")?])?;
    println!(
        "\n100 upserts of 0.01% of 10M in a row, in one process: {:.1} s, {:.1} CPU-s, peak {:.0} MiB",
        taken.wall_s, taken.cpu_s, taken.peak_mib
    );
    println!("{}", serde_json::to_string_pretty(&taken.note)?);
    memory("100 upserts", std::slice::from_ref(&taken));
    Ok(())
}

/// A number that looks random and is the same every time.
fn mixed(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn key_text(id: u64) -> String {
    format!("{:016x}", mixed(id))
}

/// Rows of these ids; `generation` changes the values.
fn rows(ids: &[u64], generation: u64) -> Result<RecordBatch, BoxError> {
    let at = |id: u64, column: u64| mixed(id.wrapping_mul(31).wrapping_add(column).wrapping_add(generation << 56));
    let long = |column: u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| at(*id, column) as i64 >> 20)))
    };
    let integer = |column: u64, below: u64| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(ids.iter().map(|id| (at(*id, column) % below) as i32)))
    };
    let double = |column: u64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(ids.iter().map(|id| at(*id, column) as f64 / 1e9)))
    };
    let times = ids.iter().map(|id| 1_700_000_000_000_000 + *id as i64 * 1000 + generation as i64);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| *id as i64)))),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("k", Arc::new(StringArray::from_iter_values(ids.iter().map(|id| key_text(*id))))),
        ("c1", integer(1, 1000)),
        ("c2", integer(2, 104_000)),
        ("c3", integer(3, 1 << 30)),
        ("n", long(4)),
        ("x", double(5)),
        ("y", double(6)),
        ("kind", Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("kind-{}", at(*id, 7) % 12))))),
        ("note", Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("{:020}", at(*id, 8)))))),
        ("flag", Arc::new(BooleanArray::from(ids.iter().map(|id| at(*id, 9) % 2 == 0).collect::<Vec<_>>()))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn write_batch(path: &Path, case: &Case) -> Result<(), BoxError> {
    let new = case.batch / 10;
    let old = case.batch - new;
    let span = if case.recent { 2 * case.batch } else { case.size.rows };
    let step = span / old;
    let existing = (0..old).map(|n| case.size.rows - span + n * step + mixed(n) % step);
    let mut ids: Vec<u64> = existing.chain(case.size.rows..case.size.rows + new).collect();
    ids.sort_by_key(|id| mixed(*id));
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path)?, rows(&[], 1)?.schema(), None)?;
    for ids in ids.chunks(BATCH_ROWS as usize) {
        writer.write(&rows(ids, 1)?)?;
    }
    writer.close()?;
    Ok(())
}

fn counted(folder: &Path) -> Result<(Arc<CountingStore>, Location), BoxError> {
    let opened = Location::open(&folder.to_string_lossy(), &StorageOptions::new())?;
    let store = Arc::new(CountingStore::new(opened.store.clone()));
    let location = Location::with_store(store.clone(), opened.root.clone(), opened.uri.clone()).with_kind(opened.kind);
    Ok((store, location))
}

async fn open(folder: &Path) -> Result<(Arc<CountingStore>, Table), BoxError> {
    let (store, location) = counted(folder)?;
    Ok((store, Table::builder(folder.to_string_lossy()).with_location(location).open().await?))
}

fn source_of(path: &Path) -> Result<floe::BatchStream, BoxError> {
    use futures::StreamExt;
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path)?)?
        .with_batch_size(BATCH_ROWS as usize)
        .build()?;
    let batches = reader.map(|batch| batch.map_err(|error| floe::TableError::Input(Box::new(error))));
    Ok(futures::stream::iter(batches).boxed())
}

/// Makes one of the tables, a file an append.
pub(crate) async fn prepare(size: Size, kind: &str, folder: PathBuf) -> Result<Value, BoxError> {
    let create = CreateTable::from_arrow(&rows(&[], 0)?.schema())?
        .with_property("delta.enableDeletionVectors", (kind != "peer").to_string());
    let create = match kind {
        "peer" | "vectors" => create,
        key => create.with_primary_key([key]).with_property("floe.autoCompact", "false"),
    };
    let table = Table::builder(folder.to_string_lossy()).create(create).await?;
    for file in 0..size.files {
        use futures::StreamExt;
        let (first, end) = (file * size.rows / size.files, (file + 1) * size.rows / size.files);
        let batches = (first..end).step_by(BATCH_ROWS as usize).map(move |start| {
            let ids: Vec<u64> = (start..end.min(start + BATCH_ROWS)).collect();
            rows(&ids, 0).map_err(floe::TableError::Input)
        });
        table.append_stream(futures::stream::iter(batches).boxed()).await?;
    }
    if matches!(kind, "id" | "k") {
        table.build_index().await?;
    }
    let state = table.snapshot().await?.state().clone();
    Ok(json!({"bytes": state.files.total_bytes(), "files": state.files.len()}))
}

pub(crate) async fn upsert(folder: PathBuf, source: PathBuf) -> Result<Value, BoxError> {
    let (store, table) = open(&folder).await?;
    let report = table.upsert_stream(source_of(&source)?, Default::default()).await?;
    let spent = store.counts();
    Ok(json!({
        "inserted": report.rows_inserted, "updated": report.rows_updated, "lookup": report.lookup.to_string(),
        "requests": spent.total(), "puts": spent.puts, "bytes_written": spent.bytes_written, "bytes_read": spent.bytes_read,
    }))
}

pub(crate) async fn scan(folder: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(folder.join("../unused-warehouse").to_string_lossy())).await?;
    let sql = format!("SELECT count(*), sum(n), sum(x), max(c3) FROM '{}'", folder.display());
    for _ in 0..20 {
        session.sql(&sql).await?.collect().await?;
    }
    Ok(Value::Null)
}

pub(crate) async fn get(folder: PathBuf) -> Result<Value, BoxError> {
    let (store, table) = open(&folder).await?;
    let snapshot = table.snapshot().await?;
    let before = store.counts();
    let mut found = 0;
    for n in 0..200u64 {
        let key = RecordBatch::try_from_iter([(
            "k",
            Arc::new(StringArray::from(vec![key_text(mixed(n) % K10.rows)])) as ArrayRef,
        )])?;
        let rows: Vec<RecordBatch> = snapshot.get(&key).await?.try_collect().await?;
        found += rows.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    if found != 200 {
        return Err(format!("{found} of 200 keys were found").into());
    }
    Ok(json!({"requests_each": (store.counts() - before).total() as f64 / 200.0}))
}

pub(crate) async fn delete(folder: PathBuf) -> Result<Value, BoxError> {
    let session = Session::open(SessionOptions::new(folder.join("../unused-warehouse").to_string_lossy())).await?;
    let began = floe::Env::system().now();
    let outcome = session.sql(&format!("DELETE FROM '{}' WHERE c2 = 777", folder.display())).await?;
    let ms = floe::Env::system().now().0 - began.0;
    Ok(json!({"ms": ms, "rows": outcome.done().and_then(|done| done.affected_rows)}))
}

pub(crate) async fn many(folder: PathBuf) -> Result<Value, BoxError> {
    let env = floe::Env::system();
    let (store, table) = open(&folder).await?;
    table.set_properties([("floe.autoCompact".to_owned(), "true".to_owned())].into()).await?;
    let mut lines = Vec::new();
    let (mut began, mut before) = (env.now(), store.counts());
    for round in 0..100u64 {
        let ids: Vec<u64> = (0..1000)
            .map(|n| match n % 10 {
                0 => K10.rows + round * 100 + n / 10,
                _ => mixed(round * 1000 + n) % K10.rows,
            })
            .collect();
        table.upsert(vec![rows(&ids, 2 + round % 50)?]).await?;
        if round % 20 == 19 {
            let spent = store.counts() - before;
            let state = table.snapshot().await?.state().clone();
            let log: u64 = std::fs::read_dir(folder.join("_delta_log"))?
                .map(|entry| Ok(entry?.metadata()?.len()))
                .sum::<std::io::Result<u64>>()?;
            lines.push(json!({
                "upserts": round + 1, "ms_each": (env.now().0 - began.0) as f64 / 20.0, "files": state.files.len(),
                "requests_each": spent.total() as f64 / 20.0, "bytes_written_each": spent.bytes_written / 20, "log_bytes": log,
            }));
            (began, before) = (env.now(), store.counts());
        }
    }
    Ok(json!(lines))
}
