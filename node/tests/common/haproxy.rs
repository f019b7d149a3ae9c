//! The real HAProxy, where it is installed.

use std::io::Write as _;
use std::path::Path;

/// Where it is; without it the test is skipped in words, unless it is required.
pub(crate) fn installed() -> Option<&'static str> {
    let places = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"];
    let found = places.into_iter().find(|place| Path::new(place).exists());
    if found.is_none() {
        assert!(std::env::var_os("TANDEM_REQUIRE_PEERS").is_none(), "haproxy is not installed");
        // What a test prints is shown only when it fails: this goes past that.
        let _ = writeln!(std::io::stderr(), "skipped: haproxy is not installed");
    }
    found
}
