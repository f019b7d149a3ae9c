//! Lines grouped into sections. Which names open a section is the caller's knowledge.

use crate::{Diagnostics, Line, nearest};

/// A section: the line that opens it and the lines until the next one.
#[derive(Clone, Debug)]
pub struct Block {
    /// The opening line.
    pub header: Line,
    /// What follows, in order.
    pub lines: Vec<Line>,
}

impl Block {
    /// The word that opens the section.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.header.words.first().map_or("", |w| w.text.as_str())
    }

    /// The section's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&crate::Word> {
        self.header.words.get(1)
    }
}

/// Groups lines into sections. Lines before the first section are reported, once for each.
pub fn blocks(lines: Vec<Line>, openers: &[&str], diagnostics: &mut Diagnostics) -> Vec<Block> {
    let mut group = Grouping::new(openers);
    let mut blocks: Vec<Block> = lines.into_iter().filter_map(|line| group.line(line, diagnostics)).collect();
    blocks.extend(group.end());
    blocks
}

/// Lines on their way into sections.
pub(crate) struct Grouping<'o> {
    openers: &'o [&'o str],
    open: Option<Block>,
}

impl<'o> Grouping<'o> {
    pub(crate) fn new(openers: &'o [&'o str]) -> Self {
        Self { openers, open: None }
    }

    /// Takes a line; the section before it where it opens one.
    pub(crate) fn line(&mut self, line: Line, diagnostics: &mut Diagnostics) -> Option<Block> {
        let first = line.words.first()?;
        if self.openers.contains(&first.text.as_str()) {
            return self.open.replace(Block { header: line, lines: Vec::new() });
        }
        if let Some(block) = &mut self.open {
            block.lines.push(line);
        } else {
            let near = nearest(&first.text, self.openers.iter().copied());
            let note =
                diagnostics.error(first.span, format!("unknown keyword '{}' out of section", first.text));
            if let Some(near) = near {
                note.help(format!("did you mean the section '{near}'?"));
            }
        }
        None
    }

    /// The last section.
    pub(crate) fn end(self) -> Option<Block> {
        self.open
    }
}
