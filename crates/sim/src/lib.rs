//! A seeded world in which Floe's tables meet faults, races and crashes.
//!
//! A [`SimWorld`] is made from one number. It holds a table on a simulated store, writers, readers, a compactor, a vacuum
//! and a checkpointer that use it through Floe's public API, and everything that can go wrong: requests that fail before
//! or after they take effect, arrive late or twice, answers that lie, listings that lag, processes that die at any step.
//! Time is virtual and everything runs on one thread, so a seed always gives the same run, to the byte.
//!
//! When all actors have ended, a judge replays the commits in the order of their versions on a plain map of rows and
//! compares: what a second, naive reader finds in every version, what Floe finds, what readers were given on the way, and
//! what writers were told. [`Sabotage`] plants bugs that the judge must find.
//!
//! `cargo test -p floe-sim` runs 520 worlds and every planted bug. `FLOE_SIM_SEEDS` and `FLOE_SIM_FIRST_SEED` choose other
//! worlds; `FLOE_SIM_SEED=7 cargo test -p floe-sim one_seed -- --nocapture` runs one and prints all that happens in it.
//!
//! ```
//! use floe_sim::SimWorld;
//!
//! let report = SimWorld::new(1).run();
//! assert!(report.violations.is_empty(), "{report}");
//! ```

mod rng;

mod trace;

mod env;
mod executor;

mod disk;
mod fault;
mod sabotage;
mod store;

mod ledger;
mod model;
mod scenario;

mod actor;

mod naive;
mod oracle;

mod world;

pub use disk::{Applied, Disk, Object};
pub use env::SimEnv;
pub use executor::{Executor, Process, Stall};
pub use fault::{Fault, FaultRates, Faults, Op, PlannedFault};
pub use rng::SimRng;
pub use sabotage::{Role, Sabotage, Saboteur};
pub use scenario::Scenario;
pub use store::FaultStore;
pub use trace::Trace;
pub use world::{Report, SimWorld};
