//! What happens to the pair, and what is demanded of it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What goes wrong, or is wanted. The master at the beginning is `lb1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Power loss: the link is gone and every process is killed
    Crash,
    /// Every process is killed; kernel and link live on
    Kill,
    /// The worker alone is killed
    ProxyCrash,
    /// The worker alone hangs
    WorkerHang,
    /// Every process of the master sleeps for a while, and wakes
    Pause,
    /// The master's interface is switched off; its processes live on
    LinkDown,
    /// The master's interface goes off and on, again and again
    Flapping,
    /// The backup does not hear VRRP for a while; the master hears all
    OneWay,
    /// The master does not hear VRRP for a while
    DeafMaster,
    /// The switch lets no VRRP pass for a while; everything else passes
    SplitBrain,
    /// The two nodes cannot reach each other for a while; clients reach both
    Partition,
    /// The backup alone can reach nobody for a while
    Isolation,
    /// Both nodes lose power, and it comes back
    RebootBoth,
    /// Somebody deletes the address from the master's interface
    AddressDeleted,
    /// The master is told to stop
    Stop,
    /// The master is told to hand over, and lives on
    Failover,
    /// The master reads its file anew, ten times
    Reload,
    /// Nothing but load: every core is saturated
    Busy,
}

impl Scenario {
    pub(crate) fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether somebody wants it: then nothing may fail.
    pub(crate) fn is_planned(self) -> bool {
        matches!(self, Self::Stop | Self::Failover | Self::Reload)
    }

    /// Whether it can be done again and again, back and forth.
    pub(crate) fn switches(self) -> bool {
        matches!(self, Self::Stop | Self::Failover)
    }
}
