//! What can go wrong with a request, how often, and when exactly.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::executor::lock;
use crate::rng::SimRng;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Write an object only if there is none.
    Create,
    /// Write an object.
    Put,
    /// Read an object or a range of it.
    Get,
    /// List names.
    List,
    /// Delete an object.
    Delete,
}

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The connection breaks before the request arrives.
    FailBefore,
    /// The server is busy (503) and does nothing.
    Throttled,
    /// The request is carried out, the answer is lost.
    FailAfter,
    /// The client gives up, and the request is carried out later, perhaps after the client has died.
    DelayedApply,
    /// The request is carried out twice, the second time later.
    Duplicated,
    /// The client library repeated a lost request and reports the object it made itself as somebody else's.
    AlreadyExistsLie,
    /// 409: a put is in flight. Nothing happened, and nothing may be there.
    ConflictWithoutObject,
    /// No answer for minutes.
    Hang,
    /// The process dies just before the request arrives.
    CrashBefore,
    /// The process dies just after the request is carried out.
    CrashAfter,
    /// The body ends early, without an error.
    ShortRead,
    /// The body ends early, with an error.
    BrokenBody,
    /// A bit of the body flips. Only of objects that carry a checksum or are mere hints.
    BitFlip,
    /// The listing shows the world of some seconds ago.
    StaleList,
    /// The listing lacks some name.
    ListHole,
    /// The listing repeats entries and is not sorted.
    UntidyList,
    /// The listing breaks off with an error.
    BrokenList,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 17] = [
        Fault::FailBefore,
        Fault::Throttled,
        Fault::FailAfter,
        Fault::DelayedApply,
        Fault::Duplicated,
        Fault::AlreadyExistsLie,
        Fault::ConflictWithoutObject,
        Fault::Hang,
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::ShortRead,
        Fault::BrokenBody,
        Fault::BitFlip,
        Fault::StaleList,
        Fault::ListHole,
        Fault::UntidyList,
        Fault::BrokenList,
    ];

    /// Whether a request of this kind can meet this fault.
    pub fn can_meet(self, op: Op, path: &str) -> bool {
        let writes = matches!(op, Op::Create | Op::Put | Op::Delete);
        match self {
            Fault::FailBefore | Fault::Throttled | Fault::Hang | Fault::CrashBefore => true,
            Fault::FailAfter | Fault::DelayedApply | Fault::Duplicated | Fault::CrashAfter => writes,
            Fault::AlreadyExistsLie | Fault::ConflictWithoutObject => op == Op::Create,
            Fault::ShortRead | Fault::BrokenBody => op == Op::Get,
            Fault::BitFlip => op == Op::Get && notices_flips(path),
            Fault::StaleList | Fault::ListHole | Fault::UntidyList | Fault::BrokenList => op == Op::List,
        }
    }
}

/// Whether a flipped bit in this object is either noticed or harmless: deletion vectors have a CRC, the version checksum
/// is compared with what it describes, the hint is only a hint. Commits carry no checksum; nobody can notice there.
fn notices_flips(path: &str) -> bool {
    path.contains("deletion_vector_") || path.ends_with(".crc") || path.ends_with("_last_checkpoint")
}

/// How often each fault strikes, in permille of the requests that can meet it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultRates(BTreeMap<Fault, u32>);

impl FaultRates {
    /// No faults.
    pub fn calm() -> Self {
        FaultRates::default()
    }

    /// A store on an ordinary bad day.
    pub fn flaky() -> Self {
        FaultRates::of(&[
            (Fault::FailBefore, 4),
            (Fault::Throttled, 4),
            (Fault::FailAfter, 10),
            (Fault::DelayedApply, 6),
            (Fault::Duplicated, 6),
            (Fault::AlreadyExistsLie, 15),
            (Fault::ConflictWithoutObject, 10),
            (Fault::Hang, 1),
            (Fault::CrashBefore, 1),
            (Fault::CrashAfter, 2),
            (Fault::ShortRead, 3),
            (Fault::BrokenBody, 2),
            (Fault::BitFlip, 60),
            (Fault::StaleList, 40),
            (Fault::ListHole, 30),
            (Fault::UntidyList, 50),
            (Fault::BrokenList, 20),
        ])
    }

    /// Answers to writes get lost, often.
    pub fn lossy_writes() -> Self {
        FaultRates::of(&[
            (Fault::FailAfter, 60),
            (Fault::DelayedApply, 40),
            (Fault::Duplicated, 30),
            (Fault::AlreadyExistsLie, 80),
            (Fault::ConflictWithoutObject, 20),
            (Fault::CrashAfter, 10),
            (Fault::FailBefore, 10),
        ])
    }

