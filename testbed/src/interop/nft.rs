//! nft 1.0.6 reads the tables that a planned switch makes, and says what they mean; and when they end, nothing is left.

use std::io;
use std::net::IpAddr;
use std::process::Command;

use failover::aside::Aside;
use failover::netlink::Netlink;
use failover::steer::Steering;
use failover_vrrp::{Micros, VirtualAddress};

use crate::lab::Switch;

const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];
/// What nft says, with our own hardware address and the numbers of sockets left out. It shows no types of protocols
/// where the chain before has looked at them.
const STEERING: &str = r#"
table netdev tandem-steering {
    flags owner
    set addresses4 {
        type ipv4_addr
        size 4096
        elements = { 192.0.2.101 }
    }
    set services4 {
        type ipv4_addr . inet_service
        size 4096
        elements = { 192.0.2.100 . 443 }
    }
    set mine4 {
        type ipv4_addr . inet_service . ipv4_addr . inet_service
        size 262144
        flags dynamic,timeout
        timeout 1h
    }
    set addresses6 {
        type ipv6_addr
        size 4096
    }
    set services6 {
        type ipv6_addr . inet_service
        size 4096
        elements = { 2001:db8::100 . 443 }
    }
    set mine6 {
        type ipv6_addr . inet_service . ipv6_addr . inet_service
        size 262144
        flags dynamic,timeout
        timeout 1h
    }
    chain steered4 {
        @th,104,8 & 0x12 == 0x2 update @mine4 { @nh,96,32 . th sport . @nh,128,32 . th dport } accept
        @nh,96,32 . th sport . @nh,128,32 . th dport @mine4 update @mine4 { @nh,96,32 . th sport . @nh,128,32 . th dport } accept
        ether saddr set OWN ether daddr set 02:00:00:00:00:09 fwd to "eth0"
    }
    chain steered6 {
        @th,104,8 & 0x12 == 0x2 update @mine6 { @nh,64,128 . th sport . @nh,192,128 . th dport } accept
        @nh,64,128 . th sport . @nh,192,128 . th dport @mine6 update @mine6 { @nh,64,128 . th sport . @nh,192,128 . th dport } accept
        ether saddr set OWN ether daddr set 02:00:00:00:00:09 fwd to "eth0"
    }
    chain in {
        type filter hook ingress device "eth0" priority filter; policy accept;
        ether saddr 02:00:00:00:00:09 accept
        meta l4proto tcp ip daddr @addresses4 goto steered4
        ip daddr . tcp dport @services4 goto steered4
        meta l4proto tcp ip6 daddr @addresses6 goto steered6
        ip6 daddr . tcp dport @services6 goto steered6
    }
}"#;
const ASIDE: &str = r#"
table arp tandem-aside {
    flags owner
    chain in {
        type filter hook input priority filter; policy accept;
        arp operation request arp daddr ip 192.0.2.100 drop
    }
    chain out {
        type filter hook output priority filter; policy accept;
        oif "eth0" arp saddr ip 192.0.2.100 arp saddr ip set 192.0.2.1
        arp saddr ip 192.0.2.100 arp saddr ip set 0.0.0.0
    }
}"#;

/// Compares both; inside a lab of its own.
pub(super) fn compare() -> Result<String, String> {
    play().map_err(|error| error.to_string())
}

fn play() -> io::Result<String> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(io::Error::other);
    let host = Switch::new()?.host("host", &[address("192.0.2.1")?])?;
    let floating = [address("192.0.2.100")?, address("192.0.2.101")?, address("2001:db8::100")?];
    host.inside(|| {
        let mut netlink = Netlink::open()?;
        let link = netlink.link("eth0")?;
        let services = [(floating[0], vec![443]), (floating[1], vec![]), (floating[2], vec![443])];
        let begin = || Steering::begin(link.index, "eth0", link.mac, PEER, &services);
        let own = link.mac.map(|byte| format!("{byte:02x}")).join(":");
        let two = [begin()?, begin()?];
        expect("two steerings", &STEERING.replace("OWN", &own).repeat(2))?;
        drop(two);
        let aside = Aside::begin(
            &mut netlink,
            "eth0",
            &[VirtualAddress::new(floating[0], 24), VirtualAddress::new(floating[2], 64)],
            Micros(0),
        )?;
        expect("the old master's silence", ASIDE)?;
        let loopback = netlink.link("lo")?.index;
        let held = |netlink: &mut Netlink| netlink.addresses(loopback).map(|every| every.len());
        let with = held(&mut netlink)?;
        aside.end(&mut netlink);
        expect("the end", "")?;
        // Two addresses were there, beside the loopback's own.
        if held(&mut netlink)? + 2 != with {
            return Err(io::Error::other("the loopback does not lose its addresses"));
        }
        Ok("nft reads the tables of a planned switch as they are meant, and nothing stays".to_owned())
    })?
}

/// Lines without their indentation, and without what differs every time.
fn plain(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let named = line.strip_prefix("table ").and_then(|rest| rest.split_once(" {"));
        match named {
            Some((name, _)) => {
                let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
                lines.push_str("table ");
                lines.push_str(name);
                lines.push_str(" {");
            }
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

fn expect(what: &str, expected: &str) -> io::Result<()> {
    let program = crate::find_program("nft").ok_or(io::ErrorKind::NotFound)?;
    let output = Command::new(program).args(["list", "ruleset"]).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (said, expected) = (plain(&said), plain(expected));
    if said == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{what}: nft says\n{said}\nand not\n{expected}")))
}
