//! One call to an upstream: token on, send, judge the answer, and perhaps send again.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::Answer;
use super::age::Age;
use super::headers;
use super::held::Held;
use super::outbound::{Outbound, Visit};
use super::reply::Fault;
use super::route::Lane;
use super::tunnel;
use crate::body::{Peeked, peek};
use crate::config::Period;
use crate::drain::Tasks;
use crate::grant::Token;
use crate::listen::{Inbound, InboundError};
use crate::oauth::{Rejection, Verdict};
use crate::upstream::{AnswerError, SendError};

/// A call as it can be sent, more than once if need be.
pub(super) struct Call<'a> {
    lane: &'a Lane,
    head: Parts,
    held: Held,
    /// The protocol that the caller asks to change to, and its side of the change.
    upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// Whether the caller waits to be told before it sends the body.
    expects: bool,
    /// The version of HTTP that the caller speaks.
    spoken: Version,
}

/// How often a call is sent again with a newer token: with one that was there, with a new one.
const REPLAYS_MOST: usize = 2;

/// Room for the fields of an ordinary answer: hyper reads it into the map that it sent the request
/// from, which so need not grow field by field.
const ANSWER_FIELDS: usize = 16;

/// Which try of the same sending it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

/// An answer of which some of the body may have been read, to look at it.
pub(super) struct Looked {
    answer: Response<Answer>,
    read: Option<Bytes>,
    /// What ended the reading, where that was not the body's plain end: it goes on its way too.
    last: Option<Result<Frame<Bytes>, AnswerError>>,
}

impl From<Response<Answer>> for Looked {
    fn from(answer: Response<Answer>) -> Self {
        Self {
            answer,
            read: None,
            last: None,
        }
    }
}

impl<'a> Call<'a> {
    /// Strips the head, finds the target, and holds the body for a replay.
    pub(super) fn prepare(lane: &'a Lane, mut head: Parts, body: Inbound) -> Result<Self, Fault> {
        if body.too_large_declared() {
            return Err(Fault::TooLarge);
        }
        let route = &lane.route;
        let mut target = http::uri::Parts::default();
        target.path_and_query = Some(route.target(&head.uri)?);
        let asked = headers::asked_upgrade(&head);
        let upgrade = asked.zip(head.extensions.remove::<OnUpgrade>());
        headers::strip_request(&mut head.headers, &route.credential);
        let expects = headers::expects_continue(&mut head);
        if head.version == Version::HTTP_2 {
            headers::join_cookies(&mut head.headers);
            if !headers::settle_length(&mut head.headers) {
                return Err(Fault::BadRequest("a length that is none"));
            }
        }
        if let Some((protocol, _)) = &upgrade {
            headers::mark_upgrade(&mut head.headers, protocol.clone());
        }
        route.dress(&mut head.headers);
        let spoken = head.version;
        let content = Held::new(body, route);
        if spoken == Version::HTTP_2 && headers::make_room_for_trailers(&mut head.headers) {
            content.expect_trailers();
        }
        head.uri = Uri::from_parts(target).map_err(|_| Fault::BadRequest("a malformed path"))?;
        head.version = Version::HTTP_11;
        Ok(Self {
            lane,
            head,
            held: content,
            upgrade,
            expects,
            spoken,
        })
    }

    /// The token to put on, waited for if there is none now.
    pub(super) async fn token(&self, visit: &Visit) -> Result<Arc<Token>, Fault> {
        let grant = &self.lane.route.grant;
        if let Some(token) = grant.token(&self.lane.token, visit.arrived) {
            return Ok(token);
        }
        let token = grant.token_by(visit.arrived + self.lane.route.settings.token_wait.duration());
        // Boxed, like all that is rare here: what most calls never do is not to be carried about.
        Box::pin(token)
            .await
            .map_err(|denied| Fault::NoToken(grant.name().clone(), denied))
    }

    /// Sends the call with `token`, and with a newer one where the upstream rejects that.
    ///
    /// A newer one that was there before may be rejected for the same reason, as when it was taken
    /// from a replica shortly before its end. One that was obtained since the rejection is the last.
    pub(super) async fn exchange(
        &self,
        token: Arc<Token>,
        visit: &mut Visit,
    ) -> Result<Looked, Fault> {
        let answer = self.send(&token, visit).await?;
        if self.passes(&answer, &token) {
            return Ok(answer);
        }
        Box::pin(self.replayed(answer, token, visit)).await
    }

