//! HAProxy's spelling of arguments (management guide, chapter 3), so that scripts, service units and test
//! runners written for it can start this program. What is not understood is refused by name.

use std::path::PathBuf;

/// What a person sees who asks for help, or asks wrongly.
pub(crate) const USAGE: &str = "\
Usage: tandem -f FILE [-f FILE]... [options]

  -f FILE    read this configuration, or every *.cfg of a folder; several are read in order
  -c         check the configuration, and only that
  -cc COND   evaluate a condition: exit code 0 true, 1 false, 2 not understood
  -L NAME    this node's name (default: localpeer of the file, else the host's)
  -C DIR     go to this folder first
  -db, -d    stay in the foreground, in one process, which does not reload
  -D         run in the background
  -W, -Ws    supervisor and worker; -Ws stays in the foreground and tells systemd when it is ready,
             and so does '-W -db', but for systemd
  -p FILE    write the process id there
  -sf PIDS   once ready, tell these processes to finish (-st: to end)
  -n COUNT   most client connections of the process
  -m MB      most memory of each process
  --no-vip   run without the file's virtual addresses
  -q         say nothing when all is well
  -V         say more
  -dW        warnings are fatal
  -dD        say more about the configuration: '.diag' messages, and keywords that have no effect here
  -x SOCKET  accepted: ports are shared with the process before, nothing is taken from it
             (a reload of one process, `kill -USR2`, hands everything over; this does not)
  -dM -dI -dr -de -dp -dS -dV -dG -dR   accepted for HAProxy's scripts; without effect here
  -v, -vv    show the version
  -h, --help show this text

Examples:
  tandem -c -f haproxy.cfg          is this file right?
  tandem -db -f haproxy.cfg         run it here, until Ctrl-C
  tandem -D -f haproxy.cfg -p /run/haproxy.pid -sf $(cat /run/haproxy.pid)

A node of a pair, and how it is: `tandem run`, `tandem status`, `tandem cluster`; see `tandem --help`.";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Version,
    Condition(String),
    Run(Options),
}

/// In how many processes, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// What the file says: in the background with `daemon`, else here.
    #[default]
    AsTheFileSays,
    /// One process, here.
    Foreground,
    /// In the background.
    Background,
    /// Supervisor and worker: in the background where the file says `daemon`.
    Supervised,
    /// Supervisor and worker, here whatever the file says.
    SupervisedForeground,
}

/// How to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) files: Vec<String>,
    pub(crate) check: bool,
    pub(crate) quiet: bool,
    pub(crate) strict: bool,
    /// Say what only the curious want to know.
    pub(crate) details: bool,
    pub(crate) style: Style,
    /// Tell systemd.
    pub(crate) notify: bool,
    pub(crate) member: Option<String>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) pidfile: Option<PathBuf>,
    pub(crate) max_connections: Option<u64>,
    /// Of each process, in megabytes.
    pub(crate) max_memory: Option<u64>,
    pub(crate) no_virtual_addresses: bool,
    /// Processes to tell once this one is ready, and whether they may finish what they have begun.
    pub(crate) before: Vec<(i32, bool)>,
}

/// Reads the arguments; the error says which one is wrong.
pub(crate) fn read(words: &[String]) -> Result<Asked, String> {
    let mut options = Options::default();
    let (mut foreground, mut background, mut supervised) = (false, false, false);
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("'{word}' expects an argument")).cloned();
        let number = |text: String| text.parse().map_err(|_| format!("'{word} {text}' is no number"));
        match word.as_str() {
            "-h" | "--help" => return Ok(Asked::Help),
            "-v" | "-vv" | "--version" => return Ok(Asked::Version),
            "-cc" => return Ok(Asked::Condition(value()?)),
            "-f" => options.files.push(value()?),
            "-c" => options.check = true,
            "-q" => options.quiet = true,
            "-L" => options.member = Some(value()?),
            "-C" => options.folder = Some(value()?.into()),
            "-p" => options.pidfile = Some(value()?.into()),
            "-n" => options.max_connections = Some(number(value()?)?),
            "-m" => options.max_memory = Some(number(value()?)?),
            "-d" | "-db" => foreground = true,
            "-D" => background = true,
            "-W" => supervised = true,
            "-Ws" => (supervised, options.notify) = (true, true),
            "-dW" => options.strict = true,
            "-dD" => options.details = true,
            "--no-vip" => options.no_virtual_addresses = true,
            "-x" => drop(value()?),
            "-sf" | "-st" => {
                while let Some(pid) = rest.next_if(|text| !text.starts_with('-')) {
                    let pid = pid.parse().map_err(|_| format!("'{word} {pid}' names no process"))?;
                    options.before.push((pid, word == "-sf"));
                }
            }
            "-V" | "-dI" | "-dr" | "-de" | "-dp" | "-dS" | "-dV" | "-dG" | "-dR" => {}
            poison if poison.starts_with("-dM") => {}
            "-S" => {
                return Err(
                    "'-S' : a master's runtime API is not built; `tandem status` asks the node".to_owned()
                );
            }
            other => return Err(format!("unknown argument '{other}'")),
        }
    }
    if options.files.is_empty() {
        return Err("no configuration: '-f FILE' is expected".to_owned());
    }
    options.style = match (foreground, background, supervised) {
        (true, _, true) => Style::SupervisedForeground,
        (true, _, false) => Style::Foreground,
        (_, true, _) => Style::Background,
        (_, _, true) => Style::Supervised,
        _ => Style::AsTheFileSays,
    };
    Ok(Asked::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Asked, String> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn haproxys_scripts_can_start_it() {
        let options = Options { files: vec!["a".into(), "b".into()], check: true, ..Options::default() };
        assert_eq!(ask("-c -f a -f b"), Ok(Asked::Run(options)));
        assert!(matches!(ask("-dD -f a"), Ok(Asked::Run(o)) if o.details));
        assert!(
            matches!(ask("-d -dM -dI -dW -f a -L lb1"), Ok(Asked::Run(o)) if o.strict && o.member.as_deref() == Some("lb1"))
        );
        let Ok(Asked::Run(all)) =
            ask("-Ws -f a -C /tmp -p pid -n 10 -m 512 -x old.sock -sf 11 12 -st 13 -V -q")
        else {
            panic!("not understood");
        };
        assert_eq!((all.style, all.notify), (Style::Supervised, true));
        assert_eq!(all.before, [(11, true), (12, true), (13, false)]);
        assert_eq!((all.max_connections, all.max_memory), (Some(10), Some(512)));
        assert!(matches!(ask("-D -f a"), Ok(Asked::Run(o)) if o.style == Style::Background));
        assert!(matches!(ask("-D -db -f a"), Ok(Asked::Run(o)) if o.style == Style::Foreground));
        assert!(matches!(ask("-W -db -f a"), Ok(Asked::Run(o)) if o.style == Style::SupervisedForeground));
        assert!(
            matches!(ask("-D -db -Ws -f a"), Ok(Asked::Run(o)) if o.style == Style::SupervisedForeground)
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (line, word) in [
            ("-f", "-f"),
            ("-y a -f b", "-y"),
            ("-c", "-f FILE"),
            ("-db -f a -n x", "-n x"),
            ("-f a -sf x", "-sf x"),
            ("-S fd@3 -f a", "-S"),
        ] {
            assert!(ask(line).is_err_and(|why| why.contains(word)), "{line}");
        }
    }
}
