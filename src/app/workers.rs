//! The threads that carry traffic.

use std::io::ErrorKind;
use std::sync::Arc;

use super::Error;
use crate::config::{Listen, Proxy as Section};
use crate::drain::Tasks;
use crate::listen::{self, Bound, Handed, Limits};
use crate::proxy::{self, Proxy, RequestLog, Routes};

/// Takes the socket of an address that was handed over, or binds one; `mode` (octal) is then a
/// Unix socket's.
pub(super) fn bind(handed: &mut Handed, listen: &Listen, mode: &str) -> Result<Bound, Error> {
    let mode = u32::from_str_radix(mode, 8).unwrap_or(0o600);
    let bound = match handed.take(listen).transpose() {
        Some(taken) => taken,
        None => Bound::bind(listen, mode),
    };
    bound.map_err(|error| {
        let hint = way_out(error.kind());
        Error::because(format!("cannot listen on `{listen}`"), error).with_hint(hint)
    })
}

/// A socket that nobody serves would let its callers wait for ever.
pub(super) fn refuse_left(handed: &Handed) -> Result<(), Error> {
    let left: Vec<String> = handed.left().map(|at| format!("`{at}`")).collect();
    if left.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the service manager handed over {}, which nothing is configured to listen on",
        left.join(" and ")
    );
    Err(Error::new(message).with_hint(Some(
        "write the same address into `proxy.listen` or `admin.listen` and into the socket unit's `ListenStream=`",
    )))
}

/// What a person can do about an address that cannot be listened on.
fn way_out(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::AddrInUse => {
            Some("another process listens there: stop it, or choose another address")
        }
        ErrorKind::AddrNotAvailable => Some("choose an address that this machine has"),
        ErrorKind::PermissionDenied => {
            Some("choose a port from 1024 on, or a folder that this user may write")
        }
        ErrorKind::NotFound => Some("make the folder that the socket is to lie in"),
        _ => None,
    }
}

/// Where a listener really listens: port 0 has become a port.
pub(super) fn address(bound: &Bound) -> Result<Listen, Error> {
    bound
        .address()
        .map_err(|error| Error::because("a listener has no address", error))
}

/// What every worker needs.
#[derive(Clone)]
pub(super) struct Crew {
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) listen_metrics: Arc<listen::Metrics>,
    pub(super) proxy_metrics: proxy::Metrics,
    pub(super) log: RequestLog,
}

impl Crew {
    /// Starts the workers on `bound`.
    pub(super) fn start(
        &self,
        bound: &Bound,
        section: &Section,
        data: &Tasks,
    ) -> Result<(), Error> {
        for number in 0..section.workers {
            let share = bound.share();
            let share =
                share.map_err(|error| Error::because("a listener cannot be shared", error))?;
            self.start_one(number, share, data)?;
        }
        Ok(())
    }

    fn start_one(&self, number: u16, bound: Bound, data: &Tasks) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Error::because("no runtime could be made", error))?;
        let crew = self.clone();
        let running = data.count("worker");
        let tasks = data.child();
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let work = move || {
            runtime.block_on(crew.work(bound, tasks));
            drop(running);
        };
        let started = thread.spawn(work);
        started.map_err(|error| Error::because("a worker thread cannot be started", error))?;
        Ok(())
    }

    async fn work(self, bound: Bound, tasks: Tasks) {
        let proxy = Proxy::new(self.routes, &tasks, self.proxy_metrics, self.log);
        let own = tasks.clone();
        if let Err(error) = listen::serve(bound, proxy, self.limits, own, self.listen_metrics).await
        {
            tracing::error!(%error, "a worker cannot listen");
        }
        tasks.finished().await;
    }
}
