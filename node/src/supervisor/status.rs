//! What the supervisor knows, as `tandem status` says it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use failover::{Role, RouterStatus};
use failover_vrrp::{Track, Watch};

use super::Supervisor;
use crate::log_limit;
use crate::status::{
    AddressView, DRAINING, FollowedView, GatewayView, Health, LogView, NodeStatus, PREPARING, ProcessView,
    RouterView, WorkerView,
};

pub(super) fn collect(supervisor: &Supervisor, worker: Option<WorkerView>) -> NodeStatus {
    let routers = supervisor.agent.iter().flat_map(failover::Agent::status);
    let cluster = supervisor.runs.everything.cluster.as_ref();
    let name_of = |address: IpAddr| {
        let member = cluster.and_then(|c| c.members.iter().find(|m| m.address == address));
        member.map_or_else(|| address.to_string(), |m| m.name.clone())
    };
    // What a worker said that does not answer any more is stale.
    let reported = if worker.is_some() { supervisor.worker.usable_servers() } else { &[] };
    let names = supervisor.runs.everything.followed_backends();
    let usable: BTreeMap<String, u32> = names.into_iter().zip(reported.iter().copied()).collect();
    let followed = |track: &Track| {
        let Watch::Backend { name, least } = &track.watch else { return None };
        let backend = supervisor.runs.everything.proxy.backends.iter().find(|backend| backend.name == *name);
        Some(FollowedView {
            servers: backend.map_or(0, |backend| backend.servers.len() as u64),
            usable: usable.get(name).copied(),
            backend: name.clone(),
            least: *least,
            weight: track.weight,
            reverse: track.reverse,
        })
    };
    let mut status = NodeStatus {
        node: supervisor.member.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: millis(supervisor.started),
        health: Health::Healthy,
        reasons: Vec::new(),
        cluster: cluster.map(|c| c.name.clone()),
        maintenance: supervisor.resting,
        virtual_routers: routers.map(|router| view(router, &name_of, &followed)).collect(),
        members: supervisor.members.views(),
        processes: processes(supervisor),
        log: LogView { dropped: proxy::LogQueue::stderr().dropped(), suppressed: log_limit::suppressed() },
        worker,
    };
    status.judge();
    status
}

/// The worker and the control process first; then workers that come and go.
fn processes(supervisor: &Supervisor) -> Vec<ProcessView> {
    let mut views = vec![supervisor.worker.view(), supervisor.control.view()];
    let named = |mut view: ProcessView, state: &str| {
        state.clone_into(&mut view.state);
        view
    };
    views.extend(supervisor.reload.iter().map(|reload| named(reload.child.view(), PREPARING)));
    views.extend(supervisor.draining.iter().map(|draining| named(draining.child.view(), DRAINING)));
    views
}

fn view(
    router: RouterStatus,
    name_of: &dyn Fn(IpAddr) -> String,
    followed: &dyn Fn(&Track) -> Option<FollowedView>,
) -> RouterView {
    let heard = router.master.filter(|_| router.role == Role::Backup);
    let addresses = router.settings.addresses.iter().map(|address| AddressView {
        address: format!("{}/{}", address.address, address.prefix),
        interface: address.device.clone().unwrap_or_else(|| router.interface.clone()),
        excluded: address.excluded,
        set: router.role == Role::Master,
    });
    let gateways = router.gateways.iter().map(|(address, answered)| GatewayView {
        address: address.to_string(),
        answered_ms: answered.map(millis),
    });
    RouterView {
        virtual_addresses: addresses.collect(),
        gateways: gateways.collect(),
        backends: router.settings.tracks.iter().filter_map(followed).collect(),
        name: router.name,
        vrid: router.vrid,
        interface: router.interface,
        addresses: router.addresses.iter().map(ToString::to_string).collect(),
        role: router.role.word().to_owned(),
        since_ms: millis(router.since),
        why: router.why.map(|why| why.words().to_owned()),
        priority: router.priority,
        base_priority: router.base,
        became_master: router.tenure.began,
        released_master: router.tenure.ended,
        goodbyes_sent: router.tenure.goodbyes_sent,
        goodbyes_received: router.tenure.goodbyes_heard,
        master: heard.map(|(address, _)| name_of(address)),
        master_heard_ms: heard.map(|(_, at)| millis(at)),
        adverts_sent: router.sent,
        adverts_received: router.received,
        refused: router.refused.into_iter().map(|(why, count)| (why.to_owned(), count)).collect(),
        noticed: router.noticed.into_iter().map(|(why, count)| (why.to_owned(), count)).collect(),
        put_back: router.put_back,
        blocked: router.blocked,
        trouble: router.trouble,
        scheduling: router.scheduling.word().to_owned(),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
