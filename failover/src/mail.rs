//! Mails on a change of role: handed to a server one after the other, on a thread of their own. A server that hangs holds nothing but mails; one that cannot be reached is tried again for a while.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use failover_vrrp::mail::{Letter, Mail, News, Sender};
use failover_vrrp::smtp::{Accepted, Dialogue, Failure, Input, Output};
use failover_vrrp::{Micros, Notify, VirtualRouter};

use crate::notify::State;
use crate::users;

/// Mails that may wait; beyond that the oldest are dropped.
const MAX_WAITING: usize = 64;
/// Addresses of one server's name that are tried.
const MAX_ADDRESSES: usize = 4;
/// How much of what a server says is read at a time.
const READ: usize = 4_096;
/// Tries for one mail.
const MAX_TRIES: u32 = 7;
const TIMES: Times =
    Times { whole: Duration::from_secs(120), again: Duration::from_secs(5), ending: Duration::from_secs(1) };

/// How long things may take.
#[derive(Clone, Copy)]
struct Times {
    /// One try: connecting, and everything that is said.
    whole: Duration,
    /// Between a try that failed for now and the next one, and each time twice as long: a fault often takes the way to
    /// the server with it.
    again: Duration,
    /// From the end of the agent on; then mails are left behind.
    ending: Duration,
}

/// A mail that waits.
struct Job {
    mail: Mail,
    news: News,
    tries: u32,
}

/// What waits for the thread.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Dropped since the thread has last said so.
    dropped: u64,
    /// Since when the end goes on.
    ending: Option<Instant>,
    is_done: bool,
}

impl Queue {
    fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
        if self.jobs.len() > MAX_WAITING {
            self.jobs.pop_front();
            self.dropped += 1;
        }
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    sender: Sender,
    times: Times,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next mail; waits for it. `None`: there will be none any more.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            let dropped = std::mem::take(&mut queue.dropped);
            if dropped > 0 {
                tracing::error!(dropped, "mails take too long: some were never sent");
            }
            let is_over = queue.ending.is_some_and(|since| since.elapsed() >= self.times.ending);
            match queue.jobs.pop_front() {
                Some(job) if !is_over => return Some(job),
                None if queue.ending.is_none() => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                Some(_) | None => return None,
            }
        }
    }

    /// Keeps a mail for another try, behind none that is newer, and waits until it is time.
    fn keep(&self, job: Job, pause: Duration) {
        let mut queue = self.queue();
        if queue.jobs.len() >= MAX_WAITING {
            queue.dropped += 1;
        } else {
            queue.jobs.push_front(job);
        }
        let wait = self.changed.wait_timeout_while(queue, pause, |queue| queue.ending.is_none());
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread that hands in mails, if there can be any. Dropping it waits a moment for those under way.
pub(crate) struct Mailer(Option<Arc<Shared>>);

impl Mailer {
    /// `member`: this node's name.
    pub(crate) fn start<'a>(
        member: &str,
        mut routers: impl Iterator<Item = &'a VirtualRouter>,
    ) -> std::io::Result<Self> {
        let asks = |router: &VirtualRouter| {
            let group = router.group.as_ref().map(|group| &group.notify);
            std::iter::once(&router.notify).chain(group).any(|notify| notify.mail.is_some())
        };
        if routers.any(asks) { Self::with(member, TIMES) } else { Ok(Self(None)) }
    }

    fn with(member: &str, times: Times) -> std::io::Result<Self> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let user = users::name_of(rustix::process::geteuid().as_raw());
        let user = user.unwrap_or_else(|| "tandem".to_owned());
        let sender = Sender { host, user, member: member.to_owned() };
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), sender, times });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("mail".to_owned()).spawn(move || work(&theirs))?;
        Ok(Self(Some(shared)))
    }

    /// Has a mail sent about a change, if one is asked for. A node that stops says nothing: who follows it does.
    pub(crate) fn tell(&self, is_group: bool, name: &str, notify: &Notify, state: State) {
        let (Some(shared), Some(mail)) = (&self.0, &notify.mail) else { return };
        if state == State::Stop || (state == State::Fault && !mail.faults) {
            return;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let news = News { name: name.to_owned(), is_group, state: state.word(), at };
        shared.queue().push(Job { mail: mail.clone(), news, tries: 0 });
        shared.changed.notify_all();
    }
}

impl Drop for Mailer {
    fn drop(&mut self) {
        let Some(shared) = &self.0 else { return };
        let mut queue = shared.queue();
        queue.ending = Some(Instant::now());
        shared.changed.notify_all();
        let wait = shared.changed.wait_timeout_while(queue, shared.times.ending, |queue| !queue.is_done);
        let (queue, waited) = wait.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            tracing::warn!(waiting = queue.jobs.len(), "mails are not waited for");
        }
    }
}

