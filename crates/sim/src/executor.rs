//! A single thread, virtual time, and a seeded choice of who goes next.
//!
//! Tasks belong to a [`Process`]. A process can be killed between any two polls of its tasks, which is what a power cut
//! looks like from the inside: every future it holds is dropped where it stands. Time moves only when nobody can
//! proceed, and then straight to the next timer; a run of hours takes milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::rng::SimRng;
use crate::trace::Trace;

/// When a run starts: 2026-01-01T00:00:00Z, in microseconds.
const START_US: u64 = 1_767_225_600_000_000;
/// More polls than any healthy run takes.
const STEPS_MAX: u64 = 3_000_000;

/// Who a task belongs to. Incarnations of one actor are different processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

impl Process {
    /// The world itself: the network, the nemesis, the checks. It is never killed.
    pub const WORLD: Process = Process(0);
}

/// Why a run cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stall {
    /// Tasks wait, and no timer is left that could wake one.
    Deadlock,
    /// Far too many steps: somebody spins.
    Livelock,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stall::Deadlock => "deadlock: tasks wait for something that no timer and no task will bring",
            Stall::Livelock => "livelock: far too many steps without an end",
        })
    }
}

/// The executor and its clock. Clones are handles to the same world.
#[derive(Clone)]
pub struct Executor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Arc<Ready>,
    trace: Mutex<Trace>,
}

struct State {
    now_us: u64,
    rng: SimRng,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    next_timer: u64,
    next_process: u32,
    dead: BTreeSet<Process>,
    buried: usize,
}

struct Task {
    process: Process,
    // Taken out while it is polled.
    future: Option<BoxFuture<'static, ()>>,
}

#[derive(Default)]
struct Ready(Mutex<BTreeSet<u64>>);

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.ready.0).insert(self.task);
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("now_us", &self.now_us()).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor whose choices follow `rng`; with `verbose` the trace is kept as text too.
    pub fn new(rng: SimRng, verbose: bool) -> Self {
        Executor(Arc::new(Shared {
            state: Mutex::new(State {
                now_us: START_US,
                rng,
                tasks: BTreeMap::new(),
                next_task: 0,
                timers: BTreeMap::new(),
                next_timer: 0,
                next_process: 1,
                dead: BTreeSet::new(),
                buried: 0,
            }),
            ready: Arc::default(),
            trace: Mutex::new(Trace::new(verbose)),
        }))
    }

    /// The virtual time in microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        lock(&self.0.state).now_us
    }

    /// The virtual time in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        (self.now_us() / 1000) as i64
    }

    /// Writes an event into the trace, with the time and who caused it.
    pub fn record(&self, who: &str, what: fmt::Arguments<'_>) {
        let since = self.now_us() - START_US;
        lock(&self.0.trace).record(since, who, what);
    }

    /// The trace so far.
    pub fn trace(&self) -> Trace {
        lock(&self.0.trace).clone()
    }

    /// A new process, alive until it is killed.
    pub fn process(&self) -> Process {
        let mut state = lock(&self.0.state);
        let process = Process(state.next_process);
        state.next_process += 1;
        process
    }

    /// Starts a task. A dead process starts none.
    pub fn spawn(&self, process: Process, future: impl Future<Output = ()> + Send + 'static) {
        let mut state = lock(&self.0.state);
        if state.dead.contains(&process) {
            drop(state);
            return;
        }
        let id = state.next_task;
        state.next_task += 1;
        state.tasks.insert(id, Task { process, future: Some(future.boxed()) });
        drop(state);
        lock(&self.0.ready.0).insert(id);
    }

    /// Ends a process: all its futures are dropped before anything else happens.
    pub fn kill(&self, process: Process) {
        if process != Process::WORLD {
            lock(&self.0.state).dead.insert(process);
        }
    }

    /// Whether the process has been killed.
    pub fn is_dead(&self, process: Process) -> bool {
        lock(&self.0.state).dead.contains(&process)
    }

    /// Becomes ready when this much virtual time has passed.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2);
        let deadline_us = self.now_us().saturating_add(micros);
        Sleep { executor: self.clone(), deadline_us, timer: None }
    }

    /// Runs tasks until `root` is done.
    ///
    /// # Errors
    /// [`Stall`] if that cannot happen any more.
    pub fn run<T: Send + 'static>(&self, root: impl Future<Output = T> + Send + 'static) -> Result<T, Stall> {
        let result: Arc<Mutex<Option<T>>> = Arc::default();
        let slot = result.clone();
        self.spawn(Process::WORLD, async move {
            let value = root.await;
            *lock(&slot) = Some(value);
        });
        for _ in 0..STEPS_MAX {
            if let Some(value) = lock(&result).take() {
                return Ok(value);
            }
            self.bury();
            match self.next_ready() {
                Some(task) => self.poll(task),
                None if self.advance() => {}
                None => return Err(Stall::Deadlock),
            }
        }
        Err(Stall::Livelock)
    }

    /// Drops every task that is left. Tasks hold handles of the executor that holds them, and would never be freed.
    pub fn shut_down(&self) {
        let tasks = std::mem::take(&mut lock(&self.0.state).tasks);
        drop(tasks);
        let timers = std::mem::take(&mut lock(&self.0.state).timers);
        drop(timers);
    }

    fn next_ready(&self) -> Option<u64> {
        let mut state = lock(&self.0.state);
        let mut ready = lock(&self.0.ready.0);
        if ready.is_empty() {
            return None;
        }
        let chosen = state.rng.below(ready.len() as u64) as usize;
        let task = *ready.iter().nth(chosen)?;
        ready.remove(&task);
        Some(task)
    }

    fn poll(&self, id: u64) {
        let Some(mut future) = lock(&self.0.state).tasks.get_mut(&id).and_then(|t| t.future.take()) else { return };
        let waker = Waker::from(Arc::new(TaskWaker { task: id, ready: self.0.ready.clone() }));
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut state = lock(&self.0.state);
        if done {
            state.tasks.remove(&id);
        } else if let Some(task) = state.tasks.get_mut(&id) {
            task.future = Some(future);
        }
    }

    /// Drops what dead processes left. Outside the lock, for dropping may spawn, sleep or wake.
    fn bury(&self) {
        let mut state = lock(&self.0.state);
        if state.buried == state.dead.len() {
            return;
        }
        state.buried = state.dead.len();
        let gone: Vec<u64> =
            state.tasks.iter().filter(|(_, t)| state.dead.contains(&t.process)).map(|(id, _)| *id).collect();
        let tasks: Vec<Option<Task>> = gone.iter().map(|id| state.tasks.remove(id)).collect();
        drop(state);
        drop(tasks);
    }

    /// Moves the clock to the next timer. False if there is none.
    fn advance(&self) -> bool {
        let mut state = lock(&self.0.state);
        let Some(((deadline_us, _), waker)) = state.timers.pop_first() else { return false };
        state.now_us = state.now_us.max(deadline_us);
        drop(state);
        waker.wake();
        true
    }
}

