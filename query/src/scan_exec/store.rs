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
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// The data files of one table, for reading.
pub(crate) struct ScopedStore {
    scope: String,
    location: Location,
}

/// What is put behind the scope for the files that lie outside the table's root.
const OUTSIDE: &str = "-outside";

impl ScopedStore {
    pub(crate) fn new(location: &Location) -> Self {
        ScopedStore { scope: scope_of(location), location: location.clone() }
    }

    /// The path under which this store knows a file of the table, as [`TableRoot::decode`] gives it.
    ///
    /// # Errors
    /// A path that object stores do not accept, such as one with empty segments.
    ///
    /// [`TableRoot::decode`]: floe_table_format::path::TableRoot::decode
    pub(crate) fn path(location: &Location, decoded: &str) -> Result<Path> {
        let scope = scope_of(location);
        let path = match decoded.strip_prefix('/') {
            Some(outside) => format!("{scope}{OUTSIDE}/{outside}"),
            None => format!("{scope}/{decoded}"),
        };
        Path::parse(path).map_err(Into::into)
    }

    fn outer(&self, path: &Path) -> Result<Path> {
        let unknown = || object_store::Error::NotFound {
            path: path.to_string(),
            source: format!("not a file of the table {}", self.location.uri).into(),
        };
        let rest = path.as_ref().strip_prefix(self.scope.as_str()).ok_or_else(unknown)?;
        let decoded = match rest.strip_prefix(OUTSIDE) {
            Some(outside) => outside,
            None => rest.strip_prefix('/').ok_or_else(unknown)?,
        };
        self.location
            .readable(decoded)
            .map_err(|error| object_store::Error::Generic { store: "a table's files", source: Box::new(error) })
    }

    fn refused(&self, what: &'static str) -> object_store::Error {
        object_store::Error::NotSupported { source: format!("a scan of {} does not {what}", self.location.uri).into() }
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
        f.debug_struct("ScopedStore").field("uri", &self.location.uri).finish_non_exhaustive()
    }
}

impl fmt::Display for ScopedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data files of {}", self.location.uri)
    }
}

#[async_trait]
impl ObjectStore for ScopedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.location.store.get_opts(&self.outer(location)?, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.location.store.get_ranges(&self.outer(location)?, ranges).await
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
