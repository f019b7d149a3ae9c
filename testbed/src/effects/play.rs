//! One play of a case, in a network of its own: the program, its servers and clients, and what is seen of them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::effects::case::{Case, Line};
use crate::effects::client::{Client, Way};
use crate::effects::http;
use crate::effects::servers::Servers;
use crate::effects::text::{bytes, show, unquote};

/// Where the log lines of every case go to.
const LOGS: &str = "127.0.0.1:5140";
/// Where clients go that name nothing else.
const USUAL: &str = "127.0.0.1:8000";
/// How long a program may take to start, and a state to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a state or a log line may take to come: without the line under test it often never does.
const STATE: Duration = Duration::from_secs(3);
/// All is seen when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(80);
/// Between two looks at a state.
const LOOK: Duration = Duration::from_millis(10);

struct Play<'c> {
    case: &'c Case,
    folder: PathBuf,
    program: PathBuf,
    child: Child,
    /// How the program ended, once it did.
    code: Option<String>,
    clients: BTreeMap<String, Client>,
    logs: Arc<Mutex<Vec<String>>>,
    seen: String,
}

/// Plays a case with a program; what was seen, nothing masked.
pub(super) fn play(case: &Case, program: &Path, folder: &Path) -> Result<String, String> {
    for (name, text) in &case.files {
        let text = text.replace("{dir}", &folder.to_string_lossy());
        std::fs::write(folder.join(name), bytes(&text)).map_err(|e| format!("{name}: {e}"))?;
    }
    let file = folder.join("test.cfg");
    std::fs::write(&file, case.configuration(folder)).map_err(|e| e.to_string())?;
    for command in &case.prepare {
        let output = shell(command, folder, program, 0)?;
        if !output.0 {
            return Err(format!("prepare {command}: {}", output.1));
        }
    }
    let servers = Servers::start(&case.servers)?;
    let logs = collect_logs()?;
    let mut words: Vec<&str> = case.start.as_deref().unwrap_or("-db").split(' ').collect();
    let file = file.to_string_lossy().into_owned();
    words.extend(["-f", &file]);
    let words: Vec<String> =
        words.into_iter().map(|word| word.replace("{dir}", &folder.to_string_lossy())).collect();
    let output = std::fs::File::create(folder.join("output")).map_err(|e| e.to_string())?;
    let child = Command::new(program)
        .args(&words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(|e| e.to_string())?)
        .stderr(output)
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let mut play = Play {
        case,
        folder: folder.to_owned(),
        program: program.to_owned(),
        child,
        code: None,
        clients: BTreeMap::new(),
        logs,
        seen: String::new(),
    };
    let outcome = play.run(&servers);
    let _ = play.child.kill();
    let _ = play.child.wait();
    outcome.map(|()| play.seen)
}

fn collect_logs() -> Result<Arc<Mutex<Vec<String>>>, String> {
    let socket = UdpSocket::bind(LOGS).map_err(|e| format!("{LOGS}: {e}"))?;
    let logs = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&logs);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(length) = socket.recv(&mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..length]).trim_end_matches(['\n', '\0']).to_owned();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    Ok(logs)
}

fn shell(command: &str, folder: &Path, program: &Path, process: u32) -> Result<(bool, String), String> {
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(folder)
        .env("DIR", folder)
        .env("BIN", program)
        .env("PID", process.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("sh: {e}"))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The ports that something listens on in this network.
fn listening() -> Vec<u16> {
    let mut ports = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (address, state) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            if state == "0A"
                && let Some(port) =
                    address.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok())
            {
                ports.push(port);
            }
        }
    }
    ports
}

/// The ports that `bind` lines of a configuration name.
fn bound(configuration: &str) -> Vec<u16> {
    let lines = configuration.lines().filter_map(|line| line.trim().strip_prefix("bind "));
    let addresses =
        lines.flat_map(|rest| rest.split(' ').next().unwrap_or_default().split(',').map(str::to_owned));
    addresses.filter_map(|address| address.rsplit(':').next()?.parse().ok()).collect()
}

