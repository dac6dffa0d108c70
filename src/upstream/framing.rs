//! Whether everybody on the way sees the same end of an answer (RFC 9112 §6.3).

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// True unless the head frames the body in two ways, or in one that is not understood.
///
/// hyper decodes such answers and leaves both fields in the head; handed on, the next party
/// would take the other one and find the end elsewhere.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return true;
    };
    coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && codings.next().is_none()
        && !headers.contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_plain_framing_or_none() {
        let (te, length) = (TRANSFER_ENCODING, CONTENT_LENGTH);
        for (fields, plain) in [
            (vec![], true),
            (vec![(&length, "5")], true),
            (vec![(&te, "chunked")], true),
            (vec![(&te, "Chunked")], true),
            (vec![(&te, "chunked"), (&length, "5")], false),
            (vec![(&te, "gzip, chunked")], false),
            (vec![(&te, "chunked"), (&te, "chunked")], false),
            (vec![(&te, "identity")], false),
            (vec![(&te, "")], false),
        ] {
            let headers: HeaderMap = fields
                .iter()
                .map(|(name, value)| ((*name).clone(), HeaderValue::from_static(value)))
                .fold(HeaderMap::new(), |mut headers, (name, value)| {
                    headers.append(name, value);
                    headers
                });
            assert_eq!(is_plain(&headers), plain, "{fields:?}");
        }
    }
}
