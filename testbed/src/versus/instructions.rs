//! User instructions for each request, counted by callgrind: the same from run to run, whatever else the
//! machine does. Two runs of different length: what a start costs cancels out.

use std::path::Path;
use std::process::Command;

use super::{Case, LOAD_CORE, load, pin, proxies, start_server};
use crate::find_program;

/// Requests on each connection, in the shorter and in the longer run.
const EACH: [u32; 2] = [20, 120];

/// Counts, and says what came out.
pub(crate) fn count(tandem: &Path, case: Case, connections: u32) -> Result<String, String> {
    let valgrind = find_program("valgrind").ok_or("valgrind is not installed")?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let origin = start_server(case)?;
    let mut counts = [0_u64; 2];
    for (count, each) in counts.iter_mut().zip(EACH) {
        let mut command = Command::new(&valgrind);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(tandem);
        let proxy = proxies::start_on_file("tandem", folder.path(), origin, &mut command)?;
        let address = proxy.address;
        let asked = std::thread::spawn(move || {
            pin(LOAD_CORE)?;
            load::exactly(address, connections, each, case.body())
        });
        asked.join().map_err(|_| "the clients died")?.map_err(|e| e.to_string())?;
        *count = collected(&proxy.finish(folder.path())?)
            .ok_or("valgrind did not say how many instructions it counted")?;
    }
    let requests = u64::from(connections) * u64::from(EACH[1] - EACH[0]);
    let each = counts[1].saturating_sub(counts[0]) / requests;
    Ok(format!("{}: {each} user instructions for each request (callgrind)", case.word()))
}

/// The sum in what callgrind says at its end.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn callgrinds_last_words_are_understood() {
        assert_eq!(super::collected("==7== \n==7== Collected : 51997145\n"), Some(51_997_145));
        assert_eq!(super::collected("==7== Collected : none"), None);
    }
}