/// The future of [`Executor::sleep`].
pub struct Sleep {
    executor: Executor,
    deadline_us: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.executor.0.clone();
        let mut state = lock(&shared.state);
        if let Some(timer) = self.timer.take() {
            state.timers.remove(&timer);
        }
        if state.now_us >= self.deadline_us {
            return Poll::Ready(());
        }
        let timer = (self.deadline_us, state.next_timer);
        state.next_timer += 1;
        state.timers.insert(timer, context.waker().clone());
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let waker = lock(&self.executor.0.state).timers.remove(&timer);
            drop(waker);
        }
    }
}

/// The lock of a mutex, poisoned or not: a panic of the code under test is reported by the run, not by the next lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::oneshot;

    fn executor(seed: u64) -> Executor {
        Executor::new(SimRng::new(seed), true)
    }

    #[test]
    fn time_jumps_to_the_next_timer() {
        let sim = executor(1);
        let inner = sim.clone();
        let hours = sim.run(async move {
            let before = inner.now_us();
            inner.sleep(Duration::from_secs(7200)).await;
            (inner.now_us() - before) / 3_600_000_000
        });
        assert_eq!(hours, Ok(2));
    }

    #[test]
    fn the_seed_decides_who_goes_first() {
        let order = |seed| {
            let sim = executor(seed);
            let log: Arc<Mutex<Vec<u32>>> = Arc::default();
            for n in 0..6 {
                let log = log.clone();
                sim.spawn(Process::WORLD, async move { lock(&log).push(n) });
            }
            let inner = sim.clone();
            let ended = sim.run(async move { inner.sleep(Duration::from_micros(1)).await });
            assert_eq!(ended, Ok(()));
            lock(&log).clone()
        };
        assert_eq!(order(5), order(5));
        assert!((0..20).any(|seed| order(seed) != order(5)));
    }

    #[test]
    fn killing_drops_what_the_process_holds() {
        let sim = executor(1);
        let process = sim.process();
        let (held, dropped) = oneshot::channel::<()>();
        let inner = sim.clone();
        sim.spawn(process, async move {
            inner.sleep(Duration::from_secs(10)).await;
            let _ = held.send(());
        });
        let inner = sim.clone();
        let result = sim.run(async move {
            inner.sleep(Duration::from_secs(5)).await;
            inner.kill(process);
            dropped.await
        });
        assert_eq!(result, Ok(Err(oneshot::Canceled)));
    }

    #[test]
    fn waiting_for_nothing_is_a_deadlock() {
        assert_eq!(executor(1).run(std::future::pending::<()>()), Err(Stall::Deadlock));
    }
}