    /// The answer to the call with a newer token, as long as `answer` rejects the one it carried.
    async fn replayed(
        &self,
        mut answer: Looked,
        mut token: Arc<Token>,
        visit: &mut Visit,
    ) -> Result<Looked, Fault> {
        let mut rejected_at = None;
        for _ in 0..REPLAYS_MOST {
            let Some(newer) = self.rejected(&mut answer, &token, visit).await else {
                break;
            };
            let rejected_at = *rejected_at.get_or_insert(visit.heard);
            token = newer;
            answer = self.send(&token, visit).await?;
            if self.passes(&answer, &token) || token.obtained_since(rejected_at) {
                break;
            }
        }
        Ok(answer)
    }

    /// True if the head alone shows that the answer rejects no token. Then a success is the token's
    /// too, which is noted.
    fn passes(&self, looked: &Looked, token: &Token) -> bool {
        let (status, headers) = (looked.answer.status(), looked.answer.headers());
        let passes = self.lane.route.rejection.by_head(status, headers) == Verdict::Pass;
        if passes {
            accepted(status, token);
        }
        passes
    }

    /// Sends the call. Where it died on a kept connection that the upstream had closed meanwhile,
    /// and doing it twice does no harm, it is sent once more on a new one; likewise where the
    /// upstream says that it did not look at it.
    async fn send(&self, token: &Token, visit: &mut Visit) -> Result<Looked, Fault> {
        let sent = Instant::now();
        let mut answer = self.send_once(token, Attempt::First).await;
        if let Err(error) = &answer
            && may_be_repeated(error, &self.head.method)
            && self.held.replayable()
        {
            answer = Box::pin(self.send_once(token, Attempt::Second)).await;
        }
        visit.answered_since(sent);
        match answer {
            Ok(answer) => Ok(Looked::from(answer)),
            Err(error) => Err(self.blame(error)),
        }
    }

    async fn send_once(
        &self,
        token: &Token,
        attempt: Attempt,
    ) -> Result<Response<Answer>, SendError> {
        let Some(body) = self.held.send() else {
            return Err(SendError::Malformed(None));
        };
        if !self.expects {
            self.held.warm().await;
        }
        let mut request = Request::new(body);
        request.method_mut().clone_from(&self.head.method);
        request.uri_mut().clone_from(&self.head.uri);
        let headers = request.headers_mut();
        headers.clone_from(&self.head.headers);
        headers.reserve(ANSWER_FIELDS);
        headers.insert(&token.name, token.value.clone());
        let upstream = match self.upgrade {
            None => &self.lane.upstream,
            Some(_) => &self.lane.upgrades,
        };
        match attempt {
            Attempt::First => upstream.send(request).await,
            Attempt::Second => Box::pin(upstream.send_anew(request)).await,
        }
    }

    /// The caller's side is asked first: a body that broke off is not the upstream's fault.
    fn blame(&self, error: SendError) -> Fault {
        match self.held.fault() {
            Some(InboundError::TooLarge) => Fault::TooLarge,
            Some(InboundError::TooSlow) => Fault::TooSlow,
            Some(InboundError::Malformed(_)) => Fault::BadRequest("a malformed body"),
            Some(InboundError::Cut(_)) => Fault::CallerGone,
            None => {
                let route = &self.lane.route.label;
                let cause = crate::telemetry::chain(&error);
                tracing::debug!(%route, %cause, "upstream failed");
                Fault::Upstream(error)
            }
        }
    }

    /// A newer token, if the answer rejects the one that was put on and a newer one can be had.
    async fn rejected(
        &self,
        looked: &mut Looked,
        token: &Token,
        visit: &Visit,
    ) -> Option<Arc<Token>> {
        let rejection = &self.lane.route.rejection;
        let status = looked.answer.status();
        let rejects = match rejection.by_head(status, looked.answer.headers()) {
            Verdict::Pass => return None,
            Verdict::Rejected => true,
            Verdict::NeedBody => {
                looked.look().await;
                looked.rejects(rejection)
            }
            Verdict::NeedsHuman(code) => {
                let grant = self.lane.route.grant.name();
                tracing::warn!(%grant, code, "the upstream asks for a new consent");
                return None;
            }
        };
        if !rejects {
            accepted(status, token);
            return None;
        }
        self.lane.route.metrics.rejections.inc();
        let newer = self.newer_than(token, visit).await?;
        self.lane.route.metrics.replays.inc();
        Some(newer)
    }

