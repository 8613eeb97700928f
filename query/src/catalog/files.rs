//! The few requests the catalog makes, below the warehouse's root.

use std::collections::BTreeSet;

use bytes::Bytes;
use floe_storage::{DataStore, Env, Location};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::error::{QueryError, Result};

/// Objects below the warehouse.
pub(super) struct Files {
    location: Location,
    data: DataStore,
}

impl Files {
    pub(super) fn new(location: Location, env: Env) -> Self {
        Files { data: DataStore::new(location.clone(), env), location }
    }

    fn path(&self, relative: &str) -> Result<Path> {
        if relative.is_empty() {
            return Ok(self.location.root.clone());
        }
        Ok(self.location.absolute(relative)?)
    }

    /// Names of the folders directly below a folder.
    pub(super) async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = self.path(folder)?;
        let listed = self.location.store.list_with_delimiter(Some(&prefix)).await;
        match listed {
            Ok(listed) => Ok(last_parts(listed.common_prefixes.iter())),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.failed("list", folder, error)),
        }
    }

    /// Names of the objects directly below a folder.
    pub(super) async fn names(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = self.path(folder)?;
        match self.location.store.list_with_delimiter(Some(&prefix)).await {
            Ok(listed) => Ok(last_parts(listed.objects.iter().map(|o| &o.location))),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.failed("list", folder, error)),
        }
    }

    /// Whether there is any object below a folder.
    pub(super) async fn any_below(&self, folder: &str) -> Result<bool> {
        let prefix = self.path(folder)?;
        match self.location.store.list(Some(&prefix)).try_next().await {
            Ok(found) => Ok(found.is_some()),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("list", folder, error)),
        }
    }

    /// All objects below a folder, relative to the warehouse.
    pub(super) async fn below(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = self.path(folder)?;
        let mut out = Vec::new();
        let mut listing = self.location.store.list(Some(&prefix));
        loop {
            match listing.try_next().await {
                Ok(Some(object)) => {
                    let parts: Vec<String> = match object.location.prefix_match(&prefix) {
                        Some(rest) => rest.map(|part| part.as_ref().to_owned()).collect(),
                        None => continue,
                    };
                    out.push(format!("{folder}/{}", parts.join("/")));
                }
                Ok(None) => return Ok(out),
                Err(object_store::Error::NotFound { .. }) => return Ok(out),
                Err(error) => return Err(self.failed("list", folder, error)),
            }
        }
    }

    pub(super) async fn exists(&self, relative: &str) -> Result<bool> {
        match self.data.head(relative).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn get(&self, relative: &str) -> Result<Option<Bytes>> {
        match self.data.get(relative).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes an object unless it is there; false if it is.
    pub(super) async fn put_if_absent(&self, relative: &str, body: Bytes) -> Result<bool> {
        let path = self.path(relative)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.location.store.put_opts(&path, body.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed("write", relative, error)),
        }
    }

    /// Deletes objects; those that are gone already do not count as failures.
    pub(super) async fn delete(&self, relative: Vec<String>) -> Result<()> {
        for path in relative {
            match self.location.store.delete(&self.path(&path)?).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("delete", &path, error)),
            }
        }
        Ok(())
    }

    fn failed(&self, operation: &'static str, relative: &str, error: object_store::Error) -> QueryError {
        self.location.error(operation, &format!("{}/{relative}", self.location.uri), &error).into()
    }
}

fn last_parts<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let names: BTreeSet<String> =
        paths.filter_map(|p| p.parts().next_back().map(|part| part.as_ref().to_owned())).collect();
    names.into_iter().collect()
}
