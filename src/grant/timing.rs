//! When an access token's successor is fetched, and a grant kept from dying of idleness. Pure.

use std::time::Duration;

use crate::config::Margin;

/// The least part of a token's life that is left when its successor is fetched.
const LEAST: Duration = Duration::from_secs(5);

/// The largest part, whatever share of a long life was asked for.
const MOST: Duration = Duration::from_secs(300);

/// How long before its end a token of this lifetime is replaced.
///
/// A share is kept between 5 s and 5 min. Nothing is ever more than half of the life, so that a
/// token shorter-lived than the margin does not make a refresh per request.
pub(super) fn margin(before: Margin, lifetime: Duration) -> Duration {
    let wanted = match before {
        Margin::Percent(percent) => {
            (lifetime.saturating_mul(u32::from(percent)) / 100).clamp(LEAST, MOST)
        }
        Margin::Period(period) => period.duration(),
    };
    wanted.min(lifetime / 2)
}

/// How long after `remaining` began to count the successor is due.
///
/// `dice` from 0 to 1 spreads instances over the first fifth of the margin. A token that is
/// already inside its margin (read from a store, or slow to arrive) is due at once.
pub(super) fn due_in(remaining: Duration, margin: Duration, dice: f64) -> Duration {
    remaining.saturating_sub(margin) + spread(remaining.min(margin), dice)
}

/// How long after `unused` a grant that dies of `idle` without a refresh is refreshed although
/// nobody needs it: at half of the time, so that the other half is left for a server that is away.
pub(super) fn keep_alive_in(idle: Duration, unused: Duration) -> Duration {
    (idle / 2).saturating_sub(unused)
}

fn spread(margin: Duration, dice: f64) -> Duration {
    (margin / 5).mul_f64(dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    const TENTH: Margin = Margin::Percent(10);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_share_is_kept_between_its_bounds() {
        assert_eq!(margin(TENTH, seconds(600)), seconds(60));
        assert_eq!(margin(TENTH, seconds(30)), seconds(5));
        assert_eq!(margin(TENTH, seconds(86_400)), seconds(300));
    }

    #[test]
    fn never_more_than_half_of_the_life() {
        assert_eq!(margin(TENTH, seconds(5)), Duration::from_millis(2500));
        let fixed = Margin::Period(Period::seconds(300));
        assert_eq!(margin(fixed, seconds(300)), seconds(150));
        assert_eq!(margin(fixed, seconds(3600)), seconds(300));
        assert_eq!(margin(TENTH, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_grant_is_kept_alive_at_half_of_its_idle_time() {
        let week = seconds(7 * 86_400);
        assert_eq!(keep_alive_in(week, Duration::ZERO), week / 2);
        assert_eq!(keep_alive_in(week, week / 4), week / 4);
        assert_eq!(keep_alive_in(week, week), Duration::ZERO);
    }

    #[test]
    fn jitter_delays_within_the_margin() {
        assert_eq!(due_in(seconds(600), seconds(60), 0.0), seconds(540));
        assert_eq!(due_in(seconds(600), seconds(60), 1.0), seconds(552));
    }

    #[test]
    fn a_token_inside_its_margin_is_due_soon() {
        assert_eq!(due_in(seconds(30), seconds(60), 0.0), Duration::ZERO);
        assert_eq!(due_in(seconds(30), seconds(60), 1.0), seconds(6));
    }
}
