//! What becomes of a token request between here, the server, and back.

use std::time::Duration;

use super::fleet::Way;
use super::plan::{DAY, seconds};
use super::process::Sent;
use super::server::Pair;
use super::world::{World, token};
use crate::grant::event::Event;
use crate::issuer::{AccessFate, Revoked};
use crate::oauth::{Answer, Class, Expires, Failure, Tokens};

/// What befalls one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Slow,
    Refused,
    Busy,
    FailsBefore,
    FailsAfter,
    Cut,
    TimesOutBefore,
    TimesOutAfter,
    FalselyDead,
    ClientBroken,
    Misconfigured,
    OnlyRotated,
}

const TROUBLES: [Fate; 12] = [
    Fate::Slow,
    Fate::Refused,
    Fate::Busy,
    Fate::FailsBefore,
    Fate::FailsAfter,
    Fate::Cut,
    Fate::TimesOutBefore,
    Fate::TimesOutAfter,
    Fate::FalselyDead,
    Fate::ClientBroken,
    Fate::Misconfigured,
    Fate::OnlyRotated,
];

/// What a server that is broken for long says each time.
const OUTAGES: [Fate; 6] = [
    Fate::Refused,
    Fate::FailsBefore,
    Fate::TimesOutBefore,
    Fate::FalselyDead,
    Fate::ClientBroken,
    Fate::Misconfigured,
];

/// The request arrives at the server, or is lost before: what the process will be told, and after
/// how long.
pub(super) fn arrive(world: &mut World, sent: Sent) -> (Event, Duration) {
    let Sent { token, at, .. } = sent;
    let fate = if let Some(way) = world.server_is_cut() {
        match way {
            Way::There => Fate::TimesOutBefore,
            Way::Back => Fate::TimesOutAfter,
        }
    } else if let Some(outage) = world.outage() {
        OUTAGES[outage]
    } else if world.befalls(world.plan.weather.wire) {
        *world.dice.choice(TROUBLES.iter()).unwrap()
    } else {
        Fate::Answered
    };
    let reaches = !matches!(
        fate,
        Fate::Refused
            | Fate::Busy
            | Fate::FailsBefore
            | Fate::TimesOutBefore
            | Fate::FalselyDead
            | Fate::ClientBroken
            | Fate::Misconfigured
    );
    world.laws.troubles += u32::from(fate != Fate::Answered);
    let now = world.now;
    if reaches {
        world.check_arrival(sent);
    }
    let pair = reaches.then(|| world.server.redeem(token, now)).flatten();
    world
        .laws
        .tell(now, || format!("rt-{token}: {fate:?}, {pair:?}"));
    if matches!(fate, Fate::FailsAfter | Fate::Cut) && pair.is_some() && !world.is_fleet() {
        world.expect_replay();
    }
    let delay = match fate {
        Fate::Slow => Duration::from_millis(world.dice.u64(1_000..29_000)),
        Fate::TimesOutBefore | Fate::TimesOutAfter => seconds(30),
        _ => Duration::from_millis(world.dice.u64(1..300)),
    };
    let answer = answer(world, fate, pair);
    (Event::Answered(answer, at), delay)
}

/// A revocation arrives, or is lost before; its answer comes, or is lost on the way back.
pub(super) fn hand_back(world: &mut World, token: usize) -> Event {
    let wire = world.plan.weather.wire;
    let (before, after) = (world.befalls(wire), world.befalls(wire / 4.0));
    if !before {
        world.server.revoke(token);
        world.laws.revoked.insert(world.server.family(token));
    }
    if before || after {
        world.laws.troubles += 1;
        return Event::Revoked(Err(Failure::new(Class::Later, "cut")));
    }
    Event::Revoked(Ok(Revoked {
        access_token: AccessFate::Revoked,
    }))
}

fn answer(world: &mut World, fate: Fate, pair: Option<Pair>) -> Answer {
    let failed = |class, code: &str| Answer::Failed(Failure::new(class, code));
    match (fate, pair) {
        (Fate::Refused, _) => failed(Class::Later, "connect_refused"),
        (Fate::Busy, _) => {
            let mut busy = Failure::new(Class::Later, "slow_down");
            busy.retry_after = Some(seconds(world.dice.u64(0..7200)));
            Answer::Failed(busy)
        }
        (Fate::FailsBefore | Fate::FailsAfter, _) => failed(Class::Ambiguous, "status_500"),
        (Fate::Cut, _) => failed(Class::Ambiguous, "cut"),
        (Fate::TimesOutBefore | Fate::TimesOutAfter, _) => failed(Class::Ambiguous, "timeout"),
        (Fate::ClientBroken, _) => failed(Class::ClientBroken, "invalid_client"),
        (Fate::Misconfigured, _) => failed(Class::Configuration, "invalid_request"),
        (Fate::FalselyDead, _) | (_, None) => failed(Class::Dead, "invalid_grant"),
        (Fate::OnlyRotated, Some(pair)) => {
            let mut odd = Failure::new(Class::Unknown, "unusable_token");
            odd.rotated = pair.refresh.map(|number| token("rt", number));
            Answer::Failed(odd)
        }
        (Fate::Answered | Fate::Slow, Some(pair)) => tokens(world, pair),
    }
}

fn tokens(world: &mut World, pair: Pair) -> Answer {
    let nature = &world.plan.nature;
    let idle = nature.idle.filter(|_| nature.tells_end);
    if let Some(refresh) = pair.refresh {
        world.laws.handed.insert(pair.access, refresh);
    }
    Answer::Success(Box::new(Tokens {
        access_token: token("at", pair.access),
        refresh_token: pair.refresh.map(|number| token("rt", number)),
        expires: nature.told.map_or(Expires::Untold, Expires::In),
        refresh_expires_in: idle.or(nature.tells_end.then_some(DAY * 400)),
        scope: None,
        id_token: None,
        captured: std::collections::BTreeMap::new(),
    }))
}
