//! Tables as reports print them.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// A line below the header and nothing else.
const PLAIN: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Everything fits a terminal of this width.
const WIDTH: u16 = 80;

pub(crate) fn plain<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(PLAIN)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header);
    table
}
