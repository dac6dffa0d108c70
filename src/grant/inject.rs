//! How an access token is put on a call.

use http::{HeaderName, HeaderValue};

use crate::config;
use crate::secret::Secret;

/// How a token is put on a call.
pub(super) struct Inject {
    pub(super) name: HeaderName,
    scheme: String,
}

impl Inject {
    pub(super) fn new(settings: &config::Inject) -> Self {
        // The configuration's checks have parsed the name already.
        let name = settings
            .header
            .parse()
            .unwrap_or(http::header::AUTHORIZATION);
        Self {
            name,
            scheme: settings.scheme.clone(),
        }
    }

    /// The whole value; nothing when the token holds what a header cannot carry.
    pub(super) fn value(&self, token: &Secret<String>) -> Option<HeaderValue> {
        let text = match self.scheme.as_str() {
            "" => token.clone(),
            scheme => Secret::new(format!("{scheme} {}", token.expose())),
        };
        let mut value = HeaderValue::from_str(text.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}
