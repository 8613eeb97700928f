//! The local file system as an object store, made durable.
//!
//! `object_store` brings one along, which reads and lists for us. Its writes are not flushed to the disk before they are
//! acknowledged, so a commit could be lost, or be there with zero length, after a power failure. Writes are therefore done
//! here: the bytes go to a staging file beside their destination and are flushed, the file gets its name in one atomic
//! step, and the folder is flushed. Other readers skip staging files by their name, `name#digits`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::env::Env;

#[cfg(test)]
mod tests;

/// Deletions under way at the same time.
const DELETES_IN_FLIGHT: usize = 10;

/// The whole local file system, durable. Paths are absolute, without the leading slash.
#[derive(Debug, Clone)]
pub struct LocalStore {
    reader: LocalFileSystem,
    env: Env,
}

impl LocalStore {
    /// The file system of this machine.
    pub fn new() -> Self {
        LocalStore { reader: LocalFileSystem::new(), env: Env::system() }
    }

    /// The file a path stands for, checked to be one that may be written or deleted.
    fn target(&self, location: &Path) -> Result<PathBuf> {
        self.reader.path_to_filesystem(location)
    }
}

impl Default for LocalStore {
    fn default() -> Self {
        LocalStore::new()
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalStore")
    }
}

/// What went wrong on the disk, and what that says about the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Nothing happened to the destination.
    #[error("cannot {step} {}", .path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file has its name but may lose it, or its content, in a power failure.
    #[error("cannot flush the folder {}", .path.display())]
    NotDurable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file system cannot create a file under a name only if that name is free.
    #[error("the file system of {} has no hard links", .path.display())]
    NoHardLinks {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A folder on the way is a symbolic link, and would lead the write out of the table.
    #[error("{} is reached through a symbolic link, which writes do not follow", .path.display())]
    Symlink { path: PathBuf },
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Error {
        let LocalError::Io { path, source, .. } = &error else {
            return Error::Generic { store: "local", source: Box::new(error) };
        };
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound { path, source: Box::new(error) },
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: Box::new(error) },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::PermissionDenied { path, source: Box::new(error) }
            }
            _ => Error::Generic { store: "local", source: Box::new(error) },
        }
    }
}

fn failed(step: &'static str, path: &FsPath) -> impl FnOnce(io::Error) -> LocalError {
    move |source| LocalError::Io { step, path: path.to_owned(), source }
}

/// Runs file work where it does not hold up other tasks.
fn blocking<T, F>(work: F) -> impl Future<Output = Result<T>> + Send + 'static
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let running = crate::env::blocking(work);
    async move { running.await? }
}

/// Refuses a destination whose folder is reached through a symbolic link. Locations are resolved when they are opened, so
/// a link further down was put there by somebody and may lead anywhere.
fn refuse_symlinks(folder: &FsPath) -> Result<(), LocalError> {
    let mut existing = folder;
    loop {
        match existing.canonicalize() {
            Ok(real) if real == existing => return Ok(()),
            Ok(_) => return Err(LocalError::Symlink { path: folder.to_owned() }),
            Err(error) => match existing.parent() {
                Some(parent) if error.kind() == io::ErrorKind::NotFound => existing = parent,
                _ => return Err(failed("resolve", folder)(error)),
            },
        }
    }
}

fn folder_of(path: &FsPath) -> Result<&FsPath, LocalError> {
    path.parent().ok_or_else(|| failed("write", path)(io::ErrorKind::InvalidInput.into()))
}

/// Creates a folder and those above it, each durable in its parent.
fn create_folders(folder: &FsPath) -> Result<(), LocalError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder)?;
    create_folders(parent)?;
    match std::fs::create_dir(folder) {
        Ok(()) => flush_folder(parent).map_err(failed("flush the folder", parent)),
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("create the folder", folder)(error)),
    }
}

/// Makes names in a folder durable.
fn flush_folder(folder: &FsPath) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A file under a temporary name beside its destination. Dropping it removes it.
#[derive(Debug)]
struct Staging {
    file: File,
    path: PathBuf,
    destination: PathBuf,
    kept: bool,
}

