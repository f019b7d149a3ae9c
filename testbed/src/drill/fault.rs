//! The faults, each as small as it is said.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::node::signal;
use super::run::{ADDRESS, Stage};
use super::scenario::Scenario;
use crate::lab::{Filter, remove_from, set_card};

/// Reloads of one run.
const RELOADS: usize = 10;
/// How often an interface flaps, and how long it is off and on.
const FLAPS: usize = 5;
const OFF: Duration = Duration::from_millis(200);
const ON: Duration = Duration::from_millis(600);
/// How long a machine is without power.
const DARK: Duration = Duration::from_millis(500);
/// The master at the beginning, and the backup.
const MASTER: usize = 0;
const BACKUP: usize = 1;

const VRRP: &str = "ip protocol 112";

pub(super) fn strike(scenario: Scenario, stage: &mut Stage<'_>) -> Result<(), String> {
    match scenario {
        Scenario::Crash => power_loss(stage, &[MASTER]),
        Scenario::Kill => kill(stage),
        Scenario::ProxyCrash => to_worker(stage, Signal::KILL),
        Scenario::WorkerHang => to_worker(stage, Signal::STOP),
        Scenario::Pause => pause(stage),
        Scenario::LinkDown => link_down(stage),
        Scenario::Flapping => flap(stage),
        Scenario::OneWay => deaf(stage, BACKUP),
        Scenario::DeafMaster => deaf(stage, MASTER),
        Scenario::SplitBrain => blocked(stage, &[VRRP.to_owned()]),
        Scenario::Partition => {
            let (one, two) = (stage.port(MASTER), stage.port(BACKUP));
            let way = |from: &str, to: &str| format!("iifname {from} oifname {to}");
            blocked(stage, &[way(&one, &two), way(&two, &one)])
        }
        Scenario::Isolation => {
            let port = stage.port(BACKUP);
            blocked(stage, &[format!("iifname {port}"), format!("oifname {port}")])
        }
        Scenario::RebootBoth => reboot(stage),
        Scenario::AddressDeleted => {
            stage.begins();
            remove_from(&stage.hosts[MASTER], ADDRESS)
                .map_err(|e| format!("the address cannot be deleted: {e}"))
        }
        Scenario::Stop => {
            let master = stage.one_master()?;
            stage.begins();
            stage.member(master)?.stop()
        }
        Scenario::Failover => {
            let master = stage.one_master()?;
            stage.begins();
            stage.member(master)?.hand_over()
        }
        Scenario::Reload => {
            stage.begins();
            (0..RELOADS).try_for_each(|_| stage.member(MASTER)?.reload())
        }
        Scenario::Busy => Ok(()),
    }
}

fn power_loss(stage: &mut Stage<'_>, nodes: &[usize]) -> Result<(), String> {
    let mut processes = Vec::new();
    for node in nodes {
        processes.push(stage.member(*node)?.processes());
    }
    stage.begins();
    for (node, processes) in nodes.iter().zip(processes) {
        stage.unplug(*node)?;
        stage.member(*node)?.kill(&processes);
    }
    Ok(())
}

fn kill(stage: &mut Stage<'_>) -> Result<(), String> {
    let processes = stage.member(MASTER)?.processes();
    stage.begins();
    stage.member(MASTER)?.kill(&processes);
    Ok(())
}

fn to_worker(stage: &mut Stage<'_>, what: Signal) -> Result<(), String> {
    let worker = stage.member(MASTER)?.worker().ok_or("the master has no worker")?;
    stage.begins();
    signal(worker, what);
    Ok(())
}

fn pause(stage: &mut Stage<'_>) -> Result<(), String> {
    let processes = stage.member(MASTER)?.processes();
    stage.begins();
    processes.iter().for_each(|pid| signal(*pid, Signal::STOP));
    sleep(stage.plan.pause);
    stage.is_over();
    processes.iter().for_each(|pid| signal(*pid, Signal::CONT));
    Ok(())
}

fn link_down(stage: &mut Stage<'_>) -> Result<(), String> {
    stage.begins();
    set_card(&stage.hosts[MASTER], false).map_err(|e| format!("the interface stays on: {e}"))
}

fn flap(stage: &mut Stage<'_>) -> Result<(), String> {
    stage.begins();
    for flap in 0..FLAPS {
        set_card(&stage.hosts[MASTER], false).map_err(|e| format!("the interface stays on: {e}"))?;
        sleep(OFF);
        if flap + 1 == FLAPS {
            stage.is_over();
        }
        set_card(&stage.hosts[MASTER], true).map_err(|e| format!("the interface stays off: {e}"))?;
        stage.route(MASTER)?;
        sleep(ON);
    }
    Ok(())
}

fn deaf(stage: &mut Stage<'_>, node: usize) -> Result<(), String> {
    stage.begins();
    let filter = Filter::at_host(&stage.hosts[node], &[VRRP])?;
    sleep(stage.plan.hold);
    // The program that lifts it takes some milliseconds, more on a busy machine, and packets pass before it ends.
    stage.is_over();
    drop(filter);
    stage.has_healed();
    Ok(())
}

fn blocked(stage: &mut Stage<'_>, packets: &[String]) -> Result<(), String> {
    stage.begins();
    let packets: Vec<&str> = packets.iter().map(String::as_str).collect();
    let filter = Filter::at_switch(&packets)?;
    sleep(stage.plan.hold);
    // The program that lifts it takes some milliseconds, more on a busy machine, and packets pass before it ends.
    stage.is_over();
    drop(filter);
    stage.has_healed();
    Ok(())
}

fn reboot(stage: &mut Stage<'_>) -> Result<(), String> {
    power_loss(stage, &[MASTER, BACKUP])?;
    sleep(DARK);
    for node in [MASTER, BACKUP] {
        stage.plug(node)?;
        stage.start(node)?;
    }
    stage.is_over();
    stage.until("one node is master after both came back", |stage| stage.master().is_ok())
}
