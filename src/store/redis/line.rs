//! The line to the engine: one connection that is kept, renewed when it fails.
//!
//! What always holds: no question takes longer than the limit, whatever happens; each question
//! may be asked twice, so only such are asked that do no harm twice.

use std::time::Duration;

use redis::{Cmd, Value, cmd};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::route::{Redirection, Route};
use super::trouble;
use crate::store::{Error, ErrorKind};

/// How often one question is sent on from node to node.
const HOPS: usize = 5;

/// The line to the engine.
#[derive(Debug)]
pub(super) struct Line {
    route: Route,
    limit: Duration,
    /// Taken out while in use: whoever is dropped in the middle leaves no half question behind.
    kept: Mutex<Option<Link>>,
}

impl Line {
    /// Connects to nothing yet.
    pub(super) fn new(route: Route, limit: Duration) -> Self {
        let kept = Mutex::default();
        Self { route, limit, kept }
    }

    /// Asks `commands` one after the other over one connection.
    pub(super) async fn ask(&self, commands: &[Cmd]) -> Result<Vec<Value>, Error> {
        let deadline = Instant::now() + self.limit;
        let answers = timeout_at(deadline, self.converse(commands, deadline)).await;
        answers.unwrap_or_else(|_| Err(trouble::slow(&self.route, self.limit)))
    }

    async fn converse(&self, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, Error> {
        let mut kept = self.kept.lock().await;
        if let Some(mut link) = kept.take()
            && let Ok(values) = link.run(commands).await
        {
            *kept = Some(link);
            return Ok(values);
        }
        // A connection that lay idle may have been closed, or lead to who is primary no more.
        let mut link = self.route.open(deadline).await?;
        for _ in 0..HOPS {
            let from = link.address().clone();
            let error = match link.run(commands).await {
                Ok(values) => {
                    *kept = Some(link);
                    return Ok(values);
                }
                Err(error) => error,
            };
            let Some(redirection) = Redirection::of(&error, &from) else {
                return Err(trouble::said(&from, &error));
            };
            link = self.route.link(&redirection.to, deadline).await?;
            if redirection.once {
                let asking = link.ask(&cmd("ASKING")).await;
                asking.map_err(|error| trouble::said(&redirection.to, &error))?;
            }
        }
        let message = "the nodes of the cluster send the question round in circles";
        Err(Error::new(ErrorKind::Away, message))
    }
}
