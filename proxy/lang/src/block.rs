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
    let mut blocks: Vec<Block> = Vec::new();
    for line in lines {
        let Some(first) = line.words.first() else { continue };
        if openers.contains(&first.text.as_str()) {
            blocks.push(Block { header: line, lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        } else {
            let near = nearest(&first.text, openers.iter().copied());
            let note =
                diagnostics.error(first.span, format!("unknown keyword '{}' out of section", first.text));
            if let Some(near) = near {
                note.help(format!("did you mean the section '{near}'?"));
            }
        }
    }
    blocks
}
