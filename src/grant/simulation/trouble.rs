//! What befalls the machine, its files and its store, beside the wire.

use std::time::Duration;

use jiff::SignedDuration;

use super::plan::seconds;
use super::world::{World, token};
use crate::grant::event::{Event, Means};
use crate::store::{AccessToken, ErrorKind, Record};

/// One of many misfortunes.
pub(super) fn strike(world: &mut World) {
    world.laws.troubles += 1;
    world.laws.upheavals += 1;
    match world.dice.u8(..8) {
        // A fleet's machines sleep one by one, and two jumps that hide each other are no test.
        0..=2 if world.is_fleet() && (world.me.jumped || world.me.process.is_none()) => {}
        0 if world.is_fleet() => world.strike_fleet(),
        0 => sleep(world),
        1 | 2 => set_clock(world),
        3 => change_seed(world),
        4 => import(world),
        5 => tell(world, "the client's secret changes", Event::SecretChanged),
        6 => tell(world, "a tick too many", Event::Tick),
        _ => world.crash(),
    }
}

fn tell(world: &mut World, what: &str, event: Event) {
    world.laws.tell(world.now, || what.to_owned());
    world.event(event);
}

/// The wall runs on while the monotonic clock and the process stand; answers wait.
fn sleep(world: &mut World) {
    let slept = Duration::from_millis(world.dice.u64(100..3 * 3_600_000));
    world
        .laws
        .tell(world.now, || format!("the machine sleeps for {slept:?}"));
    world.laws.clock_lied |= world.me.jumped;
    world.now += slept;
    world.me.asleep += slept;
    world.me.jumped = true;
}

fn set_clock(world: &mut World) {
    let by = SignedDuration::from_millis(world.dice.i64(-7_200_000..7_200_000));
    world
        .laws
        .tell(world.now, || format!("the wall clock is set by {by:?}"));
    world.me.wall_is_off += by;
    // A sleep and a clock set back look like neither, where both come between two looks; and an
    // intent from before looks younger to the next process than it is.
    let busy = world.me.process.as_ref().is_none_or(|it| it.work.is_some());
    let stored = world.shelf.record.as_ref();
    let open = busy || stored.is_some_and(|record| record.intent.is_some());
    world.laws.clock_lied |= world.me.jumped || (by.is_negative() && open) || world.is_fleet();
    world.me.jumped = true;
}

/// A person logs in anew and puts the refresh token into the seed's file.
fn change_seed(world: &mut World) {
    if world.seed_file.is_none() {
        return;
    }
    let seed = world.server.login(world.now);
    world.laws.logins += 1;
    world
        .laws
        .tell(world.now, || format!("the seed becomes rt-{seed}"));
    world.seed_file = Some(seed);
    world.me.seed_seen = Some(seed);
    world.event(Event::SeedChanged(token("rt", seed)));
}

/// A person logs in anew and puts the grant into the store.
fn import(world: &mut World) {
    if world.seed_file.is_some() {
        return;
    }
    let begun = world.server.login(world.now);
    world.laws.logins += 1;
    world
        .laws
        .tell(world.now, || format!("rt-{begun} is imported"));
    let mut record = Record::new(token("rt", begun), world.clocks().wall);
    record.generation = world.shelf.generation().map_or(1, |stored| stored + 1);
    world.shelf.record = Some(record);
    world.let_others_look();
}

/// A person comes who takes the grant back, or puts one in.
pub(super) fn visit(world: &mut World) {
    let Some(dice) = world.person.as_mut() else {
        return;
    };
    let kind = dice.u8(..5);
    world.laws.troubles += 1;
    world.laws.upheavals += 1;
    match kind {
        0 => tell(world, "revoke!", Event::Disowned(Means::Revoke)),
        1 => tell(world, "forget!", Event::Disowned(Means::Forget)),
        2 => bury(world),
        _ => enrol(world),
    }
}

/// Another process leaves a tombstone.
fn bury(world: &mut World) {
    let wall = world.clocks().wall;
    if let Some(stored) = world.shelf.record.as_mut() {
        *stored = stored.tombstone(wall);
    }
    let now = world.now;
    world
        .laws
        .tell(now, || String::from("a peer leaves a tombstone"));
}

/// A person logs in by way of the process.
fn enrol(world: &mut World) {
    let pair = world.server.enrol(world.now);
    let Some(refresh) = pair.refresh else {
        return;
    };
    world.laws.logins += 1;
    let wall = world.clocks().wall;
    let life = SignedDuration::try_from(world.plan.nature.life).ok();
    let record = Record {
        access_token: Some(AccessToken {
            value: token("at", pair.access),
            generation: 0,
            issued_at: wall,
            expires_at: life.map(|life| wall + life),
        }),
        ..Record::new(token("rt", refresh), wall)
    };
    world.laws.handed.insert(pair.access, refresh);
    let mark = world.seed_file.map(|seed| token("rt", seed).hash());
    tell(world, "a login", Event::Imported(Box::new(record), mark));
}

/// A read of the store.
pub(super) fn load(world: &mut World) -> Event {
    if world.befalls(world.plan.weather.store) || world.store_is_cut().is_some() {
        world.laws.troubles += 1;
        return Event::Loaded(Err(ErrorKind::Away));
    }
    world.note_burial();
    Event::Loaded(Ok(world.shelf.record.clone()))
}

/// How long the process is given for what must not take long.
pub(super) const PROMPT: Duration = seconds(1);
