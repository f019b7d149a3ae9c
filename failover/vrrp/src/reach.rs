//! Whether a neighbour answers: when it is asked, and what its silence means. Its answers do not say which question
//! they are for, and none is expected to.

use crate::Micros;

/// Time between questions while all is well, at most and at least.
const ASK_AT_MOST: Micros = Micros(250_000);
/// See [`ASK_AT_MOST`].
const ASK_AT_LEAST: Micros = Micros(50_000);
/// Time between questions to somebody who has never answered.
const ASK_A_STRANGER: Micros = Micros(1_000_000);
/// Questions without an answer that are silence.
const SILENT_AFTER: u32 = 4;
/// How long an answer is waited for: twice the slowest of late, within these bounds.
const WAIT_AT_LEAST: Micros = Micros(50_000);
const WAIT_AT_MOST: Micros = Micros(250_000);
/// For somebody who cannot wait: the time between questions, how many of them are silence, and how long an answer is
/// waited for at least: four times the slowest of late.
const HURRY: Micros = Micros(10_000);
const HURRIED_SILENT_AFTER: u32 = 2;

/// What is known of one neighbour.
#[derive(Clone, Debug)]
pub struct Reach {
    every: Micros,
    /// When it is to be asked.
    next: Micros,
    /// Questions since its last answer: how many, the first, the one that was one too many, the last.
    unanswered: u32,
    first: Option<Micros>,
    too_many: Option<Micros>,
    last: Option<Micros>,
    answered: Option<Micros>,
    /// The slowest answer of late.
    slowest: Micros,
    /// Somebody waits for its answer.
    hurried: bool,
}

impl Reach {
    /// A neighbour of whom nothing is known yet; `every`: the time between questions, bounded.
    #[must_use]
    pub fn new(now: Micros, every: Micros) -> Self {
        Self {
            every: every.clamp(ASK_AT_LEAST, ASK_AT_MOST),
            next: now,
            unanswered: 0,
            first: None,
            too_many: None,
            last: None,
            answered: None,
            slowest: Micros(0),
            hurried: false,
        }
    }

    /// Asks it more often, where somebody needs that.
    pub fn quicken(&mut self, every: Micros) {
        self.every = self.every.min(every.clamp(ASK_AT_LEAST, ASK_AT_MOST));
    }

    /// When it is to be asked.
    #[must_use]
    pub fn due(&self) -> Micros {
        self.next
    }

    /// It has been asked.
    pub fn asked(&mut self, now: Micros) {
        self.unanswered = self.unanswered.saturating_add(1);
        self.first = self.first.or(Some(now));
        if self.unanswered == SILENT_AFTER {
            self.too_many = Some(now);
        }
        self.last = Some(now);
        self.next = now.after(match self.answered {
            None => ASK_A_STRANGER,
            Some(_) if self.hurried && self.unanswered < SILENT_AFTER => HURRY,
            // One lost question is no silence: the next ones follow as soon as an answer would have been there.
            Some(_) if self.unanswered < SILENT_AFTER => self.wait().min(self.every),
            Some(_) => self.every,
        });
    }

    /// It has answered. What nobody has asked is no answer.
    pub fn answered(&mut self, now: Micros) {
        let (Some(first), Some(last)) = (self.first.take(), self.last) else { return };
        let took = Micros(now.0.saturating_sub(first.0)).min(WAIT_AT_MOST);
        self.slowest = took.max(Micros(self.slowest.0 / 8 * 7));
        self.answered = Some(now);
        self.unanswered = 0;
        self.too_many = None;
        self.hurried = false;
        self.next = last.after(self.every).max(now);
    }

    /// Somebody wants to know now.
    pub fn hurry(&mut self, now: Micros) {
        if self.answered.is_some() {
            let soonest = self.last.map_or(now, |last| last.after(HURRY).max(now));
            self.next = self.next.min(soonest);
            self.hurried = true;
        }
    }

