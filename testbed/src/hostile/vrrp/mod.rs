//! Bad input on purpose: a third host on the link of a pair sends what a broken router, a foreign one and an attacker
//! would send. The pair must go on as if nobody were there, count everything by reason, and keep its log short.

mod forger;
mod members;
mod pair;

use std::time::{Duration, Instant};

use failover_vrrp::hmac::{Guard, Hmac, Secret, Stamp};
use failover_vrrp::{Advertisement, Centis, Micros, Version};

use forger::{Ear, Forger};
use pair::{ATTACKER, MASTER, Pair, host};

/// The pair's interval, in hundredths of a second.
const INTERVAL: u16 = 10;
/// Packets a second, and how long of each kind.
const RATE: u64 = 10_000;
const FLOOD: Duration = Duration::from_millis(1_500);
/// Packets in a row at most, which a receiver's buffer has room for.
const BURST: u64 = 100;
/// A flood ends within this, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);
/// A flood's packets that arrive at least, of a hundred: the link itself drops some of them.
const ARRIVING: u64 = 30;
/// Longest silence of a master that is flooded, of version 3 and of version 2: an interval, and what a busy machine adds.
const SILENCE: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1_250)];
/// Lines of the log that one reason may fill on one node during the whole case.
const LINES: usize = 8;

/// The cases by name.
type Case = fn() -> Result<String, String>;
const CASES: &[(&str, Case)] = &[
    ("hmac", || flood(true)),
    ("members", members::play),
    ("members-rollout", members::roll_out),
    ("password", || flood(false)),
    ("replay", replay),
    ("rollout", rollout),
];

/// Plays all cases, one after the other, each in a lab of its own.
pub(super) fn meet() -> Result<String, String> {
    let mut told = Vec::new();
    for (name, _) in CASES {
        let case = crate::lab::play(&["hostile", "vrrp", "--case", name])?;
        if !case.well {
            return Err(format!("{name}: {}", case.text));
        }
        told.push(case.text);
    }
    Ok(told.join("\n"))
}

/// Plays one case; inside a lab of its own.
pub(super) fn play(case: &str) -> Result<String, String> {
    let found = CASES.iter().find(|(name, _)| *name == case);
    found.ok_or_else(|| format!("there is no case '{case}'")).and_then(|(_, run)| run())
}

/// What each host of the pair says of its authentication.
const KEY: &str = "    auth-hmac-key 1 'the secret of this pair'\n";
const PASSWORD: &str = "    authentication bench\n";

fn guard(secret: &str) -> Result<Guard, String> {
    let keys = [(1, Secret::new(secret))].into();
    Guard::new(&Hmac { keys, ..Hmac::default() }, Micros::SECOND).ok_or_else(|| "no key".to_owned())
}

/// A kind of bad packet: its name, the reason it is counted under, and its bytes and their source, made anew for each.
struct Kind {
    name: &'static str,
    why: &'static str,
    source: u8,
    ttl: u8,
    message: Vec<u8>,
}

/// Everything that is sent to a pair with authentication: with a trailer, or with version 2's password.
fn kinds(hmac: bool) -> Result<Vec<Kind>, String> {
    let version = if hmac { Version::V3 } else { Version::V2 };
    let group = forger::GROUP.into();
    let interval = |centis| Centis::new(centis).ok_or("no such interval");
    let usual = if hmac { INTERVAL } else { 100 };
    let said = |vrid, priority| {
        let addresses = vec![host(100)];
        Ok::<_, String>(Advertisement { vrid, priority, interval: interval(usual)?, addresses })
    };
    let plain = |said: &Advertisement, source: u8| said.encode(version, host(source), group, None);
    let winner = said(51, 254)?;
    let slow = Advertisement { interval: interval(if hmac { 4_000 } else { 200 })?, ..winner.clone() };
    let other = Advertisement { addresses: vec![host(99)], ..winner.clone() };
    let mut forged = match hmac {
        true => plain(&winner, ATTACKER),
        false => winner.encode(version, host(ATTACKER), group, Some(*b"wrong\0\0\0")),
    };
    if hmac {
        guard("another secret")?.sign(
            &mut forged,
            host(ATTACKER),
            Stamp::at(Duration::from_secs(2_000_000_000)),
        );
    }
    let mut broken = plain(&winner, ATTACKER);
    broken[2] = 253;
    let truncated = plain(&winner, ATTACKER)[..11].to_vec();
    let mut unknown = plain(&winner, ATTACKER);
    unknown[0] = 0x41;
    let (unsigned, wrong) =
        if hmac { ("hmac-missing", "hmac-digest") } else { ("authentication", "authentication") };
    let kind = |name, why, source, message| Kind { name, why, source, ttl: 255, message };
    Ok(vec![
        kind("truncated", "length", ATTACKER, truncated),
        kind("forged", wrong, ATTACKER, forged),
        kind("unauthenticated", unsigned, ATTACKER, plain(&winner, ATTACKER)),
        kind("a goodbye in the master's name", unsigned, MASTER, plain(&said(51, 0)?, MASTER)),
        kind("a second owner", unsigned, ATTACKER, plain(&said(51, 255)?, ATTACKER)),
        kind("another interval", unsigned, ATTACKER, plain(&slow, ATTACKER)),
        kind("another list of addresses", unsigned, ATTACKER, plain(&other, ATTACKER)),
        kind("a foreign router", "vrid", ATTACKER, plain(&said(52, 254)?, ATTACKER)),
        kind("an unknown version", "version", ATTACKER, unknown),
        kind("a wrong checksum", if hmac { unsigned } else { "checksum" }, ATTACKER, broken),
        Kind { ttl: 254, ..kind("from afar", "ttl", ATTACKER, plain(&winner, ATTACKER)) },
    ])
}

