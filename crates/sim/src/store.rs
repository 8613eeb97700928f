//! The store as one process sees it: latency, faults, and a seam for planted bugs.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::disk::{Applied, Disk, Object};
use crate::executor::{Executor, Process, lock};
use crate::fault::{Fault, Faults, Op};
use crate::rng::SimRng;
use crate::sabotage::Saboteur;

/// The name under which errors of the simulated store appear.
const STORE: &str = "Sim";
/// How long one leg of a request takes at most.
const LATENCY_US_MAX: u64 = 12_000;
/// How late a delayed request arrives at most.
const DELAY_US_MAX: u64 = 20_000_000;
/// How far a stale listing lies back at most.
const STALE_US_MAX: u64 = 3_000_000;

/// An [`ObjectStore`] over the shared [`Disk`], as seen by one process.
///
/// Every request waits a random time before and after it takes effect, so that requests of all processes interleave as
/// the seed wants, and may meet a [`Fault`].
#[derive(Clone)]
pub struct FaultStore(Arc<Inner>);

struct Inner {
    executor: Executor,
    process: Process,
    name: String,
    disk: Arc<Disk>,
    faults: Arc<Faults>,
    saboteur: Saboteur,
    rng: Mutex<SimRng>,
}

impl FaultStore {
    /// The store of the process `process`, which the trace calls `name`.
    pub fn new(
        executor: Executor,
        process: Process,
        name: impl Into<String>,
        disk: Arc<Disk>,
        faults: Arc<Faults>,
        saboteur: Saboteur,
        rng: SimRng,
    ) -> Self {
        FaultStore(Arc::new(Inner {
            executor,
            process,
            name: name.into(),
            disk,
            faults,
            saboteur,
            rng: Mutex::new(rng),
        }))
    }

    fn record(&self, what: fmt::Arguments<'_>) {
        self.0.executor.record(&self.0.name, what);
    }

    fn now_us(&self) -> u64 {
        self.0.executor.now_us()
    }

    fn below(&self, bound: u64) -> u64 {
        lock(&self.0.rng).below(bound)
    }

    /// Lets others proceed: one leg of a request's way.
    async fn travel(&self) {
        let micros = 50 + self.below(LATENCY_US_MAX);
        self.0.executor.sleep(Duration::from_micros(micros)).await;
    }

    /// The way of a request to the server, where it may meet its end.
    async fn arrive(&self, op: Op, path: &str) -> Result<Option<Fault>> {
        self.travel().await;
        let fault = self.0.faults.draw(&mut lock(&self.0.rng), op, path);
        if let Some(fault) = fault {
            self.record(format_args!("{op:?} {path} meets {fault:?}"));
        }
        match fault {
            Some(Fault::FailBefore) => Err(failed("connection reset by peer")),
            Some(Fault::Throttled) => Err(failed("Server returned non-2xx status code: 503 Slow Down")),
            Some(Fault::Hang) => {
                let seconds = 20 + self.below(280);
                self.0.executor.sleep(Duration::from_secs(seconds)).await;
                Err(failed("operation timed out"))
            }
            Some(Fault::CrashBefore) => self.crash().await,
            other => Ok(other),
        }
    }

    /// The process dies here: nothing after this ever runs.
    async fn crash<T>(&self) -> T {
        self.record(format_args!("dies"));
        self.0.executor.kill(self.0.process);
        std::future::pending().await
    }

    /// Something that happens at the server later, whatever becomes of this process.
    fn later(&self, what: impl FnOnce(&FaultStore) + Send + 'static) {
        let delay = Duration::from_micros(1000 + self.below(DELAY_US_MAX));
        let store = self.clone();
        self.0.executor.clone().spawn(Process::WORLD, async move {
            store.0.executor.sleep(delay).await;
            what(&store);
        });
    }

    fn apply_put(&self, path: &str, bytes: Bytes, create: bool) -> Applied {
        let applied = self.0.disk.put(path, bytes.clone(), create, self.now_us());
        self.record(format_args!(
            "{} {path} ({} bytes): {applied:?}",
            if create { "create" } else { "put" },
            bytes.len()
        ));
        applied
    }

    fn apply_delete(&self, path: &str) {
        let was_there = self.0.disk.delete(path, self.now_us());
        self.record(format_args!("delete {path}: {}", if was_there { "gone" } else { "was not there" }));
    }

    async fn put_bytes(&self, path: &str, bytes: Bytes, create: bool) -> Result<PutResult> {
        if self.0.saboteur.drops(path) {
            return Ok(put_result(0));
        }
        let op = if create { Op::Create } else { Op::Put };
        let bytes = self.0.saboteur.put(&self.0.disk, path, bytes, create);
        let answer = self.put_at_server(op, path, &bytes).await;
        if create {
            self.0.saboteur.created(&self.0.disk, path, &bytes, &answer, self.now_us());
        }
        answer
    }

