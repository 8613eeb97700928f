//! Paths that stand for many files.

use datafusion::datasource::listing::ListingTableUrl;
use floe_storage::Location;
use floe_table_format::error::printable;
use url::Url;

use crate::error::{QueryError, Result};

/// Whether a path stands for many.
pub(crate) fn has_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The path up to the first part with a pattern.
pub(crate) fn base_of(path: &str) -> &str {
    if !has_glob(path) {
        return path;
    }
    let first = path.find(['*', '?', '[']).unwrap_or(path.len());
    match path[..first].rfind('/') {
        Some(0) => "/",
        Some(slash) => &path[..slash],
        None => ".",
    }
}

pub(crate) fn listing_url(location: &Location, path: &str) -> Result<ListingTableUrl> {
    if !has_glob(path) {
        return Ok(ListingTableUrl::parse(&location.uri)?);
    }
    let base = base_of(path);
    let pattern = if base == "." { path } else { path[base.len()..].trim_start_matches('/') };
    let url = Url::parse(&format!("{}/", location.uri.trim_end_matches('/')))
        .map_err(|e| QueryError::UnreadablePath { path: printable(path), what: e.to_string() })?;
    Ok(ListingTableUrl::try_new(url, None)?.with_glob(pattern)?)
}
