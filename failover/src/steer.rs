//! On the new master, after a planned switch: packets of connections that began on the old one are sent on to it, as
//! they come in, before routing. The new master remembers which connections began with it, by their first packet, and
//! sends on all the rest: no list of the old master's connections is needed, which would always be too old.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::flows::{self, Flow};
use crate::nft::{Base, Batch, Expression, Family, Field, Hook, Meta, REGISTER, Set, Table, Verdict};

/// How long a connection that is silent is remembered; longer than any switch takes.
pub const REMEMBERED: Duration = Duration::from_secs(3600);
/// Connections that are remembered at most, of each family. One more is the old master's, which serves it, too.
pub const MAX_REMEMBERED: u32 = 1 << 18;
/// Pairs of an address and a port that are steered at most.
pub const MAX_SERVICES: usize = 4096;

const ETHERNET: [u8; 2] = libc::ARPHRD_ETHER.to_ne_bytes();
const TCP: [u8; 1] = [libc::IPPROTO_TCP as u8];
const MAC: u32 = 6;
const TO_MAC: u32 = 0;
const FROM_MAC: u32 = 6;
const ETHERTYPE: u32 = 12;
const PORT: u32 = 2;
const FROM_PORT: u32 = 0;
const TO_PORT: u32 = 2;
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 0x02;
const SYN_AND_ACK: u8 = 0x12;
/// Where every packet comes by.
const INGRESS: &str = "in";

/// What differs between the families.
struct Layout {
    ethertype: [u8; 2],
    address: Field,
    length: u32,
    from: u32,
    to: u32,
    /// Addresses all of whose ports are steered.
    whole: &'static str,
    /// Single ports of addresses.
    ports: &'static str,
    /// Connections that are this node's own.
    mine: &'static str,
    mine_id: u32,
    /// The chain of packets to what is steered.
    steered: &'static str,
}

const IPV4: Layout = Layout {
    ethertype: [0x08, 0x00],
    address: Field::Ipv4,
    length: 4,
    from: 12,
    to: 16,
    whole: "addresses4",
    ports: "services4",
    mine: "mine4",
    mine_id: 1,
    steered: "steered4",
};
const IPV6: Layout = Layout {
    ethertype: [0x86, 0xdd],
    address: Field::Ipv6,
    length: 16,
    from: 8,
    to: 24,
    whole: "addresses6",
    ports: "services6",
    mine: "mine6",
    mine_id: 2,
    steered: "steered6",
};

/// Connections that are not this node's own go on to the other one, for as long as this lives.
pub struct Steering {
    /// Removes itself.
    _table: Table,
}

impl Steering {
    /// Begins before this node has the addresses: without it, the kernel would reset connections that it does not know.
    /// Of TCP to these addresses and ports (none: all of them), everything that has not begun here goes to `peer_mac`
    /// by the same interface. What this node is connected to now has begun here: it may have been the master before.
    /// An older steering of the same addresses is dropped after this, not before.
    ///
    /// # Errors
    /// The kernel's answer: most likely it lacks nf_tables. The rights are missing. There is too much to steer.
    pub fn begin(
        index: u32,
        interface: &str,
        own_mac: [u8; 6],
        peer_mac: [u8; 6],
        services: &[(IpAddr, Vec<u16>)],
    ) -> io::Result<Self> {
        let pairs: usize = services.iter().map(|(_, ports)| ports.len().max(1)).sum();
        if pairs > MAX_SERVICES || own_mac == peer_mac {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut table = Table::new(Family::Netdev, "tandem-steering")?;
        let is_used = |layout: &&Layout| services.iter().any(|(address, _)| layout.is_of(*address));
        let layouts: Vec<&Layout> = [&IPV4, &IPV6].into_iter().filter(is_used).collect();
        for layout in &layouts {
            layout.make_sets(&mut table, services)?;
        }
        table.commit(remember(&table, &layouts, interface, &peer_mac)?)?;
        // From here on what begins is remembered; what had begun before is listed now. In the other order, something
        // would begin in between.
        let addresses: Vec<IpAddr> = services.iter().map(|(address, _)| *address).collect();
        let mine = flows::established(&addresses).unwrap_or_else(|error| {
            tracing::warn!(%error, "connections of this node cannot be listed; those it has had before are cut");
            Vec::new()
        });
        let mut batch = Batch::default();
        for layout in &layouts {
            layout.fill_mine(&mut table, services, &mine)?;
            layout.send_on(&table, &mut batch, index, &own_mac, &peer_mac);
        }
        table.commit(batch)?;
        Ok(Self { _table: table })
    }

    /// Sends nothing on any more: the old master has served what it had begun. Dropping does the same.
    pub fn end(self) {}
}

/// Has every connection remembered that begins here.
fn remember<'a>(
    table: &Table,
    layouts: &[&'a Layout],
    interface: &'a str,
    peer_mac: &'a [u8],
) -> io::Result<Batch> {
    let mut batch = Batch::default();
    for layout in layouts {
        layout.remember(table, &mut batch)?;
    }
    table.chain(&mut batch, INGRESS, Some(Hook::Ingress(interface)))?;
    // The loop guard: what the other node sends on is for us, since sending on does not lower the TTL.
    let from_peer = [
        Expression::Meta(Meta::InType),
        Expression::Equals(&ETHERNET),
        Expression::Load { base: Base::Link, offset: FROM_MAC, length: MAC, register: REGISTER },
        Expression::Equals(peer_mac),
        Expression::Verdict(Verdict::Accept),
    ];
    table.rule(&mut batch, INGRESS, &from_peer);
    for layout in layouts {
        for (set, with_port) in [(layout.whole, false), (layout.ports, true)] {
            table.rule(&mut batch, INGRESS, &layout.is_for(set, with_port));
        }
    }
    Ok(batch)
}

impl Layout {
    fn is_of(&self, address: IpAddr) -> bool {
        address.is_ipv4() == (self.address == Field::Ipv4)
    }

