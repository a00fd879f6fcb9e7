//! How much of a recording has a peer that is not known, as a line.

use std::fmt::Write as _;

use crate::counted::counted;
use crate::json::{Share, Shares};

/// One line for each side.
#[must_use]
pub fn text(sides: &[Shares]) -> String {
    let mut text = String::new();
    for Shares {
        side,
        edges,
        operations,
    } in sides
    {
        let side = side.map_or_else(String::new, |side| format!("{side}: "));
        let _ = write!(text, "{side}peers of {}: ", counted(edges.total, "edge", "edges"));
        if is_doubted(*edges) || is_doubted(*operations) {
            let _ = write!(text, "{}", doubted(*edges));
        } else {
            text.push_str("none unknown or ambiguous");
        }
        if edges.supposed > 0 {
            let _ = write!(text, ", {} supposed", part(edges.supposed, edges.total));
        }
        if is_doubted(*operations) {
            let _ = write!(text, "; of {} operations: {}", operations.total, doubted(*operations));
        }
        text.push('\n');
    }
    text
}

fn is_doubted(share: Share) -> bool {
    share.unknown > 0 || share.ambiguous > 0
}

fn doubted(share: Share) -> String {
    let (unknown, ambiguous) = (part(share.unknown, share.total), part(share.ambiguous, share.total));
    format!("{unknown} unknown, {ambiguous} ambiguous")
}

/// A number with its share in percent. What is there is never rounded to nothing, and what is not all never to all.
fn part(part: u64, total: u64) -> String {
    if part == 0 || total == 0 {
        return part.to_string();
    }
    let thousandths = (u128::from(part) * 1000 + u128::from(total) / 2) / u128::from(total);
    let thousandths = if part < total { thousandths.min(999) } else { 1000 };
    if thousandths == 0 {
        return format!("{part} (<0.1 %)");
    }
    format!("{part} ({}.{} %)", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_share_is_never_rounded_to_nothing_or_to_all() {
        for (some, total, text) in [
            (0, 0, "0"),
            (0, 7, "0"),
            (1, 3, "1 (33.3 %)"),
            (2, 3, "2 (66.7 %)"),
            (1, 100_000, "1 (<0.1 %)"),
            (99_999, 100_000, "99999 (99.9 %)"),
            (5, 5, "5 (100.0 %)"),
            (u64::MAX, u64::MAX, "18446744073709551615 (100.0 %)"),
        ] {
            assert_eq!(part(some, total), text);
        }
    }
}
