//! A file written front to back: one request while it is small, parts once it is not.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::future::{BoxFuture, poll_immediate};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::access::{Access, REQUEST_DEADLINE};
use crate::error::{Result, StorageError};

/// Files up to this size are one request.
const SINGLE_PUT_BYTES_MAX: usize = 16 << 20;

/// The size of all parts but the last. Some stores want them equal.
pub(crate) const PART_BYTES: usize = 8 << 20;

/// Parts on their way at the same time: together with [`PART_BYTES`] the bound on what an upload holds beyond its input.
const PARTS_IN_FLIGHT: usize = 4;

/// An object that appears whole when [`Upload::finish`] returns, and not at all otherwise.
///
/// Dropped before that, what was uploaded is taken back in the background, as far as the store answers.
pub(crate) struct Upload {
    access: Access,
    path: Path,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    size: u64,
    parts: Option<Parts>,
}

struct Parts {
    upload: Box<dyn MultipartUpload>,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<()>>>,
}

impl Upload {
    pub(crate) fn new(access: Access, path: Path) -> Self {
        Upload { access, path, waiting: VecDeque::new(), waiting_bytes: 0, size: 0, parts: None }
    }

    /// Bytes taken in so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the next bytes of the file. Waits while too much is on its way.
    ///
    /// # Errors
    /// The failures of the store; the upload is then taken back.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(bytes);
        let pushed = self.send_full_parts().await;
        self.or_abort(pushed).await
    }

    async fn send_full_parts(&mut self) -> Result<()> {
        if self.parts.is_none() {
            if self.waiting_bytes <= SINGLE_PUT_BYTES_MAX {
                return Ok(());
            }
            let request = self.access.location.store.put_multipart(&self.path);
            let upload = self.access.within("write", &self.path, request).await?;
            self.parts = Some(Parts { upload, in_flight: FuturesUnordered::new() });
        }
        while self.waiting_bytes >= PART_BYTES {
            self.send_part(PART_BYTES).await?;
        }
        Ok(())
    }

    /// Sends the next `length` bytes as a part, once there is room for it.
    async fn send_part(&mut self, length: usize) -> Result<()> {
        let payload = self.take(length);
        let Some(parts) = &mut self.parts else { return Ok(()) };
        while parts.in_flight.len() >= PARTS_IN_FLIGHT {
            parts.in_flight.next().await.transpose()?;
        }
        let part = parts.upload.put_part(payload);
        let (access, path) = (self.access.clone(), self.path.clone());
        parts.in_flight.push(async move { access.within("write", &path, part).await }.boxed());
        // Starts the new one and collects those that are done, without waiting for any.
        while let Some(Some(done)) = poll_immediate(parts.in_flight.next()).await {
            done?;
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> PutPayload {
        let mut taken = Vec::new();
        let mut missing = length.min(self.waiting_bytes);
        self.waiting_bytes -= missing;
        while missing > 0 {
            let Some(mut bytes) = self.waiting.pop_front() else { break };
            let part = bytes.split_to(missing.min(bytes.len()));
            missing -= part.len();
            taken.push(part);
            if !bytes.is_empty() {
                self.waiting.push_front(bytes);
            }
        }
        taken.into_iter().collect()
    }

    /// Completes the object and returns its size in bytes.
    ///
    /// # Errors
    /// The failures of the store; the upload is then taken back.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        let finished = self.complete().await;
        self.or_abort(finished).await?;
        self.parts = None;
        Ok(self.size)
    }

    async fn complete(&mut self) -> Result<()> {
        let rest = self.waiting_bytes;
        if self.parts.is_none() {
            let payload = self.take(rest);
            return self.access.put(&self.path, payload).await;
        }
        if rest > 0 {
            self.send_part(rest).await?;
        }
        let Some(parts) = &mut self.parts else { return Ok(()) };
        while let Some(done) = parts.in_flight.next().await {
            done?;
        }
        match self.access.within("write", &self.path, parts.upload.complete()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // The answer may be lost and the object complete: the name is ours alone, so its size decides.
                match self.access.head(&self.path).await {
                    Ok(meta) if meta.size == self.size => Ok(()),
                    _ => Err(error),
                }
            }
        }
    }

    async fn or_abort(&mut self, result: Result<()>) -> Result<()> {
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    /// Takes back what was uploaded, as far as the store answers.
    pub(crate) async fn abort(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        if let Some(Parts { mut upload, in_flight }) = self.parts.take() {
            drop(in_flight);
            // What stays behind is parts of no object, which stores are configured to expire.
            let _ = self.access.env.timeout(REQUEST_DEADLINE, upload.abort()).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(Parts { mut upload, in_flight }) = self.parts.take() {
            drop(in_flight);
            let env = self.access.env.clone();
            self.access.env.spawn(async move {
                let _ = env.timeout(REQUEST_DEADLINE, upload.abort()).await;
            });
        }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

/// The error for a file that could not be encoded.
pub(crate) fn encode_error(path: &str, error: &dyn std::fmt::Display) -> StorageError {
    StorageError::Encode { path: path.into(), what: error.to_string() }
}
