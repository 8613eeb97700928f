use super::*;
use crate::options::StorageOptions;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_file_system_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::open(folder.path().join("a table").to_str().unwrap(), &StorageOptions::new()).unwrap();
    check_store(location, Env::system()).await.unwrap();
}

#[test]
fn memory_conforms_without_a_tokio_runtime() {
    let location = Location::open("memory://conformance/warehouse/t", &StorageOptions::new()).unwrap();
    futures::executor::block_on(check_store(location, Env::system())).unwrap();
}
