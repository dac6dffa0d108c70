//! The secrets and the fresh values of one token request.
//!
//! What always holds: a secret is read for each request and kept for none, so that a file that
//! was rotated is taken up by the next call.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{Grant, Source, SourceError, Text};
use crate::oauth::{Credentials, EnrolmentProfile, Fresh, Profile, RANDOMNESS};
use crate::secret::Secret;

/// Where a grant's secrets are.
#[derive(Debug)]
pub(super) struct Sources {
    client_secret: Option<Source>,
    params: BTreeMap<String, Source>,
    headers: BTreeMap<String, Source>,
}

impl Sources {
    /// What a refresh needs. A client secret that it does not use is left alone: it need not be
    /// readable.
    pub(super) fn of_refresh(grant: &Grant, profile: &Profile) -> Self {
        let secret = grant.client_secret.as_ref();
        let secret = secret.filter(|_| profile.needs_client_secret());
        Self::new(grant, &grant.refresh.params, secret)
    }

    /// What a login needs for a request with these further parameters.
    pub(super) fn of_login(
        grant: &Grant,
        params: &BTreeMap<String, Text>,
        profile: &EnrolmentProfile,
    ) -> Self {
        let secret = grant.client_secret.as_ref();
        let secret = secret.filter(|_| profile.needs_client_secret());
        Self::new(grant, params, secret)
    }

    fn new(grant: &Grant, params: &BTreeMap<String, Text>, client_secret: Option<&Source>) -> Self {
        Self {
            client_secret: client_secret.cloned(),
            params: references(params),
            headers: references(&grant.token_headers),
        }
    }

    /// Reads them all now. Small files, on the control thread.
    pub(super) fn read(&self) -> Result<Credentials, SourceError> {
        let all = |sources: &BTreeMap<String, Source>| {
            sources
                .iter()
                .map(|(key, source)| Ok((key.clone(), source.read()?)))
                .collect::<Result<_, _>>()
        };
        Ok(Credentials {
            client_secret: self.client_secret.as_ref().map(Source::read).transpose()?,
            params: all(&self.params)?,
            headers: all(&self.headers)?,
        })
    }
}

fn references(texts: &BTreeMap<String, Text>) -> BTreeMap<String, Source> {
    texts
        .iter()
        .filter_map(|(key, text)| match text {
            Text::Secret(source) => Some((key.clone(), source.clone())),
            Text::Literal(_) => None,
        })
        .collect()
}

/// Bytes that nobody can guess; an error where the system gives none.
pub(super) fn randomness() -> Result<Secret<Vec<u8>>, aws_lc_rs::error::Unspecified> {
    let mut bytes = vec![0; RANDOMNESS];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(Secret::new(bytes))
}

/// A random UUID (RFC 9562 §5.4) and the time.
pub(super) fn fresh() -> Fresh {
    let mut bytes = [0; 16];
    // It must differ from request to request and need not be secret: where the system's
    // randomness fails, which the library rules out, the cheap dice are good enough.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    let number = u128::from_be_bytes(bytes);
    let number = (number & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    Fresh {
        uuid: [
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32),
        ]
        .join("-"),
        now: Timestamp::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_random_and_says_so() {
        let (one, other) = (fresh().uuid, fresh().uuid);
        assert_ne!(one, other);
        for uuid in [one, other] {
            let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            assert_eq!(uuid.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&uuid.as_bytes()[19]));
        }
    }
}
