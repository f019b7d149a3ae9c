//! After a planned switch, on the old master: the address lives on the other node, but neighbours that have not heard of
//! it still send here, and connections that began here go on until they are done. The address moves to the loopback
//! interface, and this node says nothing of it by ARP. For IPv6 it does not anyway: the kernel answers a neighbour
//! solicitation only for an address of the interface it came by, and asks with such a one. Everything ends with the
//! process: the address has a lifetime that is renewed, the rules belong to a socket.

mod settings;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use failover_vrrp::{Micros, VirtualAddress, longest_prefix};

use crate::address::{self, LIFETIME_SECONDS};
use crate::netlink::Netlink;
use crate::nft::{Base, Batch, Expression, Family, Hook, Meta, REGISTER, Table, Verdict};
use settings::Settings;

/// How long what still arrives is served where nobody asks for longer: more than any neighbour takes to learn.
pub(crate) const ASIDE_SECONDS: u32 = 3;

/// Addresses that this node serves and does not answer for.
pub struct Aside {
    /// When that is to end; for whoever keeps the time.
    pub until: Micros,
    loopback: u32,
    addresses: Vec<VirtualAddress>,
    silence: Silence,
}

/// What keeps ARP from speaking of the addresses.
enum Silence {
    /// There is nothing of IPv4.
    None,
    Rules {
        /// Removes itself.
        _table: Table,
    },
    Settings {
        /// Puts itself back.
        _settings: Settings,
    },
}

impl Aside {
    /// To be called while the interface still has the addresses: no packet finds them missing.
    ///
    /// # Errors
    /// The kernel's answer; neither rules nor settings can silence ARP.
    pub fn begin(
        netlink: &mut Netlink,
        interface: &str,
        addresses: &[VirtualAddress],
        until: Micros,
    ) -> io::Result<Self> {
        let loopback = netlink.link("lo")?.index;
        let silence = Silence::begin(netlink, interface, addresses)?;
        let mut aside = Self { until, loopback, addresses: Vec::new(), silence };
        for address in addresses {
            let host = VirtualAddress::new(address.address, longest_prefix(address.address));
            if let Err(error) = address::hold_for(netlink, loopback, &host, ASIDE_SECONDS) {
                aside.end(netlink);
                return Err(error);
            }
            aside.addresses.push(host);
        }
        Ok(aside)
    }

    /// Whether the interface can lose the addresses now. Of IPv6 the kernel takes packets for its own when one of its
    /// threads had its turn after an address was added, on a busy machine 50 ms later; without either address they are
    /// refused.
    pub fn is_settled(&self, netlink: &mut Netlink) -> bool {
        let mut six = self.addresses.iter().map(|address| address.address).filter(IpAddr::is_ipv6);
        six.all(|address| netlink.is_local(address, self.loopback))
    }

    /// Lets the addresses live on; as often as those of an interface.
    ///
    /// # Errors
    /// The kernel's answer. What has been there stays to the end of its lifetime.
    pub fn renew(&self, netlink: &mut Netlink) -> io::Result<()> {
        let renew = |address| address::hold_for(netlink, self.loopback, address, LIFETIME_SECONDS);
        self.addresses.iter().try_for_each(renew)
    }

    /// Which addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|address| address.address).collect()
    }

    /// The interface has the addresses again: they are answered for. Those of IPv6 stay on the loopback as well, until
    /// the end: nobody hears of that, and the kernel is not done with the others yet.
    pub fn come_back(&mut self, netlink: &mut Netlink) {
        let (six, four) = std::mem::take(&mut self.addresses).into_iter().partition(|a| a.address.is_ipv6());
        self.addresses = six;
        release(netlink, self.loopback, four);
        self.silence = Silence::None;
    }

    /// Puts everything back. Dropping leaves the addresses to their lifetime, or to another `Aside` that has them, too.
    pub fn end(self, netlink: &mut Netlink) {
        release(netlink, self.loopback, self.addresses);
    }
}

fn release(netlink: &mut Netlink, loopback: u32, addresses: Vec<VirtualAddress>) {
    for address in addresses {
        if let Err(error) = address::release(netlink, loopback, &address) {
            tracing::debug!(address = %address.address, %error, "the address on the loopback ends by its lifetime");
        }
    }
}

impl Silence {
    fn begin(netlink: &mut Netlink, interface: &str, addresses: &[VirtualAddress]) -> io::Result<Self> {
        let every: Vec<Ipv4Addr> = addresses.iter().filter_map(|address| four(address.address)).collect();
        if every.is_empty() {
            return Ok(Self::None);
        }
        let devices = addresses.iter().filter_map(|address| address.device.as_deref());
        let interfaces: BTreeSet<&str> = devices.chain([interface]).collect();
        let refused = match rules(netlink, &interfaces, &every) {
            Ok(table) => return Ok(Self::Rules { _table: table }),
            Err(error) => error,
        };
        // Of a process that is killed, settings stay behind; rules do not.
        tracing::debug!(error = %refused, "nf_tables cannot silence ARP; settings of the interface do");
        let settings = Settings::begin(Path::new("/proc/sys"), &interfaces).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("ARP cannot be silenced: nf_tables: {refused}; settings: {error}"),
            )
        })?;
        Ok(Self::Settings { _settings: settings })
    }
}

fn four(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(four) => Some(four),
        IpAddr::V6(_) => None,
    }
}

/// Offsets within a packet of ARP for IPv4 over Ethernet (RFC 826).
const OPERATION: u32 = 6;
const SENDER: u32 = 14;
const TARGET: u32 = 24;
const REQUEST: [u8; 2] = [0, 1];

/// Nobody hears a question for an address here, whichever interface it comes by; and what this node asks, it asks with
/// an address of its own, of which there may be none: then with none, like a host that has not got one yet (RFC 5227).
fn rules(netlink: &mut Netlink, interfaces: &BTreeSet<&str>, every: &[Ipv4Addr]) -> io::Result<Table> {
    let mut own = Vec::new();
    for interface in interfaces {
        let index = netlink.link(interface)?.index;
        let of_link = netlink.addresses(index)?.into_iter().filter_map(|(address, _)| four(address));
        own.extend(of_link.filter(|address| !every.contains(address)).take(1).map(|own| (index, own)));
    }
    let mut table = Table::new(Family::Arp, "tandem-aside")?;
    let mut batch = Batch::default();
    table.chain(&mut batch, "in", Some(Hook::ArpInput))?;
    table.chain(&mut batch, "out", Some(Hook::ArpOutput))?;
    let load = |offset, length| Expression::Load { base: Base::Network, offset, length, register: REGISTER };
    let store = Expression::Store { base: Base::Network, offset: SENDER, length: 4, register: REGISTER };
    for address in every {
        let address = address.octets();
        let question = [
            load(OPERATION, 2),
            Expression::Equals(&REQUEST),
            load(TARGET, 4),
            Expression::Equals(&address),
            Expression::Verdict(Verdict::Drop),
        ];
        table.rule(&mut batch, "in", &question);
        for (index, own) in &own {
            let (index, own) = (index.to_ne_bytes(), own.octets());
            let by_interface = [Expression::Meta(Meta::OutInterface), Expression::Equals(&index)];
            let replace = [load(SENDER, 4), Expression::Equals(&address), Expression::Set(&own), store];
            table.rule(&mut batch, "out", &[&by_interface[..], &replace].concat());
        }
        let nobody = [load(SENDER, 4), Expression::Equals(&address), Expression::Set(&[0; 4]), store];
        table.rule(&mut batch, "out", &nobody);
    }
    table.commit(batch)?;
    Ok(table)
}
