//! What the supervisor knows, as `tandem status` says it.

use std::time::Instant;

use failover::RouterStatus;

use super::Supervisor;
use crate::status::{DRAINING, Health, NodeStatus, PREPARING, ProcessView, RouterView, WorkerView};

pub(super) fn collect(supervisor: &Supervisor, worker: Option<WorkerView>) -> NodeStatus {
    let routers = supervisor.agent.iter().flat_map(failover::Agent::status);
    let cluster = supervisor.runs.everything.cluster.as_ref();
    let name_of = |address: std::net::IpAddr| {
        let member = cluster.and_then(|c| c.members.iter().find(|m| m.address == address));
        member.map_or_else(|| address.to_string(), |m| m.name.clone())
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
        virtual_routers: routers.map(|router| view(router, &name_of)).collect(),
        processes: processes(supervisor),
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

fn view(router: RouterStatus, name_of: &dyn Fn(std::net::IpAddr) -> String) -> RouterView {
    let heard = router.master.filter(|_| router.role == failover::Role::Backup);
    RouterView {
        name: router.name,
        vrid: router.vrid,
        interface: router.interface,
        addresses: router.addresses.iter().map(ToString::to_string).collect(),
        role: router.role.word().to_owned(),
        since_ms: millis(router.since),
        why: router.why.map(|why| why.words().to_owned()),
        priority: router.priority,
        master: heard.map(|(address, _)| name_of(address)),
        master_heard_ms: heard.map(|(_, at)| millis(at)),
        adverts_sent: router.sent,
        adverts_received: router.received,
        refused: router.refused.into_iter().map(|(why, count)| (why.to_owned(), count)).collect(),
        put_back: router.put_back,
        trouble: router.trouble,
        scheduling: router.scheduling.word().to_owned(),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
