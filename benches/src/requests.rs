//! Requests to the store: what appends, refreshes, upserts by key and look-ups of a key cost.
//!
//! In memory by default; an argument names a folder or a URI such as `s3://bucket/prefix` instead, for the times.

use std::sync::Arc;

use floe::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use floe::object_store::memory::InMemory;
use floe::{CreateTable, Env, Location, StorageOptions, Table};
use floe_storage::{CountingStore, RequestCounts, StoreKind};
use futures::TryStreamExt;

use crate::measure::BoxError;

/// Rows of the table with a key: enough for the index to be worth asking.
const KEYED_ROWS: i64 = 1_000_000;

/// The table written to, and what was asked of its store so far.
struct Watched {
    store: Arc<CountingStore>,
    location: Location,
    before: RequestCounts,
    began_ms: i64,
}

impl Watched {
    fn new(place: Option<&str>, table: &str) -> Result<Self, BoxError> {
        let opened = match place {
            None => Location::with_store(Arc::new(InMemory::new()), table.into(), format!("memory:///{table}"))
                .with_kind(StoreKind::Memory),
            Some(place) => {
                let uri = format!("{}/{table}-{}", place.trim_end_matches('/'), Env::system().uuid());
                Location::open(&uri, &StorageOptions::from_env())?
            }
        };
        let store = Arc::new(CountingStore::new(opened.store.clone()));
        let location = opened.map_store(|_| store.clone());
        let before = store.counts();
        Ok(Watched { store, location, before, began_ms: Env::system().now().0 })
    }

    fn builder(&self) -> floe::TableBuilder {
        Table::builder(self.location.uri.clone()).with_location(self.location.clone())
    }

    /// Starts counting anew.
    fn begin(&mut self) {
        (self.before, self.began_ms) = (self.store.counts(), Env::system().now().0);
    }

    /// Prints what was asked since the last report.
    fn report(&mut self, name: &str) {
        let new = self.store.counts() - self.before;
        let ms = Env::system().now().0 - self.began_ms;
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {ms} |",
            new.gets,
            new.heads,
            new.lists,
            new.puts,
            new.deletes,
            new.total()
        );
        self.begin();
    }
}

pub(crate) async fn run(place: Option<&str>) -> Result<(), BoxError> {
    println!("| operation | GET | HEAD | LIST | PUT | DELETE | all | ms |");
    println!("|---|---|---|---|---|---|---|---|");
    plain(place).await?;
    for inline in [false, true] {
        println!("\ninline deletion vectors: {inline}\n");
        keyed(place, inline).await?;
    }
    Ok(())
}

async fn plain(place: Option<&str>) -> Result<(), BoxError> {
    let mut watched = Watched::new(place, "plain")?;
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..1000)) as _)])?;
    let create = CreateTable::from_arrow(&batch.schema())?;
    let table = watched.builder().create(create).await?;
    watched.report("create");
    table.append(vec![batch.clone()]).await?;
    watched.report("append to an open table");
    table.append(vec![batch.clone()]).await?;
    watched.report("append to an open table, again");
    table.snapshot().await?;
    watched.report("refresh, nothing new");
    let other = watched.builder().open().await?;
    watched.report("open");
    other.append(vec![batch]).await?;
    watched.report("append by another handle");
    table.snapshot().await?;
    watched.report("refresh, one commit new");
    Ok(())
}

async fn keyed(place: Option<&str>, inline: bool) -> Result<(), BoxError> {
    let mut watched = Watched::new(place, "keyed")?;
    let rows = |ids: &mut dyn Iterator<Item = i64>, round: i64| {
        let ids: Vec<i64> = ids.collect();
        let texts =
            StringArray::from_iter_values(ids.iter().map(|id| format!("{:016}", (id + round) % 7919 * 104_729)));
        let (ids, texts): (ArrayRef, ArrayRef) = (Arc::new(Int64Array::from(ids)), Arc::new(texts));
        RecordBatch::try_from_iter([("id", ids), ("text", texts)])
    };
    let create = CreateTable::from_arrow(&rows(&mut (0..0), 0)?.schema())?.with_primary_key(["id"]);
    let create = create.with_property("floe.inlineDeletionVectors", inline.to_string());
    let table = watched.builder().create(create).await?;
    for file in 0..4 {
        let (first, end) = (file * KEYED_ROWS / 4, (file + 1) * KEYED_ROWS / 4);
        table.append(vec![rows(&mut (first..end), 0)?]).await?;
    }
    table.build_index().await?;
    let scattered = |round: i64| (0..100).map(move |n| (n * 9_973 + round * 31) % KEYED_ROWS);
    watched.begin();
    let table = watched.builder().open().await?;
    watched.report(&format!("open a table of {KEYED_ROWS} keys"));
    for what in ["upsert of 100 scattered keys, first", "upsert of 100 others", "upsert of 100 others"] {
        let round = 1 + watched.before.puts as i64;
        table.upsert(vec![rows(&mut scattered(round), round)?]).await?;
        watched.report(what);
    }
    for what in ["look-up of a key, first", "look-up of another key", "the same key again"] {
        let id = if what.ends_with("first") { 77 } else { KEYED_ROWS / 2 + 77 };
        let key = rows(&mut std::iter::once(id), 0)?.project(&[0])?;
        let found: Vec<RecordBatch> = table.get(&key).await?.try_collect().await?;
        if found.iter().map(RecordBatch::num_rows).sum::<usize>() != 1 {
            return Err(format!("key {id} was not found").into());
        }
        watched.report(what);
    }
    for round in 0..40 {
        table.upsert(vec![rows(&mut scattered(1000 + round), round)?]).await?;
    }
    watched.report("40 upserts of 100 others");
    let table = watched.builder().open().await?;
    table.snapshot().await?;
    watched.report("opened by another process");
    for n in 0..3 {
        table.upsert(vec![rows(&mut scattered(2000 + n), n)?]).await?;
        watched.report("upsert of 100 others");
    }
    Ok(())
}
