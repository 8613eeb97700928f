use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutResult, RenameOptions,
};

use super::*;
use crate::counting::CountingStore;

/// How a store gets put-if-absent wrong.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    /// As s3rver: the condition is ignored.
    Ignores,
    /// As moto: it looks first and writes then.
    LooksThenWrites,
    /// The request is refused as not implemented.
    Refuses,
}

#[derive(Debug)]
struct Flawed(InMemory, Flaw);

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flawed")
    }
}

#[async_trait]
impl ObjectStore for Flawed {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        if options.mode == PutMode::Create {
            match self.1 {
                Flaw::Ignores => {}
                Flaw::LooksThenWrites => {
                    let taken = self.0.head(path).await.is_ok();
                    yield_once().await;
                    if taken {
                        return Err(object_store::Error::AlreadyExists { path: path.to_string(), source: "".into() });
                    }
                }
                Flaw::Refuses => {
                    let source = "Server returned non-2xx status code: 501 Not Implemented: ".into();
                    return Err(object_store::Error::Generic { store: "S3", source });
                }
            }
        }
        self.0.put(path, payload).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.0.get_opts(path, options).await
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
        self.0.list(prefix)
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

/// Lets others go first, once.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn flawed(flaw: Flaw) -> Location {
    Location::with_store(Arc::new(Flawed(InMemory::new(), flaw)), Path::from("t"), "flawed:///t")
}

#[tokio::test]
async fn every_flaw_is_found() {
    for (flaw, words) in [
        (Flaw::Ignores, "ignores the condition"),
        (Flaw::LooksThenWrites, "were told they had won"),
        (Flaw::Refuses, "501"),
    ] {
        let error = require_conditional_put(&flawed(flaw), &Env::system()).await.unwrap_err();
        assert!(matches!(error, StorageError::StoreLacksConditionalPut { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_sound_store_is_tried_once_and_left_clean() {
    let counting = CountingStore::new(Arc::new(InMemory::new()));
    let location = Location::with_store(Arc::new(counting.clone()), Path::from("t"), "test:///t");
    require_conditional_put(&location, &Env::system()).await.unwrap();
    assert!(location.store.list(None).try_next().await.unwrap().is_none());
    let before = counting.counts();
    require_conditional_put(&location.clone(), &Env::system()).await.unwrap();
    assert_eq!(counting.counts(), before);
    let report = probe(&location, &Env::system()).await.unwrap();
    assert!(report.is_healthy(), "{report}");
}
