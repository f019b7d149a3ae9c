//! `tandem cluster init`, `join` and `add-key`: the members' certificates and their common key, made once and carried by
//! hand.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use replication::Identity;
use replication::identity::{AdvertKey, Authority, open_bundle};

use crate::args::{AddKey, Init, Join, Keepalived};
use crate::config::{self, Warnings};

const AUTHORITY: &str = "cluster-ca.pem";
const AUTHORITY_KEY: &str = "cluster-ca.key";
const CERTIFICATE: &str = "cluster.pem";
/// A bundle that has the key of the advertisements alone, for members that have their certificates already.
const KEY_BUNDLE: &str = "advert-key.bundle";

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
    let advert_key = AdvertKey::make().map_err(|e| e.to_string())?;
    write(folder, AUTHORITY_KEY, &authority.key, 0o600)?;
    write(folder, AUTHORITY, &authority.certificate, 0o644)?;
    println!("Cluster '{}', certificates in {}:", cluster.name, folder.display());
    for other in &cluster.members {
        let issued = authority.issue(&other.name).map_err(|e| e.to_string())?;
        if other.name == member {
            write(folder, CERTIFICATE, &advert_key.put_into(&issued), 0o600)?;
            println!("  {CERTIFICATE:<20} this node, '{member}'");
        } else {
            let name = format!("{}.bundle", other.name);
            let bundle = advert_key.put_into(&format!("{issued}{}", authority.certificate));
            write(folder, &name, &bundle, 0o600)?;
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
    let has_certificate = text.contains("-----BEGIN CERTIFICATE-----");
    if let Some(key) = AdvertKey::read(&text).map_err(|e| say(&e))?.filter(|_| !has_certificate) {
        put_key(&options.dir, &key)?;
        println!(
            "The key is in {}. The bundle can be deleted. Restart this node for it to sign.",
            options.dir.join(CERTIFICATE).display()
        );
        return Ok(());
    }
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

/// Gives a cluster of before there was one a key for its advertisements, or another one.
pub(crate) fn add_key(options: &AddKey) -> Result<(), String> {
    let path = options.dir.join(CERTIFICATE);
    let say = |what: &dyn std::fmt::Display| format!("'{}' : {what}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|e| say(&e))?;
    // One that is damaged is replaced like any other.
    if !options.replace && !matches!(AdvertKey::read(&text), Ok(None)) {
        return Err(say(&"there is a key already; '--replace' makes another one"));
    }
    let key = AdvertKey::make().map_err(|e| e.to_string())?;
    write(&options.dir, KEY_BUNDLE, &key.block(), 0o600)?;
    put_key(&options.dir, &key)?;
    println!("The key is in {}, and for the other members in", path.display());
    println!(
        "  {}   secret: carry it to each of them, there: tandem cluster join {KEY_BUNDLE}; then delete it",
        options.dir.join(KEY_BUNDLE).display()
    );
    println!("A node signs with it from its next start.");
    Ok(())
}

/// Puts a key into the file that has this node's certificate.
fn put_key(folder: &Path, key: &AdvertKey) -> Result<(), String> {
    let path = folder.join(CERTIFICATE);
    let say = |what: &dyn std::fmt::Display| {
        format!("'{}' : {what}; this node's certificate must be there first", path.display())
    };
    let text = std::fs::read_to_string(&path).map_err(|e| say(&e))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(say(&"there is no certificate in it"));
    }
    write(folder, CERTIFICATE, &key.put_into(&text), 0o600)
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
