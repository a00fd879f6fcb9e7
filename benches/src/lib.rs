//! Seeded clusters and traffic for benchmarks: the same seed is the same text, on every machine.

pub mod policies;
pub mod program;
pub mod recording;

use std::fmt::Write as _;

/// How big a cluster is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Deployments, ten to a namespace, each behind a Service.
    pub workloads: usize,
    /// Lines of traffic, each a pair of them.
    pub lines: usize,
    /// Connections of each line.
    pub connections: usize,
}

/// The scenario of a cluster of this size, with random traffic through Services and directly.
#[must_use]
pub fn scenario(size: Size, seed: u64) -> String {
    let Size {
        workloads,
        lines,
        connections,
    } = size;
    let mut random = Random(seed);
    let mut text = String::from("window 300s\ncluster\n");
    for node in 0..4 {
        let _ = writeln!(text, "node n{node} 172.31.0.{} pods 10.{}.0.0/16", node + 1, 100 + node);
    }
    for number in 0..workloads {
        let (name, service) = (name(number), format!("10.96.{}.{}", number / 250, number % 250 + 1));
        let node = random.below(4);
        let _ = writeln!(
            text,
            "deployment {name} on n{node} labels app=w{number} ports http:8080"
        );
        let _ = writeln!(text, "service {name} {service} selects app=w{number} ports 80->http");
    }
    text.push_str("traffic\n");
    for _ in 0..lines {
        let client = random.below(workloads);
        // Never itself: a pod needs no rule for that.
        let server = (client + 1 + random.below(workloads - 1)) % workloads;
        let (from, to) = (name(client), name(server));
        let way = if random.below(4) == 0 {
            format!("{to}:8080/TCP")
        } else {
            format!("service {to}:80/TCP")
        };
        let _ = writeln!(text, "{from} -> {way} x{connections} at 1s..290s");
    }
    text
}

fn name(number: usize) -> String {
    format!("ns{}/w{number}", number / 10)
}

/// `SplitMix64`: small, seeded and the same everywhere, which is all that is asked of it here.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = u64::try_from(limit.max(1)).unwrap_or(1);
        usize::try_from((mixed ^ (mixed >> 31)) % limit).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Size, scenario};

    const SMALL: Size = Size {
        workloads: 12,
        lines: 20,
        connections: 3,
    };

    #[test]
    fn the_same_seed_is_the_same_cluster() {
        assert_eq!(scenario(SMALL, 7), scenario(SMALL, 7));
        assert_ne!(scenario(SMALL, 7), scenario(SMALL, 8));
    }

    #[test]
    fn the_text_is_a_scenario() {
        let parsed = flowtape_scenario::Scenario::parse(&scenario(SMALL, 7)).expect("a scenario");
        assert!(flowtape_scenario::tape::compile(&parsed).is_ok());
    }
}