fn work(shared: &Shared) {
    while let Some(mut job) = shared.next() {
        let (host, port) = &job.mail.server;
        let (name, state, server) = (job.news.name.clone(), job.news.state, format!("{host}:{port}"));
        let letter = Letter::new(&job.mail, &job.news, &shared.sender);
        match hand_in(&job.mail, letter, shared.times.whole) {
            Ok(Accepted { refused }) => {
                tracing::info!(name, state, server, "mail sent");
                for (to, why) in refused {
                    tracing::warn!(name, server, to = to.as_str(), why, "the mail server refuses an address");
                }
            }
            Err(Failure { why, is_temporary }) => {
                job.tries += 1;
                if is_temporary && job.tries < MAX_TRIES {
                    let pause = shared.times.again * (1 << (job.tries - 1));
                    tracing::warn!(name, state, server, why, seconds = pause.as_secs(), "mail not sent yet");
                    shared.keep(job, pause);
                } else {
                    tracing::error!(name, state, server, why, "mail not sent");
                }
            }
        }
    }
    shared.queue().is_done = true;
    shared.changed.notify_all();
}

/// Hands a mail to its server.
fn hand_in(mail: &Mail, letter: Letter, whole: Duration) -> Result<Accepted, Failure> {
    let begin = Instant::now();
    let mut stream = connect(mail, whole)?;
    let now = || Micros::from(begin.elapsed());
    let mut dialogue = Dialogue::new(now(), letter, mail.patience, whole.saturating_sub(begin.elapsed()));
    let mut bytes = [0; READ];
    loop {
        while let Some(output) = dialogue.poll_output() {
            match output {
                Output::Ended(outcome) => return outcome,
                Output::Write(said) => write(&mut stream, &mut dialogue, &said, now),
            }
        }
        let Some(left) = left(&dialogue, now()) else { continue };
        // A socket that takes no time limit is one that has failed.
        let read = stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut bytes));
        match read {
            Ok(0) => dialogue.handle_input(now(), Input::Closed),
            Ok(length) => dialogue.handle_input(now(), Input::Bytes(&bytes[..length])),
            Err(error) if is_early(&error) => dialogue.handle_timeout(now()),
            Err(_) => dialogue.handle_input(now(), Input::Closed),
        }
    }
}

/// Connects to the first address that lets us.
fn connect(mail: &Mail, whole: Duration) -> Result<TcpStream, Failure> {
    let (begin, (host, port)) = (Instant::now(), &mail.server);
    let failure = |why: String| Failure { why, is_temporary: true };
    let addresses = (host.as_str(), *port).to_socket_addrs();
    let addresses = addresses.map_err(|error| failure(format!("its address is not found: {error}")))?;
    let mut last = "it has no address".to_owned();
    for address in addresses.take(MAX_ADDRESSES) {
        let patience = mail.patience.min(whole.saturating_sub(begin.elapsed()));
        if patience.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("it cannot be connected: {error}"),
        }
    }
    Err(failure(last))
}

/// Writes what the dialogue says, within its time.
fn write(stream: &mut TcpStream, dialogue: &mut Dialogue, said: &[u8], now: impl Fn() -> Micros) {
    let mut rest = said;
    while !rest.is_empty() {
        let Some(left) = left(dialogue, now()) else { break };
        match stream.set_write_timeout(Some(left)).and_then(|()| stream.write(rest)) {
            Ok(0) => return dialogue.handle_input(now(), Input::Closed),
            Ok(length) => rest = &rest[length..],
            Err(error) if is_early(&error) => dialogue.handle_timeout(now()),
            Err(_) => return dialogue.handle_input(now(), Input::Closed),
        }
    }
}

/// How long the dialogue may still wait; `None`: it is over, and has just been told.
fn left(dialogue: &Dialogue, now: Micros) -> Option<Duration> {
    let (at, _) = dialogue.poll_timeout()?;
    // A wait of no time at all is one without end to a socket.
    Some(Duration::from_micros(at.0.saturating_sub(now.0).max(1)))
}

