//! What a proxy may pass on of a message's head (RFC 9110, "Message Forwarding"; RFC 9112 for version 1.1).

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};

/// Those that concern one connection only, besides what `Connection` itself names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The protocol that a message wants to go over to, or goes over to.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    named(headers).any(|name| name.eq_ignore_ascii_case("upgrade")).then(|| headers.get(UPGRADE).cloned())?
}

/// Takes away what concerns one connection only.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        named(headers).filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Makes a request's head that of the request that is sent on.
pub(super) fn forward(headers: &mut HeaderMap, peer: IpAddr) {
    let upgrade = upgrade(headers);
    strip(headers);
    // The front itself has told the client to go on.
    headers.remove(EXPECT);
    let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let chain: Vec<String> = before.map(str::to_owned).chain([peer.to_string()]).collect();
    if let Ok(chain) = HeaderValue::from_str(&chain.join(", ")) {
        headers.insert(FORWARDED_FOR, chain);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(protocol) = upgrade {
        demand(headers, protocol);
    }
}

/// Asks the next hop to go over to another protocol, or tells it that this is done.
pub(super) fn demand(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

fn named(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_what_is_for_the_end_is_passed_on() {
        let mut headers = head(&[
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
            ("x-forwarded-for", "10.0.0.1"),
        ]);
        forward(&mut headers, "127.0.0.1".parse().unwrap());
        let expected =
            [("accept", "*/*"), ("x-forwarded-for", "10.0.0.1, 127.0.0.1"), ("x-forwarded-proto", "http")];
        assert_eq!(headers, head(&expected));
    }

    #[test]
    fn a_wish_for_another_protocol_is_passed_on() {
        let mut headers = head(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        forward(&mut headers, "::1".parse().unwrap());
        assert_eq!(upgrade(&headers), Some(HeaderValue::from_static("websocket")));
        assert_eq!(headers.get("x-forwarded-for"), Some(&HeaderValue::from_static("::1")));
        assert_eq!(upgrade(&head(&[("upgrade", "websocket")])), None, "named by no `Connection`");
    }
}
