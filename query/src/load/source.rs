//! Which files a load is of.

use floe_storage::{Location, StoreKind};
use floe_table_format::TimestampMs;
use floe_table_format::error::printable;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use url::Url;

use crate::error::{QueryError, Result};
use crate::load::Packing;
use crate::load::bad::BAD_RECORDS;
use crate::pattern::{base_of, has_glob, listing_url};
use crate::relation::FileFormat;
use crate::session::Session;

/// A file as its store lists it.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// Where it lies, without credentials.
    pub(crate) uri: String,
    pub(crate) object: ObjectMeta,
}

impl SourceFile {
    /// When it was modified last.
    pub(crate) fn modified(&self) -> TimestampMs {
        TimestampMs(self.object.last_modified.timestamp_millis())
    }
}

/// Files of one format in one store.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) location: Location,
    pub(crate) format: FileFormat,
    /// In the order of their paths.
    pub(crate) files: Vec<SourceFile>,
}

impl Source {
    /// Lists a file, a folder with all below it, or a pattern. Names that begin with `_` or `.` are passed over.
    ///
    /// Where no format is given, the names of the files must tell, and the same of all; files whose names tell none are passed
    /// over. Where one is given, files whose names tell another are. Files of bad records are passed over, too.
    ///
    /// # Errors
    /// [`QueryError::UnreadablePath`] where there is no such file, or of several formats.
    pub(crate) async fn list(session: &Session, path: &str, format: Option<FileFormat>) -> Result<Source> {
        let unreadable = |what: String| QueryError::UnreadablePath { path: printable(path), what };
        let options = session.warehouse().storage_options();
        let literal = match has_glob(path) {
            // A file may be called so, and a pattern meant by nobody.
            true => match Location::open(path, options) {
                Ok(location) => location.store.head(&location.root).await.ok().map(|object| (location, object)),
                Err(_) => None,
            },
            false => None,
        };
        let (location, literal) = match literal {
            Some((location, object)) => (location, Some(object)),
            None => (Location::open(base_of(path), options)?, None),
        };
        let mut objects = match has_glob(path) {
            _ if literal.is_some() => literal.into_iter().collect(),
            true => listed(&location, Some(listing_url(&location, path)?)).await?,
            false => match location.store.head(&location.root).await {
                Ok(object) if !path.ends_with('/') => vec![object],
                _ => listed(&location, None).await?,
            },
        };
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        let of_path = |object: &ObjectMeta| FileFormat::of_path(Packing::of_path(object.location.as_ref()).1);
        let found = match format {
            Some(format) => {
                if objects.len() > 1 {
                    objects.retain(|object| of_path(object).is_none_or(|other| other == format));
                }
                format
            }
            None => match objects.iter().find_map(of_path) {
                Some(format) => {
                    if let Some(other) = objects.iter().find(|object| of_path(object).is_some_and(|own| own != format))
                    {
                        let what = format!(
                            "it holds files of several formats, {} among them: say FILEFORMAT, or a pattern",
                            printable(other.location.filename().unwrap_or_default())
                        );
                        return Err(unreadable(what));
                    }
                    objects.retain(|object| of_path(object) == Some(format));
                    format
                }
                None if objects.is_empty() => return Err(unreadable("no file is there".into())),
                None => {
                    let what = "the format of its files is not known: let them end in .parquet, .csv or .json, or say FILEFORMAT = CSV";
                    return Err(unreadable(what.into()));
                }
            },
        };
        if objects.is_empty() {
            return Err(unreadable("no file is there".into()));
        }
        let files = objects.into_iter().map(|object| SourceFile { uri: uri_of(&location, &object.location), object });
        Ok(Source { files: files.collect(), format: found, location })
    }
}

/// The files below a folder that may hold rows.
async fn listed(
    location: &Location,
    pattern: Option<datafusion::datasource::listing::ListingTableUrl>,
) -> Result<Vec<ObjectMeta>> {
    let hidden = |path: &Path| {
        let below = location.relative(path).unwrap_or_else(|| path.to_string());
        let ours = path.filename().is_some_and(|name| name.starts_with(BAD_RECORDS));
        ours || below.split('/').any(|part| part.starts_with(['_', '.']))
    };
    let failed = |error: object_store::Error| location.error("list", &location.uri, &error);
    let objects = location.store.list(Some(&location.root)).try_filter(|object| {
        let wanted = pattern.as_ref().is_none_or(|pattern| pattern.contains(&object.location, false));
        futures::future::ready(wanted && object.size > 0 && !hidden(&object.location))
    });
    match objects.try_collect().await {
        Ok(objects) => Ok(objects),
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(failed(error).into()),
    }
}

/// The URI of a path in a location's store, the same one by whichever folder it was found.
fn uri_of(location: &Location, path: &Path) -> String {
    if location.kind == StoreKind::Local
        && let Ok(url) = Url::from_file_path(format!("/{path}"))
    {
        return url.into();
    }
    let (Ok(mut url), Some(below)) = (Url::parse(&location.uri), location.relative(path)) else {
        return location.uri.clone();
    };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(below.split('/'));
    }
    url.into()
}