fn is_early(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc::channel;

    use failover_vrrp::mail::Mailbox;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(1);

    fn times() -> Times {
        Times { whole: PATIENCE, again: SOON, ending: PATIENCE }
    }

    fn notify(server: SocketAddr, patience: Duration) -> Notify {
        let mail = Mail {
            to: vec![Mailbox::parse("ops@example.com").unwrap()],
            from: None,
            server: (server.ip().to_string(), server.port()),
            patience,
            hello: None,
            node: None,
            faults: false,
        };
        Notify { mail: Some(mail), ..Notify::default() }
    }

    /// Answers every command of one connection, and gives back its lines.
    fn serve(stream: &TcpStream, mut answer: impl FnMut(&str) -> &'static str) -> Vec<String> {
        let mut stream = stream;
        let mut lines = Vec::new();
        let mut is_text = false;
        stream.write_all(b"220 ready\r\n").unwrap();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            if is_text && line != "." {
                lines.push(line);
                continue;
            }
            stream.write_all(answer(&line).as_bytes()).unwrap();
            is_text = line == "DATA";
            lines.push(line);
            if lines.last().is_some_and(|line| line == "QUIT") {
                break;
            }
        }
        lines
    }

    fn well(line: &str) -> &'static str {
        match line {
            "DATA" => "354 go\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        }
    }

    fn subjects(lines: &[String]) -> Vec<&str> {
        lines.iter().filter_map(|line| line.split_once("] VRRP Instance ").map(|(_, rest)| rest)).collect()
    }

    #[test]
    fn changes_are_mailed_in_their_order_and_what_is_not_wanted_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let notify = notify(listener.local_addr().unwrap(), PATIENCE);
        let mailer = Mailer::with("lb1", times()).unwrap();
        for state in [State::Backup, State::Fault, State::Master, State::Stop] {
            mailer.tell(false, "web", &notify, state);
        }
        let thread = std::thread::spawn(move || [(); 2].map(|()| serve(&listener.accept().unwrap().0, well)));
        drop(mailer);
        let heard = thread.join().unwrap();
        assert_eq!(subjects(&heard[0]), ["web - Entering BACKUP state"]);
        assert_eq!(subjects(&heard[1]), ["web - Entering MASTER state"]);
        assert!(heard[0].iter().any(|line| line == "RCPT TO:<ops@example.com>"), "{heard:?}");
        assert!(heard[0].iter().any(|line| line.starts_with("Subject: [lb1] ")), "{heard:?}");
    }

    #[test]
    fn a_mail_that_is_refused_for_now_comes_again_and_before_the_next_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let notify = notify(listener.local_addr().unwrap(), PATIENCE);
        let mailer = Mailer::with("lb1", times()).unwrap();
        let later = |line: &str| if line.starts_with("MAIL") { "451 later\r\n" } else { well(line) };
        mailer.tell(false, "web", &notify, State::Backup);
        mailer.tell(false, "web", &notify, State::Master);
        let heard = [0, 1, 2].map(|turn| {
            let stream = listener.accept().unwrap().0;
            if turn == 0 { serve(&stream, later) } else { serve(&stream, well) }
        });
        assert_eq!(subjects(&heard[0]), Vec::<&str>::new());
        assert_eq!(subjects(&heard[1]), ["web - Entering BACKUP state"]);
        assert_eq!(subjects(&heard[2]), ["web - Entering MASTER state"]);
    }

    #[test]
    fn a_server_that_hangs_holds_neither_the_agent_nor_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let notify = notify(listener.local_addr().unwrap(), Duration::from_secs(3_600));
        let mailer =
            Mailer::with("lb1", Times { whole: Duration::from_secs(3_600), ending: SOON, ..times() })
                .unwrap();
        let (begin, (done, is_done)) = (Instant::now(), channel());
        mailer.tell(false, "web", &notify, State::Backup);
        let held = listener.accept().unwrap();
        std::thread::spawn(move || {
            for _ in 0..10 * MAX_WAITING {
                mailer.tell(false, "web", &notify, State::Master);
            }
            let waiting = mailer.0.as_ref().map(|shared| shared.queue().jobs.len());
            drop(mailer);
            done.send(waiting).unwrap();
        });
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(Some(MAX_WAITING)));
        assert!(begin.elapsed() < PATIENCE);
        drop(held);
    }

    #[test]
    fn a_server_that_trickles_is_left_when_the_whole_time_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let notify = notify(listener.local_addr().unwrap(), PATIENCE);
        let trickling = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            // Until nobody listens any more.
            while stream.write_all(b"220-more\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mail = notify.mail.unwrap();
        let sender = Sender { host: "h".to_owned(), user: "u".to_owned(), member: "m".to_owned() };
        let news = News { name: "web".to_owned(), is_group: false, state: "MASTER", at: 0 };
        let letter = Letter::new(&mail, &news, &sender);
        let failure = hand_in(&mail, letter, Duration::from_secs(1)).unwrap_err();
        assert_eq!(failure.why, "the server did not answer in time (to the connection)");
        assert!(failure.is_temporary);
        trickling.join().unwrap();
    }

    #[test]
    fn a_server_that_says_nothing_is_tried_again_and_then_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tried = std::thread::spawn(move || {
            // Until somebody says something, which nobody does who waits for a greeting.
            let mut heard = [0];
            (0..).find(|_| listener.accept().unwrap().0.read(&mut heard).is_ok_and(|length| length > 0))
        });
        let mailer = Mailer::with("lb1", times()).unwrap();
        mailer.tell(false, "web", &notify(address, Duration::from_millis(50)), State::Backup);
        drop(mailer);
        TcpStream::connect(address).unwrap().write_all(b"x").unwrap();
        assert_eq!(tried.join().unwrap(), Some(MAX_TRIES));
    }
}
