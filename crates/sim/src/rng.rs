//! The one source of randomness of a run.

/// A small seeded generator (SplitMix64): the same numbers on every machine and in every version of every library.
///
/// A failing seed is a bug report, and must still fail next year; generators of libraries change between versions.
#[derive(Debug, Clone)]
pub struct SimRng(u64);

impl SimRng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds start far apart.
        SimRng(mix(seed ^ 0x5851_F42D_4C95_7F2D))
    }

    /// A generator for a part of the world, which draws independently of the others: adding draws in one place does not
    /// change what happens in another.
    pub fn fork(&self, label: &str) -> Self {
        let hashed =
            label.bytes().fold(0xCBF2_9CE4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
        SimRng(mix(self.0 ^ hashed))
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 to `bound - 1`; 0 for the bound 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is far below what a test could see.
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number of the range, both ends included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True in `permille` of 1000 cases.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1000) < u64::from(permille)
    }

    /// One of the choices.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        let mut rng = SimRng::new(1);
        let drawn: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        let mut again = SimRng::new(1);
        assert_eq!(drawn, (0..3).map(|_| again.next_u64()).collect::<Vec<_>>());
        assert_ne!(SimRng::new(2).next_u64(), drawn[0]);
    }

    #[test]
    fn forks_do_not_disturb_their_origin() {
        let mut rng = SimRng::new(7);
        let mut fork = rng.fork("store");
        let before = rng.clone().next_u64();
        fork.next_u64();
        assert_eq!(rng.next_u64(), before);
        assert_ne!(SimRng::new(7).fork("a").next_u64(), SimRng::new(7).fork("b").next_u64());
    }

    #[test]
    fn chances_come_true_about_as_often_as_they_should() {
        let mut rng = SimRng::new(3);
        let hits = (0..10_000).filter(|_| rng.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!rng.chance(0));
        assert!(rng.chance(1000));
    }
}
