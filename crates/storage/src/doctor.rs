//! Whether a store does what commits rely on, found out by trying.
//!
//! A store that ignores `If-None-Match`, or looks first and writes then, lets two writers create one version; each believes
//! to have won and one commit is gone. No documentation is as good as a race.

use std::fmt;

use futures::TryStreamExt;
use futures::future::join_all;
use object_store::PutPayload;
use object_store::path::Path;

use crate::access::Access;
use crate::env::Env;
use crate::error::{PutFailure, Result, StorageError, classify_put};
use crate::location::Location;

#[cfg(test)]
mod tests;

/// Writers that race for one object.
const RACERS: usize = 8;

/// Races run.
const RACES: usize = 8;

/// The folder of the objects that are tried on, below the location.
const PROBE_DIRECTORY: &str = "_floe_probe";

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What has to hold.
    pub name: &'static str,
    /// What was seen instead; none if it held.
    pub failure: Option<String>,
}

/// What trying a location showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The location.
    pub uri: String,
    /// What was tried, in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether everything held.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.failure.is_none())
    }

    /// The first check that did not hold.
    pub fn first_failure(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.failure.is_some())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uri)?;
        for check in &self.checks {
            match &check.failure {
                None => write!(f, "\n  ok    {}", check.name)?,
                Some(failure) => write!(f, "\n  FAIL  {}: {failure}", check.name)?,
            }
        }
        Ok(())
    }
}

/// Tries on objects of its own whether commits are safe at a location: create-if-absent, alone and raced for, reading
/// back, replacing, listing, deleting. The objects lie below `_floe_probe` and are deleted in the end.
///
/// # Errors
/// The failures of the store that keep the question from being asked, such as missing rights.
pub async fn probe(location: &Location, env: &Env) -> Result<Report> {
    probe_with(location, env, RACES, RACERS).await
}

async fn probe_with(location: &Location, env: &Env, races: usize, racers: usize) -> Result<Report> {
    let access = Access::new(location.clone(), env.clone());
    let folder = format!("{PROBE_DIRECTORY}/{}", env.uuid());
    let tried = Probe { access: &access, folder: &folder, races, racers }.run().await;
    // Also after a failure; what cannot be deleted is small and in a folder of its own.
    let names = std::iter::once("once".to_owned()).chain((0..races).map(|race| format!("race-{race}")));
    for name in names {
        if let Ok(path) = location.absolute(&format!("{folder}/{name}")) {
            let _ = access.delete(&path).await;
        }
    }
    Ok(Report { uri: location.uri.clone(), checks: tried? })
}

/// Makes sure that a location has put-if-absent before it is relied on. Stores known to have it are not tried, others once
/// for as long as the location and its clones live.
///
/// # Errors
/// [`StorageError::StoreLacksConditionalPut`] with what was seen, and the failures of the store.
pub async fn require_conditional_put(location: &Location, env: &Env) -> Result<()> {
    let Some(outcome) = location.untested_conditional_put() else { return Ok(()) };
    let proven = outcome.get_or_try_init(|| async {
        // Few racers: every process asks this before its first write, and some servers take seconds for a raced name.
        let report = probe_with(location, env, 1, 3).await?;
        match report.first_failure() {
            None => Ok(()),
            Some(check) => Err(StorageError::StoreLacksConditionalPut {
                uri: location.uri.clone(),
                why: format!("{}: {}", check.name, check.failure.as_deref().unwrap_or_default()),
            }),
        }
    });
    proven.await.copied()
}

struct Probe<'a> {
    access: &'a Access,
    folder: &'a str,
    races: usize,
    racers: usize,
}

impl Probe<'_> {
    async fn run(&self) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        let mut note = |name, failure| checks.push(Check { name, failure });
        let once = self.path("once")?;

        let first = self.create(&once, "first").await?;
        note("an absent object can be created", (!first).then(|| "the store says it exists".to_owned()));
        let second = self.create(&once, "second").await?;
        let ignored = || "a second create was accepted: the store ignores the condition".to_owned();
        note("an existing object cannot be created", second.then(ignored));
        note("what was written can be read at once", self.differs(&once, "first").await?);
        note("a folder can be listed", self.unlisted(&once).await?);
        self.access.put(&once, PutPayload::from_static(b"third")).await?;
        note("an object can be replaced", self.differs(&once, "third").await?);
        note("one of many racing creators wins", self.races().await?);
        Ok(checks)
    }

    fn path(&self, name: &str) -> Result<Path> {
        self.access.location.absolute(&format!("{}/{name}", self.folder))
    }

    /// Whether the object was created now. An unknown outcome is an error: it proves nothing about the store.
    async fn create(&self, path: &Path, content: &str) -> Result<bool> {
        let payload = PutPayload::from(content.as_bytes().to_vec());
        match self.access.create(path, payload).await {
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => match classify_put(&error) {
                PutFailure::Taken => Ok(false),
                PutFailure::ConditionRefused => Err(StorageError::StoreLacksConditionalPut {
                    uri: self.access.location.uri.clone(),
                    why: self.access.location.redact(&error),
                }),
                _ => Err(self.access.location.error("write", path.as_ref(), &error)),
            },
            None => Err(StorageError::Timeout {
                operation: "write",
                path: path.to_string(),
                after: crate::access::REQUEST_DEADLINE,
            }),
        }
    }

    /// What is there instead of `expected`.
    async fn differs(&self, path: &Path, expected: &str) -> Result<Option<String>> {
        let found = self.access.get(path, 1 << 20).await?;
        let shown = || format!("read {:?} instead of {expected:?}", String::from_utf8_lossy(&found));
        Ok((found != expected.as_bytes()).then(shown))
    }

    async fn unlisted(&self, path: &Path) -> Result<Option<String>> {
        let folder = self.access.location.absolute(self.folder)?;
        let list = self.access.location.store.list(Some(&folder)).try_collect::<Vec<_>>();
        let listed = self.access.within("list", &folder, list).await?;
        let missing = !listed.iter().any(|meta| meta.location == *path);
        Ok(missing.then(|| "the object just written is not listed".to_owned()))
    }

    /// What went wrong in the first race that did.
    async fn races(&self) -> Result<Option<String>> {
        for race in 0..self.races {
            let path = self.path(&format!("race-{race}"))?;
            let contents: Vec<String> = (0..self.racers).map(|racer| format!("racer {racer}")).collect();
            let outcomes = join_all(contents.iter().map(|content| self.create(&path, content))).await;
            let outcomes = outcomes.into_iter().collect::<Result<Vec<bool>>>()?;
            let winners: Vec<&String> = contents.iter().zip(outcomes).filter(|(_, won)| *won).map(|(c, _)| c).collect();
            let [winner] = winners[..] else {
                // None is possible where a client retried its own request; then the store is still right.
                if winners.is_empty() && self.access.get(&path, 1 << 20).await.is_ok() {
                    continue;
                }
                return Ok(Some(format!("{} of {} writers were told they had won", winners.len(), self.racers)));
            };
            if let Some(difference) = self.differs(&path, winner).await? {
                return Ok(Some(difference));
            }
        }
        Ok(None)
    }
}
