//! The signals that the process answers, also as PID 1, where nothing has a default.

use tokio::signal::unix::{SignalKind, signal};

use super::Error;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals, once installed.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// From here on the signals do what is written here instead of ending the process.
    pub(super) fn install() -> Result<Self, Error> {
        let install = |kind| {
            signal(kind)
                .map_err(|error| Error::because("a signal handler cannot be installed", error))
        };
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    /// The next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// The next signal that asks to stop; others are passed over.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}
