//! A request's body that waits until the upstream wants it (RFC 9110 §10.1.1).
//!
//! What always holds: behind `Expect: 100-continue` nothing of the body is asked for before the
//! upstream has said `100`, has begun a good answer, or has said nothing for a while; after a
//! refusal it is not asked for at all. So our own `100`, which hyper's server sends when the body
//! is first asked for, is the upstream's, and a refusal reaches the caller before the body is sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::EXPECT;
use http::{Request, StatusCode};
use hyper::ext::on_informational;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::progress::Progress;

/// How long the upstream may think about it. Some do not know the word and wait for the body, so
/// nobody may wait for ever; clients wait about as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the upstream has said, and what became of the body.
#[derive(Debug, Default)]
struct Said {
    changed: Notify,
    /// The body may go.
    gone: AtomicBool,
    /// The call is over.
    over: AtomicBool,
}

/// The other end of a [`Leave`], for as long as the call lives.
#[derive(Debug)]
pub(super) struct Word(Arc<Said>);

impl Word {
    /// A final answer has begun. One that is no error may be made of the body, which hyper's own
    /// server reads without another word then.
    pub(super) fn answered(&self, status: StatusCode) {
        if status.as_u16() < 400 {
            self.0.changed.notify_one();
        }
    }

    /// True when the body was never asked for, so that the connection waits for it still.
    pub(super) fn keeps_back(&self) -> bool {
        !self.0.gone.load(Relaxed)
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
        self.0.changed.notify_one();
    }
}

/// The call was over before its body was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotWanted;

impl fmt::Display for NotWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream did not want the request's body")
    }
}

impl std::error::Error for NotWanted {}

/// Ends when it is known whether a body may be sent.
pub(super) struct Leave(Pin<Box<dyn Future<Output = Result<(), NotWanted>> + Send>>);

impl fmt::Debug for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leave")
    }
}

impl Leave {
    /// Ready when it is known; not to be asked again then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotWanted>> {
        self.0.as_mut().poll(cx)
    }
}

/// What a request's body has to wait for, if it expects to be told.
pub(super) fn expected<B>(
    request: &mut Request<B>,
    progress: &Arc<Progress>,
) -> Option<(Word, Leave)> {
    let expectation = request.headers().get(EXPECT)?;
    if !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return None;
    }
    let said = Arc::new(Said::default());
    let heard = Arc::clone(&said);
    on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE {
            heard.changed.notify_one();
        }
    });
    let (told, progress) = (Arc::clone(&said), Arc::clone(progress));
    let leave = Box::pin(async move {
        let silent = timeout(PATIENCE, told.changed.notified()).await.is_err();
        if silent && progress.is_answered() {
            // To break the request off now would take the rest of the answer with it.
            told.changed.notified().await;
        }
        if told.over.load(Relaxed) {
            return Err(NotWanted);
        }
        told.gone.store(true, Relaxed);
        Ok(())
    });
    Some((Word(said), Leave(leave)))
}
