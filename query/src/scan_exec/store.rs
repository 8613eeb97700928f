//! A table's data files as an object store of their own.
//!
//! DataFusion finds files by store and path, and caches their footers by path alone. Two tables in different buckets may
//! well hold files of the same path, so every table gets a store of its own under a URL of its own, in which paths begin
//! with a scope that names the table.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::error::Result as DataFusionResult;
use floe_storage::Location;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::{Path, PathPart};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// The data files of one table, for reading.
pub(crate) struct ScopedStore {
    scope: PathPart<'static>,
    root: Path,
    uri: String,
    inner: Arc<dyn ObjectStore>,
}

impl ScopedStore {
    pub(crate) fn new(location: &Location) -> Self {
        ScopedStore {
            scope: PathPart::from(scope_of(location)),
            root: location.root.clone(),
            uri: location.uri.clone(),
            inner: location.store.clone(),
        }
    }

    /// The path under which this store knows a file of the table.
    ///
    /// # Errors
    /// A path that object stores do not accept, such as one with empty segments.
    pub(crate) fn path(location: &Location, relative: &str) -> Result<Path> {
        Path::parse(format!("{}/{relative}", scope_of(location))).map_err(Into::into)
    }

    fn outer(&self, path: &Path) -> Result<Path> {
        let mut parts = path.parts();
        match parts.next() {
            Some(first) if first == self.scope => Ok(self.root.parts().chain(parts).collect()),
            _ => Err(object_store::Error::NotFound {
                path: path.to_string(),
                source: format!("not a file of the table {}", self.uri).into(),
            }),
        }
    }

    fn refused(&self, what: &'static str) -> object_store::Error {
        object_store::Error::NotSupported { source: format!("a scan of {} does not {what}", self.uri).into() }
    }
}

/// The URL under which a table's store is registered: unique to the table's location.
pub(crate) fn url_of(location: &Location) -> DataFusionResult<ObjectStoreUrl> {
    ObjectStoreUrl::parse(format!("floe-{}://table/", scope_of(location)))
}

fn scope_of(location: &Location) -> String {
    let mut hasher = DefaultHasher::new();
    location.uri.hash(&mut hasher);
    location.root.as_ref().hash(&mut hasher);
    // Stores in memory of the same name are different stores.
    if matches!(location.kind, floe_storage::StoreKind::Memory | floe_storage::StoreKind::Other) {
        Arc::as_ptr(&location.store).cast::<()>().hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

impl fmt::Debug for ScopedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedStore").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl fmt::Display for ScopedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data files of {}", self.uri)
    }
}

#[async_trait]
impl ObjectStore for ScopedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(&self.outer(location)?, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(&self.outer(location)?, ranges).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(self.refused("write"))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(self.refused("write"))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let refused = self.refused("delete");
        futures::stream::once(async move { Err(refused) }).chain(locations.try_filter(|_| async { false })).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let refused = self.refused("list");
        futures::stream::once(async move { Err(refused) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(self.refused("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(self.refused("copy"))
    }
}