    fn make_sets(&self, table: &mut Table, services: &[(IpAddr, Vec<u16>)]) -> io::Result<()> {
        let size = u32::try_from(MAX_SERVICES).unwrap_or(u32::MAX);
        let (address, timeout) = (self.address, None);
        let mut batch = Batch::default();
        let id = self.mine_id * 10;
        table.set(&mut batch, &Set { name: self.whole, id, key: &[address], size, timeout });
        let key = [address, Field::Port];
        table.set(&mut batch, &Set { name: self.ports, id: id + 1, key: &key, size, timeout });
        let key = [address, Field::Port, address, Field::Port];
        let timeout = Some(REMEMBERED);
        let (name, id, size) = (self.mine, self.mine_id, MAX_REMEMBERED);
        table.set(&mut batch, &Set { name, id, key: &key, size, timeout });
        table.commit(batch)?;

        let ours = || services.iter().filter(|(address, _)| self.is_of(*address));
        let whole = ours().filter(|(_, ports)| ports.is_empty());
        table.fill(self.whole, whole.map(|(address, _)| octets(*address)))?;
        let ports = ours().flat_map(|(address, ports)| ports.iter().map(|port| end(*address, *port)));
        table.fill(self.ports, ports)
    }

    fn fill_mine(&self, table: &mut Table, services: &[(IpAddr, Vec<u16>)], mine: &[Flow]) -> io::Result<()> {
        let is_steered = |flow: &&Flow| {
            let own = flow.own;
            self.is_of(own.ip())
                && services
                    .iter()
                    .any(|(a, ports)| *a == own.ip() && (ports.is_empty() || ports.contains(&own.port())))
        };
        let mine = mine.iter().filter(is_steered);
        let key = |flow: &Flow| {
            [end(flow.client.ip(), flow.client.port()), end(flow.own.ip(), flow.own.port())].concat()
        };
        table.fill(self.mine, mine.map(key))
    }

    /// Whether a packet is for something in this set; it goes on to the chain of those.
    fn is_for<'a>(&'a self, set: &'a str, with_port: bool) -> Vec<Expression<'a>> {
        let mut steps = vec![
            Expression::Meta(Meta::InType),
            Expression::Equals(&ETHERNET),
            // The frame's own word: of a tagged frame it is the tag, and another interface's business.
            Expression::Load { base: Base::Link, offset: ETHERTYPE, length: 2, register: REGISTER },
            Expression::Equals(&self.ethertype),
            Expression::Meta(Meta::Transport),
            Expression::Equals(&TCP),
            self.load(self.to, REGISTER),
        ];
        if with_port {
            steps.push(port(TO_PORT, REGISTER + self.registers()));
        }
        steps.extend([Expression::Lookup(set), Expression::Verdict(Verdict::Goto(self.steered))]);
        steps
    }

    /// Who begins, begins here: the newest first packet wins over a socket that the client has forgotten.
    fn remember(&self, table: &Table, batch: &mut Batch) -> io::Result<()> {
        table.chain(batch, self.steered, None)?;
        let begins = [
            Expression::Load { base: Base::Transport, offset: TCP_FLAGS, length: 1, register: REGISTER },
            Expression::Mask(&[SYN_AND_ACK]),
            Expression::Equals(&[SYN]),
        ];
        table.rule(batch, self.steered, &[&begins[..], &self.key(), &self.keep()].concat());
        Ok(())
    }

    /// What has begun here is for us; everything else goes to the other node.
    fn send_on(&self, table: &Table, batch: &mut Batch, index: u32, own_mac: &[u8], peer_mac: &[u8]) {
        let known = [Expression::Lookup(self.mine)];
        table.rule(batch, self.steered, &[&self.key()[..], &known, &self.keep()].concat());
        let store = |offset| Expression::Store { base: Base::Link, offset, length: MAC, register: REGISTER };
        let index = index.to_ne_bytes();
        let send_on = [
            Expression::Meta(Meta::InType),
            Expression::Equals(&ETHERNET),
            // With the client's address as the sender's, a switch would look for the client behind our port.
            Expression::Set(own_mac),
            store(FROM_MAC),
            Expression::Set(peer_mac),
            store(TO_MAC),
            Expression::Set(&index),
            Expression::Forward,
        ];
        table.rule(batch, self.steered, &send_on);
    }

    /// The two ends of a packet's connection, one register after another.
    fn key(&self) -> [Expression<'static>; 4] {
        let from_port = REGISTER + self.registers();
        let to = from_port + 1;
        [
            self.load(self.from, REGISTER),
            port(FROM_PORT, from_port),
            self.load(self.to, to),
            port(TO_PORT, to + self.registers()),
        ]
    }

    /// The key is in the registers still: it lives on in the set, and the packet is ours.
    fn keep(&self) -> [Expression<'_>; 2] {
        let update = Expression::Update { set: self.mine, id: self.mine_id };
        [update, Expression::Verdict(Verdict::Accept)]
    }

    /// Registers that an address takes.
    fn registers(&self) -> u32 {
        self.length / 4
    }

    fn load(&self, offset: u32, register: u32) -> Expression<'static> {
        Expression::Load { base: Base::Network, offset, length: self.length, register }
    }
}

fn port(offset: u32, register: u32) -> Expression<'static> {
    Expression::Load { base: Base::Transport, offset, length: PORT, register }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// An address and a port as a part of a key, each up to a whole register.
fn end(address: IpAddr, port: u16) -> Vec<u8> {
    let mut bytes = octets(address);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}
