//! Fields that concern one connection only (RFC 9110 7.6.1): removed, and written anew for the next.

use super::head::{Head, Version};

/// Removes what concerned the client's connection. `keep`: whether the server's may be used again.
pub fn prepare_request_hop(head: &mut Head, keep: bool) {
    let upgrade = head.upgrade();
    remove_hop(head);
    if upgrade {
        head.add(b"connection", b"upgrade");
    } else if !keep {
        head.add(b"connection", b"close");
    } else if head.version() == Version::Http10 {
        head.add(b"connection", b"keep-alive");
    }
}

/// Removes what concerned the server's connection; says to the client what becomes of its own, where
/// that differs from its version's default.
pub fn prepare_response_hop(head: &mut Head, client: Version, keep: bool) {
    remove_hop(head);
    match (client, keep) {
        (Version::Http11, true) | (Version::Http10, false) => {}
        (Version::Http11, false) => head.add(b"connection", b"close"),
        (Version::Http10, true) => head.add(b"connection", b"keep-alive"),
    }
}

fn remove_hop(head: &mut Head) {
    let steering = head.steering;
    if head.has_hop {
        if steering.names_options {
            remove_named_options(head);
        }
        head.fields.retain(|field| !field.is_hop);
        head.has_hop = false;
    }
    if steering.upgrade_field && !steering.upgrade {
        head.remove(b"upgrade");
    }
}

/// Removes the fields that `Connection` names, except those that frame the message.
fn remove_named_options(head: &mut Head) {
    let options: Vec<Vec<u8>> = head
        .values(b"connection")
        .flat_map(|value| value.split(|b| *b == b','))
        .map(|option| option.trim_ascii().to_ascii_lowercase())
        .filter(|option| {
            let framing: [&[u8]; 8] = [
                b"close",
                b"keep-alive",
                b"upgrade",
                b"transfer-encoding",
                b"content-length",
                b"host",
                b"te",
                b"trailer",
            ];
            !option.is_empty() && !framing.contains(&option.as_slice())
        })
        .collect();
    for option in options {
        head.remove(&option);
    }
}
