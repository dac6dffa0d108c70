//! A schedule's plan, drawn from its seed: which server, which configuration, which weather.

use std::time::Duration;

use fastrand::Rng;

use crate::config::{Lifetime, Margin, Period, RotationRule};
use crate::grant::event::Settings;
use crate::store::Sharing;

/// Everything that is settled before a schedule begins.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nature: Nature,
    pub(super) settings: Settings,
    /// Events of rough weather; then it is calm.
    pub(super) rough: u32,
    pub(super) weather: Weather,
    /// What the server says to everything until an hour into the calm, as from a list.
    pub(super) outage: Option<usize>,
    /// The mean time between two calls of the service.
    pub(super) calls: Duration,
}

/// How a server treats its tokens.
#[derive(Clone, Debug)]
pub(super) struct Nature {
    pub(super) rotates: Rotates,
    /// A spent token ends the whole family.
    pub(super) revokes: bool,
    /// A refresh ends the access token before it.
    pub(super) old_access_dies: bool,
    /// How long an access token lives.
    pub(super) life: Duration,
    /// What the answer says of it; nothing: it does not say.
    pub(super) told: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) absolute: Option<Duration>,
    /// The answer says when the refresh token ends.
    pub(super) tells_end: bool,
}

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotates {
    /// It stays.
    Never,
    /// It is spent at once.
    Once,
    /// For so long it brings the same successor again.
    SamePairWithin(Duration),
    /// For so long it brings yet another successor.
    NewPairWithin(Duration),
}

/// How likely each kind of trouble is, at each chance that it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// On the way to the server and back.
    pub(super) wire: f64,
    /// In the store.
    pub(super) store: f64,
    /// The process ends, before or after each single step.
    pub(super) crash: f64,
    /// Clocks jump, the machine sleeps, seeds change, grants are imported, secrets rotate.
    pub(super) upheaval: f64,
    /// The upstream refuses what is good.
    pub(super) refusal: f64,
}

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A day.
pub(super) const DAY: Duration = seconds(86_400);

impl Plan {
    pub(super) fn draw(dice: &mut Rng) -> Self {
        let nature = Nature::draw(dice);
        let settings = settings(&nature, dice);
        let some = |dice: &mut Rng, levels: [f64; 4]| levels[dice.usize(..4)];
        let patient = nature.told.is_none_or(|told| told >= seconds(60));
        Self {
            settings,
            outage: (patient && dice.u8(..8) == 0).then(|| dice.usize(..6)),
            rough: dice.u32(10..60),
            weather: Weather {
                wire: some(dice, [0.0, 0.05, 0.3, 0.8]),
                store: some(dice, [0.0, 0.0, 0.1, 0.5]),
                crash: some(dice, [0.0, 0.0, 0.03, 0.15]),
                upheaval: some(dice, [0.0, 0.02, 0.05, 0.2]),
                refusal: some(dice, [0.0, 0.0, 0.2, 1.0]),
            },
            calls: (nature.life / 4).clamp(seconds(1), seconds(20_000)),
            nature,
        }
    }
}

impl Nature {
    fn draw(dice: &mut Rng) -> Self {
        let window = seconds([2, 10, 30, 60, 600, 1800][dice.usize(..6)]);
        let rotates = [
            Rotates::Never,
            Rotates::Once,
            Rotates::Once,
            Rotates::SamePairWithin(window),
            Rotates::NewPairWithin(window),
        ][dice.usize(..5)];
        let life = seconds([1, 2, 8, 60, 600, 3600, 3600, 86_400, 60 * 86_400][dice.usize(..9)]);
        let long = life >= DAY;
        let told = match dice.u8(..8) {
            0 if !long => None,
            1 if !long => Some(Duration::from_millis(400)),
            _ => Some(life),
        };
        Self {
            rotates,
            revokes: dice.u8(..4) > 0,
            old_access_dies: dice.u8(..4) == 0,
            life,
            told,
            idle: (long && dice.bool()).then(|| DAY * dice.u32(3..40)),
            absolute: (long && dice.bool()).then(|| DAY * dice.u32(2..100)),
            tells_end: dice.bool(),
        }
    }
}

fn settings(nature: &Nature, dice: &mut Rng) -> Settings {
    let window = match nature.rotates {
        Rotates::SamePairWithin(window) | Rotates::NewPairWithin(window) if dice.u8(..4) > 0 => {
            window
        }
        _ => Duration::ZERO,
    };
    let period = |period: Duration| Period::seconds(period.as_secs());
    let rotation = match (nature.rotates, dice.bool()) {
        (_, true) => RotationRule::Auto,
        (Rotates::Never, false) => RotationRule::Never,
        (_, false) => RotationRule::Always,
    };
    Settings {
        refresh_before: Margin::Percent(10),
        default_expires_in: Some(seconds(3600)),
        renew_floor: seconds(30),
        lifetime: Lifetime {
            rotation,
            replay_window: period(window),
            idle: nature.idle.map(period),
            absolute: nature.absolute.map(period),
        },
        call: seconds(30),
        sharing: Sharing::Exclusive,
        identity: String::from("pid 1"),
    }
}