/// Ten thousand packets a second of every kind at a pair with authentication.
fn flood(hmac: bool) -> Result<String, String> {
    let authentication = if hmac { KEY } else { PASSWORD };
    let mut lab = Pair::start(if hmac { 3 } else { 2 }, [authentication, authentication])?;
    lab.settle()?;
    let begin = lab.roles()?;
    let (mut worst, mut sent) = (Duration::ZERO, 0);
    for kind in kinds(hmac)? {
        let before = lab.refused(kind.why)?;
        let (count, silence) = lab.attacker.inside(|| bombard(&kind)).map_err(|e| e.to_string())??;
        worst = worst.max(silence);
        sent += count;
        if silence > SILENCE[usize::from(!hmac)] {
            return Err(format!("{}: the master was silent for {silence:?}", kind.name));
        }
        let roles = lab.roles()?;
        if roles != begin {
            return Err(format!("{}: the roles were {begin:?}, and are {roles:?}", kind.name));
        }
        // A goodbye in the master's name is its own address come back, for the master itself.
        let counted: Vec<u64> =
            lab.refused(kind.why)?.iter().zip(before).map(|(now, was)| now - was).collect();
        let own = kind.source == MASTER;
        if counted[1] < count * ARRIVING / 100 || (!own && counted[0] < count * ARRIVING / 100) {
            return Err(format!(
                "{}: of {count} packets {counted:?} were counted as '{}'",
                kind.name, kind.why
            ));
        }
    }
    let lines = lab.check_logs(LINES)?;
    Ok(format!(
        "{}: {sent} packets of {} kinds at a master and its backup: no transition, longest silence of the master {} ms, {lines} lines of log",
        if hmac { "hmac" } else { "password" },
        kinds(hmac)?.len(),
        worst.as_millis()
    ))
}

/// Sends one kind, and listens for the real master meanwhile: how many were sent, and its longest silence.
fn bombard(kind: &Kind) -> Result<(u64, Duration), String> {
    let say = |e: std::io::Error| format!("{}: {e}", kind.name);
    let forger = Forger::open().map_err(say)?;
    let ear = Ear::open().map_err(say)?;
    let begin = Instant::now();
    let due_after = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX) * RATE / 1_000;
    let (mut sent, mut overslept, mut last, mut silence) = (0, 0, begin, Duration::ZERO);
    while sent < due_after(FLOOD) {
        if begin.elapsed() > PATIENCE {
            return Err(format!("{}: only {sent} packets were sent in {PATIENCE:?}", kind.name));
        }
        // What was overslept is sent later: all at once most of it would be lost before anybody can refuse it.
        let now = due_after(begin.elapsed());
        overslept += (now - overslept).saturating_sub(sent + BURST);
        let due = (now - overslept).min(due_after(FLOOD));
        while sent < due {
            forger.send(kind.source, kind.ttl, &kind.message).map_err(say)?;
            sent += 1;
        }
        // Its own packets do not come back to it.
        while let Some((source, ..)) = ear.hear() {
            if source == host(MASTER) {
                silence = silence.max(last.elapsed());
                last = Instant::now();
            }
        }
        std::thread::yield_now();
    }
    Ok((sent, silence.max(last.elapsed())))
}

/// What a stopped master said is said again in its name: the new master stays.
fn replay() -> Result<String, String> {
    let mut lab = Pair::start(3, [KEY, KEY])?;
    lab.settle()?;
    let recorded = lab.attacker.inside(|| listen(20)).map_err(|e| e.to_string())??;
    lab.stop_master()?;
    lab.until_backup_is_master()?;
    let before = lab.backup_refused("hmac-replay")?;
    let again = || {
        let forger = Forger::open().map_err(|e| e.to_string())?;
        for message in &recorded {
            forger.send(MASTER, 255, message).map_err(|e| e.to_string())?;
        }
        Ok::<(), String>(())
    };
    lab.attacker.inside(again).map_err(|e| e.to_string())??;
    let count = u64::try_from(recorded.len()).unwrap_or(0);
    lab.until_backup("a master that has refused what was recorded", |router| {
        router["role"] == "master" && router["refused"]["hmac-replay"].as_u64().unwrap_or(0) >= before + count
    })?;
    Ok(format!("replay: {count} advertisements of a stopped master, said again in its name, move nothing"))
}

/// Advertisements of the master as they are on the link.
fn listen(count: usize) -> Result<Vec<Vec<u8>>, String> {
    let ear = Ear::open().map_err(|e| e.to_string())?;
    let (begin, mut heard) = (Instant::now(), Vec::new());
    while heard.len() < count {
        if begin.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} advertisements were heard", heard.len()));
        }
        match ear.hear() {
            Some((source, 255, message)) if source == host(MASTER) => heard.push(message),
            _ => std::thread::yield_now(),
        }
    }
    Ok(heard)
}

/// A node that sends the trailer beside one that only looks at it, and beside one that knows nothing of it.
fn rollout() -> Result<String, String> {
    let permissive = format!("{KEY}    auth-hmac-mode permissive\n");
    let receives = format!("{KEY}    auth-hmac-mode receive-only\n");
    for (name, other) in [("receive-only", receives.as_str()), ("without", "")] {
        let mut lab = Pair::start(3, [other, &permissive])?;
        lab.settle()?;
        lab.until_backup("one that has noticed what lacks a trailer", |router| {
            router["noticed"]["hmac-missing"].as_u64().unwrap_or(0) > 0
                && router["refused"]["hmac-missing"].is_null()
        })?;
        lab.stop_master().map_err(|e| format!("{name}: {e}"))?;
        lab.until_backup_is_master()?;
    }
    Ok("rollout: a permissive node lives beside one that only receives, and beside one that knows no trailer"
        .to_owned())
}
