//! The command line: subcommands, and HAProxy's own spelling for what starts with a dash.

pub(crate) mod haproxy;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Files;
use crate::dump::Dump;

/// Where processes of one node meet.
const RUN_DIR: &str = "/run/tandem";
/// What a node keeps across restarts.
const STATE_DIR: &str = "/var/lib/tandem";
/// Where certificates are.
const ETC_DIR: &str = "/etc/tandem";

/// One program that two machines run side by side so that the service behind them never goes away.
#[derive(Debug, Parser)]
#[command(
    name = "tandem",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  tandem -c -f haproxy.cfg                    is this file right?
  tandem cluster init -f haproxy.cfg -L lb1   make the cluster's certificates, once
  tandem run -f haproxy.cfg -L lb1            be a node of the pair
  tandem status                               who is master, and is everything well?

HAProxy's own arguments work too: see `tandem -h`."
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs this node: proxy, floating addresses and replication
    Run(Run),
    /// Says what is wrong with a configuration, and what of it has no effect or is not built
    Check(Check),
    /// Says what another configuration would change at run time
    Diff(Diff),
    /// Rewrites what HAProxy has dropped in today's language, with the reason for each line
    Migrate(Migrate),
    /// Shows how this node is: role, peers, tables, servers
    Status(Status),
    /// Writes the virtual routers as keepalived dumps its instances, for programs that read that
    Dump(DumpAs),
    /// Says why the addresses moved: what happened to this node and its virtual routers
    Explain(Explain),
    /// Shows what this node shares with its peers: entries here and there, lag, resync
    Peers(Peers),
    /// Reads the files anew without losing a connection
    #[command(after_help = "\
A new worker takes over the listeners, the stick tables, the servers' states and what was
changed at run time; the old one finishes its sessions. A file with mistakes changes nothing, and
so does one that needs a restart of the node: another 'cluster' section, virtual router or
'nbthread', or another word of keepalived.conf about the machine. `tandem diff` says so before.
A file without a listener is refused, and so is one that removes every bind, unless '--force' says
that this is meant. While a reload is under way, the next one waits for it.
Exit code: 0 the new files are in force, 1 nothing has changed.

Example:
  tandem reload && tandem status")]
    Reload {
        /// Carries it out though it removes every bind of the running configuration
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        order: Order,
    },
    /// Moves the floating addresses to the other node, without a gap
    #[command(after_help = "\
This node keeps the addresses until the other one has them, and serves what still reaches it
afterwards. If nobody takes them, they stay. Exit code: 0 moved, 1 not.

Examples:
  tandem failover && tandem status
  tandem failover --to lb2")]
    Failover {
        /// The member that is to take them; as a rule the best of those that can
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        #[command(flatten)]
        order: Order,
    },
    /// Begins or ends maintenance: while it lasts this node takes no floating address
    #[command(after_help = "\
'on' moves the addresses to the other node first, as `tandem failover` does; if nobody takes them,
nothing changes. It ends with 'off', or with the node. Exit code: 0 it is so, 1 it is not.

Example:
  tandem maintenance on && apt-get upgrade && reboot")]
    Maintenance {
        /// What it shall be
        state: Maintenance,
        #[command(flatten)]
        order: Order,
    },
    /// Makes and carries the certificates with which members know each other
    #[command(subcommand)]
    Cluster(Cluster),
    /// The process that carries traffic; started by `run`
    #[command(hide = true)]
    Worker,
    /// The process that talks about the cluster; started by `run`
    #[command(hide = true)]
    Control,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tandem run -f /etc/tandem/haproxy.cfg
  tandem run -f haproxy.cfg -k keepalived.conf
  tandem run -k keepalived.conf          its virtual servers are served by the proxy
  tandem run -f haproxy.cfg -f pair.cfg -L lb1 --run-dir /tmp/lb1")]
