//! Whether everybody on the way sees the same end of a message (RFC 9112 §6.3).

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request};
use http_body::Body;

/// Says in the head of a request over HTTP/1.1 what the library would not say by itself.
///
/// A body of unknown length is `chunked` whatever the method: hyper would drop that of a `GET`,
/// which search engines take. And `TE` is a word to the next hop alone, so `Connection` names it
/// (RFC 9110 §10.1.4).
pub(super) fn prepare<B: Body>(request: &mut Request<B>) {
    let body = request.body();
    let unknown = !body.is_end_stream() && body.size_hint().exact().is_none();
    if unknown && !request.headers().contains_key(CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    if request.headers().contains_key(TE) {
        let te = HeaderValue::from_static("te");
        request.headers_mut().append(CONNECTION, te);
    }
}

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
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, Empty, Full};
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    struct Unknown;

    impl Body for Unknown {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }
    }

    #[test]
    fn a_body_of_unknown_length_is_chunked_whatever_the_method() {
        for (body, chunked) in [
            (Empty::<Bytes>::new().boxed(), false),
            (Full::from("known").boxed(), false),
            (Unknown.boxed(), true),
        ] {
            let mut request = Request::new(body);
            prepare(&mut request);
            assert_eq!(request.headers().contains_key(TRANSFER_ENCODING), chunked);
        }
    }

    #[test]
    fn te_is_named_by_connection() {
        let mut request = Request::new(Empty::<Bytes>::new());
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        prepare(&mut request);
        let named: Vec<_> = request.headers().get_all(CONNECTION).iter().collect();
        assert_eq!(named, ["upgrade", "te"]);
    }

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
