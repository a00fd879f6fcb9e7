//! Findings as lines, the gravest first, each with the first row it rests on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use flowtape_schemas::address::Address;
use flowtape_schemas::node::{Direction, FlowRow};
use flowtape_schemas::value::Words as _;

use super::seconds;
use crate::escape::escaped;
use crate::findings::{Code, Finding, Sample, Severity};
use crate::flow::edge::Transport;

/// Findings of one code that text lists one by one; JSON lists them all.
const LISTED: usize = 10;

/// One line for each finding, the gravest first; what is worth a warning shows the first row it rests on.
#[must_use]
pub fn text(list: &[Finding]) -> String {
    let mut by_code: BTreeMap<(Reverse<Severity>, Code), Vec<&Finding>> = BTreeMap::new();
    for finding in list {
        let severity = finding.code.entry().severity;
        by_code
            .entry((Reverse(severity), finding.code))
            .or_default()
            .push(finding);
    }
    let mut text = String::new();
    for ((severity, code), found) in &by_code {
        for finding in found.iter().take(LISTED) {
            let times = if finding.count > 1 {
                format!(" ({})", finding.count)
            } else {
                String::new()
            };
            let _ = writeln!(text, "{}[{code}]: {}{times}", severity.0, escaped(&finding.message));
            if severity.0 >= Severity::Warning
                && let Some(first) = finding.samples.iter().next()
            {
                let _ = writeln!(text, "  such as {}", escaped(&told(first)));
            }
        }
        if let Some(more) = found.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = writeln!(
                text,
                "{}[{code}]: and {more} more, which `--format json` lists",
                severity.0
            );
        }
    }
    if let Some((_, code)) = by_code.keys().next() {
        let _ = writeln!(
            text,
            "hint: `flowtape explain {code}` says what it means and what to do"
        );
    }
    text
}

/// A row in the words of people: who asked whom, where that was recorded, and when.
fn told(sample: &Sample) -> String {
    let Sample { time, node, row } = sample;
    let FlowRow {
        local_ip, remote_ip, ..
    } = row;
    let (client, server) = match row.direction {
        Direction::In => (remote_ip, local_ip),
        Direction::Out | Direction::None | Direction::Unknown => (local_ip, remote_ip),
    };
    let address = |address: &Option<Address>| address.map_or_else(|| "?".to_owned(), |known| known.to_string());
    let ends = match (client, server) {
        (None, None) => String::new(),
        (client, server) => format!("{} -> {} ", address(client), address(server)),
    };
    let port = row
        .service_port
        .map_or_else(|| "any port".to_owned(), |port| port.to_string());
    let side = match row.direction {
        Direction::In => "server's",
        Direction::Out => "client's",
        Direction::None | Direction::Unknown => "unknown",
    };
    format!(
        "{ends}{port}/{}, {} x{}, {side} side, node `{node}`, {}",
        Transport(row.protocol),
        row.outcome.word(),
        row.count,
        seconds(*time)
    )
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::findings::{Code, Findings};

    #[test]
    fn findings_are_listed_gravest_first_and_hostile_names_escaped() {
        let mut findings = Findings::default();
        findings.report_many(Code::SyntheticRows, "node `n\u{1b}[2J`", 3);
        for pod in 0..12 {
            findings.report(Code::UnknownPeer, format!("address 10.0.0.{pod:02}"));
        }
        findings.report(Code::UncleanStop, "node `n1`");
        let text = text(&findings.list());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "error[FT1005]: node `n1`");
        assert_eq!(lines[1], "warning[FT2001]: address 10.0.0.00");
        assert_eq!(lines[11], "warning[FT2001]: and 2 more, which `--format json` lists");
        assert_eq!(lines[12], "info[FT1009]: node `n\\u{1b}[2J` (3)");
        assert_eq!(
            lines[13],
            "hint: `flowtape explain FT1005` says what it means and what to do"
        );
    }
}
