//! The clock, randomness and tasks: the only door to them.
//!
//! Everything above takes an [`Env`], so that a simulated run can supply its own time, its own seed and its own
//! scheduler. `clippy.toml` bans the real ones elsewhere.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use floe_table_format::TimestampMs;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use uuid::Uuid;

/// What a process gets from the world besides bytes.
pub trait Environment: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> TimestampMs;

    /// Becomes ready once `duration` has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// A random number, uniform over all values.
    fn random_u64(&self) -> u64;

    /// Runs a task beside the caller. Nobody waits for it and it may be lost when the process ends.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// A shared handle to an [`Environment`].
#[derive(Clone)]
pub struct Env(Arc<dyn Environment>);

impl Env {
    /// The real clock, the thread's random generator and the current tokio runtime.
    ///
    /// [`Env::sleep`] and [`Env::timeout`] then need to be awaited inside a tokio runtime with its timer enabled.
    pub fn system() -> Self {
        Env(Arc::new(System))
    }

    /// An environment of one's own.
    pub fn new(environment: impl Environment) -> Self {
        Env(Arc::new(environment))
    }

    /// The time.
    pub fn now(&self) -> TimestampMs {
        self.0.now()
    }

    /// Becomes ready once `duration` has passed.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    /// A random number, uniform over all values.
    pub fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }

    /// Runs a task beside the caller.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task.boxed());
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> Uuid {
        let bits = (u128::from(self.random_u64()) << 64) | u128::from(self.random_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// A random duration between zero and `longest`: full jitter, which spreads out writers that lost the same race.
    pub fn jitter(&self, longest: Duration) -> Duration {
        let unit = (self.random_u64() >> 11) as f64 / (1u64 << 53) as f64;
        longest.mul_f64(unit)
    }

    /// The value of `work`, or none if it takes longer than `limit`; the work is then dropped where it stands.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let work = std::pin::pin!(work);
        match select(work, self.sleep(limit)).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(((), _)) => None,
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

impl<E: Environment> From<Arc<E>> for Env {
    fn from(environment: Arc<E>) -> Self {
        Env(environment)
    }
}

struct System;

#[expect(clippy::disallowed_methods, reason = "this is where the real world comes in")]
impl Environment for System {
    fn now(&self) -> TimestampMs {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            // A clock before 1970.
            Err(before) => TimestampMs(i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms)),
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Built when first polled: a tokio timer may only be made inside a runtime, this function may be called outside.
        async move {
            if tokio::runtime::Handle::try_current().is_ok() {
                tokio::time::sleep(duration).await;
            } else {
                let (done, wake) = futures::channel::oneshot::channel();
                std::thread::spawn(move || {
                    std::thread::sleep(duration);
                    // The sleeper may have been dropped meanwhile.
                    let _ = done.send(());
                });
                let _ = wake.await;
            }
        }
        .boxed()
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(task)),
            Err(_) => drop(std::thread::spawn(move || futures::executor::block_on(task))),
        }
    }
}

/// Runs work that blocks on tokio's threads for such, or right here outside of tokio. For file systems, which no simulation
/// uses.
#[expect(clippy::disallowed_methods, reason = "this is where the real world comes in")]
pub(crate) fn blocking<T, F>(work: F) -> impl Future<Output = Result<T, tokio::task::JoinError>> + Send + 'static
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let started = match tokio::runtime::Handle::try_current() {
        Ok(_) => Ok(tokio::task::spawn_blocking(work)),
        Err(_) => Err(work),
    };
    async move {
        match started {
            Ok(task) => task.await,
            Err(work) => Ok(work()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn timeout_gives_up_on_what_never_ends() {
        let env = Env::system();
        assert_eq!(env.timeout(Duration::from_millis(5), std::future::pending::<u8>()).await, None);
        assert_eq!(env.timeout(Duration::from_secs(60), async { 7 }).await, Some(7));
    }

    #[test]
    fn sleeping_works_without_a_runtime() {
        futures::executor::block_on(Env::system().sleep(Duration::from_millis(1)));
    }

    #[test]
    fn uuids_are_version_4_and_differ() {
        let env = Env::system();
        let (a, b) = (env.uuid(), env.uuid());
        assert_eq!(a.get_version_num(), 4);
        assert_ne!(a, b);
    }

    #[test]
    fn jitter_stays_below_its_bound() {
        let env = Env::system();
        let longest = Duration::from_millis(10);
        assert!((0..100).all(|_| env.jitter(longest) <= longest));
    }
}
