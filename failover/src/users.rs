//! Users and groups of this machine, by name (passwd(5), group(5)).

/// The number and the group of a user, from `/etc/passwd`.
///
/// # Errors
/// There is no such user, in words.
pub fn find_user(name: &str) -> Result<(u32, u32), String> {
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    row(&file, name, 3).ok_or_else(|| format!("there is no user '{name}'"))
}

/// The number of a group, from `/etc/group`.
///
/// # Errors
/// There is no such group, in words.
pub fn find_group(name: &str) -> Result<u32, String> {
    let file = std::fs::read_to_string("/etc/group").unwrap_or_default();
    row(&file, name, 2).map(|(number, _)| number).ok_or_else(|| format!("there is no group '{name}'"))
}

/// The name of the user with this number, from `/etc/passwd`, if there is one.
pub(crate) fn name_of(user: u32) -> Option<String> {
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&file, user)
}

fn name_in(file: &str, user: u32) -> Option<String> {
    let number = user.to_string();
    let row = file.lines().find(|line| line.split(':').nth(2) == Some(&number))?;
    row.split(':').next().map(str::to_owned)
}

/// The third field of the row that begins with a name, and another one.
fn row(file: &str, name: &str, other: usize) -> Option<(u32, u32)> {
    file.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&name))
            .then(|| Some((fields.get(2)?.parse().ok()?, fields.get(other)?.parse().ok()?)))?
    })
}

#[cfg(test)]
mod tests {
    use super::{name_in, row};

    #[test]
    fn rows_of_passwd_are_found_by_their_whole_name() {
        let file = "root:x:0:0::/root:/bin/sh\nhaproxy:x:105:113::/var/lib/haproxy:/usr/sbin/nologin\nhap:x:7:8::::\n";
        assert_eq!(row(file, "haproxy", 3), Some((105, 113)));
        assert_eq!(row(file, "hap", 3), Some((7, 8)));
        assert_eq!(row(file, "proxy", 3), None);
        assert_eq!((name_in(file, 105).as_deref(), name_in(file, 5)), (Some("haproxy"), None));
        assert_eq!(row("haproxy:x:113:\n", "haproxy", 2), Some((113, 113)));
    }
}
