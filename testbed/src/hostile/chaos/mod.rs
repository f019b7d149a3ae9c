//! Bad luck by seed: kills, reloads, dumps, logs that nobody reads and no descriptors, one after the other at a pair that
//! serves. After each of them the pair heals: one master, one healthy backup, every server state right, and every entry of
//! the table that a living node knew is still there.

mod events;
mod observer;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::dice::Dice;
use crate::table;
use events::Event;
use world::World;

/// Entries of the table, by hand and in brief.
const ENTRIES: usize = 300_000;
const BRIEF: usize = 20_000;
/// Service between two events, at most.
const REST: u64 = 700;

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  cargo hostile chaos --minutes 60
  cargo hostile chaos --minutes 1 --brief
  cargo hostile chaos --seed 4711")]
pub(super) struct Options {
    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=6_000))]
    minutes: u64,
    /// Which bad luck [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// A table of 20,000 entries instead of 300,000
    #[arg(long)]
    brief: bool,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How often something happened, and how long the pair took to heal.
#[derive(Debug, Default)]
struct Count {
    times: usize,
    slowest: Duration,
}

pub(super) fn run(options: &Options) -> Result<String, String> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or(time.as_secs() % 1_000_000);
    let entries = if options.brief { BRIEF } else { ENTRIES };
    super::program::raise_own_limit();
    play(options, seed, entries).map_err(|why| format!("{why}\nseed {seed}: --seed {seed} repeats it"))
}

fn play(options: &Options, seed: u64, entries: usize) -> Result<String, String> {
    let length = Duration::from_secs(60 * options.minutes);
    let bar = ProgressBar::new(length.as_secs());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    bar.set_message("starting the pair");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut world = World::build(folder.path(), entries)?;
    let mut dice = Dice::new(seed);
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < length {
        number += 1;
        let event = Event::EVERY[dice.roll(Event::EVERY.len() as u64) as usize];
        let node = dice.roll(2) as usize;
        bar.set_message(format!("{number}: {} at {}", event.word(), crate::drill::stack::NAMES[node]));
        bar.set_position(begin.elapsed().as_secs());
        let say = |why: String| {
            let at = begin.elapsed().as_secs();
            format!("event {number} after {at} s, {} at node {}: {why}", event.word(), node + 1)
        };
        let workers = [0, 1].map(|node| world.pair.worker(node));
        event.strike(&mut world, node).map_err(say)?;
        let healing = Instant::now();
        world.heals().map_err(say)?;
        let now = [0, 1].map(|node| world.pair.worker(node));
        if event.spares_workers() && now != workers {
            return Err(say(format!(
                "the workers were {workers:?}, and are {now:?}\n{}",
                world.pair.tails()
            )));
        }
        let count = counts.entry(event.word()).or_default();
        count.times += 1;
        count.slowest = count.slowest.max(healing.elapsed());
        std::thread::sleep(Duration::from_millis(dice.roll(REST)));
    }
    bar.finish_and_clear();
    let (asked, failed) = world.end()?;
    if let Some(file) = &options.json {
        let events: Vec<_> = counts
            .iter()
            .map(|(word, count)| {
                json!({ "event": word, "times": count.times, "slowest_ms": count.slowest.as_millis() })
            })
            .collect();
        let value =
            json!({ "seed": seed, "entries": entries, "asked": asked, "failed": failed, "events": events });
        let text = serde_json::to_string_pretty(&value).map_err(|e| e.to_string())?;
        std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let mut table = table::plain(["event", "times", "healed within, s"]);
    for (word, count) in &counts {
        let slowest = format!("{:.1}", count.slowest.as_secs_f64());
        table.add_row([Cell::new(word), Cell::new(count.times), Cell::new(slowest)]);
    }
    Ok(format!(
        "{table}\nseed {seed}: {number} events, all healed; {entries} entries, none lost; no server state\n\
         was wrong; {failed} of {asked} requests of good clients failed meanwhile"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_of_a_seed_is_the_same_and_reaches_every_event() {
        let events = |seed: u64| {
            let mut dice = Dice::new(seed);
            (0..200).map(|_| dice.roll(Event::EVERY.len() as u64)).collect::<Vec<_>>()
        };
        assert_eq!(events(7), events(7));
        let mut seen = events(7);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Event::EVERY.len());
    }
}
