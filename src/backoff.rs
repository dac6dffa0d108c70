//! Bounded, jittered waits between attempts. Pure: the attempt's number and the dice are handed in.

use std::time::Duration;

/// How long to wait after the n-th failure in a row: doubling from `first` up to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure, before jitter.
    pub first: Duration,
    /// The longest wait, before jitter.
    pub most: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row (1 is the first).
    ///
    /// `dice` is a number from 0 to 1. Half of the wait is fixed and half is thrown, so that
    /// many instances spread out but none comes back at once.
    pub fn wait(self, failures: u32, dice: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.most);
        whole / 2 + (whole / 2).mul_f64(dice.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_secs(60),
    };

    #[test]
    fn doubles_up_to_the_bound() {
        let waits: Vec<u64> = (1..=8).map(|n| BACKOFF.wait(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn half_is_fixed_and_half_is_thrown() {
        assert_eq!(BACKOFF.wait(3, 0.0), Duration::from_secs(2));
        assert_eq!(BACKOFF.wait(3, 0.5), Duration::from_secs(3));
        assert_eq!(BACKOFF.wait(3, 7.0), Duration::from_secs(4));
    }

    #[test]
    fn survives_any_number_of_failures() {
        assert_eq!(BACKOFF.wait(u32::MAX, 1.0), BACKOFF.most);
        assert_eq!(BACKOFF.wait(0, 0.0), BACKOFF.first / 2);
    }
}
