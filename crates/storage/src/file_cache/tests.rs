use object_store::memory::InMemory;

use super::*;
use crate::counting::CountingStore;
use crate::data_store::DataStore;
use crate::env::Env;
use crate::location::Location;

const FILE: &str = "_floe/run";
const SIZE: u64 = 1 << 20;

/// A table's store across a network, and the disk of a machine.
struct World {
    far: CountingStore,
    disk: CountingStore,
}

impl World {
    fn new() -> World {
        let memory = || CountingStore::new(Arc::new(InMemory::new()));
        World { far: memory(), disk: memory() }
    }

    /// A table, opened by a process of its own that keeps up to so many bytes.
    fn open(&self, table: &str, bytes_max: u64) -> DataStore {
        let cache = FileCache::in_store(Arc::new(self.disk.clone()), Path::from("cache"), bytes_max);
        let far = Arc::new(self.far.clone());
        let location = Location::with_store(far, Path::from(table), format!("test:///{table}")).with_cache(cache);
        DataStore::new(location, Env::system())
    }

    fn requests(&self) -> u64 {
        self.far.counts().total()
    }

    async fn kept(&self) -> Vec<object_store::ObjectMeta> {
        self.disk.list(Some(&Path::from("cache"))).try_collect().await.unwrap()
    }
}

fn content(seed: u8, size: u64) -> Bytes {
    (0..size).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Vec<u8>>().into()
}

async fn look_up(store: &DataStore, file: &str, whole: &Bytes, times: u64) {
    for n in 0..times {
        let from = n * 4096 % (whole.len() as u64 - 4096);
        let piece = from..from + 4096;
        let parts = store.get_ranges_kept(file, whole.len() as u64, std::slice::from_ref(&piece)).await.unwrap();
        assert_eq!(parts, [whole.slice(from as usize..from as usize + 4096)]);
    }
}

#[tokio::test]
async fn a_file_is_fetched_whole_once_its_pieces_have_cost_as_much_and_by_one_process_for_all() {
    let world = World::new();
    let store = world.open("t", 1 << 30);
    let whole = content(1, SIZE);
    store.put(FILE, whole.clone()).await.unwrap();
    let before = world.requests();

    look_up(&store, FILE, &whole, 1).await;
    assert_eq!((world.requests() - before, world.kept().await.len()), (1, 0));
    look_up(&store, FILE, &whole, 100).await;
    assert!(world.requests() - before <= 3, "{}", world.requests() - before);
    assert_eq!(world.kept().await.len(), 1);

    let other_process = world.open("t", 1 << 30);
    let before = world.requests();
    look_up(&other_process, FILE, &whole, 10).await;
    assert_eq!(world.requests(), before);

    // A file of the same name and size of another table is not taken for it.
    let other_table = world.open("u", 1 << 30);
    let others = content(2, SIZE);
    other_table.put(FILE, others.clone()).await.unwrap();
    look_up(&other_table, FILE, &others, 1).await;
}

#[tokio::test]
async fn what_is_cut_short_or_gone_here_is_read_from_the_store() {
    let world = World::new();
    let store = world.open("t", 1 << 30);
    let whole = content(1, SIZE);
    store.put(FILE, whole.clone()).await.unwrap();
    look_up(&store, FILE, &whole, 10).await;
    let kept = world.kept().await.remove(0).location;

    world.disk.put(&kept, PutPayload::from_bytes(whole.slice(..100))).await.unwrap();
    look_up(&store, FILE, &whole, 20).await;
    world.disk.delete(&world.kept().await.remove(0).location).await.unwrap();
    look_up(&store, FILE, &whole, 20).await;
    // Cut short by another process: it has the wrong size for a new one.
    world.disk.put(&kept, PutPayload::from_bytes(whole.slice(..100))).await.unwrap();
    look_up(&world.open("t", 1 << 30), FILE, &whole, 20).await;

    store.forget_kept(FILE).await;
    assert!(world.kept().await.is_empty());
}

#[tokio::test]
async fn the_folder_stays_in_its_bound_and_one_file_in_a_quarter_of_it() {
    let world = World::new();
    let bytes_max = 4 * SIZE;
    let store = world.open("t", bytes_max);
    for n in 0..6u8 {
        let (name, whole) = (format!("_floe/run-{n}"), content(n, SIZE));
        store.put(&name, whole.clone()).await.unwrap();
        look_up(&store, &name, &whole, 10).await;
        assert!(world.kept().await.iter().map(|file| file.size).sum::<u64>() <= bytes_max);
    }
    assert_eq!(world.kept().await.len(), 4);
    for n in 0..6u8 {
        look_up(&store, &format!("_floe/run-{n}"), &content(n, SIZE), 1).await;
    }

    let large = content(9, SIZE + 1);
    store.put("_floe/large", large.clone()).await.unwrap();
    look_up(&store, "_floe/large", &large, 20).await;
    assert!(world.kept().await.iter().all(|file| file.size <= SIZE));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_only_makes_it_slower() {
    let world = World::new();
    let full = FileCache::in_store(Arc::new(world.disk.clone()), Path::from("cache"), 0);
    let location = Location::with_store(Arc::new(world.far.clone()), Path::from("t"), "test:///t").with_cache(full);
    let store = DataStore::new(location, Env::system());
    let whole = content(1, SIZE);
    store.put(FILE, whole.clone()).await.unwrap();
    look_up(&store, FILE, &whole, 30).await;
    assert!(world.kept().await.is_empty());
}
