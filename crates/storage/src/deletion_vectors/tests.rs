use std::sync::Arc;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::counting::CountingStore;
use crate::location::Location;

fn store() -> (DataStore, CountingStore) {
    let counting = CountingStore::new(Arc::new(InMemory::new()));
    let location = Location::with_store(Arc::new(counting.clone()), Path::from("t"), "test:///t");
    (DataStore::new(location, Env::system()), counting)
}

fn rows(step: u64, count: u64) -> RowSet {
    let mut rows = RowSet::new();
    (0..count).for_each(|n| {
        rows.insert(n * step);
    });
    rows
}

fn corrupt(error: &StorageError) -> bool {
    matches!(error, StorageError::Format(FormatError::CorruptDv { .. }))
}

#[tokio::test]
async fn sets_of_any_size_share_one_file_and_none_is_in_the_log() {
    let (store, counting) = store();
    let sets = [rows(1, 3), rows(1000, 500), rows(1, 1), rows(77, 900)];
    let descriptors = write_file(&store, store.env(), &sets).await.unwrap();
    assert_eq!(counting.counts().puts, 1);
    assert!(descriptors.iter().all(|descriptor| descriptor.storage_type == "u"));
    for (descriptor, rows) in descriptors.iter().zip(&sets) {
        assert_eq!(descriptor.cardinality as u64, rows.len());
        assert!(load(&store, descriptor).await.unwrap().iter().eq(rows.iter()));
    }
}

#[tokio::test]
async fn a_missing_cut_or_flipped_file_is_corruption() {
    let (store, _) = store();
    let descriptor = write_file(&store, store.env(), &[rows(1000, 500)]).await.unwrap().remove(0);
    let path = store.list_all().try_next().await.unwrap().unwrap().path;
    let whole = store.get(&path).await.unwrap();

    let mut flipped = whole.to_vec();
    flipped[20] ^= 1;
    for damaged in [Bytes::from(flipped), whole.slice(..whole.len() - 1), whole.slice(..3), Bytes::new()] {
        store.put(&path, damaged).await.unwrap();
        let error = load(&store, &descriptor).await.unwrap_err();
        assert!(corrupt(&error), "{error}");
    }
    store.delete_many(vec![path]).await.remove(0).unwrap();
    let error = load(&store, &descriptor).await.unwrap_err();
    assert!(corrupt(&error) && error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn a_vector_outside_the_table_is_refused() {
    let (store, _) = store();
    let descriptor = DeletionVectorDescriptor {
        storage_type: "p".into(),
        path_or_inline_dv: "file:///etc/passwd".into(),
        offset: Some(1),
        size_in_bytes: 40,
        cardinality: 1,
    };
    let error = load(&store, &descriptor).await.unwrap_err();
    assert!(matches!(error, StorageError::Format(FormatError::PathEscapesTable { .. })), "{error}");
}
