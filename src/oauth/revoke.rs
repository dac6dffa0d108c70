//! Token revocation (RFC 7009): the request, and what its answer means.

use jiff::Timestamp;

use crate::config::Url;
use crate::oauth::answer::{Answer, Failure};
use crate::oauth::class::Class;
use crate::oauth::classify::{Reply, classify};
use crate::oauth::content::Content;
use crate::oauth::draft::Draft;
use crate::oauth::refusal::Refusal;
use crate::oauth::request::{Credentials, Fresh, Profile, RequestError, TokenRequest};
use crate::oauth::rules::ResponseRules;
use crate::secret::Secret;

/// Which kind of token is to be revoked (RFC 7009 §2.1, `token_type_hint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `refresh_token`.
    Refresh,
    /// `access_token`.
    Access,
}

impl TokenKind {
    /// Its name in the request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh_token",
            Self::Access => "access_token",
        }
    }
}

impl Profile {
    /// The request that revokes `token` at `endpoint` (RFC 7009 §2.1): the client proves itself
    /// as it does on a refresh, and the parameters go where those of a refresh go.
    pub fn revoke(
        &self,
        endpoint: &Url,
        (kind, token): (TokenKind, &Secret<String>),
        credentials: &Credentials,
        fresh: &Fresh,
    ) -> Result<TokenRequest, RequestError> {
        let mut draft = Draft::new(endpoint)?;
        draft.set("token", token.clone());
        let hint = Secret::new(kind.as_str().to_owned());
        draft.set("token_type_hint", hint);
        self.signed(draft, endpoint, credentials, fresh)
    }
}

/// What a reply to a revocation means: nothing more to do, or why the token may still be good.
///
/// A server that says the token is not good, or no longer, has it where it should be: RFC 7009
/// §2.2 wants 200 for that, and some say `invalid_token` or `invalid_grant` all the same.
pub fn revoked(reply: &Reply<'_>, rules: &ResponseRules, now: Timestamp) -> Result<(), Failure> {
    if reply.status.is_success() && !denies(reply, rules) {
        return Ok(());
    }
    let Answer::Failed(failure) = classify(reply, rules, now) else {
        return Ok(());
    };
    let class = match (failure.class, failure.code.as_str()) {
        (Class::Dead, _) | (_, "invalid_token") => return Ok(()),
        (_, "unsupported_token_type") => Class::Configuration,
        // Asking twice does no harm here.
        (Class::Ambiguous, _) => Class::Later,
        (class, _) => class,
    };
    Err(Failure { class, ..failure })
}

/// Whether an answer is none although its status is 2xx. It need not have a body (RFC 7009
/// §2.2), so only an unmistakable error counts, and a page for people, which is a portal's.
fn denies(reply: &Reply<'_>, rules: &ResponseRules) -> bool {
    match Content::read(reply.headers, reply.body) {
        Content::Members(members) => Refusal::beside_tokens(members.value(), rules).is_some(),
        Content::Page => true,
        Content::Broken(..) | Content::Empty | Content::Opaque => false,
    }
}
