//! After a planned switch: the address lives on the other node, but neighbours that have not heard of it
//! yet still send here, and what they begin is served. The address moves to the loopback interface, and
//! this node says nothing of it by ARP; for IPv6 it would not anyway. Both end by themselves: the address has a lifetime, the settings
//! are put back.

use std::io;
use std::path::PathBuf;

use failover_vrrp::{Micros, VirtualAddress, longest_prefix};

use crate::address;
use crate::netlink::Netlink;

/// How long what still arrives is served: longer than any neighbour takes to learn.
pub(crate) const ASIDE_SECONDS: u32 = 3;
/// Answer ARP only for addresses of the interface it came by, and ask with addresses of the interface
/// alone (the kernel's ip-sysctl document, `arp_ignore` and `arp_announce`).
const SETTINGS: [(&str, &str); 2] = [("arp_ignore", "1"), ("arp_announce", "2")];

pub(crate) struct Aside {
    pub(crate) until: Micros,
    loopback: u32,
    addresses: Vec<VirtualAddress>,
    before: Vec<(PathBuf, String)>,
}

impl Aside {
    /// To be called while the interface still has the addresses: no packet finds them missing.
    pub(crate) fn begin(
        netlink: &mut Netlink,
        interface: &str,
        addresses: &[VirtualAddress],
        until: Micros,
    ) -> io::Result<Self> {
        let loopback = netlink.link("lo")?.index;
        let mut aside = Self { until, loopback, addresses: Vec::new(), before: Vec::new() };
        match aside.enter(netlink, interface, addresses) {
            Ok(()) => Ok(aside),
            Err(error) => {
                aside.end(netlink);
                Err(error)
            }
        }
    }

    fn enter(
        &mut self,
        netlink: &mut Netlink,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<()> {
        // A name with a slash would be another file.
        if interface.contains('/') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let four = addresses.iter().any(|address| address.address.is_ipv4());
        for (name, value) in SETTINGS.into_iter().filter(|_| four) {
            let path = PathBuf::from("/proc/sys/net/ipv4/conf").join(interface).join(name);
            let before = std::fs::read_to_string(&path)?;
            std::fs::write(&path, value)?;
            self.before.push((path, before));
        }
        for address in addresses {
            let host = VirtualAddress::new(address.address, longest_prefix(address.address));
            address::hold_for(netlink, self.loopback, &host, ASIDE_SECONDS)?;
            self.addresses.push(host);
        }
        Ok(())
    }

    /// Puts everything back.
    pub(crate) fn end(self, netlink: &mut Netlink) {
        for address in self.addresses {
            if let Err(error) = address::release(netlink, self.loopback, &address) {
                tracing::debug!(address = %address.address, %error, "the address on the loopback ends by its lifetime");
            }
        }
        for (path, value) in self.before {
            if let Err(error) = std::fs::write(&path, value) {
                tracing::warn!(path = %path.display(), %error, "a setting cannot be put back");
            }
        }
    }
}
