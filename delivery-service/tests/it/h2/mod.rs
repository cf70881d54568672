//! HTTP/2 frames, written by hand as a hostile client writes them (RFC 9113).
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

/// The identifier of the setting for the window of a new stream.
pub const INITIAL_WINDOW: u16 = 4;

/// The start of an HTTP/2 connection. Each setting is an identifier and a value.
pub fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let payload: Vec<u8> =
        settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    bytes.extend(frame(4, 0, 0, &payload));
    bytes
}

/// A frame (RFC 9113, 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request without a body. Its headers are neither indexed nor compressed (RFC 7541, 6.2.2).
pub fn get(stream: u32, path: &str, token: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let headers = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("authorization", bearer.as_str()),
    ];
    let block: Vec<u8> = headers
        .iter()
        .flat_map(|(name, value)| {
            let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            [vec![0], text(name), text(value)].concat()
        })
        .collect();
    frame(1, 0x5, stream, &block)
}

/// Opens the window of a stream by `bytes`. Stream 0 stands for the whole connection.
pub fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(8, 0, stream, &bytes.to_be_bytes())
}
