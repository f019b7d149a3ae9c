//! HAProxy's spelling of arguments (management guide, chapter 3), so that scripts written for it can
//! start this program. What is not understood is refused by name.

/// What a person sees who asks for help, or asks wrongly.
pub(crate) const USAGE: &str = "\
Usage: tandem -f FILE [-f FILE]... [options]

  -f FILE    read this configuration; several are read in order
  -c         check the configuration, and only that
  -L NAME    this node's name (default: localpeer of the file, else the host's)
  -db, -d    stay in the foreground, in one process
  -n COUNT   most client connections of the process
  -q         say nothing when all is well
  -V         say more
  -dM -dI -dr -de -dp -dS   accepted for HAProxy's scripts; without effect here
  -v, -vv    show the version
  -h, --help show this text

Examples:
  tandem -c -f haproxy.cfg          is this file right?
  tandem -db -f haproxy.cfg         run it here, until Ctrl-C";

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Help,
    Version,
    Run(Options),
}

/// How to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) files: Vec<String>,
    pub(crate) check: bool,
    pub(crate) quiet: bool,
    pub(crate) strict: bool,
    pub(crate) member: Option<String>,
    pub(crate) max_connections: Option<u64>,
}

/// Reads the arguments; the error says which one is wrong.
pub(crate) fn read(words: &[String]) -> Result<Asked, String> {
    let mut options = Options::default();
    let mut foreground = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("'{word}' expects an argument")).cloned();
        match word.as_str() {
            "-h" | "--help" => return Ok(Asked::Help),
            "-v" | "-vv" | "--version" => return Ok(Asked::Version),
            "-f" => options.files.push(value()?),
            "-c" => options.check = true,
            "-q" => options.quiet = true,
            "-L" => options.member = Some(value()?),
            "-n" => {
                let count = value()?;
                options.max_connections =
                    Some(count.parse().map_err(|_| format!("'-n {count}' is no number"))?);
            }
            "-d" | "-db" => foreground = true,
            "-dW" => options.strict = true,
            "-V" | "-dM" | "-dI" | "-dr" | "-de" | "-dp" | "-dS" => {}
            other => return Err(format!("unknown argument '{other}'")),
        }
    }
    if options.files.is_empty() {
        return Err("no configuration: '-f FILE' is expected".to_owned());
    }
    if !options.check && !foreground {
        return Err("only the foreground is supported yet: add '-db'".to_owned());
    }
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
        assert!(
            matches!(ask("-d -dM -dI -dW -f a -L lb1"), Ok(Asked::Run(o)) if o.strict && o.member.as_deref() == Some("lb1"))
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (line, word) in
            [("-f", "-f"), ("-x a -f b", "-x"), ("-c", "-f FILE"), ("-f a", "-db"), ("-db -f a -n x", "-n x")]
        {
            assert!(ask(line).is_err_and(|why| why.contains(word)), "{line}");
        }
    }
}
