//! What the machine has for as long as the program runs, whoever is master: keepalived's static addresses, routes and
//! rules. Each is asked for again and again, as one that must not be there yet: the kernel says that it is, or adds what
//! somebody has removed. Another route to the same network is not the one that is asked for.

use std::io;

use failover_vrrp::{Fixed, Fixture, Micros};

use crate::netlink::{Netlink, News};
use crate::{address, routes};

/// How often it is looked whether everything is there.
const EVERY: Micros = Micros(500_000);

/// Everything that stays.
pub(crate) struct Fixtures {
    every: Vec<Kept>,
    /// When it is looked next.
    next: Micros,
}

struct Kept {
    fixture: Fixture,
    state: State,
    /// Whether it was this program that added it.
    is_ours: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Here,
    Failing,
}

impl Fixtures {
    pub(crate) fn new(fixtures: Vec<Fixture>) -> Self {
        let kept = |fixture| Kept { fixture, state: State::New, is_ours: false };
        Self { every: fixtures.into_iter().map(kept).collect(), next: Micros(0) }
    }

    /// When it is looked next whether everything is there; `None`: nothing stays.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        (!self.every.is_empty()).then_some(self.next)
    }

    /// Looks at once where something of the machine has gone, or come back.
    pub(crate) fn hear(&mut self, news: &News, now: Micros) {
        match news {
            News::Link(..) | News::LinkGone(_) | News::AddressGone(..) | News::Lost => self.next = now,
            // Addresses that float are renewed all the time.
            News::AddressCome(..) => {}
        }
    }

    /// Adds what is not there, when it is time; whether what can and what cannot be is otherwise than before.
    pub(crate) fn keep(&mut self, now: Micros, netlink: &mut Netlink) -> bool {
        if self.next > now {
            return false;
        }
        self.next = now.after(EVERY);
        let mut is_news = false;
        for kept in &mut self.every {
            let before = kept.state;
            match add(netlink, &kept.fixture.what) {
                Ok(is_new) => {
                    kept.state = State::Here;
                    kept.is_ours |= is_new;
                    if is_new && before == State::Here {
                        tracing::warn!(what = %kept.fixture.what, "somebody removed it; it is put back");
                    } else if is_new {
                        tracing::info!(what = %kept.fixture.what, "added");
                    }
                }
                Err(error) => {
                    kept.state = State::Failing;
                    if before != State::Failing {
                        tracing::error!(what = %kept.fixture.what, %error, "cannot be added; it is tried again");
                    }
                }
            }
            is_news |= before != kept.state;
        }
        is_news
    }

    /// What a virtual router follows, and what cannot be there.
    pub(crate) fn failing(&self, router: &str) -> Option<String> {
        let failing = |kept: &&Kept| kept.state == State::Failing && kept.fixture.routers.contains(router);
        self.every.iter().find(failing).map(|kept| format!("{} cannot be added", kept.fixture.what))
    }

    /// Removes what this program has added.
    pub(crate) fn remove(&mut self, netlink: &mut Netlink) {
        for Kept { fixture, is_ours, .. } in self.every.drain(..).rev() {
            match &fixture.what {
                Fixed::Address(address) => {
                    // The kernel does not know whose an address is: one that was there before is somebody else's.
                    let index = address.device.as_ref().and_then(|device| netlink.link(device).ok());
                    let Some(link) = index.filter(|_| is_ours) else { continue };
                    if let Err(error) = address::release(netlink, link.index, address) {
                        tracing::error!(what = %fixture.what, %error, "cannot be removed");
                    }
                }
                // Of these the kernel knows it, also where a process before this one has added them and was killed.
                Fixed::Route(route) => routes::release(netlink, "", std::slice::from_ref(route), &[]),
                Fixed::Rule(rule) => routes::release(netlink, "", &[], std::slice::from_ref(rule)),
            }
        }
    }
}

/// Adds it; whether it was not there.
fn add(netlink: &mut Netlink, what: &Fixed) -> io::Result<bool> {
    let added = match what {
        Fixed::Address(address) => {
            let index = netlink.link(address.device.as_deref().unwrap_or_default())?.index;
            address::fix(netlink, index, address)
        }
        Fixed::Route(route) => routes::fix_route(netlink, route),
        Fixed::Rule(rule) => routes::fix_rule(netlink, rule),
    };
    match added {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        added => added.map(|()| true),
    }
}