    /// A newer token to send the call again with. A call that cannot be sent again still has its
    /// token renewed, for the next one, but does not wait for that.
    async fn newer_than(&self, token: &Token, visit: &Visit) -> Option<Arc<Token>> {
        let route = &self.lane.route;
        if !self.held.replayable() {
            route.grant.report(token);
            return None;
        }
        let deadline = visit.arrived + route.settings.token_wait.duration();
        // An upstream that answers early is still being sent the body. It must not run beyond
        // what is kept while we wait, or the call could neither be sent anew nor passed back.
        self.held.pause();
        let newer = route.grant.newer_than(token, deadline).await;
        if newer.is_none() {
            self.held.resume();
        }
        newer
    }

    /// The answer on its way back to the caller.
    pub(super) async fn back(
        &mut self,
        looked: Looked,
        tasks: &Tasks,
    ) -> Result<Response<Outbound>, Fault> {
        let Looked {
            mut answer,
            read,
            last,
        } = looked;
        let asked = self.upgrade.as_ref().map(|(protocol, _)| protocol);
        let status = answer.status();
        headers::strip_response(status, answer.headers_mut(), asked)?;
        // Our own, not the upstream's (RFC 9110 §2.5): what is said of the end depends on it.
        *answer.version_mut() = Version::HTTP_11;
        if status == StatusCode::SWITCHING_PROTOCOLS
            && let Some((_, caller)) = self.upgrade.take()
        {
            let upstream = hyper::upgrade::on(&mut answer);
            let limit = self.lane.route.settings.max_stream_age;
            let limit = limit.map(Period::duration);
            tasks.spawn("tunnel", tunnel::join(caller, upstream, limit));
        }
        let unasked = self.expects && self.held.is_unasked();
        if unasked && self.spoken == Version::HTTP_11 && status.as_u16() >= 400 {
            // The caller may send the body after this or not; nothing can follow it here.
            headers::close_after(answer.headers_mut());
        }
        let (head, body) = answer.into_parts();
        let limit = self.lane.route.settings.max_stream_age;
        let age = limit.map(|limit| Age::new(limit.duration(), &head.headers));
        let body = match last {
            None => peek(body).await,
            Some(last) => Peeked::holding(last, body),
        };
        Ok(Response::from_parts(
            head,
            Outbound::upstream(read, body).ageing(age),
        ))
    }
}

/// An answer that is no error shows that the token is good.
fn accepted(status: StatusCode, token: &Token) {
    if status.as_u16() < 400 {
        token.accepted();
    }
}

/// True where sending the call again does no harm: the upstream did not look at it, or it was
/// most likely closing the kept connection just then and the method bears it if not.
fn may_be_repeated(error: &SendError, method: &Method) -> bool {
    match error {
        SendError::Refused(_) => true,
        SendError::Closed { reused: true, .. } => is_idempotent(method),
        _ => false,
    }
}

/// Sending these twice is like sending them once (RFC 9110 §9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

impl Looked {
    /// Reads the body as far as a rejection could reach.
    async fn look(&mut self) {
        let body = self.answer.body_mut();
        let mut read = BytesMut::new();
        while read.len() <= Rejection::LARGEST_BODY && !body.is_end_stream() {
            let frame = match body.frame().await {
                None => break,
                Some(frame) => frame.map(Frame::into_data),
            };
            self.last = match frame {
                Ok(Ok(data)) => {
                    read.extend_from_slice(&data);
                    continue;
                }
                Ok(Err(trailers)) => Some(Ok(trailers)),
                Err(error) => Some(Err(error)),
            };
            break;
        }
        self.read = Some(read.freeze()).filter(|read| !read.is_empty());
    }

    fn rejects(&self, rejection: &Rejection) -> bool {
        rejection.by_body(
            self.answer.status(),
            self.read.as_deref().unwrap_or_default(),
        )
    }
}
