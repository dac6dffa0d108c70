//! Faces the service: the way of a request, in one straight line.
//!
//! [`Proxy::forward`] is the page to read first. What each step needs stands in its own file:
//! [`route`] (which calls go where), [`headers`] (what may pass), [`held`] (a body kept for a replay),
//! [`call`] (token on, send, rejected?), [`outbound`] (the way back) and [`reply`], the one place
//! where an error becomes a status.
//!
//! What always holds: nothing is forwarded without a credential; after a rejection a call is
//! sent again at most once with a token that was there and once with a new one; the caller's own
//! credential never reaches an upstream.

mod age;
mod call;
mod headers;
mod held;
mod kept;
mod metrics;
mod outbound;
mod reply;
mod route;
mod tunnel;

use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drain::Tasks;
use crate::listen::{Handler, Hangup, Inbound};
use crate::upstream;

pub use metrics::Metrics;
pub use outbound::Outbound;
pub use route::{Route, SetupError};

use call::Call;
use held::Outgoing;
use outbound::Visit;
use reply::Fault;
use route::Table;

/// The routes that are in force, shared by all workers; a reload sends others.
pub type Routes = watch::Receiver<Arc<Vec<Arc<Route>>>>;

/// One worker's proxy. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Proxy {
    table: Arc<Mutex<Arc<Table>>>,
    tasks: Tasks,
    metrics: Metrics,
    log: RequestLog,
}

/// The body of a call to an upstream.
type Sent = Outgoing;

/// The body of an upstream's answer.
type Answer = upstream::Answer<Sent>;

/// Whether each request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLog {
    /// One line per request.
    Write,
    /// None.
    Skip,
}

impl Proxy {
    /// One worker's proxy; its connections live on the runtime that this is called in. A task of
    /// its own follows the routes as they change.
    pub fn new(routes: Routes, tasks: &Tasks, metrics: Metrics, log: RequestLog) -> Self {
        let table = Arc::new(Table::new(&routes.borrow(), tasks));
        let proxy = Self {
            table: Arc::new(Mutex::new(table)),
            tasks: tasks.clone(),
            metrics,
            log,
        };
        tasks.spawn("routes", proxy.clone().follow(routes));
        proxy
    }

    /// The way of a request.
    async fn forward(
        &self,
        request: Request<Inbound>,
        visit: &mut Visit,
    ) -> Result<Response<Outbound>, Fault> {
        let (parts, body) = request.into_parts();
        headers::admit(&parts)?;
        let table = self.table();
        let lane = table.find(&parts)?;
        visit.enter(&lane.route);
        let mut call = Call::prepare(lane, parts, body)?;
        let token = call.token(visit).await?;
        let answer = call.exchange(token, visit).await?;
        call.back(answer, &self.tasks).await
    }

    fn table(&self) -> Arc<Table> {
        // Uncontended: only this worker's thread ever locks it.
        Arc::clone(&self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn follow(self, mut routes: Routes) {
        loop {
            tokio::select! {
                () = self.tasks.stopped() => return,
                changed = routes.changed() => if changed.is_err() { return },
            }
            let table = Arc::new(Table::new(&routes.borrow_and_update(), &self.tasks));
            *self.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
        }
    }
}

impl Handler for Proxy {
    type Body = Outbound;

    async fn handle(&self, request: Request<Inbound>) -> Result<Response<Outbound>, Hangup> {
        let mut visit = Visit::begin(Instant::now(), request.method().clone());
        match self.forward(request, &mut visit).await {
            Ok(response) => Ok(visit.forwarded(response, self.log)),
            Err(Fault::CallerGone) => Err(Hangup),
            Err(fault) => Ok(visit.refused(&fault, &self.metrics, self.log)),
        }
    }
}
