//! What happens to connections when the addresses of a virtual router are handed over: the old master goes on serving
//! what it has begun, the new one sends that on to it. Both at once, where the addresses come back soon.

use std::net::IpAddr;

use failover_vrrp::{Micros, VirtualAddress};

use crate::address::RENEW_EVERY_MICROS;
use crate::aside::{ASIDE_SECONDS, Aside};
use crate::flows;
use crate::netlink::{Link, Netlink};
use crate::steer::Steering;

/// How long a connection may go on on the old master.
pub(crate) const LONGEST_DRAIN: Micros = Micros(300 * 1_000_000);
/// How long the old master serves at least: neighbours may learn late where the addresses are.
const SHORTEST_DRAIN: Micros = Micros(1_500_000);
/// The same where the new master sends nothing on: what goes on then is cut with the next packet that finds its way.
const SHORTEST_ASIDE: Micros = Micros(1_000_000);
/// How long a new master sends on if it hears nothing of an end: the old one's drain ends before.
const LONGEST_STEERING: Micros = Micros(310 * 1_000_000);
/// How long the kernel may take to make an address of the loopback its own, and how often that is looked at.
const SETTLING: Micros = Micros(250_000);
const LOOK: Micros = Micros(2_000);
/// How long addresses that have come back stay on the loopback, too.
const BACK: Micros = Micros(2_000_000);
/// How long a node that has prepared waits for the addresses.
const PREPARED: Micros = Micros(3 * 1_000_000);

/// One virtual router's connections.
#[derive(Default)]
pub(crate) struct Passing {
    /// As the old master.
    serving: Option<Serving>,
    /// As the new one.
    sending: Option<Sending>,
    /// Whether the new master sends on to here what has begun here.
    pub(crate) is_sent_on: bool,
}

struct Serving {
    aside: Aside,
    since: Micros,
    renewed: Micros,
    /// The interface has the addresses still: when that is looked at again.
    settles: Option<Micros>,
    /// The interface has the addresses again.
    is_back: bool,
}

/// What has come of keeping the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    Nothing,
    /// The interface can lose the addresses now.
    Settled,
    /// The last connection that began here has ended, or has had its time.
    Served,
}

struct Sending {
    /// Ends by being dropped.
    _steering: Steering,
    to: IpAddr,
    until: Micros,
}

impl Passing {
    /// This node, which holds the addresses still, goes on serving without them; whether it can.
    pub(crate) fn serve(
        &mut self,
        netlink: &mut Netlink,
        interface: &str,
        addresses: &[VirtualAddress],
        now: Micros,
    ) -> bool {
        let drain =
            if self.is_sent_on { LONGEST_DRAIN } else { Micros(u64::from(ASIDE_SECONDS) * 1_000_000) };
        match Aside::begin(netlink, interface, addresses, now.after(drain)) {
            Ok(aside) => {
                self.serving =
                    Some(Serving { aside, since: now, renewed: now, settles: Some(now), is_back: false });
            }
            Err(error) => {
                tracing::info!(
                    %error,
                    "connections that still reach this node after the addresses have moved cannot be served"
                );
                // Of a switch before: its addresses were here again.
                self.end(netlink);
            }
        }
        self.serving.is_some()
    }

    /// Whether this node serves what has begun here, while the addresses are elsewhere.
    pub(crate) fn serves(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| !serving.is_back)
    }

    /// The interface has the addresses again; whether this node was serving without them.
    pub(crate) fn come_back(&mut self, netlink: &mut Netlink, now: Micros) -> bool {
        let Some(serving) = self.serving.as_mut().filter(|serving| !serving.is_back) else { return false };
        serving.aside.come_back(netlink);
        serving.aside.until = now.after(BACK);
        serving.settles = None;
        serving.is_back = true;
        true
    }

    /// Serving ends, whatever still goes on.
    pub(crate) fn end(&mut self, netlink: &mut Netlink) {
        if let Some(serving) = self.serving.take() {
            serving.aside.end(netlink);
        }
    }

    /// The addresses are to come here: what has begun on the old master will be sent on to it. Whether that works.
    pub(crate) fn send_on(
        &mut self,
        (interface, link): (&str, Link),
        (to, mac): (IpAddr, [u8; 6]),
        services: &[(IpAddr, Vec<u16>)],
        now: Micros,
    ) -> bool {
        // Where nobody listens, nothing can have begun.
        if services.is_empty() {
            return true;
        }
        if mac[0] & 1 == 1 || mac == [0; 6] {
            tracing::warn!("the old master's hardware address is none");
            return false;
        }
        match Steering::begin(link.index, interface, link.mac, mac, services) {
            Ok(steering) => {
                // An older one ends after the new one has begun.
                self.sending = Some(Sending { _steering: steering, to, until: now.after(PREPARED) });
                true
            }
            Err(error) => {
                tracing::warn!(%error, "connections of the old master cannot be sent on to it");
                false
            }
        }
    }

    /// The addresses have come.
    pub(crate) fn took(&mut self, now: Micros) {
        self.is_sent_on = false;
        if let Some(sending) = &mut self.sending {
            sending.until = now.after(LONGEST_STEERING);
        }
    }

    /// A node has served everything that it had begun, or is gone.
    pub(crate) fn ended(&mut self, to: IpAddr) {
        if self.sending.as_ref().is_some_and(|sending| sending.to == to) {
            self.sending = None;
        }
    }

    /// The addresses are lost here: nothing is sent on that comes for them.
    pub(crate) fn forget(&mut self) {
        self.sending = None;
    }

    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        let serving = self.serving.as_ref();
        let serving = serving.map(|s| s.settles.unwrap_or(s.renewed.after(Micros(RENEW_EVERY_MICROS))));
        serving.into_iter().chain(self.sending.as_ref().map(|s| s.until)).min()
    }

    /// Does what is due.
    pub(crate) fn keep_time(&mut self, netlink: &mut Netlink, now: Micros) -> Passed {
        if self.sending.as_ref().is_some_and(|sending| sending.until <= now) {
            self.sending = None;
        }
        let Some(serving) = &mut self.serving else { return Passed::Nothing };
        if let Some(at) = serving.settles.filter(|at| *at <= now) {
            if serving.aside.is_settled(netlink) || now >= serving.since.after(SETTLING) {
                serving.settles = None;
                return Passed::Settled;
            }
            serving.settles = Some(at.after(LOOK).max(now));
        }
        if now < serving.renewed.after(Micros(RENEW_EVERY_MICROS)) {
            return Passed::Nothing;
        }
        serving.renewed = now;
        let shortest = if self.is_sent_on { SHORTEST_DRAIN } else { SHORTEST_ASIDE };
        let idle = !serving.is_back
            && now >= serving.since.after(shortest)
            && flows::any(&serving.aside.addresses()).is_ok_and(|any| !any);
        if idle || serving.aside.until <= now {
            let was_back = serving.is_back;
            self.end(netlink);
            if was_back {
                return Passed::Nothing;
            }
            // What this node itself sent on came from a switch before: it has ended with the addresses.
            self.sending = None;
            return Passed::Served;
        }
        if let Err(error) = serving.aside.renew(netlink) {
            tracing::warn!(%error, "connections that began here may be cut");
        }
        Passed::Nothing
    }
}
