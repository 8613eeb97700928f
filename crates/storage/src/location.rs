//! Where a table lies: a store and a folder in it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use floe_table_format::FormatError;
use floe_table_format::error::printable;
use floe_table_format::path::TableRoot;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::sync::OnceCell;
use url::Url;

use crate::error::{Result, StorageError};
use crate::file_cache::FileCache;
use crate::local::LocalStore;
use crate::options::{Secrets, StorageOptions, TRUSTED_ROOTS};

#[cfg(any(feature = "s3", feature = "azure", feature = "gcs"))]
mod cloud;

#[cfg(test)]
mod tests;

/// What kind of store a location is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// A file system.
    Local,
    /// This process's memory.
    Memory,
    /// S3 or a store that speaks its protocol.
    S3,
    /// Azure Blob Storage or ADLS.
    Azure,
    /// Google Cloud Storage.
    Gcs,
    /// A store the caller brought along.
    Other,
}

impl StoreKind {
    /// Whether every request goes across a network, and costs time and money for itself.
    pub fn is_remote(self) -> bool {
        matches!(self, StoreKind::S3 | StoreKind::Azure | StoreKind::Gcs)
    }
}

/// A folder in an object store. Cheap to clone.
#[derive(Clone)]
pub struct Location {
    /// Where this is, without credentials and without a slash at the end: `file:///data/t`, `s3://bucket/t`.
    pub uri: String,
    /// The store. Its `Debug` text may hold credentials: do not print it.
    pub store: Arc<dyn ObjectStore>,
    /// The folder in the store.
    pub root: Path,
    /// What kind of store it is.
    pub kind: StoreKind,
    secrets: Secrets,
    /// Folders in the store, beside this one, whose files may be read where a log names them.
    trusted: Vec<Path>,
    /// Where files of a store across a network are kept on this machine.
    pub(crate) cache: Option<FileCache>,
    /// Whether put-if-absent has to be tried before it is relied on, and the outcome once it was.
    conditional_put: Option<Arc<OnceCell<()>>>,
}

/// The stores behind `memory://name`, for as long as the process lives.
static MEMORY_STORES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

impl Location {
    /// The location that a URI or a path of the local file system names. Nothing is written, and nothing but the path's
    /// symbolic links is read.
    ///
    /// `s3://` and `s3a://`, `gs://`, `az://`, `abfs://` and `abfss://`, `file://` and plain paths, and `memory://name/…`:
    /// a store in this process's memory, the same one for all who use its name.
    ///
    /// # Errors
    /// [`StorageError::InvalidLocation`] for what is none of these, [`StorageError::FeatureDisabled`] for a store this
    /// build leaves out, [`StorageError::InvalidOption`] for an option that the store does not know.
    ///
    /// The option `floe_trusted_roots` names folders as [`Location::with_trusted_roots`] takes them, with commas between.
    pub fn open(uri: &str, options: &StorageOptions) -> Result<Location> {
        let roots = options.get(TRUSTED_ROOTS).unwrap_or_default().split(',');
        Location::named(uri, options)?.with_trusted_roots(roots.filter(|root| !root.trim().is_empty()))
    }

