//! Reading the configuration again: on SIGHUP, and when it or a file it names has changed.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::time::{Instant, sleep_until};

use super::{App, Error};
use crate::config::Config;
use crate::telemetry::chain;

/// Compares the content of the configuration, and of the files that it names, with what was read
/// last. Polling and not file events: a kubelet swaps symlinks, which watchers get wrong.
pub(super) struct Watch {
    path: PathBuf,
    files: Vec<PathBuf>,
    interval: Option<Duration>,
    seen: Vec<u8>,
    next: Instant,
}

impl Watch {
    /// Watches `path` and what `config` names.
    pub(super) fn new(path: PathBuf, config: &Config) -> Self {
        let interval = config.reload.interval.duration();
        let files = config.files().into_iter().collect();
        let mut watch = Self {
            path,
            files,
            interval,
            seen: Vec::new(),
            next: Instant::now(),
        };
        watch.seen = watch.hash();
        watch.rest();
        watch
    }

    /// Ends when something has changed. Cancel-safe; without an interval it never ends.
    pub(super) async fn changed(&mut self) {
        let Some(_) = self.interval else {
            return std::future::pending().await;
        };
        loop {
            sleep_until(self.next).await;
            self.rest();
            let now = self.hash();
            if std::mem::replace(&mut self.seen, now.clone()) != now {
                return;
            }
        }
    }

    fn rest(&mut self) {
        self.next = Instant::now() + self.interval.unwrap_or_default();
    }

    fn hash(&self) -> Vec<u8> {
        let mut context = Context::new(&SHA256);
        for path in std::iter::once(&self.path).chain(&self.files) {
            // A file that is missing for a moment is a change like another; reading it again says
            // what is wrong.
            context.update(&std::fs::read(path).unwrap_or_default());
            context.update(&[0]);
        }
        context.finish().as_ref().to_vec()
    }
}

/// Reads the configuration again and takes it, or says why not and leaves what runs.
pub(super) async fn again(app: &mut App, watch: &mut Watch) {
    let taken = match Config::read(&watch.path) {
        Ok(config) => {
            watch.files = config.files().into_iter().collect();
            watch.seen = watch.hash();
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
            let cause = chain(&error);
            tracing::error!(cause, "configuration not reloaded; the running one stays");
        }
    }
}