impl Play<'_> {
    fn run(&mut self, servers: &Servers) -> Result<(), String> {
        self.listen()?;
        let looks_at_the_end =
            |line: &Line| matches!(line.text.split(' ').next(), Some("sh" | "check" | "exit" | "output"));
        if let Some(code) = &self.code
            && !self.case.steps.iter().any(looks_at_the_end)
        {
            return Err(format!("the file is refused ({code}):\n{}", self.output()));
        }
        for line in &self.case.steps {
            if self.code.is_some() && !looks_at_the_end(line) {
                break;
            }
            let timed = line.text.strip_prefix("timed ");
            let begin = Instant::now();
            let step = Line {
                text: timed.unwrap_or(&line.text).replace("{dir}", &self.folder.to_string_lossy()),
                ..*line
            };
            self.step(&step, servers).map_err(|why| format!("line {}: {why}", line.number))?;
            if timed.is_some() {
                self.seen.push_str(&format!("took ~{} ms\n", begin.elapsed().as_millis()));
            }
        }
        self.settle(servers);
        self.seen.push_str(&servers.observed());
        for line in self.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.seen.push_str(&format!("log {line}\n"));
        }
        let _ = self.ended();
        if let Some(code) = &self.code {
            self.seen.push_str(&format!("the program ended: {code}\n"));
        }
        self.seen = self.seen.replace(&*self.folder.to_string_lossy(), "{dir}");
        Ok(())
    }

    /// Waits until every port is there, or the program has ended.
    fn listen(&mut self) -> Result<(), String> {
        let wanted = bound(&self.case.configuration(&self.folder));
        let begin = Instant::now();
        while !self.ended()? {
            let there = listening();
            if wanted.iter().all(|port| there.contains(port)) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("the program does not listen on {wanted:?}: {}", self.output()));
            }
            std::thread::sleep(LOOK);
        }
        // Into the background: the ports are there when the first process has ended.
        Ok(())
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }

    fn ended(&mut self) -> Result<bool, String> {
        if self.code.is_none()
            && let Some(status) = self.child.try_wait().map_err(|e| e.to_string())?
        {
            let background =
                self.case.start.as_deref().is_some_and(|start| start.split(' ').any(|word| word == "-D"));
            if !(background && status.success()) {
                let code = status
                    .code()
                    .map_or_else(|| format!("signal {:?}", status.signal()), |c| format!("code {c}"));
                self.code = Some(code);
            } else {
                return Ok(true);
            }
        }
        Ok(self.code.is_some())
    }

    /// Waits until nothing more is received.
    fn settle(&self, servers: &Servers) {
        let look = || (servers.mark(), self.logs.lock().unwrap_or_else(PoisonError::into_inner).len());
        let (mut last, mut since) = (look(), Instant::now());
        while since.elapsed() < QUIET {
            std::thread::sleep(LOOK);
            let now = look();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    fn step(&mut self, line: &Line, servers: &Servers) -> Result<(), String> {
        let (word, rest) = line.text.split_once(' ').unwrap_or((&line.text, ""));
        match word {
            "get" => self.get(rest),
            "raw" => {
                let (text, way) = quoted_first(rest)?;
                self.seen.push_str(&format!("raw {rest}\n"));
                let mut client = match Client::connect(&self.way(way)?) {
                    Ok(client) => client,
                    Err(why) => {
                        self.seen.push_str(&format!("= {why}\n"));
                        return Ok(());
                    }
                };
                client.send(&bytes(&text));
                let (answer, end) = client.response();
                let end = if end == "kept" { client.ended(QUIET) } else { end };
                let tls = client.tls();
                self.seen.push_str(&format!("{}= {end}\n{tls}", show("<", &http::joined(&answer))));
                client.finish();
                Ok(())
            }
            "cli" => {
                let quiet = rest.strip_prefix("quiet ");
                let command = unquote(quiet.unwrap_or(rest))?;
                let answer = self.command(&command)?;
                if quiet.is_none() {
                    self.seen.push_str(&format!("cli {command}\n{}", lines_after("|", &answer)));
                }
                Ok(())
            }
            "stat" => self.stat(rest),
            "info" => {
                let answer = self.command("show info")?;
                for name in rest.split(',').map(str::trim) {
                    let line = answer.lines().find(|line| line.split(':').next() == Some(name));
                    self.seen.push_str(&format!(
                        "info {}\n",
                        line.map_or(format!("{name} is missing"), str::to_owned)
                    ));
                }
                Ok(())
            }
            "wait" => {
                let (command, pattern) = quoted_first(rest)?;
                let pattern = Regex::new(&unquote(pattern)?).map_err(|e| e.to_string())?;
                let begin = Instant::now();
                let mut answer = String::new();
                while begin.elapsed() < STATE {
                    answer = self.command(&command)?;
                    if pattern.is_match(&answer) {
                        return Ok(());
                    }
                    std::thread::sleep(LOOK);
                }
                self.seen.push_str(&format!("waited in vain: {command}\n{}", lines_after("|", &answer)));
                Ok(())
            }
            "pause" => {
                std::thread::sleep(time(rest)?);
                Ok(())
            }
            "logs" => {
                let count: usize = rest.parse().map_err(|_| format!("'{rest}' is no number of log lines"))?;
                let begin = Instant::now();
                while self.logs.lock().unwrap_or_else(PoisonError::into_inner).len() < count {
                    if begin.elapsed() > STATE {
                        self.seen.push_str(&format!("waited in vain for {count} log lines\n"));
                        break;
                    }
                    std::thread::sleep(LOOK);
                }
                Ok(())
            }
            "settle" => {
                self.settle(servers);
                Ok(())
            }
            "sh" => {
                let command = unquote(rest)?;
                let (_, output) = shell(&command, &self.folder, &self.program, self.child.id())?;
                self.seen.push_str(&format!("sh {command}\n{}", lines_after("|", &output)));
                Ok(())
            }
            "check" => {
                let command = format!("$BIN -c -f $DIR/test.cfg {rest}; echo \"code $?\"");
                let (_, output) = shell(&command, &self.folder, &self.program, 0)?;
                let warned = output.to_ascii_lowercase().contains("warning");
                let code =
                    output.lines().rfind(|line| line.starts_with("code ")).unwrap_or_default().to_owned();
                self.seen.push_str(&format!(
                    "check: {code}, {}\n",
                    if warned { "with a warning" } else { "no warning" }
                ));
                Ok(())
            }
            "output" => {
                let output = self.output();
                self.seen.push_str(&lines_after("output", &output));
                Ok(())
            }
            "exit" => {
                let begin = Instant::now();
                while !self.ended()? && begin.elapsed() < STATE {
                    std::thread::sleep(LOOK);
                }
                Ok(())
            }
            name if is_client(name) => self.client(name, rest),
            _ => Err(format!("'{word}' is no step")),
        }
    }

    fn way(&self, text: &str) -> Result<Way, String> {
        let mut way = Way { to: USUAL.to_owned(), ..Way::default() };
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            match word {
                "to" => words.next().unwrap_or_default().clone_into(&mut way.to),
                "from" => {
                    let from = words.next().unwrap_or_default();
                    way.from = Some(from.parse().map_err(|_| format!("'{from}' is no address"))?);
                }
                "tls" => way.tls = Some(words.by_ref().collect::<Vec<_>>().join(" ")),
                _ => return Err(format!("'{word}': expected 'to', 'from' or 'tls'")),
            }
        }
        Ok(way)
    }

    /// `get /path [method M] [from ADDRESS] [to ADDRESS] [tls ...] [| field]...`
    fn get(&mut self, rest: &str) -> Result<(), String> {
        let mut parts = rest.split(" | ");
        let begin = parts.next().unwrap_or_default();
        let (path, way) = begin.split_once(' ').unwrap_or((begin, ""));
        let (method, way) = match way.strip_prefix("method ") {
            Some(way) => way.split_once(' ').unwrap_or((way, "")),
            None => ("GET", way),
        };
        let mut fields: Vec<&str> = parts.collect();
        if !fields.iter().any(|field| field.to_ascii_lowercase().starts_with("host:")) {
            fields.insert(0, "Host: a");
        }
        let head = format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
        self.seen.push_str(&format!("get {rest}\n"));
        match Client::connect(&self.way(way)?) {
            Ok(mut client) => {
                client.send(&bytes(&head));
                let (answer, end) = client.response();
                self.seen.push_str(&format!("{}= {end}\n", show("<", &http::joined(&answer))));
                client.finish();
            }
            Err(why) => self.seen.push_str(&format!("= {why}\n")),
        }
        Ok(())
    }

    fn client(&mut self, name: &str, rest: &str) -> Result<(), String> {
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if word == "connect" {
            match Client::connect(&self.way(rest)?) {
                Ok(client) => drop(self.clients.insert(name.to_owned(), client)),
                Err(why) => self.seen.push_str(&format!("{name} {why}\n")),
            }
            return Ok(());
        }
        let Some(client) = self.clients.get_mut(name) else {
            self.seen.push_str(&format!("{name} is not connected\n"));
            return Ok(());
        };
        let (answer, end) = match word {
            "send" => {
                client.send(&bytes(&unquote(rest)?));
                return Ok(());
            }
            "recv" => match rest.split_once(' ') {
                None if rest.is_empty() => client.response(),
                Some(("bytes", count)) => {
                    client.bytes(count.parse().map_err(|_| format!("'{count}' bytes"))?)
                }
                _ => client.collect(time(rest)?),
            },
            "ended" => (Vec::new(), client.ended(if rest.is_empty() { PATIENCE } else { time(rest)? })),
            "shut" => {
                client.shut();
                return Ok(());
            }
            "tls" => (Vec::new(), client.tls().trim_end().to_owned()),
            "close" => {
                self.clients.remove(name);
                return Ok(());
            }
            "reset" => {
                if let Some(client) = self.clients.remove(name) {
                    client.reset();
                }
                return Ok(());
            }
            _ => return Err(format!("'{word}' is nothing that a client does")),
        };
        self.seen
            .push_str(&format!("{}{name} = {end}\n", show(&format!("{name} <"), &http::joined(&answer))));
        Ok(())
    }

    fn command(&self, command: &str) -> Result<String, String> {
        let mut stream =
            UnixStream::connect(self.folder.join("sock")).map_err(|e| format!("the stats socket: {e}"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        let _ = stream.write_all(format!("{command}\n").as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// `stat f/FRONTEND scur,smax`
    fn stat(&mut self, rest: &str) -> Result<(), String> {
        let (of, columns) = rest.split_once(' ').ok_or("expected: stat PROXY/SERVER COLUMN,...")?;
        let answer = self.command("show stat")?;
        let mut lines = answer.lines();
        let header: Vec<&str> =
            lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let (proxy, server) = of.split_once('/').ok_or("expected: stat PROXY/SERVER COLUMN,...")?;
        let row = lines
            .map(|line| line.split(',').collect::<Vec<_>>())
            .find(|row| row.starts_with(&[proxy, server]));
        self.seen.push_str(&format!("stat {of}"));
        match row {
            None => self.seen.push_str(" is missing"),
            Some(row) => {
                for column in columns.split(',').map(str::trim) {
                    let place = header.iter().position(|name| *name == column);
                    let value = place.and_then(|place| row.get(place)).copied().unwrap_or("MISSING");
                    self.seen.push_str(&format!(" {column}={value}"));
                }
            }
        }
        self.seen.push('\n');
        Ok(())
    }
}

fn is_client(name: &str) -> bool {
    name.strip_prefix('c')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn time(text: &str) -> Result<Duration, String> {
    let millis = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    millis.map(Duration::from_millis).ok_or_else(|| format!("'{text}': expected a time, such as 200ms"))
}

/// A quoted text, and what follows it.
fn quoted_first(text: &str) -> Result<(String, &str), String> {
    let mut escaped = false;
    let mut quoted = false;
    let end = text.char_indices().find(|(_, letter)| {
        if escaped {
            escaped = false;
        } else if *letter == '\\' {
            escaped = true;
        } else if *letter == '"' {
            quoted = !quoted;
        }
        *letter == ' ' && !quoted
    });
    let (first, rest) = text.split_at(end.map_or(text.len(), |(place, _)| place));
    Ok((unquote(first)?, rest.trim_start()))
}

fn lines_after(mark: &str, text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("{mark} {line}\n")).collect()
}
