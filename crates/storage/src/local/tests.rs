use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;

/// A fresh folder and its path in the store.
fn folder() -> (tempfile::TempDir, Path) {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::from_absolute_path(folder.path().canonicalize().unwrap()).unwrap();
    (folder, path)
}

fn create() -> PutOptions {
    PutMode::Create.into()
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn create_wins_once_and_leaves_no_staging_file() {
    let (dir, root) = folder();
    let store = LocalStore::new();
    let path = root.clone().join("a");
    store.put_opts(&path, "first".into(), create()).await.unwrap();
    let error = store.put_opts(&path, "second".into(), create()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
    store.put(&path, "third".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "third");
    assert_eq!(names(&dir), ["a"]);
}

#[test]
fn works_without_a_tokio_runtime() {
    let (dir, root) = folder();
    let store = LocalStore::new();
    futures::executor::block_on(async {
        let path = root.clone().join("deep").join("er").join("a");
        store.put_opts(&path, "x".into(), create()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "x");
        store.delete(&path).await.unwrap();
    });
    assert_eq!(names(&dir), ["deep"]);
}

#[tokio::test]
async fn staging_files_of_crashed_writers_are_not_listed() {
    let (dir, root) = folder();
    std::fs::write(dir.path().join("a#123"), "torn").unwrap();
    std::fs::write(dir.path().join("b"), "whole").unwrap();
    let listed: Vec<ObjectMeta> = LocalStore::new().list(Some(&root)).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.location.filename().unwrap()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_multipart_file_appears_whole_or_not_at_all() {
    let (dir, root) = folder();
    let store = LocalStore::new();
    let path = root.clone().join("m");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let (second, first) = {
        let first = upload.put_part("hello ".into());
        (upload.put_part("world".into()), first)
    };
    second.await.unwrap();
    first.await.unwrap();
    assert!(!dir.path().join("m").exists());
    upload.complete().await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "hello world");

    let mut aborted = store.put_multipart(&root.clone().join("n")).await.unwrap();
    aborted.put_part("x".into()).await.unwrap();
    aborted.abort().await.unwrap();
    drop(store.put_multipart(&root.clone().join("o")).await.unwrap());
    assert_eq!(names(&dir), ["m"]);
}

#[tokio::test]
async fn deleting_reports_what_is_missing() {
    let (_dir, root) = folder();
    let store = LocalStore::new();
    store.put(&root.clone().join("a"), "x".into()).await.unwrap();
    let paths = ["a", "b"].map(|name| Ok(root.clone().join(name)));
    let results: Vec<Result<Path>> = store.delete_stream(futures::stream::iter(paths).boxed()).collect().await;
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(Error::NotFound { .. })));
    assert_eq!(results.len(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn writes_and_deletes_do_not_follow_symbolic_links_and_reads_do() {
    let (dir, root) = folder();
    let (outside, _) = folder();
    std::fs::write(outside.path().join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
    let store = LocalStore::new();
    let inside = |name: &str| root.clone().join("link").join(name);
    assert_eq!(store.get(&inside("precious")).await.unwrap().bytes().await.unwrap(), "x");
    assert!(store.put(&inside("new"), "x".into()).await.is_err());
    assert!(store.put_opts(&inside("sub/new"), "x".into(), create()).await.is_err());
    assert!(store.delete(&inside("precious")).await.is_err());
    assert_eq!(names(&outside), ["precious"]);
}

#[test]
fn a_refused_hard_link_is_told_apart_from_a_refused_user() {
    let (dir, _) = folder();
    let staging = Staging::create(dir.path().canonicalize().unwrap().join("a"), &Env::system()).unwrap();
    let eperm = staging.link_failed(io::Error::from_raw_os_error(1));
    assert!(matches!(eperm, LocalError::NoHardLinks { .. }), "{eperm}");
    let unsupported = staging.link_failed(io::ErrorKind::Unsupported.into());
    assert!(matches!(unsupported, LocalError::NoHardLinks { .. }), "{unsupported}");
    let full = staging.link_failed(io::ErrorKind::StorageFull.into());
    assert!(matches!(full, LocalError::Io { .. }), "{full}");
}

#[cfg(unix)]
#[test]
fn a_link_whose_answer_got_lost_is_recognised() {
    let (dir, _) = folder();
    let staging = Staging::create(dir.path().canonicalize().unwrap().join("a"), &Env::system()).unwrap();
    assert!(!staging.is_linked());
    std::fs::hard_link(&staging.path, &staging.destination).unwrap();
    assert!(staging.is_linked());
    staging.create_only().unwrap();
    assert_eq!(names(&dir), ["a"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_out_of_space_and_leaves_nothing_behind() {
    use crate::error::StorageError;
    use crate::options::Secrets;
    // Writes to /dev/full fail as on a full disk.
    let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let source = full.write_all(b"x").unwrap_err();
    let error = Error::from(LocalError::Io { step: "write", path: "t/a".into(), source });
    let error = StorageError::of_store("write", "file:///t", "a", &error, &Secrets::default());
    assert!(matches!(error, StorageError::OutOfSpace { .. }), "{error}");
}