    /// Processes die, often.
    pub fn deadly() -> Self {
        FaultRates::of(&[(Fault::CrashBefore, 10), (Fault::CrashAfter, 14), (Fault::DelayedApply, 10)])
    }

    /// Rates by fault.
    pub fn of(rates: &[(Fault, u32)]) -> Self {
        FaultRates(rates.iter().copied().collect())
    }

    /// These rates with one changed.
    pub fn with(mut self, fault: Fault, permille: u32) -> Self {
        self.0.insert(fault, permille);
        self
    }
}

/// A fault that strikes one request picked in advance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFault {
    /// What the request wants.
    pub op: Op,
    /// A part of the object's name.
    pub path_contains: String,
    /// Which such request, counted from 1.
    pub nth: u32,
    /// What happens to it.
    pub fault: Fault,
}

/// The faults of a world: the rates, the plan, and how often each has struck.
#[derive(Debug)]
pub struct Faults {
    rates: FaultRates,
    plan: Mutex<Vec<PlannedFault>>,
    struck: Mutex<BTreeMap<Fault, u64>>,
    on: AtomicBool,
}

impl Faults {
    /// Faults at these rates and by this plan, switched off.
    pub fn new(rates: FaultRates, plan: Vec<PlannedFault>) -> Self {
        Faults { rates, plan: Mutex::new(plan), struck: Mutex::default(), on: AtomicBool::new(false) }
    }

    /// Switches all faults on or off.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// The fault of the next request, if it meets one.
    pub fn draw(&self, rng: &mut SimRng, op: Op, path: &str) -> Option<Fault> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let fault = self.planned(op, path).or_else(|| self.by_chance(rng, op, path))?;
        *lock(&self.struck).entry(fault).or_default() += 1;
        Some(fault)
    }

    fn planned(&self, op: Op, path: &str) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        let due = plan.iter_mut().position(|planned| {
            let meant = planned.op == op && path.contains(&planned.path_contains);
            planned.nth -= u32::from(meant && planned.nth > 0);
            meant && planned.nth == 0
        })?;
        Some(plan.remove(due).fault)
    }

    fn by_chance(&self, rng: &mut SimRng, op: Op, path: &str) -> Option<Fault> {
        // One draw for all: the faults share the range of 0 to 999 among them.
        let mut drawn = rng.below(1000) as i64;
        for (fault, permille) in self.rates.0.iter().filter(|(fault, _)| fault.can_meet(op, path)) {
            drawn -= i64::from(*permille);
            if drawn < 0 {
                return Some(*fault);
            }
        }
        None
    }

    /// How often each fault has struck.
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        lock(&self.struck).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_faults_strike_their_request_only() {
        let plan =
            vec![PlannedFault { op: Op::Create, path_contains: "_delta_log".into(), nth: 2, fault: Fault::FailAfter }];
        let faults = Faults::new(FaultRates::calm(), plan);
        faults.switch(true);
        let mut rng = SimRng::new(1);
        let drawn: Vec<Option<Fault>> =
            [(Op::Create, "t/_delta_log/0"), (Op::Get, "t/_delta_log/0"), (Op::Create, "t/a")]
                .into_iter()
                .chain([(Op::Create, "t/_delta_log/1"), (Op::Create, "t/_delta_log/2")])
                .map(|(op, path)| faults.draw(&mut rng, op, path))
                .collect();
        assert_eq!(drawn, [None, None, None, Some(Fault::FailAfter), None]);
    }

    #[test]
    fn rates_come_true_and_nothing_else_strikes() {
        let faults = Faults::new(FaultRates::of(&[(Fault::ShortRead, 100), (Fault::StaleList, 1000)]), Vec::new());
        let mut rng = SimRng::new(2);
        assert_eq!(faults.draw(&mut rng, Op::List, "t"), None, "switched off");
        faults.switch(true);
        let hits = (0..1000).filter(|_| faults.draw(&mut rng, Op::Get, "t/a") == Some(Fault::ShortRead)).count();
        assert!((60..140).contains(&hits), "{hits}");
        assert_eq!(faults.draw(&mut rng, Op::Put, "t/a"), None);
        assert_eq!(faults.draw(&mut rng, Op::List, "t"), Some(Fault::StaleList));
    }

    #[test]
    fn only_checked_objects_flip() {
        assert!(Fault::BitFlip.can_meet(Op::Get, "t/deletion_vector_1.bin"));
        assert!(!Fault::BitFlip.can_meet(Op::Get, "t/_delta_log/00000000000000000000.json"));
        assert!(!Fault::BitFlip.can_meet(Op::Get, "t/part-1.parquet"));
    }
}
