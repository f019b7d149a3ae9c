//! What the agent says, on its way to the supervisor: the agent waits for nobody, and what waits for a supervisor that
//! stands still is bounded. Of what has no place, heartbeats come again; what else is lost, the supervisor learns from
//! how the virtual routers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failover::{Listener, Told};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// News that may wait: two for each of as many virtual routers as there can be.
const MAX_TOLD: usize = 1_024;
/// Of these, places that no heartbeat takes.
const KEPT_FREE: usize = MAX_TOLD / 2;

/// Whether news has been lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Whether anything has been lost since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The agent's end, the supervisor's end, and whether something has been lost between them.
pub(super) fn open() -> (Listener, Receiver<Told>, Lost) {
    let (sender, receiver) = channel(MAX_TOLD);
    let lost = Lost::default();
    let ours = lost.clone();
    (Box::new(move |told| tell(&sender, &ours, told)), receiver, lost)
}

fn tell(sender: &Sender<Told>, lost: &Lost, told: Told) {
    let is_heartbeat = matches!(told, Told::Claims(..));
    if is_heartbeat && sender.capacity() <= KEPT_FREE {
        return;
    }
    // Nobody listens any more only when the process ends.
    if sender.try_send(told).is_err() {
        lost.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use failover::{Centis, Claim, RouterId};

    use super::*;

    #[test]
    fn heartbeats_give_way_to_other_news_and_what_is_lost_is_known() {
        let (tell, mut receiver, lost) = open();
        let router = RouterId { vrid: 51, six: false, addresses: 1 };
        let claim = Claim { priority: 100, interval: Centis::new(10).unwrap() };
        for _ in 0..2 * MAX_TOLD {
            tell(Told::Claims(router, IpAddr::from([192, 0, 2, 11]), claim));
        }
        assert!(!lost.take(), "heartbeats come again");
        for _ in 0..KEPT_FREE {
            tell(Told::Serves(router));
        }
        assert!(!lost.take(), "there is room for what does not");
        tell(Told::Serves(router));
        assert_eq!((lost.take(), lost.take()), (true, false));
        let mut counts = [0, 0];
        while let Ok(told) = receiver.try_recv() {
            counts[usize::from(told == Told::Serves(router))] += 1;
        }
        assert_eq!(counts, [MAX_TOLD - KEPT_FREE, KEPT_FREE]);
    }
}