    /// Whether it has ever answered.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.answered.is_some()
    }

    /// Whether it had answered, and does not any more.
    #[must_use]
    pub fn is_silent(&self, now: Micros) -> bool {
        let (after, since) =
            if self.hurried { (HURRIED_SILENT_AFTER, self.first) } else { (SILENT_AFTER, self.too_many) };
        let given_up = since.map(|since| since.after(self.wait()));
        self.is_known() && self.unanswered >= after && given_up.is_some_and(|at| at <= now)
    }

    /// Whether a question has not been answered yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.first.is_some()
    }

    /// How long the oldest question has been waiting for an answer.
    #[must_use]
    pub fn silence(&self, now: Micros) -> Option<Micros> {
        self.first.map(|first| Micros(now.0.saturating_sub(first.0)))
    }

    /// How old the last answer is.
    #[must_use]
    pub fn age(&self, now: Micros) -> Option<Micros> {
        self.answered.map(|answered| Micros(now.0.saturating_sub(answered.0)))
    }

    fn wait(&self) -> Micros {
        if self.hurried {
            return self.slowest.times(4).clamp(HURRY, WAIT_AT_MOST);
        }
        self.slowest.times(2).clamp(WAIT_AT_LEAST, WAIT_AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_slow_is_silent_too_though_it_is_asked_more_often_than_it_answered() {
        let mut reach = Reach::new(Micros(0), Micros(50_000));
        reach.asked(Micros(0));
        // Its answer took longer than the time between questions.
        reach.answered(Micros(120_000));
        while reach.due() < Micros(2_000_000) {
            let due = reach.due();
            reach.asked(due);
        }
        assert!(reach.is_silent(Micros(2_000_000)));
    }

    /// Asks whenever that is due, until `until`; the times.
    fn ask(reach: &mut Reach, until: u64) -> Vec<u64> {
        let mut times = Vec::new();
        while reach.due().0 < until {
            let now = reach.due();
            reach.asked(now);
            times.push(now.0 / 1_000);
        }
        times
    }

    #[test]
    fn who_has_never_answered_is_asked_slowly_and_is_not_silent() {
        let mut reach = Reach::new(Micros(0), Micros(0));
        assert_eq!(ask(&mut reach, 3_500_000), [0, 1_000, 2_000, 3_000]);
        let now = Micros(3_500_000);
        assert_eq!((reach.is_silent(now), reach.is_known()), (false, false));
        assert_eq!((reach.silence(now), reach.age(now)), (Some(now), None));
    }

    #[test]
    fn silence_is_several_questions_in_a_row() {
        let mut reach = Reach::new(Micros(0), Micros::SECOND);
        reach.asked(Micros(0));
        reach.answered(Micros(1_000));
        assert_eq!(reach.due(), ASK_AT_MOST);
        // Asked at 250 ms, and three times more when no answer comes; then as before.
        assert_eq!(ask(&mut reach, 1_000_000), [250, 300, 350, 400, 650, 900]);
        let mut reach = Reach::new(Micros(0), Micros::SECOND);
        reach.asked(Micros(0));
        reach.answered(Micros(1_000));
        ask(&mut reach, 450_000);
        assert_eq!((reach.is_silent(Micros(449_000)), reach.is_silent(Micros(450_000))), (false, true));
        assert_eq!(reach.silence(Micros(450_000)), Some(Micros(200_000)));
        reach.answered(Micros(451_000));
        assert_eq!((reach.is_silent(Micros(451_000)), reach.silence(Micros(451_000))), (false, None));
        assert_eq!(reach.age(Micros(452_000)), Some(Micros(1_000)));
    }

    #[test]
    fn a_slow_neighbour_is_waited_for() {
        let mut reach = Reach::new(Micros(0), Micros::SECOND);
        reach.asked(Micros(0));
        reach.answered(Micros(90_000));
        // Twice as long as it has taken.
        assert_eq!(ask(&mut reach, 800_000), [250, 430, 610, 790]);
        assert!(!reach.is_silent(Micros(900_000)));
        assert!(reach.is_silent(Micros(970_000)));
    }

    #[test]
    fn somebody_who_hurries_is_asked_for_at_once_but_not_faster_than_that() {
        let mut reach = Reach::new(Micros(0), Micros::SECOND);
        reach.hurry(Micros(0));
        reach.asked(Micros(0));
        reach.answered(Micros(1_000));
        reach.hurry(Micros(5_000));
        assert_eq!(reach.due(), Micros(10_000));
        reach.hurry(Micros(100_000));
        assert_eq!(reach.due(), Micros(10_000));
        // Two questions, and the time of four answers.
        assert_eq!(ask(&mut reach, 50_000), [10, 20, 30, 40]);
        let mut reach = Reach::new(Micros(0), Micros::SECOND);
        reach.asked(Micros(0));
        reach.answered(Micros(3_000));
        reach.hurry(Micros(100_000));
        assert_eq!(ask(&mut reach, 115_000), [100, 110]);
        assert_eq!((reach.is_silent(Micros(111_000)), reach.is_silent(Micros(112_000))), (false, true));
        reach.answered(Micros(113_000));
        assert_eq!((reach.is_silent(Micros(200_000)), reach.due()), (false, Micros(360_000)));
    }

    #[test]
    fn what_nobody_asked_is_no_answer() {
        let mut reach = Reach::new(Micros(0), Micros(0));
        reach.answered(Micros(5));
        assert!(!reach.is_known());
        reach.asked(Micros(10));
        reach.answered(Micros(20));
        reach.answered(Micros(30));
        assert_eq!(reach.age(Micros(40)), Some(Micros(20)));
    }
}
