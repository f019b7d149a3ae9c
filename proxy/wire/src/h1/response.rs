//! Error replies of our own, whole and ready to be sent.

/// Statuses that there are pages for (manual chapter 4.2, `errorfile`).
pub const PAGES: &[u16] =
    &[200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504];

/// The reply for an error status, 500's for one that has none: a head and a body of HTML. Those to requests that were
/// not understood, or not complete, end the connection.
#[must_use]
pub fn canned(status: u16) -> Vec<u8> {
    let (status, text) = words(status);
    let reason = reason(status);
    let close = if matches!(status, 400 | 408) { "connection: close\r\n" } else { "" };
    let body = format!(
        "<html><head><title>{status} {reason}</title></head>\
         <body><h1>{status} {reason}</h1><p>{text}</p></body></html>\n"
    );
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-length: {}\r\ncache-control: no-cache\r\n\
         {close}content-type: text/html\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn words(status: u16) -> (u16, &'static str) {
    let text = match status {
        200 => "The service is available.",
        400 => "The request could not be understood.",
        401 => "Credentials are needed for this page.",
        403 => "This request is not allowed here.",
        404 => "There is nothing at this address.",
        405 => "This method cannot be used here.",
        407 => "The proxy needs credentials.",
        408 => "The request did not arrive in time.",
        410 => "This page is gone for good.",
        413 => "The request is larger than allowed.",
        421 => "This server does not answer for that name.",
        422 => "The request's content could not be processed.",
        425 => "Send this request again after the handshake.",
        429 => "Too many requests were sent in a short time.",
        501 => "This feature is not supported.",
        502 => "The server's answer could not be understood.",
        503 => "No server can take this request now.",
        504 => "The server did not answer in time.",
        _ => return (500, "Something went wrong inside the proxy."),
    };
    (status, text)
}

/// The usual reason phrase of a status, or what its class means (RFC 9110 15).
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        511 => "Network Authentication Required",
        _ => match status / 100 {
            1 => "Informational",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            5 => "Server Error",
            _ => "Other",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_of_our_own_is_a_whole_response() {
        let mut head = crate::h1::Head::default();
        for status in PAGES.iter().copied() {
            let reply = canned(status);
            let parsed = crate::h1::parse_response(&reply, &crate::h1::Limits::default(), &mut head);
            let Ok(crate::h1::Parsed::Complete(used)) = parsed else { panic!("{status}: {parsed:?}") };
            assert_eq!(head.status(), status);
            assert_eq!(head.content_length(), Some((reply.len() - used) as u64), "{status}");
            assert_eq!(head.keeps_alive(), ![400, 408].contains(&status), "{status}");
            let ((same, text), name) = (words(status), reason(status));
            assert!(same == status && name.len() > 1 && text.ends_with('.'), "{status}");
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
            (203, "Non-Authoritative Information"),
            (204, "No Content"),
            (205, "Reset Content"),
            (206, "Partial Content"),
            (300, "Multiple Choices"),
            (301, "Moved Permanently"),
            (302, "Found"),
            (303, "See Other"),
            (304, "Not Modified"),
            (307, "Temporary Redirect"),
            (308, "Permanent Redirect"),
            (400, "Bad Request"),
            (401, "Unauthorized"),
            (402, "Payment Required"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (405, "Method Not Allowed"),
            (406, "Not Acceptable"),
            (407, "Proxy Authentication Required"),
            (408, "Request Timeout"),
            (409, "Conflict"),
            (410, "Gone"),
            (411, "Length Required"),
            (412, "Precondition Failed"),
            (413, "Content Too Large"),
            (414, "URI Too Long"),
            (415, "Unsupported Media Type"),
            (416, "Range Not Satisfiable"),
            (417, "Expectation Failed"),
            (421, "Misdirected Request"),
            (422, "Unprocessable Content"),
            (425, "Too Early"),
            (426, "Upgrade Required"),
            (428, "Precondition Required"),
            (429, "Too Many Requests"),
            (431, "Request Header Fields Too Large"),
            (451, "Unavailable For Legal Reasons"),
            (500, "Internal Server Error"),
            (501, "Not Implemented"),
            (502, "Bad Gateway"),
            (503, "Service Unavailable"),
            (504, "Gateway Timeout"),
            (505, "HTTP Version Not Supported"),
            (511, "Network Authentication Required"),
            (199, "Informational"),
            (299, "Success"),
            (399, "Redirection"),
            (499, "Client Error"),
            (599, "Server Error"),
            (600, "Other"),
        ] {
            assert_eq!(reason(status), expected, "{status}");
        }
    }
}
