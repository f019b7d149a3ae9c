//! A host that may have the floating address: the calls that an agent makes, in its order.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use failover::announce::Announcer;
use failover::aside::Aside;
use failover::flows;
use failover::netlink::{Link, Netlink};
use failover::steer::Steering;
use failover_vrrp::{Micros, VirtualAddress};

use super::service::{self, PORT};
use crate::lab::{Namespace, Switch, add, remove};

const INTERFACE: &str = "eth0";
const LOOK: Duration = Duration::from_millis(1);

pub(super) struct Host {
    pub(super) namespace: Namespace,
    pub(super) link: Link,
    floating: IpAddr,
    netlink: Netlink,
    announcer: Announcer,
    steering: Option<Steering>,
    aside: Option<Aside>,
}

impl Host {
    /// Plugs it in, and serves the floating address, which it has not got yet.
    pub(super) fn start(
        switch: &mut Switch,
        number: u8,
        own: &[IpAddr],
        floating: IpAddr,
    ) -> io::Result<Self> {
        let namespace = switch.host(&format!("host{number}"), own)?;
        let (netlink, link, announcer) = namespace.inside(|| -> io::Result<_> {
            let mut netlink = Netlink::open()?;
            let link = netlink.link(INTERFACE)?;
            Ok((netlink, link, Announcer::open(link.index, link.mac)?))
        })??;
        namespace.inside(|| drop(std::thread::spawn(move || service::serve(floating, number))))?;
        Ok(Self { namespace, link, floating, netlink, announcer, steering: None, aside: None })
    }

    /// Becomes master. What it does not know goes to the other host, before anything can come.
    pub(super) fn take(&mut self, peer: Link, felt: bool) -> io::Result<()> {
        let Link { index, mac, .. } = self.link;
        if !felt {
            let services = [(self.floating, vec![PORT])];
            let begin = || Steering::begin(index, INTERFACE, mac, peer.mac, &services);
            let fresh = self.namespace.inside(begin)??;
            self.steering = Some(fresh);
        }
        add(&mut self.netlink, index, self.floating)?;
        if let Some(aside) = &mut self.aside {
            aside.come_back(&mut self.netlink);
        }
        self.announce()
    }

    pub(super) fn announce(&self) -> io::Result<()> {
        self.announcer.announce(self.floating)
    }

    /// Is master no more: what it has begun goes on.
    pub(super) fn step_aside(&mut self, felt: bool) -> io::Result<()> {
        if !felt {
            let address = VirtualAddress::new(self.floating, if self.floating.is_ipv4() { 24 } else { 64 });
            let netlink = &mut self.netlink;
            let begin = || Aside::begin(netlink, INTERFACE, &[address], Micros(0));
            let aside = self.namespace.inside(begin)??;
            while !aside.is_settled(&mut self.netlink) {
                std::thread::sleep(LOOK);
            }
            self.aside = Some(aside);
        }
        remove(&mut self.netlink, self.link.index, self.floating)
    }

    pub(super) fn renew(&mut self) -> io::Result<()> {
        self.aside.as_ref().map_or(Ok(()), |aside| aside.renew(&mut self.netlink))
    }

    /// Connections that still need it.
    pub(super) fn flows(&self) -> io::Result<usize> {
        self.namespace.inside(|| flows::count(&[self.floating]))?
    }

    /// Nothing is left to be sent on, or served aside.
    pub(super) fn end(&mut self) {
        self.steering = None;
        if let Some(aside) = self.aside.take() {
            aside.end(&mut self.netlink);
        }
    }
}
