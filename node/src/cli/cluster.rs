//! `tandem cluster init` and `join`: the members' certificates, made once and carried by hand.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use replication::Identity;
use replication::identity::{Authority, open_bundle};

use crate::args::{Init, Join, Keepalived};
use crate::config::{self, Warnings};

const AUTHORITY: &str = "cluster-ca.pem";
const AUTHORITY_KEY: &str = "cluster-ca.key";
const CERTIFICATE: &str = "cluster.pem";

/// Makes the authority and a bundle for every member but this one.
pub(crate) fn init(options: &Init) -> Result<(), String> {
    let (everything, _) = config::load_aloud(&Keepalived::default().beside(&options.files), Warnings::Say)
        .ok_or("the configuration is not usable")?;
    let member = everything.member(options.member.as_deref());
    everything.check_member(&member)?;
    let cluster = everything.cluster.ok_or("the file has no 'cluster' section")?;
    let folder = &options.dir;
    std::fs::create_dir_all(folder).map_err(|e| format!("cannot make '{}' : {e}", folder.display()))?;
    if folder.join(AUTHORITY_KEY).exists() {
        return Err(format!(
            "'{}' is there already: this cluster has been made, and making it again would part its members",
            folder.join(AUTHORITY_KEY).display()
        ));
    }
    let authority = Authority::make(&cluster.name).map_err(|e| e.to_string())?;
    write(folder, AUTHORITY_KEY, &authority.key, 0o600)?;
    write(folder, AUTHORITY, &authority.certificate, 0o644)?;
    println!("Cluster '{}', certificates in {}:", cluster.name, folder.display());
    for other in &cluster.members {
        let issued = authority.issue(&other.name).map_err(|e| e.to_string())?;
        if other.name == member {
            write(folder, CERTIFICATE, &issued, 0o600)?;
            println!("  {CERTIFICATE:<20} this node, '{member}'");
        } else {
            let name = format!("{}.bundle", other.name);
            write(folder, &name, &format!("{issued}{}", authority.certificate), 0o600)?;
            println!("  {name:<20} secret: carry it to '{0}', there: tandem cluster join {name}", other.name);
        }
    }
    println!("  {AUTHORITY_KEY:<20} secret: keep it to add members, off the network if you can");
    Ok(())
}

/// Installs a member's bundle.
pub(crate) fn join(options: &Join) -> Result<(), String> {
    let bundle = &options.bundle;
    let say = |what: &dyn std::fmt::Display| format!("'{}' : {what}", bundle.display());
    let text = crate::config::read_file(&bundle.to_string_lossy()).map_err(|e| say(&e))?;
    let named = bundle.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let member = options.member.clone().unwrap_or(named);
    let (certificate, authority) = open_bundle(&text).map_err(|e| say(&e))?;
    Identity::read(&member, &certificate, &authority)
        .map_err(|e| format!("{}; say which member this node is with '-L NAME'", say(&e)))?;
    let folder = &options.dir;
    std::fs::create_dir_all(folder).map_err(|e| format!("cannot make '{}' : {e}", folder.display()))?;
    write(folder, CERTIFICATE, &certificate, 0o600)?;
    write(folder, AUTHORITY, &authority, 0o644)?;
    println!("This node is '{member}'; certificates are in {}. The bundle can be deleted.", folder.display());
    Ok(())
}

/// Writes a file that is never, not even for a moment, readable by those who may not.
fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<(), String> {
    let path = folder.join(name);
    let fresh = folder.join(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    };
    write().map_err(|e| format!("cannot write '{}' : {e}", path.display()))
}
