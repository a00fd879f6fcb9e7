//! Reads a scenario text. Every line is read on its own, so that one mistake hides no other.

mod cluster;
mod service;
mod traffic;
mod value;
mod words;

use crate::model::{Metadata, Namespace, Offset, Scenario};
use crate::problem::{Problem, Problems};
use words::Cursor;

/// Which part of the text a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Before the first section.
    Head,
    /// The declared cluster.
    Cluster,
    /// What happens in it.
    Traffic,
}

/// What has been read so far.
struct Reader {
    scenario: Scenario,
    problems: Vec<Problem>,
    section: Section,
    /// Lines of the policy being read: line number and text.
    policy: Option<cluster::PolicyText>,
    /// Whether a declaration was lost, so that "not declared" would be a wrong complaint.
    lost: bool,
}

/// Reads the text alone; what needs the whole cluster is checked by the caller.
///
/// Returns the scenario, the problems, and whether a declaration was lost among them.
pub(crate) fn read(text: &str) -> (Scenario, Vec<Problem>, bool) {
    let mut reader = Reader {
        scenario: empty(),
        problems: Vec::new(),
        section: Section::Head,
        policy: None,
        lost: false,
    };
    for (number, line) in text.lines().enumerate() {
        reader.line(number + 1, line);
    }
    reader.end_policy();
    (reader.scenario, reader.problems, reader.lost)
}

/// The scenario of an empty text.
fn empty() -> Scenario {
    Scenario {
        window: Offset::seconds(30),
        nodes: Vec::new(),
        namespaces: Vec::new(),
        workloads: Vec::new(),
        services: Vec::new(),
        externals: Vec::new(),
        policies: Vec::new(),
        metadata: Metadata::default(),
        traffic: Vec::new(),
        sockets: Vec::new(),
        losses: Vec::new(),
        gaps: Vec::new(),
    }
}

impl Reader {
    /// Reads one line.
    fn line(&mut self, number: usize, line: &str) {
        if let Some(yaml) = line.trim_start().strip_prefix('|') {
            match &mut self.policy {
                Some(policy) => policy.push(yaml),
                None => self.problems.push(Problem {
                    line: number,
                    column: line.chars().take_while(|c| c.is_whitespace()).count() + 1,
                    message: "expected a `policy NAMESPACE/NAME` line before lines that start with `|`".to_owned(),
                }),
            }
            return;
        }
        self.end_policy();
        let mut cursor = Cursor::new(number, line);
        if cursor.is_empty() {
            return;
        }
        if let Err(problem) = self.statement(&mut cursor) {
            self.lost |= self.section != Section::Traffic;
            self.problems.push(problem);
        }
    }

    /// Reads a line that is neither empty nor part of a policy.
    fn statement(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        match (cursor.peek(), self.section) {
            (Some("cluster"), _) => self.enter(cursor, Section::Cluster),
            (Some("traffic"), _) => self.enter(cursor, Section::Traffic),
            (Some("window"), Section::Head) => {
                cursor.skip();
                self.scenario.window = cursor.read(&value::LENGTH)?;
                cursor.end()
            }
            (_, Section::Head) => Err(cursor.expected("`window`, `cluster` or `traffic`")),
            (_, Section::Cluster) => self.cluster(cursor),
            (_, Section::Traffic) => self.traffic(cursor),
        }
    }

    /// Reads the line that starts a section.
    fn enter(&mut self, cursor: &mut Cursor<'_>, section: Section) -> Result<(), Problem> {
        cursor.skip();
        self.section = section;
        cursor.end()
    }

    /// Makes sure that a namespace exists, as `kubectl create` of anything inside would demand.
    fn namespace(&mut self, line: usize, name: &str) {
        if !self.scenario.namespaces.iter().any(|namespace| namespace.name == name) {
            self.scenario.namespaces.push(Namespace {
                line,
                name: name.to_owned(),
                labels: std::collections::BTreeMap::new(),
            });
        }
    }
}

impl Scenario {
    /// Reads a scenario and checks that all of it makes sense together.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let (scenario, mut problems, lost) = read(text);
        if !lost {
            problems.extend(crate::check::problems(&scenario));
        }
        if problems.is_empty() {
            return Ok(scenario);
        }
        problems.sort();
        problems.dedup();
        Err(Problems(problems))
    }
}