pub(crate) struct Run {
    /// Configuration; several are read in order
    #[arg(short = 'f', long = "file", required_unless_present = "keepalived", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    pub(crate) keepalived: Keepalived,
    /// Which member this node is [default: localpeer of the file, else the host's name]
    #[arg(short = 'L', long = "member", value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Where the sockets of this node live
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    pub(crate) run_dir: PathBuf,
    /// What this node keeps across restarts
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// Answers keepalived's signals with keepalived's dumps in this folder: SIGUSR1 and SIGUSR2 then no longer stop and
    /// reload
    #[arg(long, value_name = "DIR")]
    pub(crate) keepalived_dumps: Option<PathBuf>,
}

/// Files in keepalived's language.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Keepalived {
    /// keepalived's configuration: its instances are virtual routers, its virtual servers are proxies
    #[arg(short = 'k', long = "keepalived", value_name = "FILE")]
    pub(crate) keepalived: Vec<String>,
    /// What '@' in it is compared with [default: the host's name up to its first dot]
    #[arg(long, value_name = "ID")]
    pub(crate) config_id: Option<String>,
}

impl Keepalived {
    /// These files, and those in HAProxy's language.
    pub(crate) fn beside(&self, files: &[String]) -> Files {
        Files {
            haproxy: files.to_vec(),
            keepalived: self.keepalived.clone(),
            config_id: self.config_id.clone(),
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit code: 0 the file can be used, 1 it cannot, 2 it could, but nothing in it listens.

Examples:
  tandem check haproxy.cfg
  tandem check -k keepalived.conf haproxy.cfg
  tandem check --explain haproxy.cfg     what does it mean, with all defaults?
  tandem check --syntax haproxy.cfg      its certificates and error pages are elsewhere
  tandem check --json haproxy.cfg | jq '.problems[] | select(.level == \"error\")'")]
pub(crate) struct Check {
    /// Configuration; several are read in order, of a folder its .cfg files
    #[arg(required_unless_present = "keepalived", value_name = "FILE")]
    pub(crate) files: Vec<String>,
    #[command(flatten)]
    pub(crate) keepalived: Keepalived,
    /// Leaves out what is not in the text: certificates, error pages, lists; lets through what is not built
    #[arg(long)]
    pub(crate) syntax: bool,
    /// Writes out what the files mean: defaults where they act, variables and conditions resolved, numbers
    /// of proxies and servers. Read again, it is the same configuration
    #[arg(long)]
    pub(crate) explain: bool,
    /// As JSON, for editors
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Compared is what the files mean, not how they are written. Exit code: 0 the same, 1 they differ, 2 one of
them cannot be used.

Examples:
  tandem diff /etc/tandem/haproxy.cfg new.cfg
  tandem diff --json old.cfg new.cfg | jq .at_run_time")]
pub(crate) struct Diff {
    /// The configuration that runs: a file, or a folder of them
    pub(crate) old: String,
    /// The one that shall
    pub(crate) new: String,
    /// Leaves out what is not in the text: certificates, error pages, lists; lets through what is not built
    #[arg(long)]
    pub(crate) syntax: bool,
    /// As JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit code: 0 every old line has a translation, 1 some have none: they stay, and are named.

Examples:
  tandem migrate haproxy.cfg                   what would change?
  tandem migrate haproxy.cfg -o new.cfg && tandem check new.cfg")]
pub(crate) struct Migrate {
    /// The old file; it stays as it is
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the new text goes, instead of a diff to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit code: 0 healthy, 1 degraded, 2 down or not running.

Examples:
  tandem status
  tandem status --json | jq .virtual_routers
  tandem status --metrics > node.prom.new; mv node.prom.new node.prom")]
pub(crate) struct Status {
    /// As JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// As Prometheus reads it; names of keepalived's exporter where it has one
    #[arg(long, conflicts_with = "json")]
    pub(crate) metrics: bool,
    /// Where the sockets of the node live
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    pub(crate) run_dir: PathBuf,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit code: 0 written, 1 the node does not answer. `tandem run --keepalived-dumps /run/tandem` writes them as files when
keepalived's signals come.

Example:
  tandem dump json > /run/tandem/keepalived.json")]
pub(crate) struct DumpAs {
    /// Which of keepalived's dumps
    #[arg(value_enum)]
    pub(crate) dump: Dump,
    /// Where the sockets of the node live
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    pub(crate) run_dir: PathBuf,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
It is read from a file in the state folder, so that a node that is down can be asked, too. Exit code: 0
something happened, 1 nothing did then.

Examples:
  tandem explain                 the last twenty things
  tandem explain '03:12'         what happened at twelve past three?
  tandem explain --json -n 1000 | jq '.[] | select(.what == \"master\")'")]
pub(crate) struct Explain {
    /// Only what happened then: any part of a time as it is shown
    #[arg(value_name = "TIME")]
    pub(crate) when: Option<String>,
    /// How many of the last things, where no time is named
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) count: usize,
    /// As JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// What the node keeps across restarts
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub(crate) state_dir: PathBuf,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Exit code: 0 every peer is established, 1 some are not, 2 the node does not say.

Examples:
  tandem peers
  tandem peers --watch
  tandem peers --json | jq '.[].lag'")]
pub(crate) struct Peers {
    /// As JSON, for programs
    #[arg(long, conflicts_with = "watch")]
    pub(crate) json: bool,
    /// Shows it again every second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Where the sockets of the node live
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    pub(crate) run_dir: PathBuf,
}

/// Whether a node takes addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Maintenance {
    /// It takes none
    On,
    /// It takes them as ever
    Off,
}

/// What an order to the node needs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Order {
    /// As JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the sockets of the node live
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    pub(crate) run_dir: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Makes the cluster's certificate authority and one bundle per member
    Init(Init),
    /// Installs the bundle that `init` made for this member, or the one that `add-key` made
    Join(Join),
    /// Gives a cluster made without one the key that VRRP advertisements are signed by
    AddKey(AddKey),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Unicast VRRP advertisements of members are signed where their certificate files have the same key, which
`tandem cluster init` puts there. This adds one to the certificate file of this node, and writes a bundle
for the others. Each node signs from its next start; who does not sign yet is believed unsigned.

Example:
  tandem cluster add-key
  scp /etc/tandem/advert-key.bundle lb2:     # then, on lb2: tandem cluster join advert-key.bundle")]
pub(crate) struct AddKey {
    /// Where the certificate file is, and where to write the bundle
    #[arg(long, value_name = "DIR", default_value = ETC_DIR)]
    pub(crate) dir: PathBuf,
    /// Makes another key where there is one
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The bundles are secrets: carry each to its member, `tandem cluster join` it there, and delete it.

Example:
  tandem cluster init -f /etc/tandem/haproxy.cfg -L lb1
  scp /etc/tandem/lb2.bundle lb2:            # then, on lb2: tandem cluster join lb2.bundle")]
pub(crate) struct Init {
    /// Configuration with the cluster's section
    #[arg(short = 'f', long = "file", required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// Which member this node is: its certificate is installed at once
    #[arg(short = 'L', long = "member", value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = ETC_DIR)]
    pub(crate) dir: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Join {
    /// What `tandem cluster init` wrote for this member
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: PathBuf,
    /// Which member this node is [default: what the file is called]
    #[arg(short = 'L', long = "member", value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = ETC_DIR)]
    pub(crate) dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
        let line = ["tandem", "run", "-f", "a", "-f", "b", "-L", "lb1"];
        let read = CommandLine::try_parse_from(line).unwrap();
        assert!(matches!(read.command, Command::Run(run) if run.files == ["a", "b"]));
        assert!(CommandLine::try_parse_from(["tandem", "run"]).is_err());
    }
}
