//! The orders in which weights interleave servers, over one full round. They are HAProxy's, so that a client that comes to
//! another node, or comes back after a change of program, meets the same server.

use std::collections::BTreeSet;

/// Each weight counts so much, which is what HAProxy's positions are rounded by.
const SCALE: u32 = 16;
/// The largest weight, as it counts.
const MAX_WEIGHT: u32 = 256 * SCALE;
/// What positions are multiplied by in HAProxy's sorting key.
const KEY_RANGE: u32 = 257;

/// The order of static algorithms: whoever has waited longest for its weight is next, the first of equal ones.
pub(super) fn fixed(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().copied().map(i64::from).sum();
    let mut score = vec![0_i64; weights.len()];
    let mut order = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        for (score, weight) in score.iter_mut().zip(weights) {
            *score += i64::from(*weight);
        }
        let due = |place: usize| (score[place] + total) / total;
        // The first of the largest.
        let best = (0..weights.len()).rev().max_by_key(|place| due(*place)).unwrap_or(0);
        score[best] -= total;
        order.push(best);
    }
    order
}

/// One server of the dynamic order.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    next: u32,
    rest: u32,
}

/// The order of the dynamic round robin: servers begin by weight, the heaviest first; from then on each has a next position,
/// which lies as far ahead as its share of the total weight says, and those that are due are served first.
pub(super) fn dynamic(weights: &[u32]) -> Vec<usize> {
    let scaled: Vec<u32> = weights.iter().map(|weight| weight.saturating_mul(SCALE)).collect();
    let total: u32 = scaled.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
    let rounds: u64 = weights.iter().copied().map(u64::from).sum();
    let mut positions = vec![Position::default(); weights.len()];
    // By their sorting key, then by the order in which they came.
    let mut serial = 0_u64;
    let mut serve = |key: u32, place: usize| {
        serial += 1;
        (key, serial, place)
    };
    let by_weight = |place: usize| MAX_WEIGHT.saturating_sub(scaled[place]);
    let mut first: BTreeSet<_> = (0..weights.len()).map(|place| serve(by_weight(place), place)).collect();
    let (mut current, mut later) = (BTreeSet::<(u32, u64, usize)>::new(), BTreeSet::new());
    let mut now = total;
    let mut order = Vec::with_capacity(usize::try_from(rounds).unwrap_or(0));
    while (order.len() as u64) < rounds {
        let due = current.first().copied().filter(|(_, _, place)| positions[*place].next <= now);
        let place = if let Some(entry) = due {
            current.remove(&entry);
            entry.2
        } else if let Some((_, _, place)) = first.pop_first() {
            positions[place] = Position::default();
            place
        } else if let Some((_, _, place)) = current.pop_first() {
            place
        } else if later.is_empty() {
            break;
        } else {
            std::mem::swap(&mut first, &mut later);
            now = total;
            continue;
        };
        let (weight, position) = (scaled[place].max(1), &mut positions[place]);
        if position.next == 0 {
            position.next = now;
        }
        position.next = position.next.saturating_add(total / weight);
        position.rest += total % weight;
        if position.rest >= weight {
            position.rest -= weight;
            position.next += 1;
        }
        now += 1;
        if position.next >= total.saturating_mul(2) {
            position.next -= total;
            later.insert(serve(by_weight(place), place));
        } else {
            let finer = (MAX_WEIGHT + position.rest).saturating_sub(weight) / SCALE;
            current.insert(serve(position.next.saturating_mul(KEY_RANGE).saturating_add(finer), place));
        }
        order.push(place);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(order: &[usize]) -> String {
        order.iter().map(|place| char::from(b'1' + u8::try_from(*place).unwrap())).collect()
    }

    #[test]
    fn orders_of_weights_are_haproxys() {
        assert_eq!(text(&fixed(&[5, 1, 3])), "113123113");
        assert_eq!(text(&fixed(&[1, 2, 1])), "1223");
        assert_eq!(text(&fixed(&[1, 1, 1])), "123");
        assert_eq!(text(&dynamic(&[2, 5, 3])), "2321232321");
        assert_eq!(text(&dynamic(&[3, 1])), "1112");
        assert_eq!(text(&dynamic(&[1, 1, 1])), "123");
        assert_eq!(text(&dynamic(&[1, 2, 3])), "323132");
        assert_eq!(text(&dynamic(&[])), "");
    }
}
