//! One object at a time, with a deadline, a length check and a typed error: what both stores are made of.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::env::Env;
use crate::error::{Result, StorageError};
use crate::location::Location;

/// How long one request may take, the store client's own retries included.
///
/// A store that neither answers nor fails would otherwise hold a query for ever.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(180);

/// A location and the environment to work in.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) location: Location,
    pub(crate) env: Env,
}

/// A body shorter or longer than the store announced.
struct WrongLength {
    found: u64,
    expected: u64,
}

impl Access {
    pub(crate) fn new(location: Location, env: Env) -> Self {
        Access { location, env }
    }

    /// The whole object.
    ///
    /// # Errors
    /// As [`StorageError`] says; [`StorageError::CorruptDataFile`] for a body that is twice not as long as announced;
    /// `LimitExceeded` above `limit` bytes, before the body is read.
    pub(crate) async fn get(&self, path: &Path, limit: u64) -> Result<Bytes> {
        Ok(self.get_checked(path, GetOptions::default(), None, limit).await?.0)
    }

    /// A range of the object.
    pub(crate) async fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        Ok(self.get_range_and_size(path, range).await?.0)
    }

    /// A range of the object that is not empty, and the size of the whole object in bytes.
    pub(crate) async fn get_range_and_size(&self, path: &Path, range: Range<u64>) -> Result<(Bytes, u64)> {
        let expected = range.end.saturating_sub(range.start);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        self.get_checked(path, options, Some(expected), u64::MAX).await
    }

    async fn get_checked(
        &self,
        path: &Path,
        options: GetOptions,
        length: Option<u64>,
        limit: u64,
    ) -> Result<(Bytes, u64)> {
        // A connection that ends early gives a short body and, with some stores, no error: one more try tells a bad
        // connection from a bad object.
        let mut tries_left = 2;
        loop {
            tries_left -= 1;
            let read = async {
                let result = self.location.store.get_opts(path, options.clone()).await?;
                if result.meta.size > limit {
                    return Ok(Err(StorageError::Format(floe_table_format::FormatError::LimitExceeded {
                        which: format!("size of {path}"),
                        found: result.meta.size,
                        limit,
                    })));
                }
                let size = result.meta.size;
                Ok(Ok(body(result, length).await?.map(|bytes| (bytes, size))))
            };
            match self.within("read", path, read).await?? {
                Ok(read) => return Ok(read),
                Err(_) if tries_left > 0 => {}
                Err(WrongLength { found, expected }) => {
                    let what = format!("the store announced {expected} bytes and sent {found}");
                    return Err(StorageError::corrupt_file(path.as_ref(), what));
                }
            }
        }
    }

    /// Several ranges of one object; the store may fetch neighbours in one request.
    pub(crate) async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = self.within("read", path, self.location.store.get_ranges(path, ranges)).await?;
        let right = |(part, range): (&Bytes, &Range<u64>)| part.len() as u64 == range.end.saturating_sub(range.start);
        if parts.len() == ranges.len() && parts.iter().zip(ranges).all(right) {
            return Ok(parts);
        }
        // Ask once more for each alone; a range that is short again is an error there.
        let mut again = Vec::with_capacity(ranges.len());
        for range in ranges {
            again.push(self.get_range(path, range.clone()).await?);
        }
        Ok(again)
    }

    pub(crate) async fn head(&self, path: &Path) -> Result<ObjectMeta> {
        self.within("look at", path, self.location.store.head(path)).await
    }

    /// Writes the object, replacing what is there.
    pub(crate) async fn put(&self, path: &Path, payload: PutPayload) -> Result<()> {
        self.within("write", path, self.location.store.put(path, payload)).await.map(drop)
    }

    /// Creates the object. Errors are those of the store, for the caller to sort by what they prove; none for a store that
    /// did not answer in time.
    pub(crate) async fn create(&self, path: &Path, payload: PutPayload) -> Option<object_store::Result<()>> {
        let options = PutOptions::from(PutMode::Create);
        let put = self.location.store.put_opts(path, payload, options);
        Some(self.env.timeout(REQUEST_DEADLINE, put).await?.map(drop))
    }

    /// Deletes the object. One that is not there counts as deleted.
    pub(crate) async fn delete(&self, path: &Path) -> Result<()> {
        match self.within("delete", path, self.location.store.delete(path)).await {
            Err(StorageError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Carries out a request within the deadline and translates its error.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        path: &Path,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        match self.env.timeout(REQUEST_DEADLINE, request).await {
            Some(result) => result.map_err(|error| self.location.error(operation, path.as_ref(), &error)),
            None => Err(StorageError::Timeout { operation, path: path.to_string(), after: REQUEST_DEADLINE }),
        }
    }
}

impl Access {
    /// The answers of a store that come one by one, each within the deadline. The first that does not come ends them.
    pub(crate) fn each_within<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &Path,
        answers: BoxStream<'static, object_store::Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let (access, path) = (self.clone(), path.clone());
        futures::stream::unfold(Some(answers), move |answers| {
            let (access, path) = (access.clone(), path.clone());
            async move {
                let mut answers = answers?;
                match access.env.timeout(REQUEST_DEADLINE, answers.next()).await {
                    Some(None) => None,
                    Some(Some(answer)) => {
                        let answer = answer.map_err(|error| access.location.error(operation, path.as_ref(), &error));
                        Some((answer, Some(answers)))
                    }
                    None => {
                        let (path, after) = (path.to_string(), REQUEST_DEADLINE);
                        Some((Err(StorageError::Timeout { operation, path, after }), None))
                    }
                }
            }
        })
        .boxed()
    }
}

async fn body(result: GetResult, length: Option<u64>) -> object_store::Result<Result<Bytes, WrongLength>> {
    let expected = length.unwrap_or(result.range.end.saturating_sub(result.range.start));
    let bytes = result.bytes().await?;
    let found = bytes.len() as u64;
    Ok(if found == expected { Ok(bytes) } else { Err(WrongLength { found, expected }) })
}