    async fn put_at_server(&self, op: Op, path: &str, bytes: &Bytes) -> Result<PutResult> {
        let create = op == Op::Create;
        let fault = self.arrive(op, path).await?;
        if create && self.0.saboteur.checks_then_writes(path) {
            // The planted race: look first, write later.
            if self.0.disk.get(path).is_some() {
                return Err(exists(path));
            }
            self.travel().await;
            self.apply_put(path, bytes.clone(), false);
            return Ok(put_result(0));
        }
        if create && self.0.saboteur.loses_write(path) {
            return Ok(put_result(0));
        }
        match fault {
            Some(Fault::DelayedApply) => {
                let (path, bytes) = (path.to_owned(), bytes.clone());
                self.later(move |store| {
                    store.apply_put(&path, bytes, create);
                });
                self.travel().await;
                return Err(failed("operation timed out"));
            }
            Some(Fault::ConflictWithoutObject) => return Err(exists(path)),
            _ => {}
        }
        let applied = self.apply_put(path, bytes.clone(), create);
        match fault {
            Some(Fault::CrashAfter) => return self.crash().await,
            Some(Fault::FailAfter) => {
                self.travel().await;
                return Err(failed("connection reset by peer"));
            }
            Some(Fault::AlreadyExistsLie) => {
                self.travel().await;
                return Err(exists(path));
            }
            Some(Fault::Duplicated) => {
                let (path, bytes) = (path.to_owned(), bytes.clone());
                self.later(move |store| {
                    store.apply_put(&path, bytes, create);
                });
            }
            _ => {}
        }
        self.travel().await;
        match applied {
            Applied::Written(tag) => Ok(put_result(tag)),
            Applied::Exists => Err(exists(path)),
        }
    }

