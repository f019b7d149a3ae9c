//! Sees to it that the program under test is built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names another build of `tandem` to be put to the test.
const GIVEN: &str = "TANDEM_BINARY";

/// Where `tandem` lies that was built as this program was, or that somebody gives.
pub(crate) fn beside_us() -> Result<PathBuf, String> {
    if let Some(given) = std::env::var_os(GIVEN) {
        return Ok(given.into());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    Ok(own.with_file_name("tandem"))
}

/// Builds `tandem` as this program was built; nothing to do inside the lab, where it has been done.
pub(crate) fn build_beside_us() -> Result<(), String> {
    if std::env::var_os("TANDEM_LAB").is_some() || std::env::var_os(GIVEN).is_some() {
        return Ok(());
    }
    let path = std::env::current_exe().map_err(|e| e.to_string())?;
    let profile = path.parent().and_then(Path::file_name).map(|p| p.to_string_lossy().into_owned());
    // The folder of the profile `dev` is called otherwise.
    let profile = profile.map(|p| if p == "debug" { "dev".to_owned() } else { p });
    build(&profile.ok_or("this program lies in no target folder")?).map(|_| ())
}

/// Builds `tandem` with a profile; where it lies.
pub(crate) fn build(profile: &str) -> Result<PathBuf, String> {
    let path = std::env::current_exe().map_err(|e| e.to_string())?;
    let target = path.parent().and_then(Path::parent).ok_or("this program lies in no target folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--package", "tandem", "--locked", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    if status.success() {
        Ok(target.join(folder).join("tandem"))
    } else {
        Err("tandem cannot be built".to_owned())
    }
}
