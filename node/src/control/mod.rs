//! The process that talks with the other members about the cluster: it holds the channel, and passes on what is said
//! there. It can be started anew at any time: traffic and election go on.

use replication::channel::{Channel, Config, MAX_NEWS, News, Reach, Word};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::behind::LogBehind;
use crate::link::{AsyncLink, Body, Heard, Link, Reached};
use crate::worker::{self, Handed};

/// The life of the control process: until its supervisor is gone.
pub(crate) fn run() -> Result<(), String> {
    worker::name("tandem-control");
    let link = Link::inherited().map_err(|_| "this is started by 'tandem run' only".to_owned())?;
    let handed = worker::receive(&link).map_err(|e| format!("the supervisor's words make no sense: {e}"))?;
    let identity = worker::identity(&handed.everything, &handed.member)?;
    // The worker says what could not be done; once is enough.
    worker::drop_privileges(&handed.everything.proxy.global)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| e.to_string())?;
    crate::sandbox::confine();
    // Its thread is confined as the others are.
    let _log = LogBehind::begin();
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).map_err(|e| e.to_string())?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        // Whoever stops the whole group means the supervisor, and this process follows it.
        let _terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let _interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
        let link = link.into_async().map_err(|e| e.to_string())?;
        let (teller, news) = mpsc::channel(MAX_NEWS);
        let channel = open(handed, identity, teller.clone())?;
        converse(&link, channel.as_ref(), news).await;
        Ok(())
    })
}

/// The channel, where this node has members to talk to.
fn open(
    handed: Handed,
    identity: Option<replication::Identity>,
    teller: mpsc::Sender<News>,
) -> Result<Option<Channel>, String> {
    let Handed { member, everything, parts, .. } = handed;
    let (Some(cluster), Some(listener), Some(identity)) = (everything.cluster, parts.channel, identity)
    else {
        return Ok(None);
    };
    let others = cluster.others(&member).map(|other| (other.name.clone(), cluster.channel_of(other)));
    let config = Config { others: others.collect(), member: member.clone(), identity };
    Channel::start(config, listener, teller).map(Some).map_err(|e| format!("the members' channel: {e}"))
}

/// Passes on what is said, both ways, until the supervisor is gone.
async fn converse(link: &AsyncLink, channel: Option<&Channel>, mut news: mpsc::Receiver<News>) {
    loop {
        tokio::select! {
            received = link.receive() => match received {
                Ok(Some((word, _))) => {
                    if let (Some(Body::Say(say)), Some(channel)) = (word.body, channel) {
                        match &say.to {
                            Some(member) if !channel.say(member, &say.said) => {
                                tracing::warn!(member, "an order cannot be told");
                            }
                            Some(_) => {}
                            None => channel.say_to_all(&say.said),
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    tracing::warn!(%error, "the supervisor's message makes no sense");
                }
                Ok(None) | Err(_) => return,
            },
            // One sender is kept here: there is always a next word, or a wait for one.
            Some(news) = news.recv() => {
                let body = match news {
                    News::Heard(member, said) => Body::Heard(Heard { member, said }),
                    News::Reach(member, reach) => Body::Reached(reached(member, reach)),
                };
                if is_repeated(&body) {
                    // A supervisor that does not read hears the next word.
                    let _ = link.send(0, body, &[]);
                } else if let Err(error) = link.deliver(body).await {
                    tracing::warn!(%error, "a member's word cannot be passed on");
                }
            }
        }
    }
}

/// Whether it will be said again soon: a heartbeat.
fn is_repeated(body: &Body) -> bool {
    let Body::Heard(Heard { said, .. }) = body else { return false };
    matches!(said.word, Some(Word::Master(_) | Word::Standing(_)))
}

fn reached(member: String, reach: Reach) -> Reached {
    let (connected, refused) = (reach == Reach::Connected, reach == Reach::Refused);
    let why = match reach {
        Reach::Connected => String::new(),
        Reach::Refused => "nobody listens there".to_owned(),
        Reach::Lost(why) => why,
    };
    Reached { member, connected, refused, why }
}