    async fn get_object(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let name = path.as_ref();
        let fault = self.arrive(Op::Get, name).await?;
        let found = self.0.disk.get(name);
        self.record(format_args!("get {name}: {}", if found.is_some() { "found" } else { "not found" }));
        self.travel().await;
        let Some(object) = found else { return Err(missing(name)) };
        let meta = self.meta(name, &object)?;
        options.check_preconditions(&meta)?;
        let bytes = self.0.saboteur.get(&self.0.disk, name, object.bytes);
        let meta = ObjectMeta { size: bytes.len() as u64, ..meta };
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|e| failed(&e.to_string()))?,
            None => 0..meta.size,
        };
        let mut body = bytes.slice(range.start as usize..range.end as usize);
        let mut end: Option<Error> = None;
        match fault {
            Some(Fault::ShortRead) => body.truncate(self.below(body.len() as u64) as usize),
            Some(Fault::BrokenBody) => {
                body.truncate(self.below(body.len() as u64) as usize);
                end = Some(failed("error reading a body from connection: unexpected end of file"));
            }
            Some(Fault::BitFlip) if !body.is_empty() => {
                let mut flipped = BytesMut::from(body.as_ref());
                let at = self.below(flipped.len() as u64) as usize;
                flipped[at] ^= 1 << self.below(8);
                body = flipped.freeze();
            }
            _ => {}
        }
        let chunks = [Some(Ok(body)), end.map(Err)].into_iter().flatten();
        let payload = GetResultPayload::Stream(stream::iter(chunks).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    fn meta(&self, name: &str, object: &Object) -> Result<ObjectMeta> {
        let modified_us = self.0.saboteur.modified_us(object.modified_us);
        Ok(ObjectMeta {
            location: Path::parse(name)?,
            last_modified: DateTime::<Utc>::from_timestamp_micros(modified_us as i64).unwrap_or_default(),
            size: object.bytes.len() as u64,
            e_tag: Some(object.tag.to_string()),
            version: None,
        })
    }

    async fn entries(&self, prefix: String, after: Option<String>) -> Result<Vec<Result<ObjectMeta>>> {
        let fault = self.arrive(Op::List, &prefix).await?;
        let mut listing = match fault {
            Some(Fault::StaleList) => {
                let lag = self.below(STALE_US_MAX);
                self.0.disk.list_as_of(&prefix, self.now_us().saturating_sub(lag))
            }
            _ => self.0.disk.list(&prefix),
        };
        if let Some(after) = after {
            listing.retain(|(name, _)| *name > after);
        }
        match fault {
            Some(Fault::ListHole) if !listing.is_empty() => {
                drop(listing.remove(self.below(listing.len() as u64) as usize))
            }
            Some(Fault::UntidyList) if !listing.is_empty() => {
                let again = listing[self.below(listing.len() as u64) as usize].clone();
                listing.push(again);
                for place in (1..listing.len()).rev() {
                    listing.swap(place, self.below(place as u64 + 1) as usize);
                }
            }
            _ => {}
        }
        self.record(format_args!("list {prefix}: {} names", listing.len()));
        self.travel().await;
        let mut entries: Vec<Result<ObjectMeta>> =
            listing.iter().map(|(name, object)| self.meta(name, object)).collect();
        if fault == Some(Fault::BrokenList) {
            entries.truncate(self.below(entries.len() as u64) as usize);
            entries.push(Err(failed("Server returned non-2xx status code: 500 Internal Server Error")));
        }
        Ok(entries)
    }

    fn listing(&self, prefix: Option<&Path>, after: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let prefix = folder(prefix);
        let after = after.map(|path| path.as_ref().to_owned());
        stream::once(async move { Ok::<_, Error>(stream::iter(store.entries(prefix, after).await?)) })
            .try_flatten()
            .boxed()
    }

    async fn delete_object(&self, path: &Path) -> Result<()> {
        let name = path.as_ref().to_owned();
        let fault = self.arrive(Op::Delete, &name).await?;
        if fault == Some(Fault::DelayedApply) {
            self.later(move |store| store.apply_delete(&name));
            self.travel().await;
            return Err(failed("operation timed out"));
        }
        self.apply_delete(&name);
        match fault {
            Some(Fault::CrashAfter) => return self.crash().await,
            Some(Fault::FailAfter) => {
                self.travel().await;
                return Err(failed("connection reset by peer"));
            }
            Some(Fault::Duplicated) => self.later(move |store| store.apply_delete(&name)),
            _ => {}
        }
        self.travel().await;
        Ok(())
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated store of {}", self.0.name)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(not_implemented("put with an expected version")),
        };
        self.put_bytes(location.as_ref(), payload.into(), create).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.arrive(Op::Put, location.as_ref()).await?;
        Ok(Box::new(Upload { store: self.clone(), path: location.as_ref().to_owned(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get_object(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |path| {
                let store = store.clone();
                async move {
                    let path = path?;
                    store.delete_object(&path).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = folder(prefix);
        let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        for entry in self.entries(folder.clone(), None).await? {
            let entry = entry?;
            match entry.location.as_ref()[folder.len()..].split_once('/') {
                None => found.objects.push(entry),
                Some((first, _)) => found.common_prefixes.push(Path::parse(format!("{folder}{first}"))?),
            }
        }
        found.common_prefixes.dedup();
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.get_object(from, GetOptions::default()).await?.bytes().await?;
        self.put_bytes(to.as_ref(), bytes, options.mode == CopyMode::Create).await.map(drop)
    }
}

/// A multipart upload: the object appears whole with `complete`, or not at all.
#[derive(Debug)]
struct Upload {
    store: FaultStore,
    path: String,
    parts: Vec<Arc<Mutex<Option<Bytes>>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let slot: Arc<Mutex<Option<Bytes>>> = Arc::default();
        self.parts.push(slot.clone());
        let (store, path) = (self.store.clone(), self.path.clone());
        async move {
            let fault = store.arrive(Op::Put, &path).await?;
            if matches!(fault, Some(Fault::DelayedApply | Fault::FailAfter)) {
                return Err(failed("connection reset by peer"));
            }
            *lock(&slot) = Some(data.into());
            store.travel().await;
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut whole = BytesMut::new();
        for part in &self.parts {
            let part = lock(part).clone();
            whole.extend_from_slice(&part.ok_or_else(|| failed("InvalidPart: a part was never uploaded"))?);
        }
        self.store.put_bytes(&self.path, whole.freeze(), false).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.arrive(Op::Delete, &self.path).await.map(drop)
    }
}

fn folder(prefix: Option<&Path>) -> String {
    match prefix.map(Path::as_ref) {
        None | Some("") => String::new(),
        Some(prefix) => format!("{prefix}/"),
    }
}

fn put_result(tag: u64) -> PutResult {
    PutResult { e_tag: Some(tag.to_string()), version: None }
}

fn failed(what: &str) -> Error {
    Error::Generic { store: STORE, source: what.to_owned().into() }
}

fn exists(path: &str) -> Error {
    Error::AlreadyExists { path: path.to_owned(), source: "the object exists".into() }
}

fn missing(path: &str) -> Error {
    Error::NotFound { path: path.to_owned(), source: "no such object".into() }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: STORE.into() }
}
