//! The machine swept by schedules: each is a whole world drawn from one seed.
//!
//! A world holds a model of an authorization server, a store that fails, two clocks that jump, a
//! process that is killed before or after any step, and a service that calls. After rough weather
//! comes calm, and then the grant is judged. What must hold stands in `laws.rs`; it is checked at
//! every step. A schedule that breaks a law is told as a story, and its seed is kept here.
//!
//! In some worlds several replicas share the store (`fleet.rs`): each with clocks and a machine of
//! its own, stopped and continued, parted from store and server, killed, replaced and joined by
//! more, on an engine that may lose its leases. What must hold between them stands in `pact.rs`.
//!
//! `BEARWARD_SIMULATION=5000000 cargo test --lib simulation` runs so many schedules, from a seed
//! that is new each time.

mod fleet;
mod laws;
mod pact;
mod plan;
mod process;
mod server;
mod shelf;
mod trouble;
mod wire;
mod words;
mod world;

use world::World;

/// How many schedules a usual test run goes through; one in eight is a fleet.
const SCHEDULES: u64 = 110_000;

/// Schedules that found something once: a refusal that was taken back while it stood (1011 and
/// 10 874) or while a save was owed (126 205), an old chain's token that outlived a sleep (5478),
/// and a window that passed unused (8705).
const KEPT: [u64; 5] = [1011, 5478, 8705, 10_874, 126_205];

/// Lives through one schedule; the law it broke, if any.
fn broken(seed: u64) -> Option<String> {
    let mut world = World::new(seed);
    world.run();
    world.laws.broken
}

/// The same schedule, told.
fn story(seed: u64) -> String {
    let mut world = World::new(seed);
    world.laws.record_story();
    let plan = format!("{:#?}", world.plan);
    world.run();
    let law = world.laws.broken.clone().unwrap_or_default();
    format!(
        "seed {seed}: {law}\n\n{plan}\n\n{}\nseed {seed}: {law}",
        world.laws.story()
    )
}

fn sweep(seeds: std::ops::Range<u64>) {
    let first = seeds.start;
    for seed in seeds {
        let count = seed - first + 1;
        assert!(broken(seed).is_none(), "schedule {count}:\n{}", story(seed));
    }
}

#[test]
fn no_schedule_breaks_a_law() {
    let asked = std::env::var("BEARWARD_SIMULATION").ok();
    let count = asked.and_then(|count| count.parse().ok());
    let first = match count {
        Some(_) => fastrand::u64(1 << 32..1 << 48),
        None => 0,
    };
    let count = count.unwrap_or(SCHEDULES);
    let half = first + count / 2;
    std::thread::scope(|scope| {
        scope.spawn(move || sweep(first..half));
        scope.spawn(move || sweep(half..first + count));
    });
}

#[test]
fn seeds_that_found_something_stay_quiet() {
    for seed in KEPT {
        assert!(broken(seed).is_none(), "{}", story(seed));
    }
}
