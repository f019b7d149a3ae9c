//! Error replies of our own, whole and ready to be sent.

macro_rules! reply {
    ($status:literal, $reason:literal, $text:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            " ",
            $reason,
            "\r\n",
            "cache-control: no-cache\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n",
            "<html><head><title>",
            $status,
            " ",
            $reason,
            "</title></head>",
            "<body><h1>",
            $status,
            " ",
            $reason,
            "</h1><p>",
            $text,
            "</p></body></html>\n"
        )
        .as_bytes()
    };
}

/// The reply for an error status; 500's for one that has none.
#[must_use]
pub fn canned(status: u16) -> &'static [u8] {
    match status {
        200 => reply!("200", "OK", "The service is available."),
        400 => reply!("400", "Bad Request", "The request could not be understood."),
        401 => reply!("401", "Unauthorized", "Credentials are needed for this page."),
        403 => reply!("403", "Forbidden", "This request is not allowed here."),
        404 => reply!("404", "Not Found", "There is nothing at this address."),
        405 => reply!("405", "Method Not Allowed", "This method cannot be used here."),
        407 => reply!("407", "Proxy Authentication Required", "The proxy needs credentials."),
        408 => reply!("408", "Request Timeout", "The request did not arrive in time."),
        410 => reply!("410", "Gone", "This page is gone for good."),
        413 => reply!("413", "Payload Too Large", "The request is larger than allowed."),
        425 => reply!("425", "Too Early", "Send this request again after the handshake."),
        429 => reply!("429", "Too Many Requests", "Too many requests were sent in a short time."),
        501 => reply!("501", "Not Implemented", "This feature is not supported."),
        502 => reply!("502", "Bad Gateway", "The server's answer could not be understood."),
        503 => reply!("503", "Service Unavailable", "No server can take this request now."),
        504 => reply!("504", "Gateway Timeout", "The server did not answer in time."),
        _ => reply!("500", "Internal Server Error", "Something went wrong inside the proxy."),
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
