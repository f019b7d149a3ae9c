//! Error replies of our own, whole and ready to be sent.

/// The reply for an error status, 500's for one that has none: a head and a body of HTML.
#[must_use]
pub fn canned(status: u16) -> Vec<u8> {
    let (status, reason, text) = words(status);
    let body = format!(
        "<html><head><title>{status} {reason}</title></head>\
         <body><h1>{status} {reason}</h1><p>{text}</p></body></html>\n"
    );
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-length: {}\r\ncache-control: no-cache\r\n\
         connection: close\r\ncontent-type: text/html\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn words(status: u16) -> (u16, &'static str, &'static str) {
    match status {
        200 => (200, "OK", "The service is available."),
        400 => (400, "Bad Request", "The request could not be understood."),
        401 => (401, "Unauthorized", "Credentials are needed for this page."),
        403 => (403, "Forbidden", "This request is not allowed here."),
        404 => (404, "Not Found", "There is nothing at this address."),
        405 => (405, "Method Not Allowed", "This method cannot be used here."),
        407 => (407, "Proxy Authentication Required", "The proxy needs credentials."),
        408 => (408, "Request Timeout", "The request did not arrive in time."),
        410 => (410, "Gone", "This page is gone for good."),
        413 => (413, "Payload Too Large", "The request is larger than allowed."),
        425 => (425, "Too Early", "Send this request again after the handshake."),
        429 => (429, "Too Many Requests", "Too many requests were sent in a short time."),
        501 => (501, "Not Implemented", "This feature is not supported."),
        502 => (502, "Bad Gateway", "The server's answer could not be understood."),
        503 => (503, "Service Unavailable", "No server can take this request now."),
        504 => (504, "Gateway Timeout", "The server did not answer in time."),
        _ => (500, "Internal Server Error", "Something went wrong inside the proxy."),
    }
}

/// The usual reason phrase of a status.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_of_our_own_is_a_whole_response() {
        let mut head = crate::h1::Head::default();
        for status in [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504] {
            let reply = canned(status);
            let parsed = crate::h1::parse_response(&reply, &crate::h1::Limits::default(), &mut head);
            let Ok(crate::h1::Parsed::Complete(used)) = parsed else { panic!("{status}: {parsed:?}") };
            assert_eq!(head.status(), status);
            assert_eq!(head.content_length(), Some((reply.len() - used) as u64), "{status}");
            assert!(!head.keeps_alive());
            let (_, name, text) = words(status);
            assert!(name.len() > 1 && text.ends_with('.'), "{status}");
            let body = String::from_utf8_lossy(&reply[used..]).into_owned();
            assert!(body.contains(&format!("<h1>{status} {name}</h1><p>{text}</p>")), "{body}");
        }
        assert_eq!(canned(999), canned(500));
    }

    #[test]
    fn reasons_are_those_of_the_registry() {
        for (status, expected) in [
            (100, "Continue"),
            (101, "Switching Protocols"),
            (200, "OK"),
            (201, "Created"),
            (202, "Accepted"),
            (204, "No Content"),
            (206, "Partial Content"),
            (301, "Moved Permanently"),
            (302, "Found"),
            (303, "See Other"),
            (304, "Not Modified"),
            (307, "Temporary Redirect"),
            (308, "Permanent Redirect"),
            (400, "Bad Request"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (405, "Method Not Allowed"),
            (408, "Request Timeout"),
            (410, "Gone"),
            (413, "Payload Too Large"),
            (429, "Too Many Requests"),
            (500, "Internal Server Error"),
            (501, "Not Implemented"),
            (502, "Bad Gateway"),
            (503, "Service Unavailable"),
            (504, "Gateway Timeout"),
            (299, "Other"),
        ] {
            assert_eq!(reason(status), expected, "{status}");
        }
    }
}
