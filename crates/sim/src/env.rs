//! The simulated environment: virtual clock, seeded randomness, tasks on the simulated executor.

use std::sync::Mutex;
use std::time::Duration;

use floe_storage::env::Environment;
use floe_table_format::TimestampMs;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::executor::{Executor, Process, lock};
use crate::rng::SimRng;

/// What one process gets from the simulated world. Its clock may be wrong by a fixed skew, its randomness is its own.
pub struct SimEnv {
    executor: Executor,
    process: Process,
    skew_ms: i64,
    rng: Mutex<SimRng>,
}

impl SimEnv {
    /// The environment of a process.
    pub fn new(executor: Executor, process: Process, skew_ms: i64, rng: SimRng) -> Self {
        SimEnv { executor, process, skew_ms, rng: Mutex::new(rng) }
    }
}

impl Environment for SimEnv {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.executor.now_ms() + self.skew_ms)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.executor.sleep(duration).boxed()
    }

    fn random_u64(&self) -> u64 {
        lock(&self.rng).next_u64()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.executor.spawn(self.process, task);
    }
}