impl Staging {
    fn create(destination: PathBuf, env: &Env) -> Result<Staging, LocalError> {
        let folder = folder_of(&destination)?;
        refuse_symlinks(folder)?;
        create_folders(folder)?;
        loop {
            let mut name = destination.as_os_str().to_owned();
            name.push(format!("#{}", env.random_u64()));
            let path = PathBuf::from(name);
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Staging { file, path, destination, kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
    }

    fn flush(&self) -> Result<(), LocalError> {
        self.file.sync_all().map_err(failed("flush", &self.path))
    }

    /// Gives the file its name, replacing what had it.
    fn replace(mut self) -> Result<(), LocalError> {
        self.flush()?;
        std::fs::rename(&self.path, &self.destination).map_err(failed("rename", &self.path))?;
        self.kept = true;
        self.flush_name()
    }

    /// Gives the file its name, unless something has it.
    fn create_only(mut self) -> Result<(), LocalError> {
        self.flush()?;
        if let Err(error) = std::fs::hard_link(&self.path, &self.destination) {
            // The answer of a network file system may have got lost after the link was made.
            if !self.is_linked() {
                return Err(self.link_failed(error));
            }
        }
        // Left behind it would only be clutter: the commit stands.
        let _ = std::fs::remove_file(&self.path);
        self.kept = true;
        self.flush_name()
    }

    fn link_failed(&self, source: io::Error) -> LocalError {
        const EPERM: i32 = 1;
        let path = self.destination.clone();
        match source.kind() {
            io::ErrorKind::Unsupported => LocalError::NoHardLinks { path, source },
            // The staging file could be created in this folder, so this is not about the user's rights.
            io::ErrorKind::PermissionDenied if source.raw_os_error() == Some(EPERM) => {
                LocalError::NoHardLinks { path, source }
            }
            _ => LocalError::Io { step: "create", path, source },
        }
    }

    #[cfg(unix)]
    fn is_linked(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let identity = |path: &FsPath| std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
        matches!((identity(&self.path), identity(&self.destination)), (Ok(a), Ok(b)) if a == b)
    }

    #[cfg(not(unix))]
    fn is_linked(&self) -> bool {
        false
    }

    fn flush_name(&self) -> Result<(), LocalError> {
        let folder = folder_of(&self.destination)?;
        flush_folder(folder).map_err(|source| LocalError::NotDurable { path: folder.to_owned(), source })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: readers skip it by its name and vacuum collects it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) || !options.attributes.is_empty() {
            let operation = "put with an expected version or with attributes".into();
            return Err(Error::NotImplemented { operation, implementer: self.to_string() });
        }
        let destination = self.target(location)?;
        let env = self.env.clone();
        blocking(move || {
            let mut staging = Staging::create(destination, &env)?;
            for part in payload.iter() {
                let written = staging.file.write_all(part);
                written.map_err(failed("write", &staging.path))?;
            }
            match options.mode {
                PutMode::Create => staging.create_only()?,
                _ => staging.replace()?,
            }
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            let operation = "put with attributes".into();
            return Err(Error::NotImplemented { operation, implementer: self.to_string() });
        }
        let destination = self.target(location)?;
        let env = self.env.clone();
        let staging = blocking(move || Ok(Staging::create(destination, &env)?)).await?;
        Ok(Box::new(LocalUpload { staging: Arc::new(Mutex::new(Some(staging))), offset: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reader.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reader.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let folders: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let store = self.clone();
        let seen = folders.clone();
        let deletions = locations
            .map(move |location| -> BoxFuture<'static, Result<Path>> {
                let path = match location.and_then(|location| Ok((store.target(&location)?, location))) {
                    Ok(path) => path,
                    Err(error) => return futures::future::ready(Err(error)).boxed(),
                };
                let seen = seen.clone();
                blocking(move || {
                    let (path, location) = path;
                    let folder = folder_of(&path)?;
                    refuse_symlinks(folder)?;
                    std::fs::remove_file(&path).map_err(failed("delete", &path))?;
                    seen.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
                    Ok(location)
                })
                .boxed()
            })
            .buffered(DELETES_IN_FLIGHT);
        // One flush for each folder at the end. A file that comes back after a power failure is still garbage, so a folder
        // that cannot be flushed is not worth an error.
        let flush = futures::stream::once(async move {
            let folders = std::mem::take(&mut *folders.lock().unwrap_or_else(PoisonError::into_inner));
            let flushed = blocking(move || {
                for folder in folders {
                    let _ = flush_folder(&folder);
                }
                Ok(())
            });
            let _ = flushed.await;
            None
        });
        deletions.map(Some).chain(flush).filter_map(futures::future::ready).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reader.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reader.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reader.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let destination = self.target(to)?;
        blocking(move || Ok(refuse_symlinks(folder_of(&destination)?)?)).await?;
        self.reader.copy_opts(from, to, options).await?;
        self.flush_folder_of(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let destination = self.target(to)?;
        blocking(move || Ok(refuse_symlinks(folder_of(&destination)?)?)).await?;
        self.reader.rename_opts(from, to, options).await?;
        self.flush_folder_of(to).await
    }
}

impl LocalStore {
    async fn flush_folder_of(&self, location: &Path) -> Result<()> {
        let path = self.target(location)?;
        blocking(move || {
            let folder = folder_of(&path)?;
            flush_folder(folder).map_err(|source| LocalError::NotDurable { path: folder.to_owned(), source }.into())
        })
        .await
    }
}

/// A file written part by part. It gets its name when it is complete; dropped before that, it is removed.
#[derive(Debug)]
struct LocalUpload {
    staging: Arc<Mutex<Option<Staging>>>,
    offset: u64,
}

fn gone(operation: &str) -> Error {
    Error::Generic { store: "local", source: format!("cannot {operation} an upload that has ended").into() }
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let staging = self.staging.clone();
        blocking(move || {
            use std::io::{Seek, SeekFrom};
            let mut guard = staging.lock().unwrap_or_else(PoisonError::into_inner);
            let Staging { file, path, .. } = guard.as_mut().ok_or_else(|| gone("write to"))?;
            file.seek(SeekFrom::Start(offset)).map_err(failed("seek in", path))?;
            for part in data.iter() {
                file.write_all(part).map_err(failed("write", path))?;
            }
            Ok(())
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staging = self.staging.clone();
        blocking(move || {
            let staging = staging.lock().unwrap_or_else(PoisonError::into_inner).take();
            staging.ok_or_else(|| gone("complete"))?.replace()?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let staging = self.staging.clone();
        blocking(move || {
            drop(staging.lock().unwrap_or_else(PoisonError::into_inner).take());
            Ok(())
        })
        .await
    }
}
