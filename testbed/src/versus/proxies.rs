//! The proxies that are compared: started with the plainest configuration of each, on one core.

use std::fs;
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PROXY_CORE, free_address, pin};
use crate::find_program;

/// A proxy answers within this after its start.
const START: Duration = Duration::from_secs(10);

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddrV4,
    process: Child,
}

/// CPU time used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// Starts every proxy there is; says which are not there.
pub(crate) fn start(
    folder: &Path,
    origin: SocketAddrV4,
    tandem: &Path,
) -> Result<(Vec<Proxy>, Vec<&'static str>), String> {
    let mut proxies = Vec::new();
    let mut absent = Vec::new();
    proxies.push(start_on_file("tandem", folder, origin, &mut Command::new(tandem))?);
    match find_program("haproxy") {
        Some(program) => {
            proxies.push(start_on_file("haproxy", folder, origin, &mut Command::new(program))?);
        }
        None => absent.push("haproxy"),
    }
    match find_program("nginx") {
        Some(program) => {
            let address = free_address()?;
            let file = write(folder, "nginx.conf", &nginx_file(folder, address, origin))?;
            let mut command = Command::new(program);
            command.arg("-c").arg(file).arg("-p").arg(folder).arg("-e").arg(folder.join("nginx.log"));
            proxies.push(spawn("nginx", address, folder, &mut command)?);
        }
        None => absent.push("nginx"),
    }
    if std::env::var_os("TANDEM_REQUIRE_PEERS").is_some() && !absent.is_empty() {
        return Err(format!("required, but not installed: {}", absent.join(", ")));
    }
    Ok((proxies, absent))
}

/// Starts a program that reads HAProxy's language.
pub(crate) fn start_on_file(
    name: &'static str,
    folder: &Path,
    origin: SocketAddrV4,
    command: &mut Command,
) -> Result<Proxy, String> {
    let address = free_address()?;
    let file = write(folder, &format!("{name}.cfg"), &haproxy_file(address, origin))?;
    spawn(name, address, folder, command.args(["-db", "-f"]).arg(file))
}

/// Where what a program says is kept.
fn log_of(name: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{name}.err"))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// One text for both who read it.
fn haproxy_file(address: SocketAddrV4, origin: SocketAddrV4) -> String {
    format!(
        "global\n    maxconn 5000\n    nbthread 1\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
         frontend web\n    bind {address}\n    option forwardfor\n\
         \x20   stick-table type ip size 100k expire 30s store conn_rate(3s),http_req_cnt\n\
         \x20   http-request track-sc0 src\n    default_backend app\n\
         backend app\n    server s1 {origin}\n"
    )
}

fn nginx_file(folder: &Path, address: SocketAddrV4, origin: SocketAddrV4) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n\
         events {{ worker_connections 20000; }}\n\
         http {{\n access_log off;\n client_body_temp_path {folder}/body;\n proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\n uwsgi_temp_path {folder}/uwsgi;\n scgi_temp_path {folder}/scgi;\n\
         keepalive_requests 1000000000;\n\
         upstream app {{ server {origin}; keepalive 200; keepalive_requests 1000000000; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://app; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }} }}\n}}\n"
    )
}

fn spawn(
    name: &'static str,
    address: SocketAddrV4,
    folder: &Path,
    command: &mut Command,
) -> Result<Proxy, String> {
    let log = log_of(name, folder);
    let errors = fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    let start = || {
        pin(PROXY_CORE)?;
        command.spawn()
    };
    // A thread of its own: what it starts inherits its core.
    let process = std::thread::scope(|scope| scope.spawn(start).join());
    let process = process.map_err(|_| "a thread died")?.map_err(|e| format!("cannot start {name}: {e}"))?;
    let mut proxy = Proxy { name, address, process };
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begin.elapsed() > START || proxy.process.try_wait().ok().flatten().is_some() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{name} does not listen on {address}; it says:\n{said}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(proxy)
}

impl Proxy {
    /// Ends it; what it said.
    pub(crate) fn finish(mut self, folder: &Path) -> Result<String, String> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        kill_process(pid, Signal::INT).map_err(|e| e.to_string())?;
        self.process.wait().map_err(|e| e.to_string())?;
        fs::read_to_string(log_of(self.name, folder)).map_err(|e| e.to_string())
    }

    pub(crate) fn cpu(&self) -> std::io::Result<Cpu> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // Behind the name, which may hold anything, user and system time are the 12th and 13th field.
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let tick = 1_000_000 / rustix::param::clock_ticks_per_second();
        let time = |at: usize| {
            let ticks = fields.get(at).and_then(|f| f.parse::<u64>().ok());
            ticks.map(|t| Duration::from_micros(t * tick)).ok_or(std::io::ErrorKind::InvalidData)
        };
        Ok(Cpu { user: time(11)?, system: time(12)? })
    }

    pub(crate) fn rss_kb(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
