//! Reading the configuration again: on SIGHUP, and when it or a file it names has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::{Instant, sleep_until};

use super::notify::{Phase, tell};
use super::{App, Error};
use crate::config::Config;
use crate::telemetry::chain;

/// Compares the content of the configuration, and of the files that it names, with what was read
/// last. Polling and not file events: a kubelet swaps symlinks, which watchers get wrong.
pub(super) struct Watch {
    path: PathBuf,
    interval: Option<Duration>,
    /// What each file held when it was last looked at; before it was read, so that a change in
    /// between is seen as one.
    seen: BTreeMap<PathBuf, Vec<u8>>,
    next: Instant,
}

impl Watch {
    /// Watches `path` and what `config` names.
    pub(super) fn new(path: PathBuf, config: &Config) -> Self {
        let interval = config.reload.interval.duration();
        let mut watch = Self {
            path,
            interval,
            seen: BTreeMap::new(),
            next: Instant::now(),
        };
        watch.look();
        watch.follow(config);
        watch.rest();
        watch
    }

    /// Ends when something has changed. Cancel-safe; without an interval it never ends.
    pub(super) async fn changed(&mut self) {
        if self.interval.is_none() {
            return std::future::pending().await;
        }
        loop {
            sleep_until(self.next).await;
            self.rest();
            if self.seen.iter().any(|(path, seen)| hash(path) != *seen) {
                return;
            }
        }
    }

    /// Looks at every file anew.
    fn look(&mut self) {
        self.seen.entry(self.path.clone()).or_default();
        for (path, seen) in &mut self.seen {
            *seen = hash(path);
        }
    }

    /// Watches what `config` names from now on, beside the configuration itself.
    fn follow(&mut self, config: &Config) {
        let files = config.files();
        self.seen
            .retain(|path, _| *path == self.path || files.contains(path));
        for path in files {
            let seen = hash(&path);
            self.seen.entry(path).or_insert(seen);
        }
    }

    fn rest(&mut self) {
        self.next = Instant::now() + self.interval.unwrap_or_default();
    }
}

/// A file that is missing for a moment is a change like another; reading it says what is wrong.
fn hash(path: &Path) -> Vec<u8> {
    let content = std::fs::read(path).unwrap_or_default();
    digest(&SHA256, &content).as_ref().to_vec()
}

/// Reads the configuration again and takes it, or says why not and leaves what runs.
pub(super) async fn again(app: &mut App, watch: &mut Watch) {
    tell(Phase::Reloading);
    watch.look();
    let taken = match Config::read(&watch.path) {
        Ok(config) => {
            watch.follow(&config);
            app.reload(config).await
        }
        Err(error) => Err(Error::because("the configuration is faulty", error)),
    };
    match taken {
        Ok(()) => {
            app.house.reloaded();
            tracing::info!("configuration reloaded");
        }
        Err(error) => {
            app.house.reload_refused();
            let (cause, hint) = (chain(&error), error.hint());
            tracing::error!(
                cause,
                hint,
                "configuration not reloaded; the running one stays"
            );
        }
    }
    tell(Phase::Ready);
}
