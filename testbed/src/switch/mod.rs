//! A planned switch, as its clients feel it: two hosts that serve one floating address, a client with connections of
//! every kind, and the address goes from one host to the other and back, again and again, while they talk. No virtual
//! router takes part: this is about packets.

mod host;
mod service;
mod traffic;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::lab::Switch;
use host::Host;
use service::PORT;
use traffic::{Counts, Load};

/// A lab that stands still is broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// The download and the upload.
const LONG: u64 = 2;
const LOOK: Duration = Duration::from_millis(10);
const RENEW: Duration = Duration::from_millis(300);
/// When a new master announces its address.
const ANNOUNCE: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(1100)];

/// How to play it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the address moves
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// New connections a second
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// New connections that are served between two moves
    #[arg(long, default_value_t = 60)]
    between: u64,
    /// Connections that stay
    #[arg(long, default_value_t = 10)]
    stay: usize,
    /// IPv6
    #[arg(long)]
    six: bool,
    /// Only moves the address, and does nothing for those who talk to it
    #[arg(long)]
    bare: bool,
    /// Not once more, whatever the machine did meanwhile
    #[arg(long)]
    once: bool,
}

impl Options {
    /// Whether it is played once: where connections are cut on purpose, every outcome is one that the machine may have.
    pub(crate) fn once(&self) -> bool {
        self.once || self.bare
    }
}

/// Plays it; inside a lab of its own.
pub(crate) fn run(options: &Options) -> Result<String, String> {
    play(options).map_err(|error| error.to_string())
}

fn play(options: &Options) -> io::Result<String> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(io::Error::other);
    let of = |number: u8| -> io::Result<Vec<IpAddr>> {
        let texts = [format!("192.0.2.{number}"), format!("2001:db8::{number}"), format!("fe80::{number}")];
        texts.iter().map(|text| address(text)).collect()
    };
    let floating = address(if options.six { "2001:db8::100" } else { "192.0.2.100" })?;
    let mut switch = Switch::new()?;
    let mut hosts =
        [Host::start(&mut switch, 2, &of(2)?, floating)?, Host::start(&mut switch, 1, &of(1)?, floating)?];
    let client = switch.host("client", &of(9)?)?;

    let links = [hosts[0].link, hosts[1].link];
    hosts[0].take(links[1], true)?;
    let counts = Arc::new(Counts::default());
    let load = Load { rate: options.rate, stay: options.stay };
    let talking = {
        let counts = Arc::clone(&counts);
        client.inside(|| std::thread::spawn(move || traffic::talk(floating, load, &counts)))?
    };
    let mut outcome = go_on(&mut hosts, 0, &counts, options);
    let mut times = Vec::new();
    for round in 1..=options.rounds {
        if outcome.is_err() {
            break;
        }
        let (to, from) = (round % 2, (round + 1) % 2);
        let begun = Instant::now();
        hosts[to].take(links[from], options.bare)?;
        let taken = begun.elapsed();
        hosts[from].step_aside(options.bare)?;
        times.push((taken, begun.elapsed() - taken));
        outcome = go_on(&mut hosts, to, &counts, options);
    }
    counts.stop.store(true, Relaxed);
    talking.join().map_err(|_| io::Error::other("a thread died"))??;
    let left = if options.bare { 0 } else { drain(&hosts)? };
    if !options.bare {
        let master = options.rounds % 2;
        meet(&mut switch, "early", &of(21)?, floating)?
            .map_err(|error| io::Error::other(format!("the master cannot be met: {error}")))?;
        hosts[master].step_aside(false)?;
        let met = meet(&mut switch, "late", &of(22)?, floating)?;
        if met.as_ref().err().map(io::Error::kind) != Some(io::ErrorKind::HostUnreachable) {
            return Err(io::Error::other(format!("somebody answers for an address that is aside: {met:?}")));
        }
    }
    let begun = Instant::now();
    hosts.iter_mut().for_each(Host::end);
    let end = begun.elapsed();
    outcome?;
    let (take, leave) = times
        .iter()
        .fold((Duration::ZERO, Duration::ZERO), |(take, leave), time| (take.max(time.0), leave.max(time.1)));
    eprintln!("longest calls: take {take:?}, step aside {leave:?}, both ends {end:?}");
    let report = report(&counts, options, left);
    if felt(&counts) == 0 && left == 0 { Ok(report) } else { Err(io::Error::other(report)) }
}

/// Until everybody has been served for a while, as many as were asked for of them by the new master.
fn go_on(hosts: &mut [Host; 2], master: usize, counts: &Counts, options: &Options) -> io::Result<()> {
    let host = master;
    let now = || {
        [
            counts.served[host].load(Relaxed) / options.between.max(1),
            counts.answers.load(Relaxed),
            counts.downloaded.load(Relaxed),
            counts.uploaded.load(Relaxed),
        ]
    };
    let served = counts.served[host].load(Relaxed);
    let (begun, before) = (Instant::now(), now());
    let mut renewed = begun;
    let mut announced = 0;
    loop {
        let is_further = now().iter().zip(&before).skip(1).all(|(now, before)| now > before);
        if is_further && counts.served[host].load(Relaxed) >= served + options.between {
            return Ok(());
        }
        // Whoever was there before is cut, and that is all there is to see.
        if options.bare && felt(counts) >= options.stay as u64 + LONG {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("it does not go on: {before:?}, {:?}; {counts:?}", now())));
        }
        if ANNOUNCE.get(announced).is_some_and(|at| begun.elapsed() >= *at) {
            announced += 1;
            hosts[master].announce()?;
        }
        if renewed.elapsed() >= RENEW {
            renewed = Instant::now();
            hosts.iter_mut().try_for_each(Host::renew)?;
        }
        std::thread::sleep(LOOK);
    }
}

/// Connections that still need one of the hosts, when there has been time enough for all to end.
fn drain(hosts: &[Host; 2]) -> io::Result<usize> {
    let begun = Instant::now();
    loop {
        let left = hosts[0].flows()? + hosts[1].flows()?;
        if left == 0 || begun.elapsed() > PATIENCE {
            return Ok(left);
        }
        std::thread::sleep(LOOK);
    }
}

/// Somebody who has never heard of the address asks for it.
fn meet(switch: &mut Switch, name: &str, own: &[IpAddr], floating: IpAddr) -> io::Result<io::Result<()>> {
    let host = switch.host(name, own)?;
    host.inside(|| TcpStream::connect_timeout(&SocketAddr::new(floating, PORT), PATIENCE).map(drop))
}

/// Connections that did not end well.
fn felt(counts: &Counts) -> u64 {
    counts.resets.load(Relaxed) + counts.failures.load(Relaxed)
}

fn report(counts: &Counts, options: &Options, left: usize) -> String {
    let longest = |time: &std::sync::Mutex<Duration>| time.lock().map_or(0, |time| time.as_millis());
    format!(
        "{} {} switches: {} new connections, {} connections that stayed, {} MB down, {} MB up: {} reset, {} failed, {left} left; \
         longest gap {} ms, slowest connection {} ms",
        if options.six { "IPv6" } else { "IPv4" },
        options.rounds,
        counts.new_ones(),
        options.stay,
        counts.downloaded.load(Relaxed) / 1_000_000,
        counts.uploaded.load(Relaxed) / 1_000_000,
        counts.resets.load(Relaxed),
        counts.failures.load(Relaxed),
        longest(&counts.gap),
        longest(&counts.slowest),
    )
}