    fn named(uri: &str, options: &StorageOptions) -> Result<Location> {
        let uri = uri.trim();
        if uri.is_empty() {
            return Err(invalid("", "it is empty: give a path or a URI"));
        }
        if !uri.contains("://") {
            return Location::local(PathBuf::from(uri));
        }
        let parsed = Url::parse(uri).map_err(|error| invalid("the given URI", error.to_string()))?;
        let shown = without_credentials(&parsed);
        if parsed.password().is_some() {
            return Err(invalid(&shown, "credentials belong in the storage options and not in the URI"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(invalid(&shown, "it has a query or a fragment; settings belong in the storage options"));
        }
        match parsed.scheme() {
            "file" => {
                let path = parsed.to_file_path().map_err(|()| invalid(&shown, "it is not a path of this machine"))?;
                Location::local(path)
            }
            "memory" => {
                let name = parsed.host_str().unwrap_or_default().to_owned();
                let mut stores = MEMORY_STORES.lock().unwrap_or_else(PoisonError::into_inner);
                let store = stores.entry(name).or_default().clone();
                Location::parsed(store, &parsed, shown, StoreKind::Memory)
            }
            "s3" | "s3a" => Location::s3(&parsed, shown, options),
            "az" | "azure" | "abfs" | "abfss" | "adl" => Location::azure(&parsed, shown, options),
            "gs" => Location::gcs(&parsed, shown, options),
            other => {
                Err(invalid(&shown, format!("{other}:// is not known: use a path, file, s3, gs, az, abfss or memory")))
            }
        }
    }

    /// The location of a path of the local file system. Symbolic links are resolved as far as the path exists.
    fn local(path: PathBuf) -> Result<Location> {
        let shown = path.to_string_lossy().into_owned();
        let path = resolve(path).map_err(|error| invalid(&shown, error.to_string()))?;
        let url = Url::from_directory_path(&path).map_err(|()| invalid(&shown, "it is not an absolute path"))?;
        let uri = url.as_str().trim_end_matches('/').to_owned();
        let uri = if uri == "file:" { "file:///".to_owned() } else { uri };
        let root = Path::from_url_path(url.path()).map_err(|error| invalid(&shown, error.to_string()))?;
        Ok(Location::with_store(Arc::new(LocalStore::new()), root, uri).with_kind(StoreKind::Local))
    }

    fn parsed(store: Arc<dyn ObjectStore>, url: &Url, shown: String, kind: StoreKind) -> Result<Location> {
        let root = Path::from_url_path(url.path()).map_err(|error| invalid(&shown, error.to_string()))?;
        Ok(Location::with_store(store, root, shown.trim_end_matches('/')).with_kind(kind))
    }

    /// A folder in a store of one's own. Its kind is [`StoreKind::Other`]: see [`Location::with_kind`].
    pub fn with_store(store: Arc<dyn ObjectStore>, root: Path, uri: impl Into<String>) -> Location {
        Location {
            uri: uri.into(),
            store,
            root,
            kind: StoreKind::Other,
            secrets: Secrets::default(),
            trusted: Vec::new(),
            cache: None,
            conditional_put: Some(Arc::default()),
        }
    }

    /// Says what kind of store this is. Every kind but [`StoreKind::Other`] is trusted to have put-if-absent.
    pub fn with_kind(mut self, kind: StoreKind) -> Location {
        self.kind = kind;
        self.conditional_put = (kind == StoreKind::Other).then(Arc::default);
        self
    }

    /// Keeps files that never change, those of the record index, in this cache; [`Location::open`] gives the stores of the
    /// clouds one of their own.
    pub fn with_cache(mut self, cache: FileCache) -> Location {
        self.cache = Some(cache);
        self
    }

    /// Puts another store in front, for example one that counts: `wrap` gets the store that was there.
    pub fn map_store(mut self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Location {
        self.store = wrap(self.store);
        self
    }

    /// A folder below this one. `relative` is a decoded path.
    ///
    /// # Errors
    /// [`StorageError::InvalidLocation`] for a path that is not below this one.
    pub fn child(&self, relative: &str) -> Result<Location> {
        let relative = relative.trim_end_matches('/');
        let root = self.absolute(relative)?;
        if self.kind == StoreKind::Local {
            // The child may be a symbolic link, and writes do not follow those.
            let mut url = Url::parse(&self.uri).map_err(|error| invalid(&self.uri, error.to_string()))?;
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(relative.split('/').filter(|part| !part.is_empty()));
            }
            let path = url.to_file_path().map_err(|()| invalid(&self.uri, "it is not a path of this machine"))?;
            let resolved = Location::local(path)?;
            return Ok(Location { uri: resolved.uri, root: resolved.root, ..self.clone() });
        }
        let mut location = self.clone();
        location.uri = format!("{}/{}", self.uri.trim_end_matches('/'), relative);
        location.root = root;
        Ok(location)
    }

    /// Trusts folders: where the log of a table here names a file in one of them by its absolute path, as shallow clones do,
    /// the file is read. It is never written or deleted. Folders of other stores are passed over: nothing here can name them.
    ///
    /// # Errors
    /// What [`Location::open`] says of a folder.
    pub fn with_trusted_roots<S: AsRef<str>>(mut self, uris: impl IntoIterator<Item = S>) -> Result<Location> {
        let own = TableRoot::of(&self.uri);
        for uri in uris {
            let uri = uri.as_ref().trim();
            let uri = match uri.contains("://") {
                true => uri.trim_end_matches('/').to_owned(),
                false => Location::local(PathBuf::from(uri))?.uri,
            };
            let Ok(folder) = own.decode(&uri) else { continue };
            let folder = match TableRoot::is_outside(&folder) {
                true => Path::parse(&folder[1..]).map_err(|error| invalid(&uri, error.to_string()))?,
                false => self.absolute(&folder)?,
            };
            self.trusted.push(folder);
        }
        Ok(self)
    }

    /// Trusts the folder of another location in the same store: see [`Location::with_trusted_roots`].
    pub fn with_trusted(mut self, other: &Location) -> Location {
        self.trusted.push(other.root.clone());
        self
    }

    /// The path in the store of a path that [`TableRoot::decode`] gave: of a file in this folder, or of one elsewhere in the store
    /// that may be read.
    ///
    /// # Errors
    /// As [`Location::absolute`]; [`FormatError::PathEscapesTable`] for a file outside this folder and the trusted ones.
    pub fn readable(&self, decoded: &str) -> Result<Path> {
        if !TableRoot::is_outside(decoded) {
            return self.absolute(decoded);
        }
        let refuse = |what: String| FormatError::PathEscapesTable { path: printable(decoded), what };
        let path = Path::parse(&decoded[1..]).map_err(|error| refuse(error.to_string()))?;
        if self.trusted.iter().any(|folder| path.prefix_matches(folder)) {
            return Ok(path);
        }
        let what =
            format!("it lies outside the table; if its files are to be read, name their folder in {TRUSTED_ROOTS}");
        Err(refuse(what).into())
    }

    /// The folder against which paths in a log are held.
    pub fn table_root(&self) -> TableRoot {
        TableRoot::of(&self.uri)
    }

    /// The path in the store of a decoded path relative to this folder.
    ///
    /// # Errors
    /// [`StorageError::InvalidLocation`] for an empty or absolute path, one that ends in a slash, and one with `.`, `..`,
    /// an empty part or control characters.
    pub fn absolute(&self, relative: &str) -> Result<Path> {
        let bad = |what: String| invalid(&self.uri, format!("{:?} is not a path in it: {what}", printable(relative)));
        if relative.is_empty() || relative.starts_with('/') || relative.ends_with('/') {
            return Err(bad("it is empty, absolute or ends in a slash".into()));
        }
        let path = if self.root.as_ref().is_empty() {
            Path::parse(relative)
        } else {
            Path::parse(format!("{}/{relative}", self.root))
        };
        path.map_err(|error| bad(error.to_string()))
    }

    /// The path relative to this folder of a path in the store; none for one that is not below it.
    pub fn relative(&self, path: &Path) -> Option<String> {
        if self.root.as_ref().is_empty() {
            return Some(path.to_string());
        }
        let rest = path.as_ref().strip_prefix(self.root.as_ref())?.strip_prefix('/')?;
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// What an error of this location's store means, with secrets taken out.
    pub fn error(&self, operation: &'static str, path: &str, error: &object_store::Error) -> StorageError {
        StorageError::of_store(operation, &self.uri, path, error, &self.secrets)
    }

    /// An error's text with secrets taken out.
    pub fn redact(&self, error: &dyn fmt::Display) -> String {
        self.secrets.redact(&error.to_string())
    }

    /// Where the outcome of trying put-if-absent is kept; none where it need not be tried.
    pub(crate) fn untested_conditional_put(&self) -> Option<&OnceCell<()>> {
        self.conditional_put.as_deref()
    }
}

#[cfg(not(feature = "s3"))]
impl Location {
    fn s3(_url: &Url, uri: String, _options: &StorageOptions) -> Result<Location> {
        Err(StorageError::FeatureDisabled { uri, feature: "s3" })
    }
}

#[cfg(not(feature = "azure"))]
impl Location {
    fn azure(_url: &Url, uri: String, _options: &StorageOptions) -> Result<Location> {
        Err(StorageError::FeatureDisabled { uri, feature: "azure" })
    }
}

#[cfg(not(feature = "gcs"))]
impl Location {
    fn gcs(_url: &Url, uri: String, _options: &StorageOptions) -> Result<Location> {
        Err(StorageError::FeatureDisabled { uri, feature: "gcs" })
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the store: those of the clouds print their credentials.
        f.debug_struct("Location").field("uri", &self.uri).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

fn invalid(uri: &str, what: impl Into<String>) -> StorageError {
    StorageError::InvalidLocation { uri: printable(uri), what: what.into() }
}

/// The URL as it may be shown. The user of `abfss://container@account…` is the container and stays.
fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Fails only for URLs that cannot have a password.
    let _ = url.set_password(None);
    if !url.scheme().starts_with("abfs") {
        let _ = url.set_username("");
    }
    if url.scheme() == "s3a" {
        return url.as_str().replacen("s3a://", "s3://", 1);
    }
    url.into()
}

/// The absolute path with symbolic links resolved as far as it exists.
fn resolve(path: PathBuf) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut existing = path.as_path();
    loop {
        match existing.canonicalize() {
            Ok(resolved) => {
                let rest = path.strip_prefix(existing).unwrap_or(std::path::Path::new(""));
                if rest.components().any(|part| part == Component::ParentDir) {
                    return Err(std::io::Error::other("'..' below a folder that does not exist"));
                }
                // Joining an empty rest would add a slash.
                return Ok(if rest.as_os_str().is_empty() { resolved } else { resolved.join(rest) });
            }
            Err(error) => match existing.parent() {
                Some(parent) if error.kind() == std::io::ErrorKind::NotFound => existing = parent,
                _ => return Err(error),
            },
        }
    }
}
