use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutResult, RenameOptions,
};

use super::*;
use crate::env::Environment;

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Carried out, and the answer is lost.
    LostAnswer,
    /// Not carried out, and the answer does not say so.
    LostRequest,
    /// Refused for want of rights.
    Denied,
    /// No answer ever.
    Hang,
    /// The body ends early.
    Short,
}

/// A store that has a fault for each of the next requests.
#[derive(Debug)]
struct Faulty(InMemory, Mutex<VecDeque<Fault>>);

impl Faulty {
    async fn next(&self, path: &Path) -> object_store::Result<Option<Fault>> {
        let fault = self.1.lock().unwrap().pop_front();
        match fault {
            Some(Fault::Denied) => Err(Error::PermissionDenied { path: path.to_string(), source: "403".into() }),
            Some(Fault::LostRequest) => Err(reset()),
            Some(Fault::Hang) => std::future::pending().await,
            other => Ok(other),
        }
    }
}

fn reset() -> Error {
    Error::Generic { store: "test", source: "connection reset by peer".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let fault = self.next(path).await?;
        let result = self.0.put_opts(path, payload, options).await;
        if fault.is_some() { Err(reset()) } else { result }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let fault = self.next(path).await?;
        let mut result = self.0.get_opts(path, options).await?;
        if fault.is_some() {
            result.payload = GetResultPayload::Stream(futures::stream::empty().boxed());
        }
        Ok(result)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.0.get_ranges(path, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let fault = self.1.lock().unwrap().pop_front();
        match fault {
            Some(Fault::Hang) => futures::stream::pending().boxed(),
            Some(_) => {
                let denied = Error::PermissionDenied { path: "list".into(), source: "403".into() };
                futures::stream::once(async move { Err(denied) }).boxed()
            }
            None => self.0.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// An environment in which any wait is over at once.
struct Hasty;

impl Environment for Hasty {
    fn now(&self) -> TimestampMs {
        TimestampMs(0)
    }

    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }

    fn random_u64(&self) -> u64 {
        7
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        futures::executor::block_on(task);
    }
}

fn log(faults: impl IntoIterator<Item = Fault>) -> LogStore {
    let store = Faulty(InMemory::new(), Mutex::new(faults.into_iter().collect()));
    LogStore::new(Location::with_store(Arc::new(store), Path::from("t"), "test:///t"), Env::new(Hasty))
}

async fn put(log: &LogStore) -> Result<PutOutcome> {
    log.put_if_absent(Version::ZERO, Bytes::from_static(b"body")).await
}

#[tokio::test]
async fn a_lost_answer_is_an_unknown_outcome_and_the_version_tells() {
    for (fault, then) in [(Fault::LostAnswer, PutOutcome::Taken), (Fault::LostRequest, PutOutcome::Written)] {
        let log = log([fault]);
        let error = put(&log).await.unwrap_err();
        assert!(matches!(error, StorageError::UnknownOutcome { version: Version::ZERO, .. }), "{error}");
        assert!(!error.is_retryable(), "a blind retry could commit twice");
        assert_eq!(put(&log).await.unwrap(), then);
    }
}

#[tokio::test]
async fn a_store_that_never_answers_leaves_the_outcome_unknown() {
    let error = put(&log([Fault::Hang])).await.unwrap_err();
    assert!(matches!(error, StorageError::UnknownOutcome { .. }), "{error}");
    let error = log([Fault::Hang]).read("x").await.unwrap_err();
    assert!(matches!(error, StorageError::Timeout { .. }), "{error}");
    let error = log([Fault::Hang]).list(Version::ZERO).await.unwrap_err();
    assert!(matches!(error, StorageError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_is_neither_an_unknown_outcome_nor_an_empty_log() {
    let error = put(&log([Fault::Denied])).await.unwrap_err();
    assert!(matches!(error, StorageError::PermissionDenied { .. }), "{error}");
    let error = log([Fault::Denied]).list(Version::ZERO).await.unwrap_err();
    assert!(matches!(error, StorageError::PermissionDenied { .. }), "{error}");
    let error = log([Fault::Denied]).read_hint().await.unwrap_err();
    assert!(matches!(error, StorageError::PermissionDenied { .. }), "{error}");
}

#[tokio::test]
async fn a_short_body_is_asked_for_again_and_then_corrupt() {
    let once = log([]);
    assert_eq!(put(&once).await.unwrap(), PutOutcome::Written);
    let name = commit_name(Version::ZERO);
    let faults = |count| {
        let store = Faulty(InMemory::new(), Mutex::default());
        (store, std::iter::repeat_n(Fault::Short, count))
    };
    for (count, readable) in [(1, true), (2, false)] {
        let (store, short) = faults(count);
        store
            .0
            .put_opts(&Path::from(format!("t/_delta_log/{name}")), "body".into(), PutOptions::default())
            .await
            .unwrap();
        *store.1.lock().unwrap() = short.collect();
        let log = LogStore::new(Location::with_store(Arc::new(store), Path::from("t"), "test:///t"), Env::new(Hasty));
        let read = log.read(&name).await;
        match readable {
            true => assert_eq!(read.unwrap(), "body"),
            false => assert!(matches!(read, Err(StorageError::Format(FormatError::CorruptLog { .. }))), "{read:?}"),
        }
    }
}

#[tokio::test]
async fn a_garbled_hint_is_no_hint() {
    let log = log([]);
    log.write(LastCheckpointHint::NAME, Bytes::from_static(b"{garbage")).await.unwrap();
    assert!(log.read_hint().await.unwrap().is_none());
    log.write(LastCheckpointHint::NAME, Bytes::from_static(br#"{"version":3,"size":1}"#)).await.unwrap();
    assert_eq!(log.read_hint().await.unwrap().map(|hint| hint.version.get()), Some(3));
}

#[tokio::test]
async fn names_do_not_leave_the_log() {
    for bad in ["../x", "..", "a//b", ""] {
        assert!(matches!(log([]).read(bad).await, Err(StorageError::InvalidLocation { .. })), "{bad}");
    }
}
