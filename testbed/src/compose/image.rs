//! The folder the containers' image is made of: static programs, the example, and the few files a system
//! without anything else needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Users and groups the example names.
const PASSWD: &str = "root:x:0:0::/:/nologin\nnobody:x:65534:65534::/:/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Builds the programs and fills the folder.
pub(crate) fn fill() -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = root.join("target/static");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Naming the target keeps the flags from what runs during the build.
    let status = Command::new(cargo)
        .args(["build", "--profile", "drill", "--locked", "--package", "tandem", "--package", "testbed"])
        .args(["--target", &target, "--target-dir"])
        .arg(&output)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(&root)
        .status()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    if !status.success() {
        return Err("the static programs cannot be built".to_owned());
    }
    let image = root.join("target/image");
    let say = |path: &Path, e: std::io::Error| format!("'{}' : {e}", path.display());
    // What an earlier build left there is not part of this one.
    let _ = fs::remove_dir_all(&image);
    fs::create_dir_all(image.join("etc/tandem")).map_err(|e| say(&image, e))?;
    let copy = |from: PathBuf, to: &str| {
        let to = image.join(to);
        fs::copy(&from, &to).map(|_| ()).map_err(|e| say(&from, e))
    };
    for program in ["tandem", "testbed"] {
        copy(output.join(&target).join("drill").join(program), program)?;
    }
    for file in ["pair.cfg", "blacklist.lst"] {
        copy(root.join("docs/examples").join(file), &format!("etc/tandem/{file}"))?;
    }
    for (name, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP)] {
        let path = image.join(name);
        fs::write(&path, text).map_err(|e| say(&path, e))?;
    }
    Ok("target/image is ready: docker-compose up --build".to_owned())
}
