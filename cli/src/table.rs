//! Tables: columns without borders, so that they can be cut and sorted by other programs.

use comfy_table::{ContentArrangement, Table, presets};

use crate::terminal;

/// A table for standard output; on a terminal no wider than that.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], terminal: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    let arrangement = if terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table.set_content_arrangement(arrangement);
    for row in rows {
        table.add_row(row.iter().map(|cell| terminal::safe(cell).replace('\n', " ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Names and values, one pair a line.
pub(crate) fn pairs(pairs: &[(&'static str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = pairs.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_strangers_cannot_break_the_lines() {
        let rows = vec![
            vec!["1".to_owned(), "short".to_owned(), "x".to_owned()],
            vec!["2222".to_owned(), "a\nb\x1b[31m".to_owned(), "y".to_owned()],
        ];
        insta::assert_snapshot!(table(&["ID", "NAME", "STATE"], &rows, false), @r"
        ID    NAME       STATE
        1     short      x
        2222  a b^[[31m  y
        ");
    }

    #[test]
    fn pairs_are_aligned() {
        insta::assert_snapshot!(pairs(&[("id", "1".to_owned()), ("webhook", "url".to_owned())]), @r"
        id       1
        webhook  url
        ");
    }
}
